//! Auth's API.

mod account;
mod keys;
mod login;
mod problems;
mod statuses;
mod user;

use std::sync::Arc;

use axum::{
    extract::FromRef,
    routing::{get, post},
};
use shared::{
    db::Db,
    host::Context,
    http::{Guard, OpenApiRouter},
};

pub(crate) use self::statuses::OwnStatuses;
use crate::app::{PasswordHasher, TokenTerms};

/// What handlers work with.
#[derive(Clone)]
struct AppState {
    db: Db,
    guard: Guard,
    hasher: Arc<PasswordHasher>,
    terms: Arc<TokenTerms>,
}

impl FromRef<AppState> for Guard {
    fn from_ref(state: &AppState) -> Self {
        state.guard.clone()
    }
}

/// The routes.
pub(crate) fn routes(context: &Context, guard: Guard, hasher: PasswordHasher) -> OpenApiRouter {
    let state = AppState {
        db: context.db.clone(),
        guard,
        hasher: Arc::new(hasher),
        terms: Arc::new(TokenTerms {
            issuer: context.config.auth.issuer.clone(),
            seconds: context.config.auth.access_token_seconds,
        }),
    };
    OpenApiRouter::new()
        .route("/auth/v1/register", post(account::register))
        .route("/auth/v1/login", post(login::log_in))
        .route("/auth/v1/jwks.json", get(keys::get_keys))
        .route("/auth/v1/me", get(account::get_me))
        .route("/auth/v1/users", get(user::list_users))
        .route("/auth/v1/users/{id}", get(user::get_user))
        .route("/auth/v1/users/{id}/block", post(user::block_user))
        .route("/auth/v1/users/{id}/unblock", post(user::unblock_user))
        .with_state(state)
}
