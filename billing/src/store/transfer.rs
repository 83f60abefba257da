//! Transfers and their postings: written once, never changed (the database refuses).

use std::collections::{HashMap, HashSet};

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use shared::{
    clock::Instant,
    ids::{AccountId, TransferId, UserId},
    money::Amount,
};
use uuid::Uuid;

use super::{After, older, unreadable};
use crate::domain::ledger::{Cause, Transfer};

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        ids::{AccountId, TransferId, UserId},
        money::Amount,
    };

    /// A movement between two accounts, one of which is a wallet.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "transfers")]
    pub struct Model {
        /// Which.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: TransferId,
        /// What kind of thing caused it; unique together with the id.
        pub cause_kind: String,
        /// What caused it.
        pub cause_id: Uuid,
        /// Where it left.
        pub source_id: AccountId,
        /// Where it arrived.
        pub destination_id: AccountId,
        /// How much.
        pub amount: Amount,
        /// Whose wallet it moved.
        pub user_id: UserId,
        /// What that wallet held after it.
        pub balance_after: Amount,
        /// When.
        pub at: Instant,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Rows as the database keeps them.
pub mod posting {
    use sea_orm::entity::prelude::*;
    use shared::{
        ids::{AccountId, TransferId},
        money::Amount,
    };

    /// One side of a transfer.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "postings")]
    pub struct Model {
        /// Of which transfer.
        #[sea_orm(primary_key, auto_increment = false)]
        pub transfer_id: TransferId,
        /// In which account.
        #[sea_orm(primary_key, auto_increment = false)]
        pub account_id: AccountId,
        /// What the account gains; negative where it loses.
        pub amount: Amount,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// A transfer that is to be written.
#[derive(Clone, Debug)]
pub struct NewTransfer {
    /// The movement.
    pub transfer: Transfer,
    /// The row of its source.
    pub source_id: AccountId,
    /// The row of its destination.
    pub destination_id: AccountId,
    /// Whose wallet it moves.
    pub user_id: UserId,
    /// What that wallet holds after it.
    pub balance_after: Amount,
}

/// A transfer as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletTransfer {
    /// Which.
    pub id: TransferId,
    /// What caused it.
    pub cause: Cause,
    /// How much, above zero.
    pub amount: Amount,
    /// Whose wallet it moved.
    pub user_id: UserId,
    /// What that wallet held after it.
    pub balance_after: Amount,
    /// When.
    pub at: Instant,
}

fn read(row: Model) -> Result<WalletTransfer, DbErr> {
    let cause = Cause::parse(&row.cause_kind, row.cause_id)
        .ok_or_else(|| unreadable(format_args!("no transfer is caused by a {:?}", row.cause_kind)))?;
    Ok(WalletTransfer {
        id: row.id,
        cause,
        amount: row.amount,
        user_id: row.user_id,
        balance_after: row.balance_after,
        at: row.at,
    })
}

/// Writes transfers with their postings.
///
/// # Errors
/// When the database refuses, for instance a second transfer of the same cause.
pub async fn insert(conn: &impl ConnectionTrait, transfers: &[NewTransfer]) -> Result<(), DbErr> {
    if transfers.is_empty() {
        return Ok(());
    }
    let rows = transfers.iter().map(|new| {
        let (cause_kind, cause_id) = new.transfer.cause().as_key();
        ActiveModel {
            id: Set(new.transfer.id()),
            cause_kind: Set(cause_kind.to_owned()),
            cause_id: Set(cause_id),
            source_id: Set(new.source_id),
            destination_id: Set(new.destination_id),
            amount: Set(new.transfer.amount()),
            user_id: Set(new.user_id),
            balance_after: Set(new.balance_after),
            at: Set(new.transfer.at()),
        }
    });
    Entity::insert_many(rows).exec_without_returning(conn).await?;
    let postings = transfers.iter().flat_map(|new| {
        new.transfer.postings().map(|posting| posting::ActiveModel {
            transfer_id: Set(new.transfer.id()),
            account_id: Set(if posting.account == *new.transfer.source() {
                new.source_id
            } else {
                new.destination_id
            }),
            amount: Set(posting.amount),
        })
    });
    posting::Entity::insert_many(postings)
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

/// Those of `users` whose wallets their deletion has emptied.
///
/// # Errors
/// When the database does not answer.
pub async fn forfeited_by_deletion(
    conn: &impl ConnectionTrait,
    users: &[UserId],
) -> Result<HashSet<UserId>, DbErr> {
    if users.is_empty() {
        return Ok(HashSet::new());
    }
    let (kind, _) = Cause::Forfeiture(Uuid::nil()).as_key();
    let rows = Entity::find()
        .filter(Column::CauseKind.eq(kind))
        .filter(Column::CauseId.is_in(users.iter().map(|user| user.0)))
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|row| UserId(row.cause_id)).collect())
}

/// The newest transfer of each of `users`, where there is one.
///
/// # Errors
/// When the database does not answer.
pub async fn newest_of(
    conn: &impl ConnectionTrait,
    users: &HashSet<UserId>,
) -> Result<HashMap<UserId, TransferId>, DbErr> {
    let mut newest = HashMap::new();
    // Few ever: what comes to a deleted user is moved on by what brings it.
    for user in users {
        let row = Entity::find()
            .filter(Column::UserId.eq(*user))
            .order_by_desc(Column::At)
            .order_by_desc(Column::Id)
            .one(conn)
            .await?;
        newest.extend(row.map(|row| (*user, row.id)));
    }
    Ok(newest)
}

/// Which transfers.
#[derive(Clone, Debug)]
pub struct TransferFilter {
    /// Of whose wallet.
    pub user_id: UserId,
    /// Caused by what: the first part of [`Cause::as_key`].
    pub cause: Option<&'static str>,
    /// Made then or later.
    pub from: Option<Instant>,
    /// Made before then.
    pub to: Option<Instant>,
    /// From behind this one on.
    pub after: After,
    /// At most so many.
    pub limit: u64,
}

/// The transfers that `filter` asks for, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    conn: &impl ConnectionTrait,
    filter: &TransferFilter,
) -> Result<Vec<WalletTransfer>, DbErr> {
    let mut found = Entity::find()
        .filter(Column::UserId.eq(filter.user_id))
        .filter(older(Column::At, Column::Id, filter.after));
    if let Some(cause) = filter.cause {
        found = found.filter(Column::CauseKind.eq(cause));
    }
    if let Some(from) = filter.from {
        found = found.filter(Column::At.gte(from));
    }
    if let Some(to) = filter.to {
        found = found.filter(Column::At.lt(to));
    }
    let rows = found
        .order_by_desc(Column::At)
        .order_by_desc(Column::Id)
        .limit(filter.limit)
        .all(conn)
        .await?;
    rows.into_iter().map(read).collect()
}
