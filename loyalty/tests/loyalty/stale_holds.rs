//! Holds that billing does not settle in time.

use std::time::Duration;

use shared::{
    contracts::{ReportPurchaseV1, ServiceName},
    ids::PurchaseId,
    testing::{TestDatabase, eventually},
};

use crate::{Loyalty, noon, ten_percent_off};

fn reports(loyalty: &Loyalty, purchase: PurchaseId) -> usize {
    let heard = loyalty
        .service
        .peers
        .heard::<ReportPurchaseV1>(ServiceName::Billing);
    heard
        .iter()
        .filter(|report| report.purchase_id == purchase)
        .count()
}

async fn is_asked(loyalty: &Loyalty, purchase: PurchaseId, times: usize) {
    eventually("billing is asked", || {
        std::future::ready((reports(loyalty, purchase) >= times).then_some(()))
    })
    .await;
    assert_eq!(reports(loyalty, purchase), times);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn billing_is_asked_about_a_hold_until_it_is_settled_and_no_use_is_freed_meanwhile() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let loyalty = Loyalty::start_at(database, noon()).await;
        loyalty.campaign(&ten_percent_off(), "CODE", Some(5)).await;
        let [stale, settled] = [(); 2].map(|()| loyalty.hold_of_anybody("CODE"));
        loyalty.ask(&stale).await.held();
        loyalty.ask(&settled).await.held();
        loyalty.service.peers.say(&loyalty.paid(&settled)).await;
        assert_eq!(
            reports(&loyalty, stale.purchase_id),
            0,
            "the deadline is not over"
        );

        loyalty.advance(Duration::from_secs(35));
        is_asked(&loyalty, stale.purchase_id, 1).await;
        // Asked about five seconds from now: by then the job has looked again.
        let mut late = loyalty.hold_of_anybody("CODE");
        late.deadline = loyalty.now();
        loyalty.ask(&late).await.held();
        loyalty.advance(Duration::from_secs(5));
        is_asked(&loyalty, late.purchase_id, 1).await;
        assert_eq!(reports(&loyalty, stale.purchase_id), 1, "it waits for the answer");
        loyalty.service.peers.say(&loyalty.failed(&late)).await;

        loyalty.advance(Duration::from_secs(5));
        is_asked(&loyalty, stale.purchase_id, 2).await;
        loyalty.advance(Duration::from_secs(20));
        is_asked(&loyalty, stale.purchase_id, 3).await;
        assert_eq!(
            loyalty.used("promocode").await,
            2,
            "only billing's word frees a use"
        );

        loyalty.service.peers.say(&loyalty.failed(&stale)).await;
        assert_eq!(
            (loyalty.used("promocode").await, loyalty.count("held").await),
            (1, 0)
        );
        // Another hold's report shows that the job has looked since.
        let other = loyalty.hold(loyalty.service.new_user(), "CODE");
        loyalty.ask(&other).await.held();
        loyalty.advance(Duration::from_secs(3_600));
        is_asked(&loyalty, other.purchase_id, 1).await;
        assert_eq!(reports(&loyalty, stale.purchase_id), 3);
        assert_eq!(reports(&loyalty, settled.purchase_id), 0);
    }
}
