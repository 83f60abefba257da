//! The accounts of the ledger.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait as _, IntoValueTuple as _, OnConflict, Query},
};
use shared::{
    clock::Instant,
    ids::{AccountId, UserId},
    money::Amount,
};

use super::{nth, update_each};
use crate::domain::ledger::AccountKind;

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        ids::{AccountId, UserId},
        money::Amount,
    };

    /// An account.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "accounts")]
    pub struct Model {
        /// Which.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: AccountId,
        /// What kind.
        pub kind: String,
        /// Its unique name.
        pub name: String,
        /// Whose wallet it is.
        pub user_id: Option<UserId>,
        /// What a wallet holds; the platform's own accounts keep none.
        pub balance: Option<Amount>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// A wallet as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// The account.
    pub account_id: AccountId,
    /// What it holds.
    pub balance: Amount,
}

/// A wallet's new balance.
#[derive(Clone, Copy, Debug)]
pub struct BalanceChange {
    /// The account.
    pub account_id: AccountId,
    /// What it held when it was read.
    pub from: Amount,
    /// What it holds now.
    pub to: Amount,
}

/// The accounts of the platform itself, by their unique names.
#[derive(Clone, Debug, Default)]
pub struct SystemAccounts(HashMap<String, AccountId>);

impl SystemAccounts {
    /// The account of this kind, if it was opened.
    #[must_use]
    pub fn get(&self, kind: &AccountKind) -> Option<AccountId> {
        self.0.get(&kind.to_string()).copied()
    }
}

async fn open(conn: &impl ConnectionTrait, kinds: Vec<AccountKind>, now: Instant) -> Result<(), DbErr> {
    if kinds.is_empty() {
        return Ok(());
    }
    let rows = kinds.iter().map(|kind| ActiveModel {
        id: Set(AccountId::new(now)),
        kind: Set(kind.as_str().to_owned()),
        name: Set(kind.to_string()),
        user_id: Set(kind.owner()),
        balance: Set(kind.owner().map(|_| Amount::ZERO)),
    });
    Entity::insert_many(rows)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    Ok(())
}

/// Opens the platform's own accounts `kinds` where they are missing, and finds all of them.
///
/// # Errors
/// When the database refuses.
pub async fn open_system(
    conn: &impl ConnectionTrait,
    kinds: Vec<AccountKind>,
    now: Instant,
) -> Result<SystemAccounts, DbErr> {
    open(conn, kinds, now).await?;
    let rows = Entity::find().filter(Column::UserId.is_null()).all(conn).await?;
    Ok(SystemAccounts(
        rows.into_iter().map(|row| (row.name, row.id)).collect(),
    ))
}

/// Opens empty wallets for those of `users` who have none.
///
/// # Errors
/// When the database refuses.
pub async fn open_wallets(
    conn: &impl ConnectionTrait,
    users: &BTreeSet<UserId>,
    now: Instant,
) -> Result<(), DbErr> {
    // In sorted order, so that two replicas never wait for each other's row.
    open(
        conn,
        users.iter().copied().map(AccountKind::Wallet).collect(),
        now,
    )
    .await
}

/// Locks the wallets of `users` for this transaction, in one order for everybody; opens those
/// that are missing.
///
/// # Errors
/// When the database refuses.
pub async fn lock_wallets(
    conn: &impl ConnectionTrait,
    users: &BTreeSet<UserId>,
    now: Instant,
) -> Result<HashMap<UserId, Wallet>, DbErr> {
    let wallets = lock_existing(conn, users).await?;
    if wallets.len() == users.len() {
        return Ok(wallets);
    }
    let missing = users
        .iter()
        .copied()
        .filter(|user| !wallets.contains_key(user))
        .collect();
    open_wallets(conn, &missing, now).await?;
    let wallets = lock_existing(conn, users).await?;
    if wallets.len() == users.len() {
        Ok(wallets)
    } else {
        Err(DbErr::RecordNotInserted)
    }
}

async fn lock_existing(
    conn: &impl ConnectionTrait,
    users: &BTreeSet<UserId>,
) -> Result<HashMap<UserId, Wallet>, DbErr> {
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = Entity::find()
        .filter(Column::UserId.is_in(users.iter().copied()))
        .order_by_asc(Column::UserId)
        .lock_exclusive()
        .all(conn)
        .await?;
    Ok(rows.into_iter().filter_map(wallet_of).collect())
}

fn wallet_of(row: Model) -> Option<(UserId, Wallet)> {
    let (user, balance) = (row.user_id?, row.balance?);
    Some((
        user,
        Wallet {
            account_id: row.id,
            balance,
        },
    ))
}

/// What the wallet of `user` holds; none if there is no wallet yet.
///
/// # Errors
/// When the database does not answer.
pub async fn balance(conn: &impl ConnectionTrait, user: UserId) -> Result<Option<Amount>, DbErr> {
    let row = Entity::find().filter(Column::UserId.eq(user)).one(conn).await?;
    Ok(row.and_then(|row| row.balance))
}

/// Writes new balances, each account at most once, if they still are what was read.
///
/// # Errors
/// When the database refuses, or a balance is not what was read.
pub async fn set_balances(conn: &impl ConnectionTrait, changes: &[BalanceChange]) -> Result<(), DbErr> {
    let rows = changes
        .iter()
        .map(|change| (change.account_id, change.from, change.to).into_value_tuple())
        .collect();
    let update = &mut Query::update()
        .table(Entity)
        .value(Column::Balance, nth(3))
        .and_where(Expr::col((Entity, Column::Id)).eq(nth(1)))
        .and_where(Expr::col((Entity, Column::Balance)).eq(nth(2)))
        .to_owned();
    update_each(conn, update, rows).await
}
