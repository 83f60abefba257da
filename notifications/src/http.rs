//! The API of notifications.

mod letter;

use axum::{
    Router,
    extract::FromRef,
    routing::{get, post},
};
use shared::{db::Db, http::Guard};

/// What the handlers stand on.
#[derive(Clone)]
pub struct AppState {
    /// The service's database.
    pub db: Db,
    /// Knows the callers.
    pub guard: Guard,
}

impl FromRef<AppState> for Guard {
    fn from_ref(state: &AppState) -> Self {
        state.guard.clone()
    }
}

/// Every route.
pub fn routes(state: AppState) -> Router {
    Router::new()
        .route("/notifications/v1/letters", get(letter::list_letters))
        .route("/notifications/v1/letters/{id}/read", post(letter::read_letter))
        .route(
            "/notifications/v1/unread-count",
            get(letter::count_unread_letters),
        )
        .with_state(state)
}
