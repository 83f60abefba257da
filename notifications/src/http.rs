//! The API of notifications.

mod letter;
mod preference;

use axum::extract::FromRef;
use shared::{
    db::Db,
    http::{Guard, OpenApiRouter, routes},
};

/// What the handlers stand on.
#[derive(Clone)]
pub struct AppState {
    /// The service's database.
    pub db: Db,
    /// Knows the callers.
    pub guard: Guard,
    /// Whether letters are mailed.
    pub mailed: bool,
}

impl FromRef<AppState> for Guard {
    fn from_ref(state: &AppState) -> Self {
        state.guard.clone()
    }
}

/// Every route.
pub fn routes(state: AppState) -> OpenApiRouter {
    let routes = OpenApiRouter::new()
        .routes(routes!(letter::list_letters))
        .routes(routes!(letter::count_unread_letters))
        .routes(routes!(letter::get_letter))
        .routes(routes!(letter::read_letter))
        .routes(routes!(letter::unread_letter))
        .routes(routes!(letter::resend_letter))
        .routes(routes!(preference::get_preferences, preference::put_preferences));
    OpenApiRouter::new()
        .nest("/notifications/v1", routes)
        .with_state(state)
}
