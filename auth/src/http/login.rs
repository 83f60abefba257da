//! Logging in.

use std::{convert::Infallible, net::SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts, State},
    http::{header, request::Parts},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use shared::http::{Json, Problem};

use super::AppState;
use crate::app::{self, Client, IssuedToken, LogIn};

/// The body of a login.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogInBody {
    email: String,
    password: SecretString,
}

/// A token, under OAuth 2's names.
#[derive(Serialize)]
pub(super) struct TokenView {
    access_token: String,
    token_type: &'static str,
    expires_in: u32,
}

impl From<IssuedToken> for TokenView {
    fn from(token: IssuedToken) -> Self {
        Self {
            access_token: token.access_token,
            token_type: "Bearer",
            expires_in: token.expires_in,
        }
    }
}

/// The client behind a request; its address only if the server was started so that it is known.
pub(super) struct FromClient(Client);

impl<S: Sync> FromRequestParts<S> for FromClient {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let user_agent = parts
            .headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok());
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(Client {
            user_agent: user_agent.map(str::to_owned),
            address: address.map(|info| info.0.ip()),
        }))
    }
}

/// `POST /auth/v1/login`
pub(super) async fn log_in(
    State(state): State<AppState>,
    FromClient(client): FromClient,
    Json(body): Json<LogInBody>,
) -> Result<Json<TokenView>, Problem> {
    let input = LogIn {
        email: body.email,
        password: body.password,
        client,
    };
    let token = app::log_in(&state.db, &state.hasher, &state.terms, &input).await?;
    Ok(Json(token.into()))
}
