//! The accounts of the ledger.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait as _, IntoValueTuple as _, OnConflict, Query},
};
use shared::{
    clock::Instant,
    contracts::UserStatus,
    ids::{AccountId, UserId},
    money::Amount,
    users,
};

use super::{nth, update_each};
use crate::domain::{ledger::AccountKind, wallet::next_instant};

/// Rows as the database keeps them.
pub mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
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
        /// When a wallet was last moved, or refused something for what it holds.
        pub moved_at: Option<Instant>,
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
    /// When it was last moved, or refused something for what it holds.
    pub moved_at: Option<Instant>,
}

impl Wallet {
    /// When the next movement takes place.
    #[must_use]
    pub fn moves_at(&self, now: Instant) -> Instant {
        next_instant(self.moved_at, now)
    }

    /// What a movement at `at` makes of it.
    #[must_use]
    pub const fn moved(self, balance: Amount, at: Instant) -> Self {
        Self {
            balance,
            moved_at: Some(at),
            ..self
        }
    }
}

/// What becomes of a wallet.
#[derive(Clone, Copy, Debug)]
pub struct WalletChange {
    /// What it held when it was read.
    pub from: Amount,
    /// The wallet now.
    pub to: Wallet,
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
        moved_at: Set(None),
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

/// Locks those of `users`' wallets that there are.
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
            moved_at: row.moved_at,
        },
    ))
}

/// At most `limit` users, by id, from behind `after` on, who are deleted and whose wallets hold
/// something.
///
/// # Errors
/// When the database does not answer.
pub async fn left_by_deleted(
    conn: &impl ConnectionTrait,
    after: Option<UserId>,
    limit: u64,
) -> Result<Vec<UserId>, DbErr> {
    let deleted = Query::select()
        .column(users::entity::Column::Id)
        .from(users::entity::Entity)
        .and_where(users::entity::Column::Status.eq(UserStatus::Deleted))
        .to_owned();
    let mut found = Entity::find()
        .filter(Column::Balance.gt(Amount::ZERO))
        .filter(Column::UserId.in_subquery(deleted));
    if let Some(after) = after {
        found = found.filter(Column::UserId.gt(after));
    }
    let rows = found.order_by_asc(Column::UserId).limit(limit).all(conn).await?;
    Ok(rows.into_iter().filter_map(|row| row.user_id).collect())
}

/// What the wallet of `user` holds; none if there is no wallet yet.
///
/// # Errors
/// When the database does not answer.
pub async fn balance(conn: &impl ConnectionTrait, user: UserId) -> Result<Option<Amount>, DbErr> {
    let row = Entity::find().filter(Column::UserId.eq(user)).one(conn).await?;
    Ok(row.and_then(|row| row.balance))
}

/// Writes what became of wallets, each at most once, if they still hold what was read.
///
/// # Errors
/// When the database refuses, or a balance is not what was read.
pub async fn change(conn: &impl ConnectionTrait, changes: &[WalletChange]) -> Result<(), DbErr> {
    let rows = changes
        .iter()
        .map(|WalletChange { from, to }| (to.account_id, *from, to.balance, to.moved_at).into_value_tuple())
        .collect();
    let update = &mut Query::update()
        .table(Entity)
        .value(Column::Balance, nth(3))
        .value(Column::MovedAt, nth(4))
        .and_where(Expr::col((Entity, Column::Id)).eq(nth(1)))
        .and_where(Expr::col((Entity, Column::Balance)).eq(nth(2)))
        .to_owned();
    update_each(conn, update, rows).await
}
