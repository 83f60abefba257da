//! The client behind a request.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use shared::http::client_address;

use super::AppState;
use crate::app::Client;

/// The client behind a request; its address only if the server was started so that it is known.
pub(super) struct FromClient(pub(super) Client);

impl FromRequestParts<AppState> for FromClient {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let user_agent = parts
            .headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok());
        let address = client_address(parts, &state.trusted_proxies);
        Ok(Self(Client::new(user_agent, address)))
    }
}
