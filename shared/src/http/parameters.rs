//! Parameters of the query that a route does not know.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use axum::{
    Router,
    extract::{MatchedPath, Query, Request, State},
    http::{Method, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use utoipa::openapi::{OpenApi, RefOr, path::Operation, path::ParameterIn};

use super::{Problem, openapi};

/// The names that each path takes.
type Known = HashMap<String, HashSet<String>>;

/// Refuses what `router` is asked for by a parameter that `api`, its description, does not know: a
/// filter that is ignored would show something else than was asked for.
pub fn refuse_unknown_parameters(router: Router, api: &OpenApi) -> Router {
    let known: Known = api
        .paths
        .paths
        .iter()
        .filter_map(|(path, item)| Some((path.clone(), item.get.as_ref()?)))
        .filter(|(_, operation)| openapi::knows_its_parameters(operation))
        .map(|(path, operation)| (path, names(operation)))
        .collect();
    router.route_layer(from_fn_with_state(Arc::new(known), check))
}

fn names(operation: &Operation) -> HashSet<String> {
    let parameters = operation.parameters.iter().flatten();
    let in_query = parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
        _ => None,
    });
    in_query.collect()
}

async fn check(State(known): State<Arc<Known>>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let path = request.extensions().get::<MatchedPath>();
    if let Some(known) = path.filter(|_| reads).and_then(|path| known.get(path.as_str()))
        // What can't be read is for whoever reads it to refuse.
        && let Ok(Query(given)) = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
        && let Some((unknown, _)) = given.iter().find(|(name, _)| !known.contains(name))
    {
        return Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_query",
            "The query has invalid parameters",
        )
        .detail(format!(
            "There is no parameter `{}` here.",
            unknown.escape_debug()
        ))
        .into_response();
    }
    next.run(request).await
}
