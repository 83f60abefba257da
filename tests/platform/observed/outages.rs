//! What is told while a database does not answer: nothing that is not known.

use sea_orm::ConnectionTrait as _;
use serde_json::json;
use shared::{contracts::ServiceName, db::Db, testing::eventually};

use super::figures;
use crate::platform::Platform;

const LOOKED_UP: [&str; 5] = [
    r#"kopeck_outbox_waiting_messages{service="loyalty"}"#,
    r#"kopeck_outbox_oldest_age_seconds{service="loyalty"}"#,
    r#"kopeck_inbox_retry_messages{service="loyalty"}"#,
    r#"kopeck_inbox_parked_messages{service="loyalty"}"#,
    "kopeck_purchases_overdue_seconds",
];

/// What tells that looking fails.
const FAILED: [&str; 2] = [
    r#"kopeck_job_runs_total{service="loyalty",job="sample_metrics",outcome="failed"}"#,
    r#"kopeck_job_runs_total{service="billing",job="fail_overdue_purchases",outcome="failed"}"#,
];

async fn run(db: &Db, sql: &str) {
    db.writer().execute_unprepared(sql).await.unwrap();
}

/// Waits until all that is looked up is known, or none of it.
async fn all_are(platform: &Platform, known: bool) {
    eventually(&format!("all are known: {known}"), || async {
        let figures = figures(platform).await;
        let is_so = |name: &&str| figures.find(name).is_some_and(|value| value.is_nan() != known);
        LOOKED_UP.iter().all(is_so).then_some(())
    })
    .await;
}

async fn what_can_not_be_looked_up_is_no_number(platform: &Platform) {
    let loyalty = platform.database(ServiceName::Loyalty).await;
    let billing = platform.database(ServiceName::Billing).await;
    all_are(platform, true).await;
    run(&loyalty, "ALTER TABLE inbox RENAME TO inbox_away").await;
    run(&billing, "ALTER TABLE purchases RENAME TO purchases_away").await;
    all_are(platform, false).await;
    eventually("the alert has what it goes by", || async {
        let figures = figures(platform).await;
        FAILED.iter().all(|name| figures.get(name) >= 1.0).then_some(())
    })
    .await;
    run(&loyalty, "ALTER TABLE inbox_away RENAME TO inbox").await;
    run(&billing, "ALTER TABLE purchases_away RENAME TO purchases").await;
    all_are(platform, true).await;
}

async fn a_refusal_is_counted_only_if_it_is_told(platform: &Platform) {
    let counted = r#"kopeck_promocode_refusals_total{reason="unknown_promocode",at="validation"}"#;
    let tariff = platform.tariff("Month", 10_000).await;
    let anna = platform.user("anna", 0).await;
    let body = json!({"tariff_id": tariff, "promocode": "NO-SUCH"});
    let validate = || anna.api.post("/loyalty/v1/promocodes/validate", &body);
    eventually("loyalty knows the tariff", || async {
        (validate().await.status.as_u16() == 422).then_some(())
    })
    .await;
    let before = figures(platform).await.get(counted);
    assert!(before >= 1.0, "{before}");

    let loyalty = platform.database(ServiceName::Loyalty).await;
    run(&loyalty, "ALTER TABLE refusals RENAME TO refusals_away").await;
    validate().await.expect_problem(500, "internal_error");
    run(&loyalty, "ALTER TABLE refusals_away RENAME TO refusals").await;
    assert_eq!(figures(platform).await.get(counted), before);

    validate().await.expect_problem(422, "promocode_refused");
    assert_eq!(figures(platform).await.get(counted), before + 1.0);
}

crate::in_both_modes!(
    what_can_not_be_looked_up_is_no_number,
    a_refusal_is_counted_only_if_it_is_told,
);
