//! Auth's API.

mod account;
mod client;
mod keys;
mod login;
mod mail;
mod problems;
mod role;
mod session;
mod statuses;
mod token;
mod user;
mod user_cursor;

use std::sync::Arc;

use axum::extract::FromRef;
use secrecy::SecretString;
use shared::{
    config::Network,
    db::Db,
    host::Context,
    http::{Guard, OpenApiRouter, routes},
    sessions::EndedSessions,
};

pub(crate) use self::statuses::OwnStatuses;
use crate::app::{Limits, MailKey, PasswordHasher, TokenTerms};

/// What handlers work with.
#[derive(Clone)]
struct AppState {
    db: Db,
    guard: Guard,
    hasher: Arc<PasswordHasher>,
    mail_key: Arc<MailKey>,
    /// What notifications shows, if that is configured.
    built_in_secret: Option<Arc<SecretString>>,
    terms: Arc<TokenTerms>,
    limits: Limits,
    trusted_proxies: Arc<[Network]>,
}

impl AppState {
    /// What ends sessions.
    fn sessions(&self) -> &EndedSessions {
        &self.guard.sessions
    }
}

impl FromRef<AppState> for Guard {
    fn from_ref(state: &AppState) -> Self {
        state.guard.clone()
    }
}

/// The routes.
pub(crate) fn routes(
    context: &Context,
    guard: Guard,
    hasher: PasswordHasher,
    mail_key: MailKey,
) -> OpenApiRouter {
    let config = &context.config.auth;
    let state = AppState {
        db: context.db.clone(),
        guard,
        hasher: Arc::new(hasher),
        mail_key: Arc::new(mail_key),
        built_in_secret: context.config.notifications.client_secret.clone().map(Arc::new),
        terms: Arc::new(TokenTerms {
            issuer: config.issuer.clone(),
            seconds: config.access_token_seconds,
            refresh_seconds: config.refresh_token_seconds,
        }),
        limits: Limits {
            account: config.max_failed_logins,
            address: config.max_failed_logins_per_address,
            registrations: config.max_registrations_per_address,
            letters: config.max_letters_per_address,
        },
        trusted_proxies: config.trusted_proxies.clone().into(),
    };
    let routes = OpenApiRouter::new()
        .routes(routes!(account::register))
        .routes(routes!(login::log_in))
        .routes(routes!(login::refresh))
        .routes(routes!(login::log_out))
        .routes(routes!(login::log_out_everywhere))
        .routes(routes!(token::issue_token))
        .routes(routes!(keys::get_keys))
        .routes(routes!(account::get_me, account::update_me, account::delete_me))
        .routes(routes!(account::change_password))
        .routes(routes!(mail::forgot_password))
        .routes(routes!(mail::reset_password))
        .routes(routes!(mail::confirm_email))
        .routes(routes!(mail::resend_confirmation))
        .routes(routes!(mail::get_mail))
        .routes(routes!(mail::get_contact))
        .routes(routes!(session::list_sessions))
        .routes(routes!(session::end_session))
        .routes(routes!(session::list_logins))
        .routes(routes!(user::list_users))
        .routes(routes!(user::get_user, user::delete_user))
        .routes(routes!(role::list_roles, role::create_role))
        .routes(routes!(role::get_role, role::update_role, role::delete_role))
        .routes(routes!(role::assign_roles))
        .routes(routes!(user::block_user))
        .routes(routes!(user::unblock_user));
    OpenApiRouter::new().nest("/auth/v1", routes).with_state(state)
}
