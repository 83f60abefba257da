//! Who buys: what is known of them, and whether they have bought before.

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement, Value};
use shared::{ids::UserId, users::entity as user};

/// People, as far as this service has heard of them.
#[derive(Debug, Default)]
pub struct Buyers {
    /// What is known of each.
    pub known: HashMap<UserId, user::Model>,
    /// Those of them who have paid for something; see [`who_has_purchased`](super::purchase::who_has_purchased).
    pub purchased: HashSet<UserId>,
}

#[derive(FromQueryResult)]
struct Row {
    asked: UserId,
    has_purchased: bool,
    // Nothing is known of somebody whose registration is still on its way.
    #[sea_orm(nested)]
    known: Option<user::Model>,
}

/// What is known of `users`, in one query: a purchase with a promocode begins with it.
///
/// # Errors
/// When the database does not answer.
pub async fn find_many(conn: &impl ConnectionTrait, users: BTreeSet<UserId>) -> Result<Buyers, DbErr> {
    if users.is_empty() {
        return Ok(Buyers::default());
    }
    let places: Vec<_> = (1..=users.len()).map(|place| format!("(${place})")).collect();
    let sql = format!(
        "SELECT asked.column1 AS asked, known.id, known.version, known.status, known.locale, \
         known.registered_at, EXISTS (SELECT 1 FROM subscriptions paid WHERE paid.user_id = asked.column1) \
         AS has_purchased FROM (VALUES {}) AS asked LEFT JOIN users AS known ON known.id = asked.column1",
        places.join(", ")
    );
    let values = users.into_iter().map(Value::from);
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    let mut buyers = Buyers::default();
    for Row {
        asked,
        has_purchased,
        known,
    } in Row::find_by_statement(statement).all(conn).await?
    {
        if has_purchased {
            buyers.purchased.insert(asked);
        }
        buyers.known.extend(known.map(|known| (asked, known)));
    }
    Ok(buyers)
}
