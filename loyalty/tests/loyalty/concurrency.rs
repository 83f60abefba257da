//! Several copies of the service on one database.

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;
use shared::{
    contracts::{HoldPromocodeV1, Message},
    testing::{eventually, new_postgres_database},
};
use tokio::sync::Semaphore;

use crate::{Heard, Loyalty, on_both_databases, ten_percent_off, with};

const BUYERS: usize = 200;

pub(crate) async fn two_copies() -> [Loyalty; 2] {
    let url = new_postgres_database().await;
    let first = Loyalty::start_on(&url).await;
    [first, Loyalty::start_on(&url).await]
}

/// Delivers `messages` to this copy in many small transactions, one after another: copies that
/// do this side by side meet again and again.
async fn deliver<M: Message>(copy: &Loyalty, messages: &[M]) {
    let envelopes = copy.service.peers.seal_all(messages);
    for batch in envelopes.chunks(3) {
        copy.service.peers.deliver(batch).await;
    }
}

async fn exactly_ten_of_two_hundred_buyers_get_one_of_ten_uses(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "TEN", Some(10)).await;
    let holds: Vec<_> = (0..BUYERS).map(|_| loyalty.hold_of_anybody("TEN")).collect();
    let envelopes = loyalty.service.peers.seal_all(&holds);
    // All on their way at once, taken in batches of what is there.
    let batches = envelopes
        .chunks(7)
        .map(|batch| loyalty.service.peers.deliver(batch));
    futures::future::join_all(batches).await;
    assert_eq!(
        (loyalty.count("held").await, loyalty.count("refused").await),
        (10, 0)
    );
    loyalty.pay_all(&holds).await;
    assert_eq!(
        (loyalty.count("confirmed").await, loyalty.count("refused").await),
        (10, 190)
    );
    assert_eq!(loyalty.used("promocode").await, 10);
    loyalty.nothing_failed().await;
}

on_both_databases!(exactly_ten_of_two_hundred_buyers_get_one_of_ten_uses);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_admit_exactly_ten_of_two_hundred_buyers() {
    let [one, two] = two_copies().await;
    let campaign = one
        .campaign(
            &with(ten_percent_off(), &json!({"max_redemptions": 10})),
            "RED",
            None,
        )
        .await;
    one.promocode(&campaign, "BLUE").await;
    let holds = |copy: &Loyalty, code| {
        (0..BUYERS / 2)
            .map(|_| copy.hold_of_anybody(code))
            .collect::<Vec<_>>()
    };
    let (left, right) = (holds(&one, "RED"), holds(&two, "BLUE"));
    tokio::join!(deliver(&one, &left), deliver(&two, &right));
    assert_eq!((one.count("held").await, one.count("refused").await), (10, 0));
    tokio::join!(one.pay_all(&left), two.pay_all(&right));
    assert_eq!(
        (one.count("confirmed").await, one.count("refused").await),
        (10, 190)
    );
    assert_eq!(one.used("campaign").await, 10);
    one.nothing_failed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_together_admit_exactly_as_many_as_each_kind_of_limit_allows() {
    let [one, two] = two_copies().await;
    // Large enough not to be used up by the first who come.
    one.campaign(
        &with(ten_percent_off(), &json!({"max_redemptions": 90})),
        "TOTAL",
        None,
    )
    .await;
    one.campaign(&ten_percent_off(), "CODE", Some(90)).await;
    one.campaign(
        &with(ten_percent_off(), &json!({"max_per_user": 90})),
        "USER",
        None,
    )
    .await;
    let user = one.service.new_user();
    let holds = |copy: &Loyalty| {
        let codes = ["TOTAL", "CODE", "USER"].into_iter().cycle();
        codes
            .take(BUYERS)
            .map(|code| copy.hold(user, code))
            .collect::<Vec<_>>()
    };
    let (left, right) = (holds(&one), holds(&two));
    tokio::join!(deliver(&one, &left), deliver(&two, &right));
    for scope in ["campaign", "promocode", "user"] {
        assert_eq!(one.used(scope).await, 90, "{scope}");
    }
    assert_eq!(one.count("held").await, 270);
    tokio::join!(one.pay_all(&left), two.pay_all(&right));
    assert_eq!(
        (one.count("confirmed").await, one.count("refused").await),
        (270, 130)
    );
    one.nothing_failed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_that_two_copies_decide_at_once_is_decided_once() {
    let [one, two] = two_copies().await;
    one.campaign(&ten_percent_off(), "CODE", Some(1_000)).await;
    one.campaign(&ten_percent_off(), "ENDLESS", None).await;
    let holds: Vec<_> = (0..BUYERS)
        .map(|number| one.hold_of_anybody(if number % 2 == 0 { "CODE" } else { "ENDLESS" }))
        .collect();
    tokio::join!(deliver(&one, &holds), deliver(&two, &holds));
    assert_eq!(one.count("held").await, 200);
    assert_eq!(one.used("promocode").await, 100, "each purchase takes one use");
    for hold in &holds {
        // Both copies answer, and say the same.
        let (one, two) = tokio::join!(one.answer(hold.purchase_id), two.answer(hold.purchase_id));
        assert!(matches!(one, Heard::Held(_)));
        assert_eq!(one, two);
    }
    one.nothing_failed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_that_race_with_their_own_failures_leave_no_use_taken() {
    let [one, two] = two_copies().await;
    let terms = with(
        ten_percent_off(),
        &json!({"max_redemptions": 1_000, "max_per_user": 5}),
    );
    one.campaign(&terms, "CODE", Some(1_000)).await;
    let holds: Vec<_> = (0..BUYERS).map(|_| one.hold_of_anybody("CODE")).collect();
    let failures: Vec<_> = holds.iter().map(|hold| one.failed(hold)).collect();
    tokio::join!(deliver(&one, &holds), deliver(&two, &failures));
    assert_eq!(one.count("cancelled").await, 200);
    for scope in ["campaign", "promocode", "user"] {
        assert_eq!(one.used(scope).await, 0, "{scope}");
    }
    one.nothing_failed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_meets_its_hold_before_the_commit_gives_the_use_back() {
    let [one, two] = two_copies().await;
    one.campaign(&ten_percent_off(), "CODE", Some(5)).await;
    let hold = one.hold_of_anybody("CODE");
    let failed = one.failed(&hold);
    let locked = Semaphore::new(0);
    // The hold is written and can't commit, since it can't say so, until the failure waits for it.
    let keep_open = one.service.db.write(|tx| {
        let (locked, one) = (&locked, &one);
        async move {
            tx.conn()
                .execute_unprepared("LOCK TABLE outbox IN EXCLUSIVE MODE")
                .await?;
            locked.add_permits(2);
            eventually("the failure waits for the hold", || async {
                let sql = "SELECT pid FROM pg_stat_activity \
                    WHERE datname = current_database() AND wait_event = 'transactionid'";
                (!one.rows(sql).await.is_empty()).then_some(())
            })
            .await;
            Ok::<_, DbErr>(())
        }
    });
    let held = async {
        let _permit = locked.acquire().await.unwrap();
        one.service.peers.say(&hold).await;
    };
    let told = async {
        let _permit = locked.acquire().await.unwrap();
        eventually("the hold waits", || async {
            let sql = "SELECT pid FROM pg_stat_activity \
                WHERE datname = current_database() AND wait_event = 'relation'";
            (!one.rows(sql).await.is_empty()).then_some(())
        })
        .await;
        two.service.peers.say(&failed).await;
    };
    let (kept_open, (), ()) = tokio::join!(keep_open, held, told);
    kept_open.unwrap();
    assert_eq!(
        (one.count("cancelled").await, one.used("promocode").await),
        (1, 0)
    );
    one.nothing_failed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_two_copies_hear_at_once_gives_the_use_back_once() {
    let [one, two] = two_copies().await;
    one.campaign(&ten_percent_off(), "CODE", Some(1_000)).await;
    let holds: Vec<_> = (0..2 * BUYERS).map(|_| one.hold_of_anybody("CODE")).collect();
    one.service
        .peers
        .deliver(&one.service.peers.seal_all(&holds))
        .await;
    let failures: Vec<_> = holds[..BUYERS].iter().map(|hold| one.failed(hold)).collect();
    tokio::join!(deliver(&one, &failures), deliver(&two, &failures));
    assert_eq!(
        (one.count("cancelled").await, one.count("held").await),
        (200, 200)
    );
    assert_eq!(one.used("promocode").await, 200);
    one.nothing_failed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_given_back_while_others_are_taken_are_counted_exactly() {
    let [one, two] = two_copies().await;
    one.campaign(
        &with(ten_percent_off(), &json!({"max_redemptions": 1_000})),
        "CODE",
        Some(1_000),
    )
    .await;
    let first: Vec<_> = (0..BUYERS).map(|_| one.hold_of_anybody("CODE")).collect();
    one.service
        .peers
        .deliver(&one.service.peers.seal_all(&first))
        .await;
    assert_eq!(one.used("promocode").await, 200);

    let (failing, paying) = first.split_at(BUYERS / 2);
    let failures: Vec<_> = failing.iter().map(|hold| one.failed(hold)).collect();
    let payments: Vec<_> = paying.iter().map(|hold| one.paid(hold)).collect();
    let second: Vec<_> = (0..BUYERS).map(|_| one.hold_of_anybody("CODE")).collect();
    tokio::join!(
        deliver(&one, &failures),
        deliver(&one, &payments),
        deliver(&two, &second),
    );
    assert_eq!(one.count("confirmed").await, 100);
    assert_eq!(
        (one.count("held").await, one.count("cancelled").await),
        (200, 100)
    );
    assert_eq!(
        (one.used("campaign").await, one.used("promocode").await),
        (300, 300)
    );
    one.nothing_failed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_use_is_given_back_without_waiting_for_who_counts_others() {
    let [one, two] = two_copies().await;
    one.campaign(&ten_percent_off(), "CODE", Some(5)).await;
    let hold = one.hold_of_anybody("CODE");
    one.ask(&hold).await.held();
    let failed = one.failed(&hold);
    let kept_open = one.service.db.write(|tx| {
        let (one, two, failed) = (&one, &two, &failed);
        async move {
            tx.conn()
                .execute_unprepared("SELECT used FROM counters FOR UPDATE")
                .await?;
            two.service.peers.say(failed).await;
            eventually("the redemption is cancelled beside the lock", || async {
                (one.count("cancelled").await == 1).then_some(())
            })
            .await;
            Ok::<_, DbErr>(())
        }
    });
    kept_open.await.unwrap();
    assert_eq!(one.used("promocode").await, 0);
    one.nothing_failed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_that_give_back_and_take_uses_crosswise_never_lock_each_other_up() {
    let [one, two] = two_copies().await;
    one.campaign(&ten_percent_off(), "LEFT", Some(1_000)).await;
    one.campaign(&ten_percent_off(), "RIGHT", Some(1_000)).await;
    let taken = |code: &'static str| (0..BUYERS).map(|_| one.hold_of_anybody(code)).collect::<Vec<_>>();
    let (left, right) = (taken("LEFT"), taken("RIGHT"));
    for holds in [&left, &right] {
        one.service
            .peers
            .deliver(&one.service.peers.seal_all(holds))
            .await;
    }
    // Each batch gives a use of one code back and takes one of the other.
    let crosswise = async |copy: &Loyalty, given_back: &[HoldPromocodeV1], code: &str| {
        let peers = &copy.service.peers;
        for hold in given_back {
            let failed = peers.seal_all(&[copy.failed(hold)]);
            let next = peers.seal_all(&[copy.hold_of_anybody(code)]);
            peers.deliver(&[failed, next].concat()).await;
        }
    };
    tokio::join!(crosswise(&one, &left, "RIGHT"), crosswise(&two, &right, "LEFT"));
    assert_eq!(
        (one.count("held").await, one.count("cancelled").await),
        (2 * BUYERS as i64, 2 * BUYERS as i64)
    );
    assert_eq!(one.used("promocode").await, 2 * BUYERS as i64);
    one.nothing_failed().await;
    // What the database has counted reaches its statistics within a second or so.
    eventually("the statistics are there", || async {
        let sql = "SELECT xact_commit >= 800 AS there, deadlocks FROM pg_stat_database \
            WHERE datname = current_database()";
        let row = &one.rows(sql).await[0];
        let deadlocks: i64 = row.try_get("", "deadlocks").unwrap();
        assert_eq!(deadlocks, 0);
        row.try_get::<bool>("", "there").unwrap().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_administrators_cannot_make_the_same_code() {
    let [one, two] = two_copies().await;
    for round in 0..10 {
        let body = with(
            ten_percent_off(),
            &json!({"promocode": {"code": format!("CODE-{round}")}}),
        );
        let (left, right) = tokio::join!(
            one.admin.post("/loyalty/v1/campaigns", &body),
            two.admin.post("/loyalty/v1/campaigns", &body),
        );
        let mut statuses = [left.status.as_u16(), right.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
    }
}
