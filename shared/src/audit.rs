//! What administrators did: append-only, one table in each service.
//!
//! An entry commits with what it tells. It names people by their ids only, and so are administrators
//! to do in the reasons they write, so that nothing in it has to be erased with an account.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    clock::Instant,
    db::Tx,
    ids::{AuditId, UserId},
    telemetry::trace,
};

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;

    use crate::{
        clock::Instant,
        ids::{AuditId, UserId},
    };

    /// Something that somebody did.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit")]
    pub struct Model {
        /// The entry.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: AuditId,
        /// When.
        pub at: Instant,
        /// Who; absent for the command line.
        pub actor: Option<UserId>,
        /// What: `user.block`.
        pub action: String,
        /// To what.
        pub subject: Uuid,
        /// What is to be known beside, as a JSON object.
        pub details: String,
        /// The request, as its answer named it.
        pub request_id: Option<String>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// Something that an administrator does.
#[derive(Clone, Debug)]
pub struct Deed {
    /// Who; `None` for the command line.
    pub actor: Option<UserId>,
    /// What, as a noun and a verb: `user.block`.
    pub action: &'static str,
    /// The id of what it is done to.
    pub subject: Uuid,
    /// What is to be known beside, as a JSON object: the reason, what it was before and is now.
    /// Nothing that tells more of a person than an id.
    pub details: Value,
}

/// Writes down what is done in `tx`.
///
/// # Errors
/// When the database refuses.
pub async fn record(tx: &Tx, deed: Deed) -> Result<(), DbErr> {
    Entity::insert(row(tx, deed))
        .exec_without_returning(tx.conn())
        .await?;
    Ok(())
}

/// Writes down several, in their order.
///
/// # Errors
/// When the database refuses.
pub async fn record_all(tx: &Tx, deeds: Vec<Deed>) -> Result<(), DbErr> {
    let mut rows = deeds.into_iter().map(|deed| row(tx, deed)).peekable();
    while rows.peek().is_some() {
        // Under both databases' limits of parameters.
        Entity::insert_many(rows.by_ref().take(500))
            .exec_without_returning(tx.conn())
            .await?;
    }
    Ok(())
}

fn row(tx: &Tx, deed: Deed) -> ActiveModel {
    ActiveModel {
        id: Set(AuditId::new(tx.now())),
        at: Set(tx.now()),
        actor: Set(deed.actor),
        action: Set(deed.action.to_owned()),
        subject: Set(deed.subject),
        details: Set(deed.details.to_string()),
        request_id: Set(trace::request_id()),
    }
}

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of whom.
    pub actor: Option<UserId>,
    /// Which action exactly.
    pub action: Option<String>,
    /// To what.
    pub subject: Option<Uuid>,
    /// From then on.
    pub from: Option<Instant>,
    /// Before then.
    pub to: Option<Instant>,
    /// From behind this one on.
    pub after: Option<(Instant, Uuid)>,
    /// At most so many.
    pub limit: u64,
}

/// Something that an administrator did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    /// The entry.
    pub id: AuditId,
    /// When.
    pub at: DateTime<Utc>,
    /// Who; absent for the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub actor: Option<UserId>,
    /// What.
    #[schema(example = "user.block")]
    pub action: String,
    /// The id of what it was done to.
    pub subject: Uuid,
    /// What is to be known beside: the reason, what it was before and is now.
    #[schema(value_type = Object)]
    pub details: Value,
    /// The request, as its answer named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request_id: Option<String>,
}

impl From<Model> for AuditEntry {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            at: row.at,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            details: serde_json::from_str(&row.details).unwrap_or_default(),
            request_id: row.request_id,
        }
    }
}

/// The entries, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(conn: &impl ConnectionTrait, filter: AuditFilter) -> Result<Vec<AuditEntry>, DbErr> {
    let mut found = Entity::find()
        .order_by_desc(Column::At)
        .order_by_desc(Column::Id)
        .limit(filter.limit);
    if let Some(actor) = filter.actor {
        found = found.filter(Column::Actor.eq(actor));
    }
    if let Some(action) = filter.action {
        found = found.filter(Column::Action.eq(action));
    }
    if let Some(subject) = filter.subject {
        found = found.filter(Column::Subject.eq(subject));
    }
    if let Some(from) = filter.from {
        found = found.filter(Column::At.gte(from));
    }
    if let Some(to) = filter.to {
        found = found.filter(Column::At.lt(to));
    }
    if let Some((at, id)) = filter.after {
        let behind = Condition::any()
            .add(Column::At.lt(at))
            .add(Condition::all().add(Column::At.eq(at)).add(Column::Id.lt(id)));
        found = found.filter(behind);
    }
    let rows = found.all(conn).await?;
    Ok(rows.into_iter().map(AuditEntry::from).collect())
}
