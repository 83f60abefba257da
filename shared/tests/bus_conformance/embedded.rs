//! What only the embedded bus promises.

use futures::FutureExt;
use shared::{
    bus,
    contracts::{QUEUES, UserRegisteredV1},
};

use crate::promises::{bodies, confirmed, consumer, ids, messages, publish, soon, take};

#[tokio::test]
async fn it_confirms_only_when_the_last_subscriber_has_acknowledged() {
    let bus = bus::connect("embedded:").unwrap();
    let batch = messages::<UserRegisteredV1>(1);
    let mut publishing = bus.publish(&batch);
    for queue in QUEUES {
        assert!(
            (&mut publishing).now_or_never().is_none(),
            "before {}",
            queue.name
        );
        take(&mut consumer(&bus, queue.name).await, 1).await;
    }
    let results = publishing.now_or_never().expect("all have it");
    assert!(results.iter().all(Result::is_ok));
}

#[tokio::test]
async fn what_comes_again_comes_first_and_in_order() {
    let bus = bus::connect("embedded:").unwrap();
    let batch = messages::<shared::contracts::HoldPromocodeV1>(5);
    let publishing = publish(&bus, &batch);
    let mut consumer = consumer(&bus, "loyalty.v1").await;
    let dropped = soon(consumer.next_batch(3)).await;
    assert_eq!(bodies(&dropped), ids(&batch[..3]));
    drop(dropped);
    assert_eq!(take(&mut consumer, 5).await, ids(&batch));
    confirmed(publishing).await;
}

#[tokio::test]
async fn a_message_of_a_cancelled_publish_is_still_delivered() {
    let bus = bus::connect("embedded:").unwrap();
    let batch = messages::<shared::contracts::HoldPromocodeV1>(2);
    assert!(bus.publish(&batch).now_or_never().is_none());
    assert_eq!(
        take(&mut consumer(&bus, "loyalty.v1").await, 2).await,
        ids(&batch)
    );
}

#[test]
fn a_url_of_no_bus_is_refused() {
    let error = bus::connect("kafka://user:hunter2@localhost").err().unwrap();
    assert_eq!(
        error.to_string(),
        "`kafka:` is no message bus: use amqp://, amqps:// or embedded:"
    );
}
