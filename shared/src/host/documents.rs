//! The description of the API, and a page to browse it.

use axum::{
    Json, Router,
    http::{HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse as _, Response},
    routing::get,
};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi, Url};

use crate::{
    contracts::ServiceName,
    http::{Problem, openapi},
};

/// What the page may load and ask: this platform. It sets styles of elements, and has pictures in its
/// stylesheet.
const FROM_HERE_ONLY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The descriptions of the services that run in this process.
#[derive(Default)]
pub(super) struct Documents(Vec<(ServiceName, OpenApi)>);

impl Documents {
    /// Adds what the handlers of `service` say of themselves.
    pub(super) fn add(&mut self, service: ServiceName, collected: OpenApi) {
        self.0.push((service, openapi::complete(collected, service)));
    }

    /// `/{service}/openapi.json`, `/openapi.json` for all of them, and `/docs`, whose assets are in
    /// the program.
    ///
    /// The page lists the services of other processes too: where there are several, a reverse proxy
    /// puts them under one address.
    pub(super) fn routes(self) -> Router {
        let mut router = Router::new();
        let mut shown = Vec::new();
        if self.0.len() == ServiceName::ALL.len() {
            shown.push(Url::with_primary("all", "/openapi.json", true));
        }
        shown.extend(ServiceName::ALL.map(|service| Url::new(service.as_str(), path_of(service))));
        let merged = openapi::merge(self.0.iter().map(|(_, document)| document.clone()));
        router = router.merge(serve("/openapi.json", merged));
        for (service, document) in self.0 {
            router = router.merge(serve(path_of(service), document));
        }
        let page = Config::new(shown)
            .try_it_out_enabled(true)
            .persist_authorization(true)
            // Else somebody else's server is asked for a picture, and told where the platform is.
            .validator_url("none");
        let page = Router::from(SwaggerUi::new("/docs").config(page));
        router.merge(page.layer(map_response(guard)))
    }
}

async fn guard(response: Response) -> Response {
    let mut response = match response.status() {
        StatusCode::NOT_FOUND => Problem::not_found("page").into_response(),
        _ => response,
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, FROM_HERE_ONLY);
    response
}

const fn path_of(service: ServiceName) -> &'static str {
    match service {
        ServiceName::Auth => "/auth/openapi.json",
        ServiceName::Loyalty => "/loyalty/openapi.json",
        ServiceName::Billing => "/billing/openapi.json",
        ServiceName::Notifications => "/notifications/openapi.json",
    }
}

fn serve(path: &str, document: OpenApi) -> Router {
    Router::new().route(path, get(|| async move { Json(document) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Api;

    async fn served() -> Api {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Documents::default().routes();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Api::new(format!("http://{address}"))
    }

    #[tokio::test]
    async fn the_page_asks_nobody_else() {
        let api = served().await;
        for path in ["/docs/", "/docs/swagger-ui.css", "/docs/swagger-initializer.js"] {
            let answer = api.get(path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            let sources = policy
                .split(';')
                .flat_map(|directive| directive.split_whitespace().skip(1));
            for source in sources {
                let is_here = ["'none'", "'self'", "'unsafe-inline'", "data:"].contains(&source);
                assert!(is_here, "{policy}");
            }
            let scripts = policy
                .split("; ")
                .find(|directive| directive.starts_with("script-src"));
            assert_eq!(scripts, Some("script-src 'self'"));
        }
        let request = api.request(axum::http::Method::GET, "/docs/swagger-initializer.js");
        let initializer = request.send().await.unwrap().text().await.unwrap();
        assert!(initializer.contains(r#""validatorUrl": "none""#), "{initializer}");
    }

    #[tokio::test]
    async fn what_the_page_has_not_is_a_problem() {
        let answer = served().await.get("/docs/nothing.js").await;
        answer.expect_problem(404, "not_found");
    }
}
