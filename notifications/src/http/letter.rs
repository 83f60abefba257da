//! The inbox.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    contracts::Permission,
    http::{Caller, Cursor, Json, Page, PageQuery, Path, Problem, Query},
    ids::{LetterId, UserId},
};
use utoipa::{IntoParams, ToSchema};

use super::AppState;
use crate::app::{
    mark_letter_read::{MarkLetterRead, MarkLetterReadError, mark_letter_read},
    read_letter::{self, InboxLetter, Listing},
};

/// A letter.
#[derive(Serialize, ToSchema)]
#[schema(as = Letter)]
pub struct LetterBody {
    id: LetterId,
    /// What it tells.
    #[schema(example = "purchase_paid")]
    kind: &'static str,
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
}

impl From<InboxLetter> for LetterBody {
    fn from(letter: InboxLetter) -> Self {
        Self {
            id: letter.id,
            kind: letter.kind.as_str(),
            subject: letter.subject,
            body: letter.body,
            data: letter.data,
            occurred_at: letter.occurred_at,
            read_at: letter.read_at,
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
#[utoipa::path(get, path = "/letters", params(OwnerQuery, LettersQuery, PageQuery),
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
    let letters = read_letter::list_letters(state.db.reader(), listing).await?;
    let end = |letter: &InboxLetter| Cursor {
        at: letter.occurred_at,
        id: letter.id.0,
    };
    Ok(Json(Page::of(letters, limit, end, LetterBody::from)))
}

/// The letter is read; again changes nothing.
#[utoipa::path(post, path = "/letters/{id}/read", params(("id" = LetterId, Path)),
    responses((status = 200, body = LetterBody)))]
pub async fn read_letter(
    State(state): State<AppState>,
    caller: Caller,
    Path(letter_id): Path<LetterId>,
) -> Result<Json<LetterBody>, Problem> {
    let input = MarkLetterRead {
        user_id: caller.user_id,
        letter_id,
    };
    let letter = state
        .db
        .write(|tx| async move { mark_letter_read(&tx, input).await })
        .await?;
    Ok(Json(letter.into()))
}

/// How many letters are not read.
#[derive(Serialize, ToSchema)]
pub struct UnreadCount {
    unread: u64,
}

/// How many letters are not read.
#[utoipa::path(get, path = "/unread-count", params(OwnerQuery),
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
