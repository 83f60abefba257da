//! One's own account.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use secrecy::SecretString;
use serde::Deserialize;
use shared::{
    contracts::Locale,
    http::{Caller, FieldError, Json, Problem, or_null, present},
    zone::{NoZone, Zone},
};
use utoipa::ToSchema;

use super::{
    AppState,
    client::{FromClient, Owner},
    user::UserView,
};
use crate::{
    app::{self, ChangePassword, DeleteAccount, RegisterUser, UpdateAccount},
    domain::{Email, Password},
};

/// Who wants an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Registration)]
pub(super) struct RegisterBody {
    /// ASCII only; space around it is not part of it.
    #[schema(example = "anna@example.com", max_length = 254)]
    email: String,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    password: SecretString,
    /// In which language to write to them.
    #[serde(default)]
    locale: Locale,
    /// Their time zone, by its name in the IANA database; the platform's if absent.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_length = 64, example = "Europe/Moscow")]
    time_zone: Option<String>,
}

impl RegisterBody {
    /// Reads all fields, and says everything that is wrong with them at once.
    fn parse(self) -> Result<RegisterUser, Problem> {
        let email = Email::parse(&self.email).map_err(|error| FieldError::new("email", error.to_string()));
        let password = choose("password", self.password);
        let time_zone = self.time_zone.as_deref().map(zone).transpose();
        match (email, password, time_zone) {
            (Ok(email), Ok(password), Ok(time_zone)) => Ok(RegisterUser {
                email,
                password,
                locale: self.locale,
                time_zone,
            }),
            (email, password, time_zone) => {
                let errors = [email.err(), password.err(), time_zone.err()];
                let errors: Vec<_> = errors.into_iter().flatten().collect();
                Err(Problem::invalid(&errors))
            }
        }
    }
}

/// The time zone that a field names.
fn zone(name: &str) -> Result<Zone, FieldError> {
    name.parse()
        .map_err(|error: NoZone| FieldError::new("time_zone", error.to_string()))
}

/// The password that a field chooses.
pub(super) fn choose(field: &str, password: SecretString) -> Result<Password, FieldError> {
    Password::choose(password).map_err(|error| FieldError::new(field, error.to_string()))
}

/// Opens an account.
#[utoipa::path(post, path = "/register", security(()), request_body = RegisterBody, responses(
    (status = 201, body = UserView),
    (status = 409, description = "`email_taken`: the e-mail address has an account already."),
    (status = 429, description = "`too_many_attempts`: too many accounts were to be opened from one address, whatever came of it; `Retry-After` says for how long to wait."),
))]
pub(super) async fn register(
    State(state): State<AppState>,
    FromClient(client): FromClient,
    Json(body): Json<RegisterBody>,
) -> Result<Response, Problem> {
    let input = body.parse()?;
    let user = app::register_user(&state.db, &state.hasher, state.limits, &input, &client).await?;
    let location = [(header::LOCATION, HeaderValue::from_static("/auth/v1/me"))];
    Ok((StatusCode::CREATED, location, Json(UserView::from(user))).into_response())
}

/// The caller's own account.
#[utoipa::path(get, path = "/me", responses(
    (status = 200, body = UserView),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account."),
))]
pub(super) async fn get_me(State(state): State<AppState>, caller: Caller) -> Result<Json<UserView>, Problem> {
    let user = app::find_user(state.db.reader(), caller.user_id).await?;
    Ok(Json(user.ok_or_else(Problem::no_account)?.into()))
}

/// What becomes of an account; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountUpdate)]
pub(super) struct UpdateBody {
    /// In which language to write to them.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    locale: Option<Locale>,
    /// By whose calendar new subscriptions are counted, and on whose clocks letters tell the time; a name of
    /// the IANA database. `null` is the platform's. What is sold stays as it is.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 64, example = "Europe/Moscow")]
    time_zone: Option<Option<String>>,
}

/// Changes the caller's own account.
#[utoipa::path(patch, path = "/me", request_body = UpdateBody, responses(
    (status = 200, body = UserView),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account."),
))]
pub(super) async fn update_me(
    State(state): State<AppState>,
    caller: Caller,
    Json(body): Json<UpdateBody>,
) -> Result<Json<UserView>, Problem> {
    let time_zone = body
        .time_zone
        .map(|name| name.as_deref().map(zone).transpose())
        .transpose()
        .map_err(|error| Problem::invalid(&[error]))?;
    let input = UpdateAccount {
        user: caller.user_id,
        locale: body.locale,
        time_zone,
    };
    let user = state
        .db
        .write(|tx| async move { app::update_account(&tx, input).await })
        .await?;
    Ok(Json(user.into()))
}

/// Whoever deletes their account shows that it is theirs, and says that they know what is lost.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountDeletion)]
pub(super) struct DeleteBody {
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// `true` says: what is left in the wallet may be forfeited, and nothing can be restored.
    #[serde(default)]
    confirm: bool,
}

/// Deletes the caller's account for good.
///
/// What is left in the wallet is forfeited; so it wants `confirm`. Everything that tells of the
/// caller is erased; the e-mail address can be registered anew.
#[utoipa::path(delete, path = "/me", request_body = DeleteBody, responses(
    (status = 204),
    (status = 403, description = "`wrong_password`: that is not the account's password. `forbidden`: the caller is a program, which has no account."),
    (status = 409, description = "`confirmation_required`: `confirm` was not true. `last_administrator`: nobody could then administer the platform."),
    (status = 429, description = "`too_many_attempts`: too many passwords were wrong; `Retry-After` says for how long to wait."),
))]
pub(super) async fn delete_me(
    State(state): State<AppState>,
    Owner(caller): Owner,
    FromClient(client): FromClient,
    Json(body): Json<DeleteBody>,
) -> Result<StatusCode, Problem> {
    let input = DeleteAccount {
        user: caller.user_id,
        password: body.password,
        confirmed: body.confirm,
        client,
    };
    app::delete_account(&state.db, &state.hasher, state.sessions(), state.limits, &input).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A password, and what it becomes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordChange)]
pub(super) struct ChangePasswordBody {
    #[schema(value_type = String, format = Password)]
    current_password: SecretString,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    new_password: SecretString,
}

/// Changes the caller's password, and ends their other sessions in every service.
#[utoipa::path(post, path = "/me/password", request_body = ChangePasswordBody, responses(
    (status = 204),
    (status = 403, description = "`wrong_password`: that is not the current password. `forbidden`: the caller is a program, which has no account."),
    (status = 429, description = "`too_many_attempts`: too many passwords were wrong; `Retry-After` says for how long to wait."),
))]
pub(super) async fn change_password(
    State(state): State<AppState>,
    Owner(caller): Owner,
    FromClient(client): FromClient,
    Json(body): Json<ChangePasswordBody>,
) -> Result<StatusCode, Problem> {
    let input = ChangePassword {
        user: caller.user_id,
        session: caller.session_id,
        current: body.current_password,
        new: choose("new_password", body.new_password).map_err(|error| Problem::invalid(&[error]))?,
        client,
    };
    app::change_password(&state.db, &state.hasher, state.sessions(), state.limits, &input).await?;
    Ok(StatusCode::NO_CONTENT)
}
