//! What an administrator sees of the messages that failed, and can do about them.
//!
//! The command line and the services' routes stand on the same functions.

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;
use uuid::Uuid;

use super::store::{self, Status, entity::Model};
use crate::{
    audit::{self, Deed},
    clock::Instant,
    contracts::Envelope,
    db::Tx,
    ids::{MessageId, UserId},
};

/// Messages that [`replay`] and [`drop_parked`] are to be given at most, so that their
/// transactions stay short.
pub const BATCH: usize = 200;

/// A message that could not be applied when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The envelope's id; for what has none, one derived from its bytes.
    pub id: MessageId,
    /// What became of it.
    pub status: Status,
    /// The CloudEvents type; absent if it can't be read.
    pub message_type: Option<String>,
    /// The aggregate that it is about; absent if it can't be read.
    pub subject: Option<Uuid>,
    /// When it came first; of what was applied or dropped since, when that was done.
    pub received_at: Instant,
    /// How often it has failed, since it was replayed last.
    pub attempts: i32,
    /// When it is tried again; absent if that waits for an administrator.
    pub next_attempt_at: Option<Instant>,
    /// Why it failed last, in short.
    pub error: Option<String>,
    /// What came: the envelope as JSON, or whatever it was. Erased when it is applied or dropped.
    pub body: Option<String>,
}

impl From<Model> for Failed {
    fn from(row: Model) -> Self {
        let envelope = row
            .body
            .as_deref()
            .and_then(|body| serde_json::from_str::<Envelope>(body).ok());
        let subject = envelope.as_ref().map(|envelope| envelope.subject);
        Self {
            id: row.id,
            status: row.status,
            message_type: envelope.map(|envelope| envelope.message_type),
            subject,
            received_at: row.received_at,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            error: row.error,
            body: row.body,
        }
    }
}

/// Which of the messages that failed are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that wait for an administrator.
    Parked,
    /// These, and those that are still tried again by themselves.
    ParkedAndRetried,
}

impl Which {
    pub(super) fn statuses(self) -> &'static [Status] {
        match self {
            Self::Parked => &[Status::Parked],
            Self::ParkedAndRetried => &[Status::Parked, Status::Retry],
        }
    }
}

/// What came of a wish to replay or to drop a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is done. The message as it was before.
    Done(Failed),
    /// Nothing is changed: the message is not parked, but this.
    NotParked(Status),
    /// No such message has come, or it is forgotten.
    Unknown,
}

/// At most `limit` messages that failed, oldest first, from behind `after` on.
///
/// # Errors
/// When the database does not answer.
pub async fn failed(
    conn: &impl ConnectionTrait,
    which: Which,
    after: Option<(Instant, MessageId)>,
    limit: u64,
) -> Result<Vec<Failed>, DbErr> {
    let rows = store::failed(conn, which.statuses(), after, limit).await?;
    Ok(rows.into_iter().map(Failed::from).collect())
}

/// How many messages failed.
///
/// # Errors
/// When the database does not answer.
pub async fn count_failed(conn: &impl ConnectionTrait, which: Which) -> Result<u64, DbErr> {
    store::count(conn, which.statuses()).await
}

/// The ids of all parked messages, oldest first: to be replayed or dropped [`BATCH`] by batch.
/// What is parked later is not among them, so that doing so comes to an end.
///
/// # Errors
/// When the database does not answer.
pub async fn parked_ids(conn: &impl ConnectionTrait) -> Result<Vec<MessageId>, DbErr> {
    store::parked_ids(conn).await
}

/// One message, if it failed: parked, still tried, dropped, or applied by a later try.
///
/// # Errors
/// When the database does not answer.
pub async fn find_failed(conn: &impl ConnectionTrait, id: MessageId) -> Result<Option<Failed>, DbErr> {
    let row = store::find(conn, id).await?;
    // One that was applied when it came has nothing to show.
    Ok(row
        .map(Failed::from)
        .filter(|message| message.status != Status::Done || message.error.is_some()))
}

/// Makes those of the messages that are parked due at once, as if they had never failed. The
/// service, wherever it runs, takes them up with its next look, and applies each exactly once. The
/// audit log says of each that `by` did it; `None` for the command line.
///
/// # Errors
/// When the database refuses; then nothing is changed.
pub async fn replay(
    tx: &Tx,
    by: Option<UserId>,
    ids: &[MessageId],
) -> Result<Vec<(MessageId, Decision)>, DbErr> {
    let (decisions, parked) = decide(tx, ids).await?;
    store::make_due(tx.conn(), &parked, tx.now()).await?;
    record(tx, by, "parked.replay", &decisions).await?;
    Ok(decisions)
}

/// Gives up those of the messages that are parked. What came is erased; the ids stay known for as
/// long as the inbox remembers, so that a repeat is not applied either. The audit log says of each
/// that `by` did it; `None` for the command line.
///
/// # Errors
/// When the database refuses; then nothing is changed.
pub async fn drop_parked(
    tx: &Tx,
    by: Option<UserId>,
    ids: &[MessageId],
) -> Result<Vec<(MessageId, Decision)>, DbErr> {
    let (decisions, parked) = decide(tx, ids).await?;
    store::mark_dropped(tx.conn(), &parked, tx.now()).await?;
    record(tx, by, "parked.drop", &decisions).await?;
    Ok(decisions)
}

/// Writes down what was done, which is nothing to those that were not parked.
async fn record(
    tx: &Tx,
    by: Option<UserId>,
    action: &'static str,
    decisions: &[(MessageId, Decision)],
) -> Result<(), DbErr> {
    let deed = |(id, decision): &(MessageId, Decision)| match decision {
        Decision::Done(before) => Some(Deed {
            actor: by,
            action,
            subject: id.0,
            details: json!({"type": before.message_type, "attempts": before.attempts}),
        }),
        Decision::NotParked(_) | Decision::Unknown => None,
    };
    audit::record_all(tx, decisions.iter().filter_map(deed).collect()).await
}

/// Locks the messages, and says of each what is to be answered; and which are parked. An id that
/// is there twice is decided once.
async fn decide(tx: &Tx, ids: &[MessageId]) -> Result<(Vec<(MessageId, Decision)>, Vec<MessageId>), DbErr> {
    let mut rows = store::lock(tx.conn(), ids).await?;
    let mut parked = Vec::new();
    let mut decisions: Vec<(MessageId, Decision)> = Vec::with_capacity(ids.len());
    for id in ids {
        if decisions.iter().any(|(decided, _)| decided == id) {
            continue;
        }
        let decision = match rows.remove(id) {
            None => Decision::Unknown,
            Some(row) if row.status == Status::Parked => {
                parked.push(*id);
                Decision::Done(row.into())
            }
            Some(row) => Decision::NotParked(row.status),
        };
        decisions.push((*id, decision));
    }
    Ok((decisions, parked))
}
