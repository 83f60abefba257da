//! Answers roll calls: which of a publisher's messages have not arrived.

use std::{collections::HashSet, sync::Arc, time::Duration};

use sea_orm::DbErr;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::store;
use crate::{
    bus::{Address, Bus, Outgoing},
    contracts::{RollAnswer, RollCall},
    db::{Db, bounded},
    ids::MessageId,
    telemetry::describe,
};

/// How long messages that came before the roll call may take until they are applied. They are in the
/// hands of some replica: the queue keeps their order.
const SETTLE: Duration = Duration::from_secs(2);
/// How much longer it takes to say that one has not arrived: a busy replica may have it.
const SETTLE_FOR_SURE: Duration = Duration::from_secs(4);
/// Roll calls that wait for their answer at the same time. Further ones are not answered, and come again.
const AT_ONCE: usize = 256;

/// The roll calls that came to one queue in one process.
pub(super) struct Attendance {
    answering: Answering,
    calls: mpsc::Sender<RollCall>,
    called: Mutex<mpsc::Receiver<RollCall>>,
}

#[derive(Clone)]
struct Answering {
    db: Db,
    bus: Arc<dyn Bus>,
}

impl Attendance {
    pub(super) fn new(db: Db, bus: Arc<dyn Bus>) -> Self {
        let (calls, called) = mpsc::channel(AT_ONCE);
        Self {
            answering: Answering { db, bus },
            calls,
            called: Mutex::new(called),
        }
    }

    /// Has the roll call answered, once what came before it has been applied.
    pub(super) fn answer_later(&self, call: RollCall) {
        // One too many comes again.
        let _ = self.calls.try_send(call);
    }

    /// Answers until `stop`.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let mut called = self.called.lock().await;
        // Dropped at the end, with what still waits in it.
        let mut waiting = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(_) = waiting.join_next() => {}
                Some(call) = called.recv(), if waiting.len() < AT_ONCE => {
                    let answering = self.answering.clone();
                    waiting.spawn(async move { answering.answer(call).await });
                }
            }
        }
    }
}

impl Answering {
    async fn answer(&self, call: RollCall) {
        let missing = match self.look(&call.messages).await {
            Ok(missing) => missing,
            Err(error) => {
                tracing::warn!(service = %self.db.service(), error = describe(&error), "a roll call can't be answered; it comes again");
                return;
            }
        };
        let id = call.id;
        let Ok(body) = serde_json::to_vec(&RollAnswer { id, missing }) else {
            return;
        };
        let answer = Outgoing {
            id: MessageId(id),
            to: Address::Queue(call.answer_to.into()),
            body: body.into(),
        };
        if let Some(Err(error)) = self.bus.publish(&[answer]).await.pop() {
            tracing::debug!(%error, "the answer to a roll call could not be sent");
        }
    }

    /// Those that are not in the inbox, after a pause, nor after another one.
    async fn look(&self, messages: &[MessageId]) -> Result<Vec<MessageId>, DbErr> {
        tokio::time::sleep(SETTLE).await;
        let missing = self.missing(messages).await?;
        if missing.is_empty() {
            return Ok(missing);
        }
        tokio::time::sleep(SETTLE_FOR_SURE).await;
        self.missing(&missing).await
    }

    async fn missing(&self, messages: &[MessageId]) -> Result<Vec<MessageId>, DbErr> {
        let known: HashSet<_> = bounded(store::known(self.db.reader(), messages)).await?;
        Ok(messages
            .iter()
            .copied()
            .filter(|id| !known.contains(id))
            .collect())
    }
}
