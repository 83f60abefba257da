//! Who buys: what is known of them, and whether they have bought before.

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement, Value};
use shared::{
    clock::Instant,
    ids::{TariffId, UserId},
    users::entity as user,
};

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

/// What is known of some people, and until when they have what they bought.
#[derive(Debug, Default)]
pub struct Standing {
    /// What is known of each.
    pub known: HashMap<UserId, user::Model>,
    /// When the last subscription of each to each tariff ends.
    pub ends: HashMap<(UserId, TariffId), Instant>,
}

#[derive(FromQueryResult)]
struct StandingRow {
    asked: UserId,
    #[sea_orm(nested)]
    known: Option<user::Model>,
    // None where they have bought nothing.
    tariff_id: Option<TariffId>,
    ends_at: Option<Instant>,
}

/// What decides about purchases of `users`, in one query: their wallets are locked meanwhile.
///
/// # Errors
/// When the database does not answer.
pub async fn find_standing(conn: &impl ConnectionTrait, users: &BTreeSet<UserId>) -> Result<Standing, DbErr> {
    let mut standing = Standing::default();
    if users.is_empty() {
        return Ok(standing);
    }
    let places: Vec<_> = (1..=users.len()).map(|place| format!("${place}")).collect();
    // What was taken back before it began lasts no time, wherever it stands.
    let sql = format!(
        "SELECT asked.column1 AS asked, known.id, known.version, known.status, known.locale, \
         known.registered_at, given.tariff_id, given.ends_at FROM (VALUES ({})) AS asked \
         LEFT JOIN users AS known ON known.id = asked.column1 \
         LEFT JOIN (SELECT user_id, tariff_id, MAX(ends_at) AS ends_at FROM subscriptions \
         WHERE user_id IN ({}) AND ends_at > starts_at GROUP BY user_id, tariff_id) AS given \
         ON given.user_id = asked.column1",
        places.join("), ("),
        places.join(", ")
    );
    let values = users.iter().map(|user| (*user).into());
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    for row in StandingRow::find_by_statement(statement).all(conn).await? {
        standing.known.extend(row.known.map(|known| (row.asked, known)));
        let end = row.tariff_id.zip(row.ends_at);
        standing
            .ends
            .extend(end.map(|(tariff, ends_at)| ((row.asked, tariff), ends_at)));
    }
    Ok(standing)
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
