//! Messages that can't be applied lie between healthy ones.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, SystemClock},
    contracts::{
        Envelope, HoldPromocodeV1, Message, PromocodeHeldV1, PurchasePaidV1, ReportPurchaseV1, ServiceName,
    },
    ids::{CampaignId, MessageId, PromocodeId, PurchaseId, UserId},
    money::{Amount, Money},
};

use super::{
    arena::{Arena, Behind},
    stream::Stream,
    whole::Poison,
};

/// Healthy messages may not wait for those that fail.
const NOT_HELD_UP: Duration = Duration::from_secs(10);

/// Each kind of it, so many times.
pub async fn lies_between(arena: &mut Arena, stream: &Stream, rounds: usize) {
    let poisoned = Instant::now();
    for round in 0..rounds {
        for poison in poisons(round) {
            say(arena, &poison).await;
            for (service, status, reason) in poison.effects {
                arena.poison.push(Poison {
                    service,
                    status,
                    reason,
                });
            }
        }
    }
    stream
        .recovers("poison between healthy messages", poisoned, NOT_HELD_UP)
        .await;
}

struct Bad {
    exchange: &'static str,
    key: &'static str,
    payload: String,
    /// Who chokes on it, what becomes of it, and what is said about it.
    effects: Vec<(ServiceName, &'static str, &'static str)>,
}

const PARKED: &str = "parked";
const RETRY: &str = "retry";
const UNREADABLE: &str = "the envelope can't be read";
const NO_PURCHASE: &str = "there is no purchase";

fn poisons(round: usize) -> Vec<Bad> {
    vec![
        garbage::<HoldPromocodeV1>(round, &[ServiceName::Loyalty]),
        garbage::<PromocodeHeldV1>(round, &[ServiceName::Billing]),
        garbage::<PurchasePaidV1>(round, &[ServiceName::Loyalty, ServiceName::Notifications]),
        sealed(&held_for_nobody(), (ServiceName::Billing, RETRY, NO_PURCHASE)),
        sealed(
            &ReportPurchaseV1 {
                purchase_id: PurchaseId::new(SystemClock.now()),
            },
            (ServiceName::Billing, RETRY, NO_PURCHASE),
        ),
        Bad {
            payload: envelope(&held_for_nobody(), Some(json!({"purchase_id": "nobody"}))),
            ..sealed(
                &held_for_nobody(),
                (ServiceName::Billing, PARKED, "the message can't be read"),
            )
        },
    ]
}

fn garbage<M: Message>(round: usize, who: &[ServiceName]) -> Bad {
    Bad {
        exchange: M::EXCHANGE.as_str(),
        key: M::ROUTING_KEY,
        // Different bytes each time: the same would be the same message.
        payload: format!("{{\"no\": \"envelope {round} {}", M::TYPE),
        effects: who.iter().map(|service| (*service, PARKED, UNREADABLE)).collect(),
    }
}

fn sealed<M: Message>(message: &M, effect: (ServiceName, &'static str, &'static str)) -> Bad {
    Bad {
        exchange: M::EXCHANGE.as_str(),
        key: M::ROUTING_KEY,
        payload: envelope(message, None),
        effects: vec![effect],
    }
}

/// With other content, if there is some.
fn envelope<M: Message>(message: &M, content: Option<Value>) -> String {
    let now = SystemClock.now();
    let mut envelope = Envelope::seal(MessageId::new(now), "test", now, None, message).unwrap();
    envelope.data = content.unwrap_or(envelope.data);
    serde_json::to_string(&envelope).unwrap()
}

fn held_for_nobody() -> PromocodeHeldV1 {
    let now = SystemClock.now();
    let money = |amount| -> Money {
        serde_json::from_value(json!({"amount": Amount(amount).0, "currency": "RUB"})).unwrap()
    };
    PromocodeHeldV1 {
        first_purchase_only: false,
        purchase_id: PurchaseId::new(now),
        user_id: UserId::new(now),
        promocode_id: PromocodeId::new(now),
        campaign_id: CampaignId::new(now),
        campaign_version: 1,
        list_price: money(100),
        discount: money(10),
        final_price: money(90),
    }
}

async fn say(arena: &Arena, bad: &Bad) {
    let (api, host) = arena.broker_api();
    let body = json!({
        "properties": {"delivery_mode": 2},
        "routing_key": bad.key,
        "payload": bad.payload,
        "payload_encoding": "string",
    });
    let path = format!("/api/exchanges/{host}/{}/publish", bad.exchange);
    let answer = api.post(&path, &body).await;
    assert_eq!(answer.body["routed"], true, "{answer:?}");
}

mod full {
    use super::*;

    const ROUNDS: usize = 5;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn only_what_cannot_be_applied_is_kept_back_and_its_reason_with_it() {
        let mut arena = Arena::start(Behind::Nothing).await;
        let stream = arena.stream().await;
        lies_between(&mut arena, &stream, ROUNDS).await;
        arena.end_whole(stream).await;
        arena.close().await;
    }
}
