//! Holding the books: rules that must be true of a service's tables, as queries that find what
//! breaks them.
//!
//! Each rule is one statement, so that it sees one state of the database however busy it is.

use sea_orm::{ConnectionTrait, DbErr, Statement, sea_query::Value};
use uuid::Uuid;

use crate::clock::Instant;

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
}

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

/// A rule about how things are at any moment.
#[must_use]
pub const fn check(rule: &'static str, sql: &'static str) -> Check {
    Check {
        rule,
        sql,
        takes_instant: false,
    }
}

/// A rule about what is older than an instant.
#[must_use]
pub const fn check_before(rule: &'static str, sql: &'static str) -> Check {
    Check {
        rule,
        sql,
        takes_instant: true,
    }
}

/// Everything that breaks one of `checks`. What is younger than `before` may still be on its way,
/// and is left out by the rules that know about time.
///
/// # Errors
/// When the database does not answer.
pub async fn run(
    conn: &impl ConnectionTrait,
    checks: &[Check],
    before: Instant,
) -> Result<Vec<Finding>, DbErr> {
    let mut findings = Vec::new();
    for check in checks {
        let values: Vec<Value> = if check.takes_instant {
            vec![before.into()]
        } else {
            Vec::new()
        };
        let statement = Statement::from_sql_and_values(conn.get_database_backend(), check.sql, values);
        for row in conn.query_all_raw(statement).await? {
            findings.push(Finding {
                rule: check.rule,
                id: row.try_get("", "id")?,
                detail: row.try_get("", "detail")?,
            });
        }
    }
    Ok(findings)
}
