//! What is done by letter, and what whoever mails has to know.

use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use shared::{
    contracts::{Locale, MailPurpose, Permission},
    http::{Caller, Json, Path, Problem},
    ids::{MailRequestId, UserId},
};
use utoipa::ToSchema;

use super::{AppState, account::choose, client::FromClient};
use crate::app::{self, UseMail};

/// Who has forgotten their password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ForgottenPassword)]
pub(super) struct ForgotBody {
    #[schema(example = "anna@example.com")]
    email: String,
}

/// Sends a letter with which a new password can be chosen within an hour.
///
/// The answer, and the time that it takes, say nothing about which accounts there are. For one
/// address, whether or not it has an account, there are three such letters in a quarter of an hour.
#[utoipa::path(post, path = "/forgot-password", security(()), request_body = ForgotBody, responses(
    (status = 202, description = "If the address has an account that is not blocked, a letter is on its way."),
    (status = 429, description = "`too_many_attempts`: too many letters were asked for, for this account or from one address; `Retry-After` says for how long to wait."),
))]
pub(super) async fn forgot_password(
    State(state): State<AppState>,
    FromClient(client): FromClient,
    Json(body): Json<ForgotBody>,
) -> Result<StatusCode, Problem> {
    app::forgot_password(&state.db, state.limits, &body.email, &client).await?;
    Ok(StatusCode::ACCEPTED)
}

/// What the letter says, and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordReset)]
pub(super) struct ResetBody {
    #[schema(value_type = String)]
    token: SecretString,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    new_password: SecretString,
}

/// Gives an account another password, by letter, and ends all its sessions in every service.
#[utoipa::path(post, path = "/reset-password", security(()), request_body = ResetBody, responses(
    (status = 204),
    (status = 403, description = "`user_blocked`: the account is blocked; the token stays good for when that is over."),
    (status = 422, description = "`invalid_mail_token`: it is none, was used, or has expired. `invalid_request`: the password can't be chosen."),
    (status = 429, description = "`too_many_attempts`: `Retry-After` says for how long to wait."),
))]
pub(super) async fn reset_password(
    State(state): State<AppState>,
    FromClient(client): FromClient,
    Json(body): Json<ResetBody>,
) -> Result<StatusCode, Problem> {
    let new = choose("new_password", body.new_password).map_err(|error| Problem::invalid(&[error]))?;
    let input = UseMail {
        secret: body.token,
        client,
    };
    let (sessions, limits) = (state.sessions(), state.limits);
    app::reset_password(
        &state.db,
        &state.mail_key,
        &state.hasher,
        sessions,
        limits,
        &input,
        &new,
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the letter says.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EmailConfirmation)]
pub(super) struct ConfirmBody {
    #[schema(value_type = String)]
    token: SecretString,
}

/// Shows that an e-mail address is its owner's, by the letter that came with the registration.
#[utoipa::path(post, path = "/confirm-email", security(()), request_body = ConfirmBody, responses(
    (status = 204),
    (status = 403, description = "`user_blocked`: the account is blocked; the token stays good for when that is over."),
    (status = 422, description = "`invalid_mail_token`: it is none, was used, or has expired."),
    (status = 429, description = "`too_many_attempts`: `Retry-After` says for how long to wait."),
))]
pub(super) async fn confirm_email(
    State(state): State<AppState>,
    FromClient(client): FromClient,
    Json(body): Json<ConfirmBody>,
) -> Result<StatusCode, Problem> {
    let input = UseMail {
        secret: body.token,
        client,
    };
    app::confirm_email(&state.db, &state.mail_key, state.limits, &input).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends the caller another letter with which they can confirm their address.
#[utoipa::path(post, path = "/me/resend-confirmation", responses(
    (status = 202, description = "A letter is on its way."),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account."),
    (status = 409, description = "`email_confirmed`: the address is confirmed already."),
    (status = 429, description = "`too_many_attempts`: too many letters were asked for; `Retry-After` says for how long to wait."),
))]
pub(super) async fn resend_confirmation(
    State(state): State<AppState>,
    caller: Caller,
    FromClient(client): FromClient,
) -> Result<StatusCode, Problem> {
    app::resend_confirmation(&state.db, state.limits, caller.user_id, &client).await?;
    Ok(StatusCode::ACCEPTED)
}

/// A letter with a secret in it, as it is to be written.
#[derive(Serialize, ToSchema)]
#[schema(as = MailRequest)]
pub(super) struct MailView {
    user_id: UserId,
    email: String,
    locale: Locale,
    purpose: MailPurpose,
    /// Goes into the link.
    token: String,
    /// Until when the link is good.
    expires_at: DateTime<Utc>,
}

/// What to write in a letter that was asked for; for the platform's own service that mails.
///
/// It takes `mail_requests.read`, which no role allows and no program can be given. Gone when its
/// token was used or has expired, and as long as its reader is blocked.
#[utoipa::path(get, path = "/mail-requests/{id}",
    security(("access_token" = ["mail_requests.read"])),
    params(("id" = inline(MailRequestId), Path)),
    responses((status = 200, body = MailView)))]
pub(super) async fn get_mail(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<MailRequestId>,
) -> Result<Json<MailView>, Problem> {
    caller.require(Permission::MailRequestsRead)?;
    let mail = app::read_mail(&state.db, &state.mail_key, id).await?;
    let mail = mail.ok_or_else(|| Problem::not_found("mail request"))?;
    Ok(Json(MailView {
        user_id: mail.user.id,
        email: mail.user.email.typed().to_owned(),
        locale: mail.locale(),
        purpose: mail.purpose,
        token: mail.secret,
        expires_at: mail.expires_at,
    }))
}

/// Where to write to somebody.
#[derive(Serialize, ToSchema)]
#[schema(as = Contact)]
pub(super) struct ContactView {
    email: String,
    /// Whether they have shown that it is theirs.
    email_confirmed: bool,
    locale: Locale,
}

/// Where to write to a user; for services that mail.
#[utoipa::path(get, path = "/contacts/{user_id}",
    security(("access_token" = ["contacts.read"])),
    params(("user_id" = UserId, Path)),
    responses((status = 200, body = ContactView)))]
pub(super) async fn get_contact(
    State(state): State<AppState>,
    caller: Caller,
    Path(user): Path<UserId>,
) -> Result<Json<ContactView>, Problem> {
    caller.require(Permission::ContactsRead)?;
    let user = app::find_contact(&state.db, user).await?;
    let user = user.ok_or_else(|| Problem::not_found("user"))?;
    Ok(Json(ContactView {
        email: user.email.typed().to_owned(),
        email_confirmed: user.email_confirmed,
        locale: user.locale,
    }))
}
