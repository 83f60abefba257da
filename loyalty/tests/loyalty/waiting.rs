//! Holds that wait for uses which others hold.

use std::time::Duration;

use serde_json::json;
use shared::{
    contracts::{HoldPromocodeV1, RefusalCode},
    ids::MessageId,
    testing::{TestDatabase, eventually},
};

use crate::{Heard, Loyalty, noon, on_both_databases, roubles, ten_percent_off, with};

/// So long nothing is to happen.
const A_MOMENT: Duration = Duration::from_millis(600);

impl Loyalty {
    /// How many holds wait.
    async fn waiting(&self) -> i64 {
        self.rows("SELECT count(*) AS n FROM waiting_holds").await[0]
            .try_get("", "n")
            .unwrap()
    }

    async fn as_many_wait(&self, many: i64) {
        eventually("as many wait", || async move {
            (self.waiting().await == many).then_some(())
        })
        .await;
    }

    /// Asks for a hold that has to wait.
    async fn ask_in_vain(&self, hold: &HoldPromocodeV1) {
        let before = self.waiting().await;
        self.service.peers.say(hold).await;
        assert_eq!(self.waiting().await, before + 1, "it waits");
        assert_eq!(self.answers(hold.purchase_id), []);
    }

    async fn books_are_right(&self) {
        let before = self.now() - chrono::Duration::days(1);
        let found = loyalty::reconcile(self.service.db.reader(), before)
            .await
            .unwrap();
        assert_eq!(found, []);
        self.nothing_failed().await;
    }
}

async fn a_returned_use_goes_to_the_first_waiting_hold(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "ONCE", Some(1)).await;
    let holds: Vec<_> = (0..4).map(|_| loyalty.hold_of_anybody("ONCE")).collect();
    let peers = &loyalty.service.peers;
    loyalty.ask(&holds[0]).await.held();
    for hold in &holds[1..] {
        loyalty.ask_in_vain(hold).await;
    }
    for (ended, next) in holds.iter().zip(&holds[1..]) {
        peers.say(&loyalty.failed(ended)).await;
        loyalty.answer(next.purchase_id).await.held();
        assert_eq!(loyalty.used("promocode").await, 1);
    }
    for (number, hold) in holds.iter().enumerate() {
        assert_eq!(loyalty.answers(hold.purchase_id).len(), 1, "{number}");
    }
    assert_eq!(
        (
            loyalty.count("cancelled").await,
            loyalty.count("held").await,
            loyalty.waiting().await
        ),
        (3, 1, 0)
    );
    loyalty.books_are_right().await;
}

async fn waiting_holds_are_refused_when_all_uses_are_confirmed(loyalty: Loyalty) {
    let terms = with(ten_percent_off(), &json!({"max_redemptions": 2}));
    loyalty.campaign(&terms, "TWICE", None).await;
    let [one, two, late, later] = [(); 4].map(|()| loyalty.hold_of_anybody("TWICE"));
    loyalty.ask(&one).await.held();
    loyalty.ask(&two).await.held();
    loyalty.ask_in_vain(&late).await;
    loyalty.ask_in_vain(&later).await;
    let peers = &loyalty.service.peers;
    peers.say(&loyalty.paid(&one)).await;
    tokio::time::sleep(A_MOMENT).await;
    assert_eq!(loyalty.waiting().await, 2, "one use may still come back");
    peers.say(&loyalty.paid(&two)).await;
    for hold in [&late, &later] {
        let Heard::Refused(refused) = loyalty.answer(hold.purchase_id).await else {
            panic!("both uses are confirmed");
        };
        let reason = &refused.reasons[0];
        assert_eq!(
            (reason.code, &reason.expected, &reason.found),
            (RefusalCode::UsesExhausted, &Some(json!(2)), &Some(json!(2)))
        );
    }
    let new = loyalty.ask(&loyalty.hold_of_anybody("TWICE")).await;
    assert_eq!(new.refused(), [RefusalCode::UsesExhausted]);
    loyalty.books_are_right().await;
}

async fn a_purchase_that_ends_while_it_waits_leaves_the_queue(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "ONCE", Some(1)).await;
    let [first, gone, next] = [(); 3].map(|()| loyalty.hold_of_anybody("ONCE"));
    let peers = &loyalty.service.peers;
    loyalty.ask(&first).await.held();
    loyalty.ask_in_vain(&gone).await;
    loyalty.ask_in_vain(&next).await;
    // Its buyer cancels it, and whatever comes late of it changes nothing.
    peers.say(&loyalty.failed(&gone)).await;
    peers.say(&gone).await;
    assert_eq!(loyalty.waiting().await, 1);
    peers.say(&loyalty.failed(&first)).await;
    loyalty.answer(next.purchase_id).await.held();
    assert_eq!(loyalty.answers(gone.purchase_id), []);
    assert_eq!(loyalty.count("cancelled").await, 2);
    loyalty.books_are_right().await;
}

async fn a_repeat_keeps_its_place_and_gets_the_one_answer(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "ONCE", Some(1)).await;
    let [first, second, third] = [(); 3].map(|()| loyalty.hold_of_anybody("ONCE"));
    let peers = &loyalty.service.peers;
    loyalty.ask(&first).await.held();
    loyalty.ask_in_vain(&second).await;
    loyalty.ask_in_vain(&third).await;
    for _ in 0..2 {
        let again = [&third, &second, &second].map(|hold| peers.seal(MessageId::new(loyalty.now()), hold));
        peers.deliver(&again).await;
    }
    assert_eq!(loyalty.waiting().await, 2);
    peers.say(&loyalty.failed(&first)).await;
    let held = loyalty.answer(second.purchase_id).await;
    assert_eq!(loyalty.answers(second.purchase_id).len(), 1);
    peers.say(&second).await;
    assert_eq!(loyalty.answers(second.purchase_id).len(), 2);
    assert_eq!(loyalty.answer(second.purchase_id).await, held);
    loyalty.books_are_right().await;
}

async fn a_second_tab_waits_for_the_first_one(loyalty: Loyalty) {
    let terms = with(ten_percent_off(), &json!({"max_per_user": 1}));
    loyalty.campaign(&terms, "ONE-EACH", None).await;
    let user = loyalty.service.new_user();
    let [first, second] = [(); 2].map(|()| loyalty.hold(user, "ONE-EACH"));
    loyalty.ask(&first).await.held();
    loyalty.ask_in_vain(&second).await;
    // Other users do not wait for it.
    loyalty.ask(&loyalty.hold_of_anybody("ONE-EACH")).await.held();
    loyalty.service.peers.say(&loyalty.failed(&first)).await;
    loyalty.answer(second.purchase_id).await.held();
    loyalty.books_are_right().await;
}

async fn other_promocodes_of_the_campaign_are_not_kept_waiting(loyalty: Loyalty) {
    let terms = with(ten_percent_off(), &json!({"max_redemptions": 5}));
    let campaign = loyalty.campaign(&terms, "ONCE", Some(1)).await;
    loyalty.promocode(&campaign, "OTHER").await;
    loyalty.ask(&loyalty.hold_of_anybody("ONCE")).await.held();
    loyalty.ask_in_vain(&loyalty.hold_of_anybody("ONCE")).await;
    loyalty.ask(&loyalty.hold_of_anybody("OTHER")).await.held();
    assert_eq!(loyalty.used("campaign").await, 2);
    loyalty.books_are_right().await;
}

async fn a_buyer_without_the_money_does_not_wait(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "ONCE", Some(1)).await;
    loyalty.ask(&loyalty.hold_of_anybody("ONCE")).await.held();
    let poor = HoldPromocodeV1 {
        balance: Some(roubles(899)),
        ..loyalty.hold_of_anybody("ONCE")
    };
    loyalty.ask(&poor).await.not_held();
    assert_eq!(loyalty.waiting().await, 0);
}

async fn one_user_does_not_fill_the_queue_and_is_told_to_try_again(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "ONCE", Some(1)).await;
    loyalty.ask(&loyalty.hold_of_anybody("ONCE")).await.held();
    let user = loyalty.service.new_user();
    for _ in 0..10 {
        loyalty.ask_in_vain(&loyalty.hold(user, "ONCE")).await;
    }
    let refused = loyalty.ask(&loyalty.hold(user, "ONCE")).await.refused();
    assert_eq!(refused, [RefusalCode::UsesHeld]);
    loyalty.ask_in_vain(&loyalty.hold_of_anybody("ONCE")).await;
    loyalty.books_are_right().await;
}

async fn changed_terms_decide_waiting_holds(loyalty: Loyalty) {
    let terms = with(ten_percent_off(), &json!({"max_redemptions": 1}));
    let campaign = loyalty.campaign(&terms, "CODE", None).await;
    let path = format!("/loyalty/v1/campaigns/{}", campaign["id"].as_str().unwrap());
    loyalty.ask(&loyalty.hold_of_anybody("CODE")).await.held();
    let [second, third] = [(); 2].map(|()| loyalty.hold_of_anybody("CODE"));
    loyalty.ask_in_vain(&second).await;
    loyalty.ask_in_vain(&third).await;
    let two = json!({"version": 1, "max_redemptions": 2});
    loyalty.admin.patch(&path, &two).await.expect(200);
    loyalty.answer(second.purchase_id).await.held();
    assert_eq!(loyalty.waiting().await, 1);
    loyalty
        .admin
        .post(&format!("{path}/pause"), &serde_json::Value::Null)
        .await
        .expect(200);
    let refused = loyalty.answer(third.purchase_id).await.refused();
    assert_eq!(refused, [RefusalCode::CampaignPaused]);
    loyalty.books_are_right().await;
}

async fn a_dry_run_distinguishes_held_uses_from_confirmed_ones(loyalty: Loyalty) {
    let tariff = loyalty.tariff(roubles(1_000)).await;
    let terms = with(ten_percent_off(), &json!({"listed": true}));
    loyalty.campaign(&terms, "ONCE", Some(1)).await;
    loyalty
        .campaign(
            &with(ten_percent_off(), &json!({"requires_grant": true})),
            "HIDDEN",
            Some(1),
        )
        .await;
    let taken = loyalty.hold_of_anybody("ONCE");
    loyalty.ask(&taken).await.held();
    let user = loyalty.service.new_user();
    let told = async |code| {
        let problem = loyalty.validate(user, code, tariff).await;
        let problem = problem.expect_problem(422, "promocode_refused");
        crate::codes(&problem).join(" ")
    };
    assert_eq!(told("ONCE").await, "uses_held");
    assert_eq!(told("HIDDEN").await, "unknown_promocode");
    let usable = loyalty
        .service
        .api_of(user)
        .get("/loyalty/v1/promocodes")
        .await
        .expect(200);
    assert_eq!(usable, json!({"items": []}));
    loyalty.service.peers.say(&loyalty.paid(&taken)).await;
    assert_eq!(told("ONCE").await, "uses_exhausted");
}

async fn a_whole_batch_is_served_in_its_order(loyalty: Loyalty) {
    let terms = with(ten_percent_off(), &json!({"max_redemptions": 3}));
    loyalty.campaign(&terms, "CODE", None).await;
    let holds: Vec<_> = (0..20).map(|_| loyalty.hold_of_anybody("CODE")).collect();
    let peers = &loyalty.service.peers;
    peers.deliver(&peers.seal_all(&holds)).await;
    assert_eq!((loyalty.count("held").await, loyalty.waiting().await), (3, 17));
    // Three at a time, in the order of arrival.
    for (round, ended) in holds.chunks(3).enumerate() {
        for hold in ended {
            loyalty.answer(hold.purchase_id).await.held();
        }
        let behind = holds
            .get(3 * (round + 1))
            .map(|hold| loyalty.answers(hold.purchase_id));
        assert!(behind.is_none_or(|answers| answers.is_empty()), "{round}");
        let failed: Vec<_> = ended.iter().map(|hold| loyalty.failed(hold)).collect();
        peers.deliver(&peers.seal_all(&failed)).await;
    }
    assert_eq!(
        (loyalty.count("cancelled").await, loyalty.used("campaign").await),
        (20, 0)
    );
    loyalty.books_are_right().await;
}

on_both_databases!(
    a_returned_use_goes_to_the_first_waiting_hold,
    waiting_holds_are_refused_when_all_uses_are_confirmed,
    a_purchase_that_ends_while_it_waits_leaves_the_queue,
    a_repeat_keeps_its_place_and_gets_the_one_answer,
    a_second_tab_waits_for_the_first_one,
    other_promocodes_of_the_campaign_are_not_kept_waiting,
    a_buyer_without_the_money_does_not_wait,
    one_user_does_not_fill_the_queue_and_is_told_to_try_again,
    changed_terms_decide_waiting_holds,
    a_dry_run_distinguishes_held_uses_from_confirmed_ones,
    a_whole_batch_is_served_in_its_order,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_whose_purchase_never_ends_is_given_up_and_billing_hears_nothing_of_it() {
    for database in [TestDatabase::Sqlite, TestDatabase::Postgres] {
        let loyalty = Loyalty::start_at(database, noon()).await;
        loyalty.campaign(&ten_percent_off(), "ONCE", Some(1)).await;
        let [first, second] = [(); 2].map(|()| loyalty.hold_of_anybody("ONCE"));
        loyalty.ask(&first).await.held();
        loyalty.ask_in_vain(&second).await;
        loyalty.advance(Duration::from_secs(34));
        tokio::time::sleep(A_MOMENT).await;
        assert_eq!(loyalty.waiting().await, 1);
        loyalty.advance(Duration::from_secs(1));
        loyalty.as_many_wait(0).await;
        assert_eq!(
            (loyalty.count("cancelled").await, loyalty.count("held").await),
            (1, 1)
        );
        assert_eq!(loyalty.answers(second.purchase_id), []);
        loyalty.service.peers.say(&loyalty.failed(&second)).await;
        assert_eq!(loyalty.used("promocode").await, 1);
        loyalty.books_are_right().await;
    }
}

/// Plays billing: a purchase that is held is paid if its buyer can pay, and fails if not.
async fn play_billing(loyalty: &Loyalty, holds: &[(HoldPromocodeV1, bool)]) {
    for (hold, can_pay) in holds {
        let Heard::Held(_) = loyalty.answer(hold.purchase_id).await else {
            continue;
        };
        if *can_pay {
            loyalty.service.peers.say(&loyalty.paid(hold)).await;
        } else {
            loyalty.service.peers.say(&loyalty.failed(hold)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_copies_every_buyer_with_money_gets_a_use() {
    let [one, two] = crate::concurrency::two_copies().await;
    one.campaign(&ten_percent_off(), "FIVE", Some(5)).await;
    // The commands name no balance, so that buyers without money hold uses too.
    let mut holds: Vec<_> = (0..40)
        .map(|n| (one.hold_of_anybody("FIVE"), n % 8 == 7))
        .collect();
    let (left, right) = holds.split_at(20);
    let sent = async |copy: &Loyalty, part: &[(HoldPromocodeV1, bool)]| {
        for (hold, _) in part {
            copy.service.peers.say(hold).await;
        }
    };
    tokio::join!(sent(&one, left), sent(&two, right));
    // What is said in one copy is decided by either of them.
    let heard = async |hold: &HoldPromocodeV1| {
        eventually("an answer in either copy", || {
            let answers = [one.answers(hold.purchase_id), two.answers(hold.purchase_id)];
            std::future::ready(answers.into_iter().flatten().next())
        })
        .await
    };
    let mut paid = 0;
    holds.rotate_left(3);
    let each = holds.iter().map(|(hold, can_pay)| {
        let (heard, one, two) = (&heard, &one, &two);
        async move {
            let Heard::Held(_) = heard(hold).await else {
                assert!(!can_pay, "refused, though others could not pay");
                return 0;
            };
            let copy = if hold.user_id.0.as_u128() % 2 == 0 {
                one
            } else {
                two
            };
            if *can_pay {
                copy.service.peers.say(&copy.paid(hold)).await;
            } else {
                copy.service.peers.say(&copy.failed(hold)).await;
            }
            i64::from(*can_pay)
        }
    });
    paid += futures::future::join_all(each).await.into_iter().sum::<i64>();
    assert_eq!((paid, one.count("confirmed").await), (5, 5));
    assert_eq!((one.used("promocode").await, one.waiting().await), (5, 0));
    one.books_are_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_copy_decides_waiting_holds_after_the_first_has_stopped() {
    let [one, two] = crate::concurrency::two_copies().await;
    one.campaign(&ten_percent_off(), "ONCE", Some(1)).await;
    let [first, second, third] = [(); 3].map(|()| one.hold_of_anybody("ONCE"));
    one.ask(&first).await.held();
    one.ask_in_vain(&second).await;
    one.ask_in_vain(&third).await;
    one.service.stop().await;
    two.service.peers.say(&two.failed(&first)).await;
    play_billing(&two, &[(second, false), (third, true)]).await;
    assert_eq!((two.count("confirmed").await, two.waiting().await), (1, 0));
    two.books_are_right().await;
}
