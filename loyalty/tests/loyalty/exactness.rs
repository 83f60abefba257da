//! Duplicates, late and reordered messages, and batches that hold everything at once.

use serde_json::json;
use shared::{
    contracts::{Envelope, HoldPromocodeV1, Message},
    ids::MessageId,
};

use crate::{Heard, Loyalty, on_both_databases, ten_percent_off, with};

/// The message again under its own id and under new ones, alone and together.
async fn repeat<M: Message>(loyalty: &Loyalty, envelope: &Envelope, message: &M) {
    let peers = &loyalty.service.peers;
    peers.deliver(std::slice::from_ref(envelope)).await;
    peers.deliver(&[envelope.clone(), envelope.clone()]).await;
    peers.say(message).await;
    let renamed: Vec<_> = (0..3)
        .map(|_| peers.seal(MessageId::new(loyalty.now()), message))
        .collect();
    peers.deliver(&renamed).await;
}

/// Says it, and then again in every way; only the first time may change anything.
async fn say_in_every_way<M: Message>(loyalty: &Loyalty, message: &M) {
    let envelope = loyalty.service.peers.seal(MessageId::new(loyalty.now()), message);
    loyalty
        .service
        .peers
        .deliver(std::slice::from_ref(&envelope))
        .await;
    let after_the_first = loyalty.standing().await;
    repeat(loyalty, &envelope, message).await;
    assert_eq!(loyalty.standing().await, after_the_first, "{}", M::TYPE);
}

async fn a_repeated_message_of_any_kind_changes_nothing(loyalty: Loyalty) {
    let terms = with(
        ten_percent_off(),
        &json!({"max_redemptions": 3, "max_per_user": 3}),
    );
    loyalty.campaign(&terms, "CODE", Some(2)).await;
    let [paid, failed] = [(); 2].map(|()| loyalty.hold_of_anybody("CODE"));
    let refused = loyalty.hold_of_anybody("UNKNOWN");
    say_in_every_way(&loyalty, &paid).await;
    say_in_every_way(&loyalty, &failed).await;
    say_in_every_way(&loyalty, &refused).await;
    assert_eq!(loyalty.used("promocode").await, 2);
    say_in_every_way(&loyalty, &loyalty.paid(&paid)).await;
    say_in_every_way(&loyalty, &loyalty.failed(&failed)).await;
    say_in_every_way(&loyalty, &loyalty.failed(&refused)).await;
    let end = loyalty.standing().await;
    for hold in [&paid, &failed, &refused] {
        say_in_every_way(&loyalty, hold).await;
    }
    assert_eq!(loyalty.standing().await, end, "late holds");
    assert_eq!(
        (
            loyalty.used("campaign").await,
            loyalty.used("promocode").await,
            loyalty.used("user").await
        ),
        (1, 1, 1)
    );
    assert_eq!(end.refusals, 1);

    // Each repeat of a command got the stored answer, and never another one.
    for (hold, held) in [(&paid, true), (&refused, false)] {
        let first = loyalty.answer(hold.purchase_id).await;
        assert_eq!(matches!(first, Heard::Held(_)), held);
        let answers = loyalty.answers(hold.purchase_id);
        assert!(answers.len() > 1, "{answers:?}");
        assert!(answers.iter().all(|answer| *answer == first), "{answers:?}");
    }
    loyalty.nothing_failed().await;
}

async fn every_order_of_a_failed_purchase_ends_without_a_use(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", Some(1)).await;
    let peers = &loyalty.service.peers;
    for order in ["HF", "FH", "HHF", "HFH", "FHF", "FFH", "HFHF"] {
        for together in [false, true] {
            let hold = loyalty.hold_of_anybody("CODE");
            let failed = loyalty.failed(&hold);
            let envelopes: Vec<_> = order
                .chars()
                .map(|letter| {
                    let id = MessageId::new(loyalty.now());
                    if letter == 'H' {
                        peers.seal(id, &hold)
                    } else {
                        peers.seal(id, &failed)
                    }
                })
                .collect();
            if together {
                peers.deliver(&envelopes).await;
            } else {
                for envelope in &envelopes {
                    peers.deliver(std::slice::from_ref(envelope)).await;
                }
            }
            assert_eq!(loyalty.used("promocode").await, 0, "{order} {together}");
        }
    }
    assert_eq!(loyalty.count("cancelled").await, 14);
    loyalty.ask(&loyalty.hold_of_anybody("CODE")).await.held();
    loyalty.nothing_failed().await;
}

async fn an_older_outcome_after_a_newer_one_changes_nothing(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "CODE", Some(1)).await;
    let hold = loyalty.hold_of_anybody("CODE");
    loyalty.ask(&hold).await.held();
    let mut paid = loyalty.paid(&hold);
    paid.version = 3;
    loyalty.service.peers.say(&paid).await;
    let standing = loyalty.standing().await;
    for version in [1, 2, 3] {
        let mut failed = loyalty.failed(&hold);
        failed.version = version;
        loyalty.service.peers.say(&failed).await;
        assert_eq!(loyalty.standing().await, standing);
    }
}

async fn a_batch_admits_exactly_what_two_codes_of_one_campaign_share(loyalty: Loyalty) {
    let terms = with(
        ten_percent_off(),
        &json!({"max_redemptions": 10, "max_per_user": 2}),
    );
    let campaign = loyalty.campaign(&terms, "RED", Some(7)).await;
    loyalty.promocode(&campaign, "BLUE").await;
    let holds: Vec<_> = (0..40)
        .map(|number| loyalty.hold_of_anybody(if number % 2 == 0 { "RED" } else { "blue" }))
        .collect();
    let envelopes = loyalty.service.peers.seal_all(&holds);
    loyalty.service.peers.deliver(&envelopes).await;
    assert_eq!(
        (loyalty.count("held").await, loyalty.count("refused").await),
        (10, 0)
    );
    loyalty.pay_all(&holds).await;
    assert_eq!(
        (loyalty.count("confirmed").await, loyalty.count("refused").await),
        (10, 30)
    );
    assert_eq!(loyalty.used("campaign").await, 10);
    assert_eq!(loyalty.used("user").await, 10);
}

async fn a_batch_may_hold_a_hold_its_cancellation_and_repeats_of_both(loyalty: Loyalty) {
    loyalty.campaign(&ten_percent_off(), "ONCE", Some(1)).await;
    let peers = &loyalty.service.peers;
    let seal = |hold: &HoldPromocodeV1| peers.seal(MessageId::new(loyalty.now()), hold);
    let held = loyalty.hold_of_anybody("ONCE");
    loyalty.ask(&held).await.held();

    // The use that one gives back is taken by another, however they lie in the batch.
    let [over, next, too_late] = [(); 3].map(|()| loyalty.hold_of_anybody("ONCE"));
    let failed = |hold: &HoldPromocodeV1| peers.seal(MessageId::new(loyalty.now()), &loyalty.failed(hold));
    peers
        .deliver(&[
            seal(&over),
            seal(&next),
            seal(&next),
            failed(&over),
            failed(&held),
            failed(&held),
            seal(&too_late),
            seal(&over),
            seal(&next),
        ])
        .await;
    loyalty.answer(next.purchase_id).await.held();
    assert!(loyalty.answers(too_late.purchase_id).is_empty(), "it waits");
    assert!(loyalty.answers(over.purchase_id).is_empty());
    assert_eq!(loyalty.used("promocode").await, 1);
    assert_eq!(
        (loyalty.count("held").await, loyalty.count("cancelled").await),
        (1, 2)
    );
    loyalty.nothing_failed().await;
}

on_both_databases!(
    a_repeated_message_of_any_kind_changes_nothing,
    every_order_of_a_failed_purchase_ends_without_a_use,
    an_older_outcome_after_a_newer_one_changes_nothing,
    a_batch_admits_exactly_what_two_codes_of_one_campaign_share,
    a_batch_may_hold_a_hold_its_cancellation_and_repeats_of_both,
);
