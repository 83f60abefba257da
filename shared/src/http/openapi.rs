//! The API's description (OpenAPI 3.1), collected from the handlers.
//!
//! A handler describes what is its own: body, parameters, answers, its own errors. What every
//! request can get is added here, in [`complete`], so that no handler can forget it.

use serde::Serialize;
use utoipa::{
    OpenApi as _, ToSchema,
    openapi::{
        Components, Content, Info, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema,
        path::{Operation, ParameterIn, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
        tag::TagBuilder,
    },
};

use super::FieldError;
use crate::contracts::{Reason, ServiceName};

/// The name of the security scheme of every route that needs a token.
pub const TOKEN: &str = "access_token";

const PROBLEM: &str = "Problem";

/// An error: a problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem, title = "Problem", example = json!({
    "type": "urn:kopeck:problem:insufficient_funds",
    "title": "The wallet holds too little",
    "status": 402,
    "code": "insufficient_funds",
    "request_id": "4bf92f3577b34da6a3ce929d0e0e4736"
}))]
pub struct ProblemBody {
    /// `urn:kopeck:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// What it is, for people; the same for all problems of this code.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What it is, for programs; never changes its meaning.
    code: String,
    /// What happened this time.
    #[schema(nullable = false)]
    detail: Option<String>,
    /// Names the request in our log.
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// Which fields of the request are wrong.
    #[schema(nullable = false)]
    errors: Option<Vec<FieldError>>,
    /// Why a promocode was refused.
    #[schema(nullable = false)]
    reasons: Option<Vec<Reason>>,
}

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(ProblemBody)))]
struct Common;

/// The description of one service's routes, as its handlers give it, with what is common to all.
#[must_use]
pub fn complete(mut api: OpenApi, service: ServiceName) -> OpenApi {
    api.info = info(&format!("Kopeck: {service}"));
    let mut components = api.components.take().unwrap_or_default();
    add_common(&mut components);
    api.components = Some(components);
    for item in api.paths.paths.values_mut() {
        for operation in operations(item) {
            complete_operation(operation, service);
        }
    }
    api.tags = Some(vec![TagBuilder::new().name(service.as_str()).build()]);
    api
}

/// One description of several services.
#[must_use]
pub fn merge(apis: impl IntoIterator<Item = OpenApi>) -> OpenApi {
    let mut merged = OpenApi::new(info("Kopeck"), utoipa::openapi::Paths::new());
    for api in apis {
        merged.merge(api);
    }
    merged
}

fn info(title: &str) -> Info {
    Info::builder()
        .title(title)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Money is in minor units, instants are UTC in RFC 3339, errors are problem documents (RFC 9457) \
             with a stable `code`. Lists give `next_cursor` as long as there is more.",
        ))
        .license(Some(utoipa::openapi::License::new("MIT OR Apache-2.0")))
        .build()
}

fn add_common(components: &mut Components) {
    if let Some(common) = Common::openapi().components {
        components.schemas.extend(common.schemas);
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("From `POST /auth/v1/login` or `POST /auth/v1/token`."))
        .build();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(bearer));
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        item.get.as_mut(),
        item.put.as_mut(),
        item.post.as_mut(),
        item.delete.as_mut(),
        item.patch.as_mut(),
    ]
    .into_iter()
    .flatten()
}

fn complete_operation(operation: &mut Operation, service: ServiceName) {
    operation.tags = Some(vec![service.as_str().to_owned()]);
    // Some are in every service, and an id is to be unique in the description of all.
    if let Some(id) = operation.operation_id.take() {
        operation.operation_id = Some(format!("{service}_{id}"));
    }
    // `security(())` says that a route needs no token.
    let is_public = operation.security.is_some();
    if !is_public {
        operation.security = Some(vec![SecurityRequirement::new(TOKEN, Vec::<String>::new())]);
    }
    let has = |place: &ParameterIn| {
        operation
            .parameters
            .iter()
            .flatten()
            .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == *place))
    };
    let mut errors = vec![
        ("500", "Something went wrong on our side."),
        ("503", "Not available at the moment; try again."),
    ];
    if !is_public {
        errors.push(("401", "No valid token, or its session has ended."));
        errors.push(("403", "The token does not allow it, or the account is blocked."));
    }
    if has(&ParameterIn::Path) {
        errors.push(("404", "There is no such thing, or it is somebody else's."));
    }
    if has(&ParameterIn::Query) {
        errors.push(("400", "A parameter of the query is wrong."));
    }
    if operation.request_body.is_some() {
        errors.push(("400", "The body is not JSON."));
        errors.push(("413", "The body is too large."));
        errors.push(("415", "The body is not sent as JSON."));
        errors.push(("422", "Fields of the body are wrong."));
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in errors {
        responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(problem(description)));
    }
    // What a handler documents by its status and description alone is a problem too.
    for (status, response) in responses.iter_mut() {
        if let RefOr::T(response) = response
            && status.parse::<u16>().is_ok_and(|status| status >= 400)
            && response.content.is_empty()
        {
            *response = problem(&response.description);
        }
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            "Done.".clone_into(&mut response.description);
        }
    }
}

fn problem(description: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .content(
            "application/problem+json",
            Content::new(Some(RefOr::<Schema>::Ref(Ref::from_schema_name(PROBLEM)))),
        )
        .build()
}
