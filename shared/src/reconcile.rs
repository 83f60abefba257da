//! Holding the books: rules that must be true of a service's tables, as queries that find what
//! breaks them.
//!
//! Each rule is one statement, so that it sees one state of the database however busy it is.

use sea_orm::{ConnectionTrait, DbErr, Statement, sea_query::Value};
use uuid::Uuid;

use crate::{
    clock::Instant,
    contracts::ServiceName,
    telemetry::metrics::{RECONCILE_FINDINGS, RECONCILE_LAST_RUN},
};

/// Findings of one rule that go to the log each time; the metric counts all.
const LOGGED: usize = 5;

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

/// Shows what a service found in its own tables at `now`, in the metrics, and tells the log of the
/// first of each rule. Without an answer of the database nothing is known of any rule: NaN.
pub fn show<'c>(
    service: ServiceName,
    checks: impl IntoIterator<Item = &'c Check>,
    found: Option<&[Finding]>,
    now: Instant,
) {
    for check in checks {
        let broken = found.map(|found| found.iter().filter(|finding| finding.rule == check.rule));
        let count = broken.clone().map_or(f64::NAN, |broken| {
            u32::try_from(broken.count()).map_or(f64::MAX, f64::from)
        });
        RECONCILE_FINDINGS
            .gauge(&[
                ("service", service.as_str().to_owned()),
                ("check", slug(check.rule)),
            ])
            .set(count);
        for finding in broken.into_iter().flatten().take(LOGGED) {
            tracing::error!(%service, rule = finding.rule, id = %finding.id, found = finding.detail, "the books are wrong");
        }
    }
    if found.is_some() {
        let seconds = i32::try_from(now.timestamp()).map_or(f64::MAX, f64::from);
        RECONCILE_LAST_RUN
            .gauge(&[("service", service.as_str())])
            .set(seconds);
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
    fn a_rule_makes_a_label_of_plain_words() {
        assert_eq!(
            slug("a wallet's balance is the sum, of its postings"),
            "a_wallet_s_balance_is_the_sum_of_its_postings"
        );
    }
}
