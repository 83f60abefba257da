//! The keys that tokens are checked with; public.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use shared::http::{Json, Problem};

use super::AppState;
use crate::app;

/// For so long others may keep the keys: it bounds how soon a new one is known everywhere.
const MAX_AGE: &str = "public, max-age=60";

/// The public keys that access tokens are checked with, as a JSON Web Key Set (RFC 7517).
#[utoipa::path(get, path = "/jwks.json", security(()),
    responses((status = 200, body = Object, description = "`{\"keys\": […]}`")))]
pub(super) async fn get_keys(State(state): State<AppState>) -> Result<Response, Problem> {
    let keys = app::read_keys(&state.db).await?;
    Ok(([(header::CACHE_CONTROL, MAX_AGE)], Json(keys)).into_response())
}
