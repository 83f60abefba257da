//! The routes that every service has for whoever operates it: messages that failed, and the audit
//! log.

use axum::extract::{FromRef, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    audit::{self, AuditEntry, AuditFilter},
    contracts::Permission,
    db::Db,
    http::{Caller, Cursor, Guard, Json, Page, PageQuery, Path, Problem, Query, in_range},
    ids::{MessageId, UserId},
    inbox::{self, Decision, Failed, Which},
};

#[derive(Clone)]
struct Operated {
    db: Db,
    guard: Guard,
}

impl FromRef<Operated> for Guard {
    fn from_ref(state: &Operated) -> Self {
        state.guard.clone()
    }
}

/// The routes of the service that `db` belongs to.
pub(crate) fn routes(db: Db, guard: Guard) -> OpenApiRouter {
    let prefix = format!("/{}/v1", db.service());
    let routes = OpenApiRouter::new()
        .routes(routes!(list_parked))
        .routes(routes!(get_parked))
        .routes(routes!(replay_parked))
        .routes(routes!(drop_parked))
        .routes(routes!(list_audit));
    OpenApiRouter::new()
        .nest(&prefix, routes)
        .with_state(Operated { db, guard })
}

/// A message that could not be applied when it came.
#[derive(Serialize, ToSchema)]
struct FailedMessage {
    id: MessageId,
    /// `parked` waits for an administrator, `retry` is tried again by itself, `dropped` was given up,
    /// `done` was applied after all.
    status: &'static str,
    /// The CloudEvents type; absent if it can't be read.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message_type: Option<String>,
    /// The aggregate that it is about; absent if it can't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    subject: Option<Uuid>,
    /// When it came first; of what was applied or dropped since, when that was done.
    received_at: DateTime<Utc>,
    /// How often it has failed since it was replayed last.
    attempts: i32,
    /// When it is tried again; absent if that waits for an administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_attempt_at: Option<DateTime<Utc>>,
    /// Why it failed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    /// What came: the envelope, or the text if it is none. Only where one message is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body: Option<Value>,
}

impl FailedMessage {
    fn in_a_list(message: Failed) -> Self {
        Self {
            id: message.id,
            status: message.status.as_str(),
            message_type: message.message_type,
            subject: message.subject,
            received_at: message.received_at,
            attempts: message.attempts,
            next_attempt_at: message.next_attempt_at,
            error: message.error,
            body: None,
        }
    }

    fn whole(mut message: Failed) -> Self {
        let body = message.body.take();
        let body = body.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
        Self {
            body,
            ..Self::in_a_list(message)
        }
    }
}

/// Which messages a list shows.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ParkedQuery {
    /// Also those that are still tried again by themselves; `false` if absent.
    retried: Option<bool>,
}

/// Messages that failed, the oldest first.
#[utoipa::path(get, path = "/parked",
    security(("access_token" = ["parked.read"])),
    params(ParkedQuery, PageQuery),
    responses((status = 200, body = Page<FailedMessage>)))]
async fn list_parked(
    State(state): State<Operated>,
    caller: Caller,
    Query(query): Query<ParkedQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<FailedMessage>>, Problem> {
    caller.require(Permission::ParkedRead)?;
    let which = if query.retried == Some(true) {
        Which::ParkedAndRetried
    } else {
        Which::Parked
    };
    let limit = page.limit()?;
    let after = page.after()?.map(|cursor| (cursor.at, MessageId(cursor.id)));
    let rows = inbox::failed(state.db.reader(), which, after, limit + 1).await?;
    let cursor = |message: &Failed| Cursor {
        at: message.received_at,
        id: message.id.0,
    };
    Ok(Json(Page::of(rows, limit, cursor, FailedMessage::in_a_list)))
}

/// One message that failed, with what it says.
#[utoipa::path(get, path = "/parked/{id}",
    security(("access_token" = ["parked.read"])),
    params(("id" = MessageId, Path)),
    responses((status = 200, body = FailedMessage)))]
async fn get_parked(
    State(state): State<Operated>,
    caller: Caller,
    Path(id): Path<MessageId>,
) -> Result<Json<FailedMessage>, Problem> {
    caller.require(Permission::ParkedRead)?;
    let message = inbox::find_failed(state.db.reader(), id).await?;
    let message = message.ok_or_else(|| Problem::not_found("message"))?;
    Ok(Json(FailedMessage::whole(message)))
}

/// Tries a parked message again, at once, as if it had never failed.
#[utoipa::path(post, path = "/parked/{id}/replay",
    security(("access_token" = ["parked.write"])),
    params(("id" = MessageId, Path)),
    responses((status = 200, body = FailedMessage), (status = 409, description = "`not_parked`: it is not parked.")))]
async fn replay_parked(
    State(state): State<Operated>,
    caller: Caller,
    Path(id): Path<MessageId>,
) -> Result<Json<FailedMessage>, Problem> {
    decide(&state, &caller, id, Verdict::Replay).await
}

/// Gives up a parked message: it is never applied, and what it says is erased.
#[utoipa::path(post, path = "/parked/{id}/drop",
    security(("access_token" = ["parked.write"])),
    params(("id" = MessageId, Path)),
    responses((status = 200, body = FailedMessage), (status = 409, description = "`not_parked`: it is not parked.")))]
async fn drop_parked(
    State(state): State<Operated>,
    caller: Caller,
    Path(id): Path<MessageId>,
) -> Result<Json<FailedMessage>, Problem> {
    decide(&state, &caller, id, Verdict::Drop).await
}

#[derive(Clone, Copy)]
enum Verdict {
    Replay,
    Drop,
}

async fn decide(
    state: &Operated,
    caller: &Caller,
    id: MessageId,
    verdict: Verdict,
) -> Result<Json<FailedMessage>, Problem> {
    caller.require(Permission::ParkedWrite)?;
    let by = Some(caller.user_id);
    let decisions = state
        .db
        .write(|tx| async move {
            match verdict {
                Verdict::Replay => inbox::replay(&tx, by, &[id]).await,
                Verdict::Drop => inbox::drop_parked(&tx, by, &[id]).await,
            }
        })
        .await?;
    let decision = decisions.into_iter().next();
    match decision.map_or(Decision::Unknown, |(_, decision)| decision) {
        Decision::Done(_) => {
            let message = inbox::find_failed(state.db.reader(), id).await?;
            let message = message.ok_or_else(|| Problem::not_found("message"))?;
            Ok(Json(FailedMessage::in_a_list(message)))
        }
        Decision::NotParked(status) => Err(Problem::new(
            axum::http::StatusCode::CONFLICT,
            "not_parked",
            "The message is not parked",
        )
        .detail(format!("It is `{}`.", status.as_str()))),
        Decision::Unknown => Err(Problem::not_found("message")),
    }
}

/// Which entries of the audit log a list shows.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Of this administrator.
    actor: Option<UserId>,
    /// Of exactly this action.
    action: Option<String>,
    /// About what has this id.
    subject: Option<Uuid>,
    /// Done then or later.
    from: Option<DateTime<Utc>>,
    /// Done before then.
    to: Option<DateTime<Utc>>,
}

/// What administrators did, the newest first.
#[utoipa::path(get, path = "/audit",
    security(("access_token" = ["audit.read"])),
    params(AuditQuery, PageQuery),
    responses((status = 200, body = Page<AuditEntry>)))]
async fn list_audit(
    State(state): State<Operated>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    caller.require(Permission::AuditRead)?;
    in_range("from", query.from)?;
    in_range("to", query.to)?;
    let limit = page.limit()?;
    // PostgreSQL takes no NUL in a text, and no action has one.
    let filter = AuditFilter {
        actor: query.actor,
        action: query.action.map(|action| action.replace('\0', "\u{fffd}")),
        subject: query.subject,
        from: query.from,
        to: query.to,
        after: page.after()?.map(|cursor| (cursor.at, cursor.id)),
        limit: limit + 1,
    };
    let entries = audit::list(state.db.reader(), filter).await?;
    let cursor = |entry: &AuditEntry| Cursor {
        at: entry.at,
        id: entry.id.0,
    };
    Ok(Json(Page::of(entries, limit, cursor, |entry| entry)))
}
