//! What the platform tells about itself: metrics, and reports of errors.

mod exposition;
mod outages;
mod reports;

use std::collections::BTreeSet;

use exposition::Figures;
use reqwest::Method;
use sea_orm::{ActiveValue::Set, EntityTrait as _};
use serde_json::json;
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::{Envelope, ReportPurchaseV1, ServiceName},
    ids::{MessageId, PurchaseId},
    outbox,
    testing::eventually,
};

use crate::platform::Platform;

/// The figures of all processes, added up.
async fn figures(platform: &Platform) -> Figures {
    let mut all = Figures::default();
    for process in platform.processes() {
        let answer = process
            .request(Method::GET, "/metrics")
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(
            answer.headers()["content-type"],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        all.add(&answer.text().await.expect("a text"));
    }
    all
}

/// What the story below comes to.
const COUNTED: [(&str, f64); 10] = [
    (r#"kopeck_purchases_total{outcome="paid"}"#, 2.0),
    (r#"kopeck_purchases_total{outcome="insufficient_funds"}"#, 2.0),
    (r#"kopeck_purchases_total{outcome="promocode_refused"}"#, 1.0),
    (r#"kopeck_redemptions_total{status="held"}"#, 1.0),
    (r#"kopeck_redemptions_total{status="confirmed"}"#, 1.0),
    (r#"kopeck_redemptions_total{status="cancelled"}"#, 1.0),
    (r#"kopeck_redemptions_total{status="refused"}"#, 1.0),
    (
        r#"kopeck_promocode_refusals_total{reason="unknown_promocode",at="hold"}"#,
        1.0,
    ),
    (
        r#"kopeck_promocode_refusals_total{reason="unknown_promocode",at="validation"}"#,
        2.0,
    ),
    ("kopeck_hold_reports_total", 0.0),
];

fn counted(figures: &Figures) -> Vec<(&'static str, f64)> {
    COUNTED
        .iter()
        .map(|(name, _)| (*name, figures.get(name)))
        .collect()
}

async fn everything_is_counted_once(platform: &Platform) {
    let tariff = platform.tariff("Month", 10_000).await;
    platform
        .campaign(json!({
            "name": "Half",
            "discount": {"type": "percent", "percent": "50"},
            "promocode": {"code": "HALF", "max_uses": 9},
        }))
        .await;
    let anna = platform.user("anna", 100_000).await;
    let poor = platform.user("poor", 100).await;
    let paid = anna.buy(&tariff, Some("HALF")).await;
    assert_eq!(paid.body["status"], "paid", "{paid:?}");
    assert_eq!(anna.buy(&tariff, None).await.body["status"], "paid");
    for promocode in [None, Some("HALF")] {
        poor.buy(&tariff, promocode)
            .await
            .expect_problem(402, "insufficient_funds");
    }
    anna.buy(&tariff, Some("NO-SUCH"))
        .await
        .expect_problem(422, "promocode_refused");
    let body = json!({"tariff_id": tariff, "promocode": "NO-SUCH"});
    for _ in 0..2 {
        anna.api
            .post("/loyalty/v1/promocodes/validate", &body)
            .await
            .expect_problem(422, "promocode_refused");
    }
    anna.letters(5).await;
    eventually("all is counted", || async {
        let counted = counted(&figures(platform).await);
        (counted == COUNTED).then_some(()).or_else(|| {
            eprintln!("{counted:#?}");
            None
        })
    })
    .await;
    let purchase = PurchaseId(paid.body["id"].as_str().unwrap().parse().unwrap());
    the_outcome_is_said_again(platform, purchase).await;
    let after = figures(platform).await;
    assert_eq!(counted(&after), COUNTED, "said again is not counted again");
    shows_how_it_works(&after);
}

/// Asks billing about a purchase, by a message that comes twice.
async fn the_outcome_is_said_again(platform: &Platform, purchase_id: PurchaseId) {
    let applied = r#"kopeck_inbox_messages_total{service="loyalty",outcome="applied"}"#;
    let repeated = r#"kopeck_inbox_messages_total{service="billing",outcome="repeated"}"#;
    let before = figures(platform).await;
    let loyalty = platform.database(ServiceName::Loyalty).await;
    let now = SystemClock.now();
    let question = ReportPurchaseV1 { purchase_id };
    let envelope = Envelope::seal(MessageId::new(now), "loyalty", now, None, &question).unwrap();
    for _ in 0..2 {
        let row = outbox::entity::ActiveModel {
            id: Set(envelope.id),
            body: Set(serde_json::to_string(&envelope).unwrap()),
            created_at: Set(now),
            leased_until: Set(now),
            ..Default::default()
        };
        outbox::entity::Entity::insert(row)
            .exec_without_returning(loyalty.writer())
            .await
            .unwrap();
        eventually("it is published", || async {
            (outbox::count(loyalty.reader()).await.unwrap() == 0).then_some(())
        })
        .await;
    }
    eventually("the answer is taken and the repeat is known", || async {
        let figures = figures(platform).await;
        let grown = |name| figures.get(name) > before.get(name);
        (grown(applied) && grown(repeated)).then_some(())
    })
    .await;
}

/// What is there besides, whatever its figures.
fn shows_how_it_works(figures: &Figures) {
    for (name, least) in [
        (
            r#"kopeck_outbox_publishes_total{service="billing",outcome="published"}"#,
            5.0,
        ),
        (r#"kopeck_outbox_batch_messages_count{service="billing"}"#, 1.0),
        (
            r#"kopeck_outbox_batch_duration_seconds_count{service="billing"}"#,
            1.0,
        ),
        (r#"kopeck_inbox_batch_messages_sum{service="loyalty"}"#, 3.0),
        (
            r#"kopeck_inbox_batch_duration_seconds_count{service="loyalty"}"#,
            1.0,
        ),
        (
            r#"kopeck_transaction_begin_duration_seconds_count{service="billing"}"#,
            5.0,
        ),
        (
            r#"kopeck_job_runs_total{service="auth",job="sample_metrics",outcome="done"}"#,
            1.0,
        ),
        ("process_cpu_seconds_total", 0.01),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 5.0),
        ("process_start_time_seconds", 1.6e9),
    ] {
        assert!(figures.get(name) >= least, "{name} is {}", figures.get(name));
    }
    for (name, value) in [
        (r#"kopeck_inbox_parked_messages{service="billing"}"#, 0.0),
        (r#"kopeck_inbox_retry_messages{service="billing"}"#, 0.0),
        ("kopeck_purchases_overdue_seconds", 0.0),
        (
            r#"kopeck_reconcile_findings{service="billing",check="no_wallet_is_below_zero"}"#,
            0.0,
        ),
    ] {
        assert_eq!(figures.find(name), Some(value), "{name}");
    }
    for name in [
        "kopeck_outbox_waiting_messages",
        "kopeck_outbox_oldest_age_seconds",
    ] {
        assert!(
            figures.find(&format!(r#"{name}{{service="auth"}}"#)).is_some(),
            "{name}"
        );
    }
    for service in ServiceName::ALL {
        let failed =
            format!(r#"kopeck_job_runs_total{{service="{service}",job="sample_metrics",outcome="failed"}}"#);
        assert_eq!(figures.get(&failed), 0.0, "{service} can't look");
    }
    assert!(figures.family("kopeck_db_connections_max") >= 4.0);
    let asked = r#"kopeck_http_requests_total{service="billing",method="POST",route="/billing/v1/purchases""#;
    assert_eq!(
        figures.beginning_with(asked),
        5.0,
        "five purchases were asked for"
    );
    let services: BTreeSet<_> = figures.label_values("kopeck_http_requests_total", "service");
    assert_eq!(
        services.iter().map(String::as_str).collect::<Vec<_>>(),
        ["auth", "billing", "loyalty", "none", "notifications"]
    );
    figures.assert_no_ids();
}

crate::in_both_modes!(everything_is_counted_once);
