//! The table of accounts.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait as _, LikeExpr, OnConflict},
};
use shared::{clock::Instant, contracts::UserStatus, ids::UserId};
use uuid::Uuid;

use super::{secret::SecretText, user_role};
use crate::domain::{ADMIN, Email, User};

mod entity {
    use sea_orm::entity::prelude::*;
    use shared::{
        clock::Instant,
        contracts::{Locale, UserStatus},
        ids::UserId,
    };

    use super::SecretText;

    /// A person with an account.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "users")]
    pub struct Model {
        /// Who.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: UserId,
        /// As typed.
        pub email: SecretText,
        /// As compared; unique.
        pub email_normal: SecretText,
        /// Argon2id, as a PHC string.
        pub password_hash: SecretText,
        /// Whether they may act.
        pub status: UserStatus,
        /// In which language to write to them.
        pub locale: Locale,
        /// Grows by one with every change that is announced.
        pub version: i64,
        /// Since when they have an account.
        pub registered_at: Instant,
        /// Whether they have shown that the address is theirs.
        pub email_confirmed: bool,
        /// The name of their time zone; none if they have chosen none.
        pub time_zone: Option<String>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use entity::{ActiveModel, Column, Entity, Model};

/// An account as a login needs it.
pub struct Account {
    /// Who.
    pub user: User,
    /// Argon2id, as a PHC string.
    pub password_hash: String,
}

/// Which users a list shows.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// With this in their e-mail address, without case.
    pub email: Option<String>,
    /// With this status.
    pub status: Option<UserStatus>,
    /// With this role.
    pub role: Option<String>,
    /// Who registered then or later.
    pub registered_from: Option<Instant>,
    /// Who registered before then.
    pub registered_to: Option<Instant>,
}

/// By what a list is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserSort {
    /// When they registered.
    #[default]
    RegisteredAt,
    /// Their e-mail address, without case.
    Email,
}

/// Behind whom a page begins, in the terms of what the list is sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserPosition {
    /// Who registered then, and has this id.
    RegisteredAt(Instant, Uuid),
    /// Who has this address, without case.
    Email(String),
}

/// Adds an account; false if its e-mail address has one already.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &impl ConnectionTrait, user: &User, password_hash: &str) -> Result<bool, DbErr> {
    let row = ActiveModel {
        id: Set(user.id),
        email: Set(SecretText(user.email.typed().to_owned())),
        email_normal: Set(SecretText(user.email.normal().to_owned())),
        password_hash: Set(SecretText(password_hash.to_owned())),
        status: Set(user.status),
        locale: Set(user.locale),
        version: Set(user.version),
        registered_at: Set(user.registered_at),
        email_confirmed: Set(user.email_confirmed),
        time_zone: Set(user.time_zone.map(|zone| zone.name().to_owned())),
    };
    let inserted = Entity::insert(row)
        .on_conflict(OnConflict::column(Column::EmailNormal).do_nothing().to_owned())
        .exec_without_returning(conn)
        .await?;
    if inserted == 0 {
        return Ok(false);
    }
    user_role::insert(conn, user.id, &user.roles).await?;
    Ok(true)
}

/// The user, if there is one.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &impl ConnectionTrait, id: UserId) -> Result<Option<User>, DbErr> {
    let rows = Entity::find_by_id(id).all(conn).await?;
    Ok(with_roles(conn, rows).await?.pop().map(|account| account.user))
}

/// The account, if there is one.
///
/// # Errors
/// When the database refuses.
pub async fn find_account(conn: &impl ConnectionTrait, id: UserId) -> Result<Option<Account>, DbErr> {
    let rows = Entity::find_by_id(id).all(conn).await?;
    Ok(with_roles(conn, rows).await?.pop())
}

/// The account with this e-mail address.
///
/// # Errors
/// When the database refuses.
pub async fn find_by_email(conn: &impl ConnectionTrait, email: &Email) -> Result<Option<Account>, DbErr> {
    let rows = Entity::find()
        .filter(Column::EmailNormal.eq(email.normal()))
        .all(conn)
        .await?;
    Ok(with_roles(conn, rows).await?.pop())
}

/// Those of `ids` that there are, locked in sorted order until the transaction ends.
///
/// # Errors
/// When the database refuses.
pub async fn lock(conn: &impl ConnectionTrait, ids: &[UserId]) -> Result<BTreeMap<UserId, Account>, DbErr> {
    let rows = Entity::find()
        .filter(Column::Id.is_in(ids.iter().copied()))
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .all(conn)
        .await?;
    let accounts = with_roles(conn, rows).await?;
    Ok(accounts
        .into_iter()
        .map(|account| (account.user.id, account))
        .collect())
}

/// Those of `ids` that there are and all administrators, locked in sorted order until the
/// transaction ends.
///
/// # Errors
/// When the database refuses.
pub async fn lock_with_administrators(
    conn: &impl ConnectionTrait,
    ids: &[UserId],
) -> Result<BTreeMap<UserId, Account>, DbErr> {
    // Who becomes one between this and the lock does no harm: there is one more.
    let mut all = user_role::holders(conn, ADMIN).await?;
    all.extend_from_slice(ids);
    lock(conn, &all).await
}

/// Writes the status, the language, the time zone and the version of a locked user.
///
/// # Errors
/// When the database refuses, or the user's version was not the one before.
pub async fn update_state(conn: &impl ConnectionTrait, user: &User) -> Result<(), DbErr> {
    let updated = Entity::update_many()
        .set(ActiveModel {
            status: Set(user.status),
            locale: Set(user.locale),
            time_zone: Set(user.time_zone.map(|zone| zone.name().to_owned())),
            version: Set(user.version),
            ..Default::default()
        })
        .filter(Column::Id.eq(user.id))
        .filter(Column::Version.eq(user.version - 1))
        .exec(conn)
        .await?;
    if updated.rows_affected == 1 {
        Ok(())
    } else {
        Err(DbErr::RecordNotUpdated)
    }
}

/// Writes down that a locked user has shown that their address is theirs.
///
/// # Errors
/// When the database refuses.
pub async fn confirm_email(conn: &impl ConnectionTrait, user: UserId) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::EmailConfirmed, Expr::value(true))
        .filter(Column::Id.eq(user))
        .exec(conn)
        .await?;
    Ok(())
}

/// Gives a locked user these roles and takes all others.
///
/// # Errors
/// When the database refuses.
pub async fn replace_roles(
    conn: &impl ConnectionTrait,
    user: UserId,
    roles: &BTreeSet<String>,
) -> Result<(), DbErr> {
    user_role::erase(conn, user).await?;
    user_role::insert(conn, user, roles).await
}

/// Whether anybody has this role.
///
/// # Errors
/// When the database refuses.
pub async fn has_anybody(conn: &impl ConnectionTrait, role: &str) -> Result<bool, DbErr> {
    user_role::has_anybody(conn, role).await
}

/// Writes the password of a locked user.
///
/// # Errors
/// When the database refuses.
pub async fn update_password(
    conn: &impl ConnectionTrait,
    user: UserId,
    password_hash: &str,
) -> Result<(), DbErr> {
    Entity::update_many()
        .set(ActiveModel {
            password_hash: Set(SecretText(password_hash.to_owned())),
            ..Default::default()
        })
        .filter(Column::Id.eq(user))
        .exec(conn)
        .await?;
    Ok(())
}

/// Writes a locked user that was deleted: nothing of what was there before remains.
///
/// # Errors
/// When the database refuses, or the user's version was not the one before.
pub async fn erase(conn: &impl ConnectionTrait, user: &User) -> Result<(), DbErr> {
    update_state(conn, user).await?;
    Entity::update_many()
        .set(ActiveModel {
            email: Set(SecretText(user.email.typed().to_owned())),
            email_normal: Set(SecretText(user.email.normal().to_owned())),
            password_hash: Set(SecretText(String::new())),
            email_confirmed: Set(false),
            ..Default::default()
        })
        .filter(Column::Id.eq(user.id))
        .exec(conn)
        .await?;
    user_role::erase(conn, user.id).await
}

/// The status of a user, if there is one.
///
/// # Errors
/// When the database refuses.
pub async fn status(conn: &impl ConnectionTrait, id: UserId) -> Result<Option<UserStatus>, DbErr> {
    Entity::find_by_id(id)
        .select_only()
        .column(Column::Status)
        .into_tuple()
        .one(conn)
        .await
}

/// At most `limit` users that fit, in this order, beginning behind `after`.
///
/// # Errors
/// When the database refuses.
pub async fn list(
    conn: &impl ConnectionTrait,
    filter: &UserFilter,
    sort: UserSort,
    order: Order,
    after: Option<&UserPosition>,
    limit: u64,
) -> Result<Vec<User>, DbErr> {
    let mut query = Entity::find().filter(condition(filter));
    let behind = |column: Expr, value: Expr| match order {
        Order::Desc => column.lt(value),
        _ => column.gt(value),
    };
    match after {
        None => {}
        Some(UserPosition::Email(email)) => {
            query = query.filter(behind(
                Expr::col(Column::EmailNormal),
                Expr::value(email.as_str()),
            ));
        }
        Some(UserPosition::RegisteredAt(at, id)) => {
            let same_instant = Condition::all()
                .add(Column::RegisteredAt.eq(*at))
                .add(behind(Expr::col(Column::Id), Expr::value(*id)));
            let behind = behind(Expr::col(Column::RegisteredAt), Expr::value(*at));
            query = query.filter(Condition::any().add(behind).add(same_instant));
        }
    }
    query = match sort {
        UserSort::RegisteredAt => query
            .order_by(Column::RegisteredAt, order.clone())
            .order_by(Column::Id, order),
        UserSort::Email => query.order_by(Column::EmailNormal, order),
    };
    let rows = query.limit(limit).all(conn).await?;
    let accounts = with_roles(conn, rows).await?;
    Ok(accounts.into_iter().map(|account| account.user).collect())
}

fn condition(filter: &UserFilter) -> Condition {
    let mut all = Condition::all();
    if let Some(part) = &filter.email {
        let pattern = LikeExpr::new(format!("%{}%", escape(&part.to_ascii_lowercase()))).escape('\\');
        all = all
            .add(Expr::col(Column::EmailNormal).like(pattern))
            // They have none.
            .add(Column::Status.ne(UserStatus::Deleted));
    }
    if let Some(status) = filter.status {
        all = all.add(Column::Status.eq(status));
    }
    if let Some(role) = &filter.role {
        all = all.add(Column::Id.in_subquery(user_role::having(role)));
    }
    if let Some(from) = filter.registered_from {
        all = all.add(Column::RegisteredAt.gte(from));
    }
    if let Some(to) = filter.registered_to {
        all = all.add(Column::RegisteredAt.lt(to));
    }
    all
}

/// So that what is searched for has no wildcards of its own: `_` is common in addresses.
fn escape(part: &str) -> String {
    part.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

/// The accounts behind `rows`, in the same order.
async fn with_roles(conn: &impl ConnectionTrait, rows: Vec<Model>) -> Result<Vec<Account>, DbErr> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut roles = user_role::of(conn, rows.iter().map(|row| row.id)).await?;
    let account = |row: Model| Account {
        user: User {
            id: row.id,
            email: Email::restore(row.email.0, row.email_normal.0),
            status: row.status,
            locale: row.locale,
            time_zone: row.time_zone.and_then(|name| name.parse().ok()),
            roles: roles.remove(&row.id).unwrap_or_default(),
            version: row.version,
            registered_at: row.registered_at,
            email_confirmed: row.email_confirmed,
        },
        password_hash: row.password_hash.0,
    };
    Ok(rows.into_iter().map(account).collect())
}
