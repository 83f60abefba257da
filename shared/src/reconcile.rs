//! Holding the books: rules that must be true of a service's tables, as queries that find what
//! breaks them.
//!
//! Each rule is one statement, so that it sees one state of the database however busy it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement,
    TransactionSession as _, TransactionTrait, sea_query::Value,
};
use uuid::Uuid;

use crate::{
    clock::Instant,
    contracts::ServiceName,
    db::{Db, bounded},
    telemetry::{
        describe,
        metrics::{RECONCILE_FINDINGS, RECONCILE_LAST_RUN},
    },
};

/// Findings of one rule that go to the log each time.
const LOGGED: usize = 5;

/// Findings of one rule that a service reads of its own books: so many, or more, is all the metric tells.
pub const MOST: u32 = 1_000;

/// Rows that are judged at a time.
const PAGE: u32 = 1_000;

/// How long a rule may take where somebody waits at a terminal.
const ALONE: Duration = Duration::from_secs(60 * 60);

/// For how much longer than it may take a look is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// A rule, and the query for the rows that break it.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// The rule, for people.
    pub rule: &'static str,
    /// Selects the `id` of each row that breaks it, and in `detail` what was found. `$1` is an
    /// instant where the query has one.
    pub sql: &'static str,
    /// Whether it has.
    pub takes_instant: bool,
    /// What tells of each selected row whether it breaks the rule, where SQL can't; then the query selects
    /// all rows that the rule is about.
    pub judge: Option<Judge>,
}

/// What was found of a row that breaks a rule; none if it does not.
pub type Judge = fn(&QueryResult) -> Result<Option<String>, DbErr>;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that is broken.
    pub rule: &'static str,
    /// By which row.
    pub id: Uuid,
    /// What was found.
    pub detail: String,
}

/// A row of a replica, or that of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicated {
    /// Of what.
    pub id: Uuid,
    /// The version that the row shows.
    pub version: i64,
    /// What else it shows, for people.
    pub content: String,
}

/// How the replica in `service` differs from its `owner`: what is missing in it or known to it alone,
/// what is older or newer, and what is another under the same version.
#[must_use]
pub fn compare(
    rule: &'static str,
    owner: &[Replicated],
    service: ServiceName,
    replica: &[Replicated],
) -> Vec<Finding> {
    let by_id = |rows: &[Replicated]| -> BTreeMap<Uuid, Replicated> {
        rows.iter().map(|row| (row.id, row.clone())).collect()
    };
    let (owner, replica) = (by_id(owner), by_id(replica));
    let ids: BTreeSet<_> = owner.keys().chain(replica.keys()).copied().collect();
    let differs = |id: Uuid| {
        let detail = match (owner.get(&id), replica.get(&id)) {
            (Some(owned), Some(known)) if owned == known => return None,
            (Some(owned), Some(known)) => format!(
                "{service} has version {} ({}), its owner version {} ({})",
                known.version, known.content, owned.version, owned.content
            ),
            (Some(owned), None) => format!(
                "{service} has nothing, its owner version {} ({})",
                owned.version, owned.content
            ),
            (None, _) => format!("{service} has it, and its owner does not"),
        };
        Some(Finding { rule, id, detail })
    };
    ids.into_iter().filter_map(differs).collect()
}

/// A rule about how things are at any moment.
#[must_use]
pub const fn check(rule: &'static str, sql: &'static str) -> Check {
    Check {
        rule,
        sql,
        takes_instant: false,
        judge: None,
    }
}

/// A rule that `judge` knows of each row that the query selects.
#[must_use]
pub const fn check_each(rule: &'static str, sql: &'static str, judge: Judge) -> Check {
    Check {
        rule,
        sql,
        takes_instant: false,
        judge: Some(judge),
    }
}

/// A rule about what is older than an instant.
#[must_use]
pub const fn check_before(rule: &'static str, sql: &'static str) -> Check {
    Check {
        rule,
        sql,
        takes_instant: true,
        judge: None,
    }
}

/// Everything that breaks one of `checks`. What is younger than `before` may still be on its way,
/// and is left out by the rules that know about time.
///
/// # Errors
/// When the database does not answer.
pub async fn run(
    conn: &(impl ConnectionTrait + TransactionTrait),
    checks: &[Check],
    before: Instant,
) -> Result<Vec<Finding>, DbErr> {
    let mut findings = Vec::new();
    for check in checks {
        let sql = check.sql.to_owned();
        if conn.get_database_backend() == DbBackend::Sqlite {
            findings.extend(look(conn, check, sql, before).await?);
            continue;
        }
        let alone = conn.begin().await?;
        allow(&alone, ALONE).await?;
        let found = look(&alone, check, sql, before).await;
        alone.rollback().await?;
        findings.extend(found?);
    }
    Ok(findings)
}

/// Lets what follows in this transaction take so long.
async fn allow(transaction: &impl ConnectionTrait, patience: Duration) -> Result<(), DbErr> {
    // For the server 0 is no bound at all.
    let bound = format!("SET LOCAL statement_timeout = {}", patience.as_millis().max(1));
    transaction.execute_unprepared(&bound).await.map(drop)
}

async fn look(
    conn: &impl ConnectionTrait,
    check: &Check,
    sql: String,
    before: Instant,
) -> Result<Vec<Finding>, DbErr> {
    if let Some(judge) = check.judge {
        return look_through(conn, check, judge).await;
    }
    let values: Vec<Value> = if check.takes_instant {
        vec![before.into()]
    } else {
        Vec::new()
    };
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    let rows = conn.query_all_raw(statement).await?;
    let findings = rows.into_iter().map(|row| {
        Ok(Finding {
            rule: check.rule,
            id: row.try_get("", "id")?,
            detail: row.try_get("", "detail")?,
        })
    });
    findings.collect()
}

/// Judges all rows that a rule is about, a page at a time, until [`MOST`] are found that break it.
async fn look_through(
    conn: &impl ConnectionTrait,
    check: &Check,
    judge: Judge,
) -> Result<Vec<Finding>, DbErr> {
    let (most, mut after, mut findings) = (usize::try_from(MOST).unwrap_or(usize::MAX), None, Vec::new());
    while findings.len() < most {
        let behind = if after.is_some() {
            "WHERE found.id > $1"
        } else {
            ""
        };
        let sql = format!(
            "SELECT * FROM ({}) AS found {behind} ORDER BY found.id LIMIT {PAGE}",
            check.sql
        );
        let values: Vec<Value> = after.map(Value::from).into_iter().collect();
        let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
        let rows = conn.query_all_raw(statement).await?;
        let Some(last) = rows.last() else {
            break;
        };
        after = Some(last.try_get::<Uuid>("", "id")?);
        for row in &rows {
            if let Some(detail) = judge(row)? {
                findings.push(Finding {
                    rule: check.rule,
                    id: row.try_get("", "id")?,
                    detail,
                });
            }
        }
    }
    findings.truncate(most);
    Ok(findings)
}

/// How long it may take to hold a service's books. On large tables that is longer than anybody waits
/// for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// One rule.
    pub each: Duration,
    /// All of them.
    pub whole: Duration,
}

/// What was found of a rule, at most [`MOST`]; or why it is not known.
#[derive(Debug)]
pub struct Looked {
    /// The rule.
    pub rule: &'static str,
    /// What breaks it.
    pub found: Result<Vec<Finding>, DbErr>,
}

/// Looks at one rule after another, and shows in the metrics of this process what was found of it as
/// soon as it is known; the log tells of the first findings of each. A rule that fails, or for which
/// there is no time, is unknown, and no other for it. Of rules in `checks` that know about time, each
/// group has the instant that it takes.
///
/// One replica of a service at a time: another one knows nothing then, and gets `None`.
///
/// # Errors
/// When the database does not answer.
pub async fn look_and_show(
    db: &Db,
    checks: &[(&[Check], Instant)],
    patience: Patience,
) -> Result<Option<Vec<Looked>>, DbErr> {
    let (service, now) = (db.service(), db.now());
    let mut all = Vec::new();
    for (group, before) in checks {
        all.extend(group.iter().map(|check| (*check, *before)));
    }
    let turn = match Turn::take(db).await {
        Ok(Some(turn)) => turn,
        other => {
            // What was found the last time is no longer known to be so.
            for (check, _) in &all {
                show(service, check, None);
            }
            return other.map(|_| None);
        }
    };
    let deadline = tokio::time::Instant::now() + patience.whole;
    let mut looked = Vec::new();
    for (check, before) in &all {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        let found = turn.look(check, *before, patience.each.min(left)).await;
        if let Err(error) = &found {
            tracing::warn!(%service, rule = check.rule, error = describe(error), "the books can't be looked at");
        }
        show(service, check, found.as_deref().ok());
        looked.push(Looked {
            rule: check.rule,
            found,
        });
    }
    turn.end().await;
    if looked.iter().all(|looked| looked.found.is_ok()) {
        let seconds = i32::try_from(now.timestamp()).map_or(f64::MAX, f64::from);
        RECONCILE_LAST_RUN
            .gauge(&[("service", service.as_str())])
            .set(seconds);
    }
    Ok(Some(looked))
}

/// The turn to look, which one replica has at a time.
enum Turn {
    /// A transaction that has the lock. It reads each time what is committed, and so keeps the server
    /// from tidying up no longer than a look takes.
    Server(DatabaseTransaction),
    /// One process has a file.
    File(DatabaseConnection),
}

/// What replicas that look lock. PostgreSQL keeps such locks a database, so that services, which have
/// one each, never keep each other from looking.
const LOCK: i64 = 0x6b6f_7065_7265;

impl Turn {
    async fn take(db: &Db) -> Result<Option<Self>, DbErr> {
        let reader = db.reader();
        if reader.get_database_backend() == DbBackend::Sqlite {
            return Ok(Some(Self::File(reader.clone())));
        }
        let transaction = bounded(reader.begin()).await?;
        let ask = format!("SELECT pg_try_advisory_xact_lock({LOCK}) AS is_ours");
        let row =
            bounded(transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, ask))).await?;
        let is_ours = match row {
            Some(row) => row.try_get("", "is_ours")?,
            None => false,
        };
        Ok(is_ours.then_some(Self::Server(transaction)))
    }

    async fn look(&self, check: &Check, before: Instant, patience: Duration) -> Result<Vec<Finding>, DbErr> {
        let too_late = || DbErr::Custom(format!("it takes longer than {} s", patience.as_secs()));
        if patience.is_zero() {
            return Err(too_late());
        }
        let sql = format!("SELECT id, detail FROM ({}) AS found LIMIT {MOST}", check.sql);
        let looking = async {
            match self {
                Self::File(conn) => look(conn, check, sql, before).await,
                Self::Server(transaction) => {
                    // What fails alone must not end the whole transaction.
                    let alone = transaction.begin().await?;
                    allow(&alone, patience).await?;
                    let found = look(&alone, check, sql, before).await;
                    alone.rollback().await?;
                    found
                }
            }
        };
        // The server keeps to the bound itself; later than that it is not there any more.
        let late = patience + GRACE;
        tokio::time::timeout(late, looking)
            .await
            .unwrap_or_else(|_| Err(too_late()))
    }

    async fn end(self) {
        if let Self::Server(transaction) = self {
            // It has written nothing, and ends with its connection at the latest.
            let _ = bounded(transaction.rollback()).await;
        }
    }
}

/// Shows what was found of a rule. Of one that nothing is known of: NaN.
fn show(service: ServiceName, check: &Check, found: Option<&[Finding]>) {
    let count = found.map_or(f64::NAN, |found| {
        u32::try_from(found.len()).map_or(f64::MAX, f64::from)
    });
    RECONCILE_FINDINGS
        .gauge(&[
            ("service", service.as_str().to_owned()),
            ("check", slug(check.rule)),
        ])
        .set(count);
    for finding in found.unwrap_or_default().iter().take(LOGGED) {
        tracing::error!(%service, rule = finding.rule, id = %finding.id, found = finding.detail, "the books are wrong");
    }
}

/// A rule as a label: `no_wallet_is_below_zero`.
fn slug(rule: &str) -> String {
    let words = rule.split(|sign: char| !sign.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("_").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_of_a_replica_is_found() {
        let row = |id: u128, version, content: &str| Replicated {
            id: Uuid::from_u128(id),
            version,
            content: content.to_owned(),
        };
        let owner = [
            row(1, 1, "active"),
            row(2, 3, "blocked"),
            row(3, 1, "active"),
            row(4, 1, "active"),
            row(5, 1, "active"),
        ];
        let replica = [
            row(5, 1, "blocked"),
            row(1, 1, "active"),
            row(2, 2, "active"),
            row(4, 2, "active"),
            row(6, 1, "active"),
        ];
        let found = compare("rule", &owner, ServiceName::Loyalty, &replica);
        let found: Vec<_> = found
            .iter()
            .map(|finding| (finding.id.as_u128(), finding.detail.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (2, "loyalty has version 2 (active), its owner version 3 (blocked)"),
                (3, "loyalty has nothing, its owner version 1 (active)"),
                (4, "loyalty has version 2 (active), its owner version 1 (active)"),
                (5, "loyalty has version 1 (blocked), its owner version 1 (active)"),
                (6, "loyalty has it, and its owner does not"),
            ]
        );
    }

    #[test]
    fn a_rule_makes_a_label_of_plain_words() {
        assert_eq!(
            slug("a wallet's balance is the sum, of its postings"),
            "a_wallet_s_balance_is_the_sum_of_its_postings"
        );
    }
}
