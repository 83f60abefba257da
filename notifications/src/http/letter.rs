//! The inbox.

use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    contracts::Permission,
    http::{Caller, Cursor, Json, Page, PageQuery, Path, Problem, Query},
    ids::{LetterId, MailId, UserId},
};
use utoipa::{IntoParams, ToSchema};

use super::AppState;
use crate::{
    app::{
        self,
        mark_letter_read::{MarkLetterRead, MarkLetterReadError, mark_letter_read, mark_letter_unread},
        read_letter::{self, InboxLetter, LetterMail, Listing},
        resend_letter::{ResendLetter, ResendLetterError},
    },
    domain::{letter::LetterKind, mail::MailStatus},
};

/// A letter.
#[derive(Serialize, ToSchema)]
#[schema(as = Letter)]
pub struct LetterBody {
    id: LetterId,
    /// What it tells.
    kind: LetterKind,
    /// In the language of its reader, as the body is.
    subject: String,
    body: String,
    /// What the text was made from: amounts, the balance, reasons, ids.
    #[schema(value_type = Object)]
    data: serde_json::Value,
    /// When that happened.
    occurred_at: DateTime<Utc>,
    /// When it was read first; absent if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    read_at: Option<DateTime<Utc>>,
    /// How it was mailed last, for whoever may read anyone's letters; absent if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    mail: Option<MailBody>,
}

/// How a letter was mailed, or will be.
#[derive(Serialize, ToSchema)]
#[schema(as = LetterMail)]
pub struct MailBody {
    /// What its Message-ID begins with.
    id: MailId,
    status: MailStatus,
    /// How often it was tried.
    attempts: i32,
    /// When it is tried next; absent if it is sent or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_attempt_at: Option<DateTime<Utc>>,
    /// When it was sent or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    finished_at: Option<DateTime<Utc>>,
    /// What went wrong last, or why it was not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

impl From<LetterMail> for MailBody {
    fn from(mail: LetterMail) -> Self {
        Self {
            id: mail.id,
            status: mail.status,
            attempts: mail.attempts,
            next_attempt_at: mail.next_attempt_at,
            finished_at: mail.finished_at,
            error: mail.error,
        }
    }
}

impl From<InboxLetter> for LetterBody {
    fn from(letter: InboxLetter) -> Self {
        Self {
            id: letter.id,
            kind: letter.kind,
            subject: letter.subject,
            body: letter.body,
            data: letter.data,
            occurred_at: letter.occurred_at,
            read_at: letter.read_at,
            mail: letter.mail.map(MailBody::from),
        }
    }
}

/// Whose letters.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OwnerQuery {
    /// The caller's own if absent; somebody else's needs `letters.read`.
    user_id: Option<UserId>,
}

/// Which letters.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LettersQuery {
    /// Only those not read (`true`) or read (`false`); all if absent.
    unread: Option<bool>,
}

/// Letters, the newest first by the time of what they tell.
#[utoipa::path(get, path = "/letters",
    security(("access_token" = []), ("access_token" = ["letters.read"])),
    params(OwnerQuery, LettersQuery, PageQuery),
    responses((status = 200, body = Page<LetterBody>)))]
pub async fn list_letters(
    State(state): State<AppState>,
    caller: Caller,
    Query(owner): Query<OwnerQuery>,
    Query(which): Query<LettersQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<LetterBody>>, Problem> {
    let limit = page.limit()?;
    let listing = Listing {
        user_id: caller.own_or(owner.user_id, Permission::LettersRead)?,
        unread: which.unread,
        after: page.after()?,
        // One more, to know whether there is a next page.
        limit: limit + 1,
    };
    let mut letters = read_letter::list_letters(state.db.reader(), listing).await?;
    if caller.may(Permission::LettersRead) {
        read_letter::add_mails(state.db.reader(), &mut letters).await?;
    }
    let end = |letter: &InboxLetter| Cursor {
        at: letter.occurred_at,
        id: letter.id.0,
    };
    Ok(Json(Page::of(letters, limit, end, LetterBody::from)))
}

/// One letter; somebody else's needs `letters.read`.
#[utoipa::path(get, path = "/letters/{id}", params(("id" = LetterId, Path)),
    responses((status = 200, body = LetterBody)))]
pub async fn get_letter(
    State(state): State<AppState>,
    caller: Caller,
    Path(letter_id): Path<LetterId>,
) -> Result<Json<LetterBody>, Problem> {
    let reads_all = caller.may(Permission::LettersRead);
    let owner = (!reads_all).then_some(caller.user_id);
    let letter = read_letter::find_letter(state.db.reader(), letter_id, owner).await?;
    let mut letter = [letter.ok_or_else(|| Problem::not_found("letter"))?];
    if reads_all {
        read_letter::add_mails(state.db.reader(), &mut letter).await?;
    }
    let [letter] = letter;
    Ok(Json(letter.into()))
}

/// The letter is read; again changes nothing.
#[utoipa::path(post, path = "/letters/{id}/read", params(("id" = LetterId, Path)), responses(
    (status = 200, body = LetterBody),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account.")))]
pub async fn read_letter(
    State(state): State<AppState>,
    caller: Caller,
    Path(letter_id): Path<LetterId>,
) -> Result<Json<LetterBody>, Problem> {
    let input = MarkLetterRead {
        user_id: caller.own()?,
        letter_id,
    };
    let letter = state
        .db
        .write(|tx| async move { mark_letter_read(&tx, input).await })
        .await?;
    Ok(Json(letter.into()))
}

/// The letter is not read, whether it was or not.
#[utoipa::path(post, path = "/letters/{id}/unread", params(("id" = LetterId, Path)), responses(
    (status = 200, body = LetterBody),
    (status = 403, description = "`forbidden`: the caller is a program, which has no account.")))]
pub async fn unread_letter(
    State(state): State<AppState>,
    caller: Caller,
    Path(letter_id): Path<LetterId>,
) -> Result<Json<LetterBody>, Problem> {
    let input = MarkLetterRead {
        user_id: caller.own()?,
        letter_id,
    };
    let letter = state
        .db
        .write(|tx| async move { mark_letter_unread(&tx, input).await })
        .await?;
    Ok(Json(letter.into()))
}

/// Mails the letter again, whatever its reader prefers. Needs `letters.resend`.
#[utoipa::path(post, path = "/letters/{id}/resend",
    security(("access_token" = ["letters.resend"])),
    params(("id" = LetterId, Path)),
    responses((status = 202, body = LetterBody, description = "It is on its way; `mail` says how it stands."),
        (status = 409, description = "`already_waiting`: it waits to be mailed already. `mail_not_configured`: there is no mail server.")))]
pub async fn resend_letter(
    State(state): State<AppState>,
    caller: Caller,
    Path(letter_id): Path<LetterId>,
) -> Result<(StatusCode, Json<LetterBody>), Problem> {
    caller.require(Permission::LettersResend)?;
    let input = ResendLetter {
        actor: caller.user_id,
        letter_id,
        mailed: state.mailed,
    };
    let letter = state
        .db
        .write(|tx| async move { app::resend_letter::resend_letter(&tx, input).await })
        .await?;
    Ok((StatusCode::ACCEPTED, Json(letter.into())))
}

/// How many letters are not read.
#[derive(Serialize, ToSchema)]
pub struct UnreadCount {
    unread: u64,
}

/// How many letters are not read.
#[utoipa::path(get, path = "/letters/unread-count",
    security(("access_token" = []), ("access_token" = ["letters.read"])),
    params(OwnerQuery),
    responses((status = 200, body = UnreadCount)))]
pub async fn count_unread_letters(
    State(state): State<AppState>,
    caller: Caller,
    Query(owner): Query<OwnerQuery>,
) -> Result<Json<UnreadCount>, Problem> {
    let user = caller.own_or(owner.user_id, Permission::LettersRead)?;
    let unread = read_letter::count_unread(state.db.reader(), user).await?;
    Ok(Json(UnreadCount { unread }))
}

impl From<MarkLetterReadError> for Problem {
    fn from(error: MarkLetterReadError) -> Self {
        match error {
            MarkLetterReadError::NotFound => Self::not_found("letter"),
            MarkLetterReadError::Store(error) => Self::internal(&error),
        }
    }
}

impl From<ResendLetterError> for Problem {
    fn from(error: ResendLetterError) -> Self {
        let conflict = |code, title| Self::new(StatusCode::CONFLICT, code, title);
        match error {
            ResendLetterError::NotFound => Self::not_found("letter"),
            ResendLetterError::NotConfigured => {
                conflict("mail_not_configured", "No mail server is configured")
            }
            ResendLetterError::Waiting => {
                conflict("already_waiting", "The letter waits to be mailed already")
            }
            ResendLetterError::Store(error) => Self::internal(&error),
        }
    }
}
