//! Billing's tables. Whatever differs between SQLite and PostgreSQL is here.

pub mod account;
pub mod adjustment;
pub mod audit;
pub mod buyer;
pub mod idempotency;
pub mod purchase;
pub mod subscription;
pub mod tariff;
pub mod top_up;
pub mod transfer;
pub mod withdrawal;

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr,
    sea_query::{Expr, SimpleExpr, TableRef, UpdateStatement, ValueTuple},
};
use shared::clock::Instant;
use uuid::Uuid;

/// Where a page begins: after this sort instant and id, on the way to older ones.
pub type After = Option<(Instant, Uuid)>;

/// What comes after `after` in a list that is sorted newest first.
fn older(at: impl ColumnTrait, id: impl ColumnTrait, after: After) -> Condition {
    match after {
        None => Condition::all(),
        Some((instant, last)) => Condition::any()
            .add(at.lt(instant))
            .add(Condition::all().add(at.eq(instant)).add(id.lt(last))),
    }
}

/// A stored value that the domain does not know; a bug or a hand in the database.
fn unreadable(error: impl std::fmt::Display) -> DbErr {
    DbErr::Type(error.to_string())
}

/// The name of the list of new values in [`update_each`].
const NEW: &str = "new";

/// The `position`th value (from 1) of a row's tuple in [`update_each`]; both databases call it so.
fn nth(position: u8) -> SimpleExpr {
    Expr::col((NEW, format!("column{position}")))
}

/// Runs `update` with one tuple of values a row, as `UPDATE … FROM (VALUES …)`: many rows in
/// one statement. Each tuple must meet exactly one row; a key twice would take one at random.
async fn update_each(
    conn: &impl ConnectionTrait,
    update: &mut UpdateStatement,
    rows: Vec<ValueTuple>,
) -> Result<(), DbErr> {
    let expected = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    if expected == 0 {
        return Ok(());
    }
    update.from(TableRef::ValuesList(
        rows,
        sea_orm::sea_query::IntoIden::into_iden(NEW),
    ));
    let written = conn.execute(&*update).await?.rows_affected();
    // Compare-and-set: somebody else's write must not be lost under this one.
    if written == expected {
        Ok(())
    } else {
        Err(DbErr::RecordNotUpdated)
    }
}
