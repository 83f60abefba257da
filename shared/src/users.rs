//! What a service other than auth knows of users: a replica, filled by auth's events.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Statement,
    sea_query::{Expr, ExprTrait as _, OnConflict},
};

use crate::{
    cache::{Cached, Versioned},
    contracts::{
        Envelope, Message as _, UserBlockedV1, UserDeletedV1, UserRegisteredV1, UserState, UserStatus,
        UserUnblockedV1, UserUpdatedV1,
    },
    db::{Db, Tx},
    http::UserStatuses,
    ids::UserId,
    inbox::{Handle, HandleError, Handlers},
};

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;
    use serde::{Deserialize, Serialize};

    use crate::{
        clock::Instant,
        contracts::{Locale, UserStatus},
        ids::UserId,
        zone::Zone,
    };

    /// A user, as the newest event that came describes them.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
    #[sea_orm(table_name = "users")]
    pub struct Model {
        /// Who.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: UserId,
        /// The version that the row shows.
        pub version: i64,
        /// Whether they may act.
        pub status: UserStatus,
        /// In which language to write to them.
        pub locale: Locale,
        /// Since when they have an account.
        pub registered_at: Instant,
        /// The name of their time zone; none if they have chosen none.
        #[serde(default)]
        pub time_zone: Option<String>,
    }

    impl Model {
        /// Their time zone, where they have chosen one that this program knows.
        #[must_use]
        pub fn zone(&self) -> Option<Zone> {
            self.time_zone.as_deref()?.parse().ok()
        }
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

impl Cached for Model {
    const KIND: &'static str = "user";

    fn version(&self) -> i64 {
        self.version
    }
}

/// What is known of `user`.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &impl ConnectionTrait, user: UserId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(user).one(conn).await
}

/// What is known of `users`; those nothing is known of are absent.
///
/// # Errors
/// When the database does not answer.
pub async fn find_many(
    conn: &impl ConnectionTrait,
    users: impl IntoIterator<Item = UserId>,
) -> Result<HashMap<UserId, Model>, DbErr> {
    let rows = Entity::find().filter(Column::Id.is_in(users)).all(conn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// At most `limit` users by id, from after `after` on, as a service's table has them: auth's own has all
/// that its replicas have.
///
/// # Errors
/// When the database does not answer.
pub async fn page(
    conn: &impl ConnectionTrait,
    after: Option<UserId>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut users = Entity::find().order_by_asc(Column::Id).limit(limit);
    if let Some(after) = after {
        users = users.filter(Column::Id.gt(after));
    }
    users.all(conn).await
}

/// What [`deleted_among`] does to the user `id` on PostgreSQL, for statements that lock more than that;
/// whoever makes one reads the status after it.
pub const SHARED_LOCK: &str = "pg_advisory_xact_lock_shared(hashtextextended('user ' || id::text, 0))";
const LOCK: &str = "pg_advisory_xact_lock(hashtextextended('user ' || id::text, 0))";

/// Those of `users` who are known to be deleted. Until the end of the transaction nobody else of them
/// is forgotten: whoever writes down something that goes with an account asks first, and either finds
/// its owner deleted, or is over before [`deleted_to_forget`] looks for it. Users of whom nothing is
/// known yet, who have no row that could be locked, are no exception.
///
/// # Errors
/// When the database does not answer.
pub async fn deleted_among(
    conn: &impl ConnectionTrait,
    users: impl IntoIterator<Item = UserId>,
) -> Result<BTreeSet<UserId>, DbErr> {
    lock(conn, SHARED_LOCK, users.into_iter().collect()).await
}

/// The same for who erases what is known of them, and goes on only when nobody writes more of it down.
///
/// # Errors
/// When the database does not answer.
pub async fn deleted_to_forget(
    conn: &impl ConnectionTrait,
    users: impl IntoIterator<Item = UserId>,
) -> Result<BTreeSet<UserId>, DbErr> {
    lock(conn, LOCK, users.into_iter().collect()).await
}

/// Those of `users` who are deleted, as it is known once all of them are locked.
async fn lock(
    conn: &impl ConnectionTrait,
    lock: &str,
    users: BTreeSet<UserId>,
) -> Result<BTreeSet<UserId>, DbErr> {
    if users.is_empty() {
        return Ok(users);
    }
    let backend = conn.get_database_backend();
    // On SQLite one writes at a time.
    if backend == DbBackend::Postgres {
        let places: Vec<_> = (1..=users.len()).map(|place| format!("(${place})")).collect();
        // In a statement of its own, so that the next one sees what was committed until then; in
        // sorted order, so that those who lock the same wait in one direction only.
        let sql = format!("SELECT {lock} FROM (VALUES {}) AS asked (id)", places.join(", "));
        let values = users.iter().map(|user| (*user).into());
        conn.execute_raw(Statement::from_sql_and_values(backend, sql, values))
            .await?;
    }
    let deleted: Vec<UserId> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(users))
        .filter(Column::Status.eq(UserStatus::Deleted))
        .into_tuple()
        .all(conn)
        .await?;
    Ok(deleted.into_iter().collect())
}

/// Takes over the newest state of each user; an older one changes nothing, however late it comes.
///
/// # Errors
/// When the database refuses.
pub async fn replicate(conn: &impl ConnectionTrait, states: &[UserState]) -> Result<(), DbErr> {
    // One row a user: a statement may touch no row twice. In sorted order, so that two
    // replicas lock in the same order.
    let mut newest: std::collections::BTreeMap<UserId, &UserState> = std::collections::BTreeMap::new();
    for state in states {
        let known = newest.entry(state.user_id).or_insert(state);
        if state.version > known.version {
            *known = state;
        }
    }
    if newest.is_empty() {
        return Ok(());
    }
    let rows = newest.into_values().map(|state| ActiveModel {
        id: Set(state.user_id),
        version: Set(state.version),
        status: Set(state.status),
        locale: Set(state.locale),
        registered_at: Set(state.registered_at),
        time_zone: Set(state.time_zone.map(|zone| zone.name().to_owned())),
    });
    let newer = OnConflict::column(Column::Id)
        .update_columns([
            Column::Version,
            Column::Status,
            Column::Locale,
            Column::RegisteredAt,
            Column::TimeZone,
        ])
        .action_and_where(Expr::col((Entity, Column::Version)).lt(Expr::col((
            sea_orm::sea_query::Alias::new("excluded"),
            Column::Version,
        ))))
        .to_owned();
    Entity::insert_many(rows)
        .on_conflict(newer)
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

/// Fills the replica: register it with a service's [`Handlers`] by [`handlers`].
struct ReplicateUsers(Versioned<Model>);

impl ReplicateUsers {
    async fn replicate(&self, tx: &Tx, states: &[UserState]) -> Result<(), HandleError> {
        replicate(tx.conn(), states).await?;
        let users = self.0.clone();
        let changed: Vec<_> = states
            .iter()
            .map(|state| (state.user_id, state.version))
            .collect();
        tx.after_commit(async move { users.changed(changed).await });
        Ok(())
    }
}

macro_rules! replicates {
    ($($event:ident),*) => {
        $(
            #[async_trait]
            impl Handle<$event> for ReplicateUsers {
                async fn handle(&self, tx: &Tx, messages: &[$event]) -> Result<(), HandleError> {
                    let states: Vec<_> = messages.iter().map(|event| event.0.clone()).collect();
                    self.replicate(tx, &states).await
                }
            }
        )*

        /// Adds what fills the replica, and drops from the cache what has changed, to a service's
        /// handlers.
        #[must_use]
        pub fn handlers(handlers: Handlers, users: &Versioned<Model>) -> Handlers {
            handlers$(.on::<$event>(ReplicateUsers(users.clone())))*
        }

        /// If a user has changed, believes nothing older of them. For what a replica hears.
        pub fn hear(users: &Versioned<Model>, envelope: &Envelope) {
            if [$($event::TYPE),*].contains(&envelope.message_type.as_str()) {
                users.hear(envelope.subject, envelope.aggregateversion);
            }
        }
    };
}

replicates!(
    UserRegisteredV1,
    UserUpdatedV1,
    UserBlockedV1,
    UserUnblockedV1,
    UserDeletedV1
);

/// The status of users as the replica knows it.
pub struct ReplicatedStatuses {
    /// The service's database.
    pub db: Db,
    /// What its cache knows of users.
    pub users: Versioned<Model>,
}

#[async_trait]
impl UserStatuses for ReplicatedStatuses {
    async fn status(&self, user: UserId) -> Result<Option<UserStatus>, DbErr> {
        Ok(find(self.db.reader(), user).await?.map(|row| row.status))
    }

    async fn recent_status(&self, user: UserId) -> Result<Option<UserStatus>, DbErr> {
        let row = self.users.get_or_read(user, find(self.db.reader(), user)).await?;
        Ok(row.map(|row| row.status))
    }
}
