//! The description of the API, and a page to browse it.

use axum::{Json, Router, routing::get};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi, Url};

use crate::{contracts::ServiceName, http::openapi};

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
            .persist_authorization(true);
        router.merge(SwaggerUi::new("/docs").config(page))
    }
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
