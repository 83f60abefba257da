//! Holding loyalty's own books.

use sea_orm::{ConnectionTrait, DbBackend};
use serde_json::json;
use shared::reconcile::Finding;

use crate::{Loyalty, on_both_databases, ten_percent_off, with};

const COUNTERS: &str = "a counter of uses is the number of redemptions that take one";

async fn findings(loyalty: &Loyalty) -> Vec<Finding> {
    // Nothing is so old that it should have been settled by now.
    let before = loyalty.now() - chrono::Duration::days(1);
    loyalty::reconcile(loyalty.service.db.reader(), before)
        .await
        .unwrap()
}

async fn books_that_are_right_show_nothing_and_each_wrong_count_is_found(loyalty: Loyalty) {
    let terms = with(
        ten_percent_off(),
        &json!({"max_redemptions": 9, "max_per_user": 2}),
    );
    loyalty.campaign(&terms, "CODE", Some(9)).await;
    let [held, paid, failed] = [(); 3].map(|()| loyalty.hold_of_anybody("CODE"));
    for hold in [&held, &paid, &failed] {
        loyalty.ask(hold).await.held();
    }
    loyalty.service.peers.say(&loyalty.paid(&paid)).await;
    // Given back, and still to be taken off the counts.
    loyalty.service.peers.say(&loyalty.failed(&failed)).await;
    assert_eq!(findings(&loyalty).await, []);

    for scope in ["campaign", "promocode"] {
        let change =
            |by: &str| format!("UPDATE counters SET used = used {by} WHERE scope = '{scope}' RETURNING used");
        loyalty.rows(&change("+ 1")).await;
        let found = findings(&loyalty).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].rule, found[0].detail.as_str()),
            (COUNTERS, &*format!("{scope} counts 3, redemptions are 2"))
        );
        loyalty.rows(&change("- 1")).await;
    }
    // Redemptions that take a use, without a counter: two users and the campaign.
    loyalty
        .rows("DELETE FROM counters WHERE scope <> 'promocode' RETURNING used")
        .await;
    loyalty
        .rows("DELETE FROM returned_uses WHERE scope <> 'promocode' RETURNING scope")
        .await;
    let found = findings(&loyalty).await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|finding| finding.rule == COUNTERS));
}

/// In milliseconds, in fact; what compares each counter with each redemption takes longer than any
/// statement may.
async fn twenty_thousand_users_of_a_campaign_are_reconciled_in_time(loyalty: Loyalty) {
    let terms = with(ten_percent_off(), &json!({"max_per_user": 5}));
    loyalty.campaign(&terms, "CODE", None).await;
    let conn = loyalty.service.db.writer();
    let uuid = match conn.get_database_backend() {
        DbBackend::Postgres => "gen_random_uuid()",
        _ => "randomblob(16)",
    };
    let all = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)";
    for sql in [
        format!(
            "INSERT INTO redemptions (purchase_id, status, user_id, tariff_id, promocode_id, campaign_id, \
             campaign_version, list_price, discount, final_price, purchase_version, counted_campaign, \
             counted_promocode, counted_user, reports, created_at, updated_at) \
             {all} SELECT {uuid}, 'confirmed', {uuid}, {uuid}, one.id, one.campaign_id, 1, 1, 0, 1, 1, \
             false, false, true, 0, one.created_at, one.created_at FROM n CROSS JOIN promocodes one"
        ),
        "INSERT INTO counters (scope, scope_id, user_id, used) \
         SELECT 'user', campaign_id, user_id, 1 FROM redemptions"
            .to_owned(),
    ] {
        conn.execute_unprepared(&sql).await.unwrap();
    }
    assert_eq!(findings(&loyalty).await, []);
    let one_more = "UPDATE counters SET used = 2 \
        WHERE user_id = (SELECT user_id FROM counters LIMIT 1) RETURNING used";
    loyalty.rows(one_more).await;
    assert_eq!(findings(&loyalty).await.len(), 1);
}

on_both_databases!(
    books_that_are_right_show_nothing_and_each_wrong_count_is_found,
    twenty_thousand_users_of_a_campaign_are_reconciled_in_time,
);
