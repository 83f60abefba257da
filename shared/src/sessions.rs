//! Which logins have ended, so that their tokens are good for nothing more.
//!
//! Each service keeps a table of them, filled by auth's events (in auth's own by whoever ends a
//! session), and each process what the table holds in memory, so that no request asks the database.
//! A replica sees what another has written within [`LOOK`].

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::OnConflict,
};

use crate::{
    clock::Instant,
    contracts::{Envelope, Message as _, SessionEndedV1},
    db::{Db, Tx, bounded},
    host::{Job, JobError},
    ids::SessionId,
    inbox::{Handle, HandleError, Handlers},
};

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;

    use crate::{clock::Instant, ids::SessionId};

    /// A login that has ended.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "ended_sessions")]
    pub struct Model {
        /// Which.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: SessionId,
        /// When this service heard of it.
        pub recorded_at: Instant,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity};

/// How often a process looks what others have written.
pub const LOOK: Duration = Duration::from_millis(300);

/// How far back each look goes: a transaction commits later than the instant it writes, and
/// machines' clocks differ.
const OVERLAP: chrono::Duration = chrono::Duration::seconds(60);

/// After this a session's last access token has expired for sure: no configuration lets one live
/// longer than a day.
const KEPT: chrono::Duration = chrono::Duration::hours(25);

/// Rows in one statement, well under both databases' limits of parameters.
const CHUNK: usize = 1_000;

/// The logins that have ended, as this process knows them. Clones share it.
#[derive(Clone, Default)]
pub struct EndedSessions(Arc<RwLock<HashMap<SessionId, Instant>>>);

impl EndedSessions {
    /// Whether one of these logins has ended.
    #[must_use]
    pub fn contains_any(&self, sessions: &[SessionId]) -> bool {
        let ended = self.0.read().unwrap_or_else(PoisonError::into_inner);
        sessions.iter().any(|session| ended.contains_key(session))
    }

    fn add(&self, ended: impl IntoIterator<Item = (SessionId, Instant)>) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(ended);
    }

    fn forget_before(&self, instant: Instant) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, at| *at >= instant);
    }

    /// If a session has ended, lets it in no more. For what a replica hears.
    pub fn hear(&self, envelope: &Envelope) {
        if envelope.message_type == SessionEndedV1::TYPE {
            self.add([(SessionId(envelope.subject), envelope.time)]);
        }
    }

    /// Ends `sessions` in this service, in every replica of it: in this one when `tx` has committed,
    /// in the others by their next look. Ending one twice changes nothing.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn end(&self, tx: &Tx, sessions: &[SessionId]) -> Result<(), DbErr> {
        if sessions.is_empty() {
            return Ok(());
        }
        let now = tx.now();
        // In sorted order, so that two replicas lock in the same order.
        let mut sessions = sessions.to_vec();
        sessions.sort_unstable();
        sessions.dedup();
        for chunk in sessions.chunks(CHUNK) {
            let rows = chunk.iter().map(|id| ActiveModel {
                id: Set(*id),
                recorded_at: Set(now),
            });
            Entity::insert_many(rows)
                .on_conflict(OnConflict::column(Column::Id).do_nothing().to_owned())
                .exec_without_returning(tx.conn())
                .await?;
        }
        let known = self.clone();
        tx.after_commit(async move { known.add(sessions.into_iter().map(|id| (id, now))) });
        Ok(())
    }

    /// Takes over what was written since `since`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn look(&self, conn: &impl ConnectionTrait, since: Instant) -> Result<(), DbErr> {
        let rows = bounded(Entity::find().filter(Column::RecordedAt.gte(since)).all(conn)).await?;
        self.add(rows.into_iter().map(|row| (row.id, row.recorded_at)));
        Ok(())
    }
}

/// At most `limit` sessions that a service recorded as ended from `since` until `before`, by id, from
/// after `after` on.
///
/// # Errors
/// When the database does not answer.
pub async fn ended_page(
    conn: &impl ConnectionTrait,
    since: Instant,
    before: Instant,
    after: Option<SessionId>,
    limit: u64,
) -> Result<Vec<SessionId>, DbErr> {
    let mut sessions = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::RecordedAt.gte(since))
        .filter(Column::RecordedAt.lt(before))
        .order_by_asc(Column::Id)
        .limit(limit);
    if let Some(after) = after {
        sessions = sessions.filter(Column::Id.gt(after));
    }
    sessions.into_tuple().all(conn).await
}

/// Those of `sessions` that a service has recorded as ended.
///
/// # Errors
/// When the database does not answer.
pub async fn ended_among(
    conn: &impl ConnectionTrait,
    sessions: &[SessionId],
) -> Result<HashSet<SessionId>, DbErr> {
    let ended: Vec<SessionId> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(sessions.iter().copied()))
        .into_tuple()
        .all(conn)
        .await?;
    Ok(ended.into_iter().collect())
}

/// Fills the table: registered with a service's [`Handlers`] by [`handlers`].
struct OnSessionEnded(EndedSessions);

#[async_trait]
impl Handle<SessionEndedV1> for OnSessionEnded {
    async fn handle(&self, tx: &Tx, messages: &[SessionEndedV1]) -> Result<(), HandleError> {
        let ids: Vec<_> = messages.iter().map(|event| event.session_id).collect();
        Ok(self.0.end(tx, &ids).await?)
    }
}

/// Adds what ends sessions to a service's handlers.
#[must_use]
pub fn handlers(handlers: Handlers, sessions: &EndedSessions) -> Handlers {
    handlers.on::<SessionEndedV1>(OnSessionEnded(sessions.clone()))
}

/// Looks what other replicas have written.
pub(crate) struct LookForEndedSessions {
    pub(crate) db: Db,
    pub(crate) sessions: EndedSessions,
}

impl LookForEndedSessions {
    /// Everything that may still matter; once, before the first request.
    pub(crate) async fn first(&self) -> Result<(), DbErr> {
        let since = self.db.now() - KEPT;
        self.sessions.look(self.db.reader(), since).await
    }
}

#[async_trait]
impl Job for LookForEndedSessions {
    fn name(&self) -> &'static str {
        "look_for_ended_sessions"
    }

    fn every(&self) -> Duration {
        LOOK
    }

    async fn run(&self) -> Result<(), JobError> {
        let now = self.db.now();
        self.sessions.look(self.db.reader(), now - OVERLAP).await?;
        Ok(())
    }
}

/// Forgets sessions whose tokens have all expired.
pub(crate) struct ForgetEndedSessions {
    pub(crate) db: Db,
    pub(crate) sessions: EndedSessions,
}

#[async_trait]
impl Job for ForgetEndedSessions {
    fn name(&self) -> &'static str {
        "forget_ended_sessions"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(600)
    }

    async fn run(&self) -> Result<(), JobError> {
        let before = self.db.now() - KEPT;
        self.sessions.forget_before(before);
        Entity::delete_many()
            .filter(Column::RecordedAt.lt(before))
            .exec(self.db.writer())
            .await?;
        Ok(())
    }
}
