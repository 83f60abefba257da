//! Terms that change while holds are decided by them, in several copies of the service.

use std::time::{Duration, Instant};

use reqwest::Method;
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{Value, json};
use shared::{contracts::RefusalCode, ids::UserId, testing::eventually};
use tokio::sync::Semaphore;

use crate::{Loyalty, call, concurrency::two_copies, ten_percent_off};

fn path_of(campaign: &Value) -> String {
    format!("/loyalty/v1/campaigns/{}", campaign["id"].as_str().unwrap())
}

/// Waits until so many transactions wait for others.
async fn waiting(loyalty: &Loyalty, number: usize) {
    eventually("others wait", || async {
        let sql = "SELECT pid FROM pg_stat_activity \
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        (loyalty.rows(sql).await.len() >= number).then_some(())
    })
    .await;
}

/// Runs `meanwhile` while another transaction keeps what `lock` locks, and ends that one when
/// `until` has.
async fn while_locked(
    loyalty: &Loyalty,
    lock: &str,
    until: impl AsyncFn(),
    meanwhile: impl Future<Output = ()>,
) {
    let locked = Semaphore::new(0);
    let kept_open = loyalty.service.db.write(|tx| {
        let (locked, until) = (&locked, &until);
        async move {
            tx.conn().execute_unprepared(lock).await?;
            locked.add_permits(1);
            until().await;
            Ok::<_, DbErr>(())
        }
    });
    let meanwhile = async {
        let _permit = locked.acquire().await.unwrap();
        meanwhile.await;
    };
    let (kept_open, ()) = tokio::join!(kept_open, meanwhile);
    kept_open.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_waited_for_a_promocode_to_be_switched_off_finds_it_off() {
    let [one, two] = two_copies().await;
    let campaign = one.campaign(&ten_percent_off(), "CODE", None).await;
    let path = format!("{}/promocodes/CODE", path_of(&campaign));
    let hold = two.hold_of_anybody("CODE");
    let switched_off = async {
        let off = json!({"status": "disabled"});
        one.admin.patch(&path, &off).await.expect(200);
    };
    let asked = async {
        // The promocode is switched off, but not committed.
        waiting(&one, 1).await;
        two.service.peers.say(&hold).await;
    };
    let both = async {
        tokio::join!(switched_off, asked);
    };
    let all_wait = async || waiting(&one, 2).await;
    while_locked(&one, "LOCK TABLE audit IN EXCLUSIVE MODE", all_wait, both).await;
    let refused = two.answer(hold.purchase_id).await.refused();
    assert_eq!(refused, [RefusalCode::PromocodeDisabled]);
    one.nothing_failed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_that_come_after_a_pause_wait_for_it_though_others_are_still_decided() {
    let [one, two] = two_copies().await;
    let campaign = one.campaign(&ten_percent_off(), "LIMITED", Some(5)).await;
    one.promocode(&campaign, "ENDLESS").await;
    let first = one.hold_of_anybody("LIMITED");
    one.ask(&first).await.held();
    let (early, late) = (one.hold_of_anybody("LIMITED"), two.hold_of_anybody("ENDLESS"));
    let asked_early = one.service.peers.say(&early);
    let paused = async {
        waiting(&one, 1).await;
        let path = format!("{}/pause", path_of(&campaign));
        one.admin.post(&path, &json!({})).await.expect(200);
    };
    let asked_late = async {
        waiting(&one, 2).await;
        two.service.peers.say(&late).await;
    };
    let all = async {
        tokio::join!(asked_early, paused, asked_late);
    };
    let all_wait = async || waiting(&one, 3).await;
    while_locked(&one, "SELECT used FROM counters FOR UPDATE", all_wait, all).await;
    one.answer(early.purchase_id).await.held();
    let refused = two.answer(late.purchase_id).await.refused();
    assert_eq!(refused, [RefusalCode::CampaignPaused]);
    one.nothing_failed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pause_is_quick_though_two_copies_hold_without_a_break() {
    let [one, two] = two_copies().await;
    let campaign = one.campaign(&ten_percent_off(), "CODE", None).await;
    let path = path_of(&campaign);
    let over = std::sync::atomic::AtomicBool::new(false);
    let hold_on = |copy| hold_until(copy, "CODE", &over);
    let streams: Vec<_> = (0..4).flat_map(|_| [hold_on(&one), hold_on(&two)]).collect();
    let pauses = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..10 {
            for action in ["pause", "resume"] {
                let began = Instant::now();
                let path = format!("{path}/{action}");
                call(&one.admin, Method::POST, &path).await.expect(200);
                slowest = slowest.max(began.elapsed());
            }
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        slowest
    };
    let (_, slowest) = tokio::join!(futures::future::join_all(streams), pauses);
    println!("slowest {slowest:?}, held {}", one.count("held").await);
    // Far from the time after which a change gives up, on whatever machine.
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    one.nothing_failed().await;
}

/// Holds of new users, one batch after another.
async fn hold_until(copy: &Loyalty, code: &str, over: &std::sync::atomic::AtomicBool) {
    while !over.load(std::sync::atomic::Ordering::Relaxed) {
        let holds: Vec<_> = (0..5).map(|_| copy.hold_of_anybody(code)).collect();
        let peers = &copy.service.peers;
        peers.deliver(&peers.seal_all(&holds)).await;
    }
}

/// Old uses of a campaign, each of another user, as payments would leave them.
async fn many_uses(loyalty: &Loyalty, number: usize) {
    let sql = format!(
        "INSERT INTO redemptions (purchase_id, status, user_id, tariff_id, promocode_id, campaign_id, \
         campaign_version, list_price, discount, final_price, purchase_version, counted_campaign, \
         counted_promocode, counted_user, reports, created_at, updated_at) \
         SELECT gen_random_uuid(), 'confirmed', gen_random_uuid(), gen_random_uuid(), id, campaign_id, 1, 1, 0, 1, 2, \
         false, false, false, 0, created_at, created_at FROM generate_series(1, {number}), promocodes"
    );
    let conn = loyalty.service.db.writer();
    for sql in [sql.as_str(), "ANALYZE redemptions"] {
        conn.execute_unprepared(sql).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_added_quickly_though_very_many_uses_were_taken() {
    let [one, two] = two_copies().await;
    let campaign = one.campaign(&ten_percent_off(), "CODE", None).await;
    let path = path_of(&campaign);
    let (user, uses) = (one.service.new_user(), 100_000);
    one.take(&one.hold(user, "CODE")).await;
    many_uses(&one, uses).await;
    let change = async |change: Value| {
        let began = Instant::now();
        one.admin.patch(&path, &change).await.expect(200);
        let took = began.elapsed();
        println!("{change}: {took:?}");
        assert!(took < Duration::from_secs(4), "{change}: {took:?}");
    };
    change(json!({"max_per_user": 2})).await;
    change(json!({"max_redemptions": uses + 3})).await;
    let (held, dry) = (two.hold(user, "CODE"), two.hold_of_anybody("CODE"));
    two.take(&held).await;
    two.take(&dry).await;
    let [over, none_left] = [user, one.service.new_user()].map(|user| one.hold(user, "CODE"));
    let refused = one.ask(&over).await.refused();
    assert_eq!(
        refused,
        [RefusalCode::UsesExhausted, RefusalCode::UserLimitReached]
    );
    assert_eq!(one.ask(&none_left).await.refused(), [RefusalCode::UsesExhausted]);
    change(json!({"max_per_user": 3})).await;
    change(json!({"max_per_user": null, "max_redemptions": null})).await;
    // An earlier limit had counted them all.
    let counted = "INSERT INTO counters (scope, scope_id, user_id, used) \
        SELECT 'user', campaign_id, user_id, 1 FROM redemptions WHERE campaign_id IS NOT NULL \
        ON CONFLICT DO NOTHING";
    let conn = one.service.db.writer();
    conn.execute_unprepared(counted).await.unwrap();
    change(json!({"max_per_user": 3, "max_redemptions": uses})).await;
    one.nothing_failed().await;
}

/// Holds of these users and failures of some of them, in small batches.
async fn hold_and_fail(copy: &Loyalty, users: &[UserId]) {
    let peers = &copy.service.peers;
    for _ in 0..15 {
        let holds: Vec<_> = users.iter().map(|user| copy.hold(*user, "CODE")).collect();
        peers.deliver(&peers.seal_all(&holds)).await;
        let failed: Vec<_> = holds[1..].iter().map(|hold| copy.failed(hold)).collect();
        peers.deliver(&peers.seal_all(&failed)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_for_each_user_stays_exact_while_two_copies_take_and_give_back_their_uses() {
    let [one, two] = two_copies().await;
    let campaign = one.campaign(&ten_percent_off(), "CODE", None).await;
    let path = path_of(&campaign);
    let users: Vec<_> = (0..4).map(|_| one.service.new_user()).collect();
    let limit = async |most: Value| {
        let change = json!({"max_per_user": most});
        one.admin.patch(&path, &change).await.expect(200);
    };
    let changes = async {
        for most in [json!(500), json!(null), json!(20), json!(null), json!(1_000)] {
            limit(most).await;
        }
    };
    tokio::join!(hold_and_fail(&one, &users), hold_and_fail(&two, &users), changes);
    one.nothing_failed().await;
    let right = async || {
        let before = one.now() - chrono::Duration::days(1);
        let found = loyalty::reconcile(one.service.db.reader(), before).await.unwrap();
        assert_eq!(found, []);
    };
    one.cancel_waiting().await;
    right().await;
    for user in users {
        let sql = format!(
            "SELECT count(*) AS n FROM redemptions \
             WHERE user_id = '{user}' AND status IN ('held', 'confirmed')"
        );
        let taken: i64 = one.rows(&sql).await[0].try_get("", "n").unwrap();
        limit(json!(null)).await;
        limit(json!(taken + 2)).await;
        for _ in 0..2 {
            two.ask(&two.hold(user, "CODE")).await.held();
        }
        assert!(!two.admits(&two.hold(user, "CODE")).await);
    }
    right().await;
    one.nothing_failed().await;
}
