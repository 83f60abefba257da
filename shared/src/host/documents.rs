//! The description of the API, and a page to browse it.

use std::{
    borrow::Cow,
    collections::HashMap,
    future::ready,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderValue, header},
    middleware::map_response,
    response::{IntoResponse as _, Redirect, Response},
    routing::{MethodRouter, get},
};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, Url};

use super::asset::Asset;
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
    ///
    /// All of it is made here, or when it is asked for first: to write a document as JSON takes some
    /// 40 ms, of which every request would wait for those of all others.
    ///
    /// # Errors
    /// When a document can't be written as JSON.
    pub(super) fn routes(self) -> Result<Router, serde_json::Error> {
        let mut router = Router::new();
        let mut shown = Vec::new();
        if self.0.len() == ServiceName::ALL.len() {
            shown.push(Url::with_primary("all", "/openapi.json", true));
        }
        shown.extend(ServiceName::ALL.map(|service| Url::new(service.as_str(), path_of(service))));
        let merged = openapi::merge(self.0.iter().map(|(_, document)| document.clone()));
        router = router.route("/openapi.json", always(json(&merged)?));
        for (service, document) in self.0 {
            router = router.route(path_of(service), always(json(&document)?));
        }
        let page = Config::new(shown)
            .try_it_out_enabled(true)
            .persist_authorization(true)
            // Else somebody else's server is asked for a picture, and told where the platform is.
            .validator_url("none");
        Ok(router.merge(Page::new(page).routes().layer(map_response(guard))))
    }
}

fn json(document: &OpenApi) -> Result<Asset, serde_json::Error> {
    Ok(Asset::new("application/json", serde_json::to_vec(document)?))
}

/// Knows no other answer.
fn always(asset: Asset) -> MethodRouter {
    get(move |headers: HeaderMap| ready(asset.answer(&headers)))
}

/// The page to browse the API: some files, each made once.
struct Page {
    config: Arc<Config<'static>>,
    /// Those that were asked for. There are as many as the library has.
    made: Mutex<HashMap<String, Asset>>,
}

impl Page {
    fn new(config: Config<'static>) -> Arc<Self> {
        Arc::new(Self {
            config: Arc::new(config),
            made: Mutex::default(),
        })
    }

    fn routes(self: Arc<Self>) -> Router {
        let page = Arc::clone(&self);
        let index = move |headers: HeaderMap| ready(page.answer("index.html", &headers));
        let file = move |Path(name): Path<String>, headers: HeaderMap| ready(self.answer(&name, &headers));
        Router::new()
            .route("/docs", get(|| async { Redirect::to("/docs/") }))
            .route("/docs/", get(index))
            .route("/docs/{*name}", get(file))
    }

    fn answer(&self, name: &str, headers: &HeaderMap) -> Response {
        match self.file(name) {
            Some(file) => file.answer(headers),
            None => Problem::not_found("page").into_response(),
        }
    }

    fn file(&self, name: &str) -> Option<Asset> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asset) = made.get(name) {
            return Some(asset.clone());
        }
        let asset = self.make(name)?;
        made.insert(name.to_owned(), asset.clone());
        Some(asset)
    }

    fn make(&self, name: &str) -> Option<Asset> {
        match utoipa_swagger_ui::serve(name, Arc::clone(&self.config)) {
            Ok(found) => found.map(|file| match file.bytes {
                Cow::Borrowed(bytes) => Asset::new(&file.content_type, bytes),
                Cow::Owned(bytes) => Asset::new(&file.content_type, bytes),
            }),
            Err(error) => {
                tracing::error!(%error, name, "a file of the API's page can't be made");
                None
            }
        }
    }
}

async fn guard(mut response: Response) -> Response {
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

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, Bytes, to_bytes},
        http::{Request, StatusCode},
    };
    use tower::ServiceExt as _;

    use super::*;
    use crate::{http, testing::Api};

    /// Where something is served that never changes while the process lives.
    const FIXED: [&str; 5] = [
        "/openapi.json",
        "/billing/openapi.json",
        "/docs/",
        "/docs/swagger-initializer.js",
        "/docs/swagger-ui-bundle.js",
    ];

    fn routes() -> Router {
        let mut documents = Documents::default();
        documents.add(ServiceName::Billing, OpenApi::default());
        http::finish(documents.routes().unwrap())
    }

    async fn ask(routes: &Router, path: &str, tag: Option<&HeaderValue>) -> (StatusCode, HeaderMap, Bytes) {
        let mut request = Request::get(path);
        if let Some(tag) = tag {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        let answer = routes.clone().oneshot(request.body(Body::empty()).unwrap()).await;
        let (parts, body) = answer.unwrap().into_parts();
        (
            parts.status,
            parts.headers,
            to_bytes(body, usize::MAX).await.unwrap(),
        )
    }

    #[tokio::test]
    async fn the_bytes_of_an_answer_that_never_changes_are_made_once() {
        let routes = routes();
        for path in FIXED {
            let (status, headers, first) = ask(&routes, path, None).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(headers.contains_key(header::CONTENT_TYPE), "{path}");
            let (_, _, second) = ask(&routes, path, None).await;
            // The same memory, not equal content: nothing is written or copied for a request.
            assert_eq!(first.as_ptr(), second.as_ptr(), "{path}");
            assert!(!first.is_empty(), "{path}");
        }
    }

    #[tokio::test]
    async fn a_client_that_has_the_answer_gets_no_bytes_of_it_again() {
        let routes = routes();
        for path in FIXED {
            let (_, headers, _) = ask(&routes, path, None).await;
            let tag = &headers[header::ETAG];
            let (status, again, body) = ask(&routes, path, Some(tag)).await;
            assert_eq!(status, StatusCode::NOT_MODIFIED, "{path}");
            assert_eq!(&again[header::ETAG], tag, "{path}");
            assert!(body.is_empty(), "{path}");
            let other = HeaderValue::from_static("\"another\"");
            assert_eq!(ask(&routes, path, Some(&other)).await.0, StatusCode::OK, "{path}");
        }
    }

    async fn served() -> Api {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Documents::default().routes().unwrap();
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
