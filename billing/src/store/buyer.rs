//! Who buys: what is known of them, and whether they have bought before.

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement, Value};
use shared::{
    clock::Instant,
    ids::{TariffId, UserId},
    money::Amount,
    throttle::Count,
    users::entity as user,
};

use super::{subscription::ChainColumns, unreadable};
use crate::domain::{failures::Counted, subscription::Last};

/// What was counted of a buyer's failed purchases; none where nothing was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    /// Those that failed for lack of money.
    pub unfunded: Option<Count>,
    /// Those that failed for their promocode or their price.
    pub refused: Option<Count>,
}

/// People, as far as this service has heard of them.
#[derive(Debug, Default)]
pub struct Buyers {
    /// What is known of each.
    pub known: HashMap<UserId, user::Model>,
    /// Those of them who have paid for something; see [`who_has_purchased`](super::purchase::who_has_purchased).
    pub purchased: HashSet<UserId>,
    /// What the wallet of each holds. It is not locked: only what is decided elsewhere may depend on it.
    pub balances: HashMap<UserId, Amount>,
    /// What was counted of the failures of each, where something was.
    pub failures: HashMap<UserId, Failures>,
}

#[derive(FromQueryResult)]
struct Row {
    asked: UserId,
    has_purchased: bool,
    // None where no wallet was opened yet.
    balance: Option<Amount>,
    unfunded: Option<i64>,
    unfunded_since: Option<Instant>,
    refused: Option<i64>,
    refused_since: Option<Instant>,
    // Nothing is known of somebody whose registration is still on its way.
    #[sea_orm(nested)]
    known: Option<user::Model>,
}

/// What is known of some people, and until when they have what they bought.
#[derive(Debug, Default)]
pub struct Standing {
    /// What is known of each.
    pub known: HashMap<UserId, user::Model>,
    /// The last subscription of each to each tariff, where it has not ended.
    pub last: HashMap<(UserId, TariffId), Last>,
}

#[derive(FromQueryResult)]
struct StandingRow {
    asked: UserId,
    #[sea_orm(nested)]
    known: Option<user::Model>,
    // None where nothing that they bought has still to end.
    tariff_id: Option<TariffId>,
    starts_at: Option<Instant>,
    ends_at: Option<Instant>,
    period: Option<String>,
    anchor_at: Option<Instant>,
    anchor_zone: Option<String>,
    anchor_months: Option<i64>,
    anchor_days: Option<i64>,
}

impl StandingRow {
    fn last(&self) -> Result<Option<(TariffId, Last)>, DbErr> {
        let (Some(tariff), Some(starts_at), Some(ends_at), Some(period)) =
            (self.tariff_id, self.starts_at, self.ends_at, &self.period)
        else {
            return Ok(None);
        };
        let chain = ChainColumns {
            at: self.anchor_at,
            zone: self.anchor_zone.clone(),
            months: self.anchor_months,
            days: self.anchor_days,
        };
        let period = period.parse().map_err(unreadable)?;
        Ok(Some((
            tariff,
            Last::new(starts_at, ends_at, chain.read(), period),
        )))
    }
}

/// What decides about purchases of `users` at `now`, in one query: their wallets are locked meanwhile.
///
/// # Errors
/// When the database does not answer.
pub async fn find_standing(
    conn: &impl ConnectionTrait,
    users: &BTreeSet<UserId>,
    now: Instant,
) -> Result<Standing, DbErr> {
    let mut standing = Standing::default();
    if users.is_empty() {
        return Ok(standing);
    }
    let places: Vec<_> = (2..=users.len() + 1).map(|place| format!("${place}")).collect();
    // What was taken back before it began lasts no time, wherever it stands.
    let sql = format!(
        "SELECT asked.column1 AS asked, known.id, known.version, known.status, known.locale, \
         known.registered_at, known.time_zone, given.tariff_id, given.starts_at, given.ends_at, bought.period, \
         given.anchor_at, given.anchor_zone, given.anchor_months, given.anchor_days \
         FROM (VALUES ({})) AS asked LEFT JOIN users AS known ON known.id = asked.column1 \
         LEFT JOIN subscriptions AS given ON given.user_id = asked.column1 \
         AND given.ends_at >= $1 AND given.ends_at > given.starts_at AND NOT EXISTS \
         (SELECT 1 FROM subscriptions AS later WHERE later.user_id = given.user_id \
         AND later.tariff_id = given.tariff_id AND later.ends_at > given.ends_at \
         AND later.ends_at > later.starts_at) \
         LEFT JOIN purchases AS bought ON bought.id = given.purchase_id",
        places.join("), (")
    );
    let mut values = vec![Value::from(now)];
    values.extend(users.iter().map(|user| Value::from(*user)));
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    for row in StandingRow::find_by_statement(statement).all(conn).await? {
        let last = row.last()?;
        standing.known.extend(row.known.map(|known| (row.asked, known)));
        standing
            .last
            .extend(last.map(|(tariff, last)| ((row.asked, tariff), last)));
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
    let places: Vec<_> = (0..users.len())
        .map(|place| format!("(${}, ${}, ${})", 3 * place + 1, 3 * place + 2, 3 * place + 3))
        .collect();
    let sql = format!(
        "SELECT asked.column1 AS asked, known.id, known.version, known.status, known.locale, \
         known.registered_at, known.time_zone, EXISTS (SELECT 1 FROM subscriptions paid WHERE paid.user_id = asked.column1) \
         AS has_purchased, wallet.balance, unfunded.count AS unfunded, unfunded.began_at AS unfunded_since, \
         refused.count AS refused, refused.began_at AS refused_since FROM (VALUES {}) AS asked \
         LEFT JOIN users AS known ON known.id = asked.column1 \
         LEFT JOIN accounts AS wallet ON wallet.user_id = asked.column1 \
         LEFT JOIN throttles AS unfunded ON unfunded.key = asked.column2 \
         LEFT JOIN throttles AS refused ON refused.key = asked.column3",
        places.join(", ")
    );
    let values = users.into_iter().flat_map(|user| {
        let key = |counted: Counted| Value::from(counted.key(user));
        [
            Value::from(user),
            key(Counted::UnfundedPurchase),
            key(Counted::RefusedPurchase),
        ]
    });
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    let mut buyers = Buyers::default();
    for Row {
        asked,
        has_purchased,
        balance,
        unfunded,
        unfunded_since,
        refused,
        refused_since,
        known,
    } in Row::find_by_statement(statement).all(conn).await?
    {
        if has_purchased {
            buyers.purchased.insert(asked);
        }
        buyers.balances.insert(asked, balance.unwrap_or(Amount::ZERO));
        let count = |count: Option<i64>, since: Option<Instant>| {
            let (count, began_at) = count.zip(since)?;
            Some(Count { began_at, count })
        };
        let failures = Failures {
            unfunded: count(unfunded, unfunded_since),
            refused: count(refused, refused_since),
        };
        buyers.failures.insert(asked, failures);
        buyers.known.extend(known.map(|known| (asked, known)));
    }
    Ok(buyers)
}
