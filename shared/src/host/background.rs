//! What runs beside the API: jobs, receivers, relays; and the order in which all of it stops.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use tokio::{sync::broadcast, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Job, OnWake};
use crate::{
    bus::{Bus, Heard},
    cache::ServiceCache,
    contracts::{Envelope, ServiceName, WakeUp},
    db::Db,
    telemetry::{describe, metrics::JOB_RUNS},
};

/// How long requests that run may go on after the stop.
const REQUESTS: Duration = Duration::from_secs(4);
/// How long periodic jobs that run may go on.
const JOBS: Duration = Duration::from_secs(1);
/// How long what was said may take to arrive; a little more than a relay itself waits.
const RELAYS: Duration = Duration::from_millis(3_200);
/// How long all of the stop may take: container runtimes kill after ten seconds.
const STOP: Duration = Duration::from_secs(9);

/// Tasks that stop together.
#[derive(Clone)]
pub(super) struct Group {
    pub(super) stop: CancellationToken,
    tasks: TaskTracker,
    /// Cancelled when a task ends though nobody has told it to.
    failed: CancellationToken,
}

impl Group {
    fn new(failed: &CancellationToken) -> Self {
        Self {
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            failed: failed.clone(),
        }
    }

    /// Runs `work`, which must go on until [`Group::stop`]. A process in which it does not is of
    /// no use, however well it answers: that is logged, and the process is to end.
    pub(super) fn spawn(
        &self,
        service: Option<ServiceName>,
        what: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let (stop, failed) = (self.stop.clone(), self.failed.clone());
        self.tasks.spawn(async move {
            let outcome = AssertUnwindSafe(work).catch_unwind().await;
            let service = service.map(ServiceName::as_str);
            match outcome {
                Ok(()) if stop.is_cancelled() => return,
                Ok(()) => tracing::error!(service, what, "background work has ended by itself"),
                Err(panic) => {
                    tracing::error!(
                        service,
                        what,
                        panic = text_of(panic.as_ref()),
                        "background work panicked"
                    )
                }
            }
            failed.cancel();
        });
    }

    /// Tells all to stop, and waits until they have, at most until `deadline`; whether they have.
    async fn stop_until(&self, deadline: Instant) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout_at(deadline, self.tasks.wait()).await.is_ok()
    }
}

/// All that runs, in the order in which it stops.
pub(super) struct Background {
    /// The API.
    pub(super) server: Group,
    /// What is done from time to time.
    pub(super) jobs: Group,
    /// What carries messages out.
    pub(super) relays: Group,
    /// What takes messages in, and what those wake.
    pub(super) receivers: Group,
    failed: CancellationToken,
}

impl Background {
    pub(super) fn new() -> Self {
        let failed = CancellationToken::new();
        Self {
            server: Group::new(&failed),
            jobs: Group::new(&failed),
            relays: Group::new(&failed),
            receivers: Group::new(&failed),
            failed,
        }
    }

    /// Returns when something has ended before its time.
    pub(super) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Stops everything in bounded time. Requests may wait for what other services answer, and
    /// on the embedded bus a relay waits for the receivers: so these go on until those have ended.
    pub(super) async fn stop(&self, databases: &[Db]) {
        let deadline = Instant::now() + STOP;
        let within = |bound| deadline.min(Instant::now() + bound);
        if !self.server.stop_until(within(REQUESTS)).await {
            tracing::warn!("some requests did not end in time");
        }
        if !self.jobs.stop_until(within(JOBS)).await {
            tracing::warn!("some periodic jobs did not end in time");
        }
        if !self.relays.stop_until(within(RELAYS)).await {
            tracing::warn!("some messages stay in the outbox for the next start");
        }
        if !self.receivers.stop_until(deadline).await {
            tracing::warn!("some messages were not taken in in time; they will come again");
        }
        let closed = futures::future::join_all(databases.iter().map(Db::close));
        if tokio::time::timeout_at(deadline, closed).await.is_err() {
            tracing::warn!("a database is still in use");
        }
    }
}

/// How often the topology is declared again.
const REASSERT: Duration = Duration::from_secs(10);

/// Declares the whole topology, for as long as it takes, and cancels `declared` when it is done:
/// no message may precede its queue. From then on declares again and again what may have vanished. That
/// it had is not seen here, since the broker does not tell: roll calls find what was lost meanwhile.
pub(super) async fn declare(bus: Arc<dyn Bus>, declared: CancellationToken, stop: CancellationToken) {
    loop {
        match bus.declare().await {
            Ok(()) => {
                declared.cancel();
                break;
            }
            Err(error) => tracing::warn!(error = %error, "the message bus is waited for"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    let keep_asserting = async {
        loop {
            tokio::time::sleep(REASSERT).await;
            if let Err(error) = bus.reassert().await {
                tracing::debug!(%error, "the topology can't be declared again");
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = keep_asserting => {}
    }
}

/// Does `work` once `ready` is cancelled; not at all if `stop` comes first.
pub(super) async fn after(ready: CancellationToken, stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = ready.cancelled() => work.await,
        () = stop.cancelled() => {}
    }
}

/// Runs `job` from time to time. Neither an error nor a panic of one run, nor one that is stuck,
/// keeps the next from coming. One that takes long does not keep the process from stopping.
pub(super) async fn repeat(job: Arc<dyn Job>, service: ServiceName, stop: CancellationToken) {
    let mut interval = tokio::time::interval(job.every());
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        let run = async {
            let run = tokio::time::timeout(job.may_take(), job.run()).await;
            run.unwrap_or_else(|late| Err(late.into()))
        };
        let abandoned = async {
            stop.cancelled().await;
            tokio::time::sleep(JOBS).await;
        };
        let ended = tokio::select! {
            ended = AssertUnwindSafe(run).catch_unwind() => ended,
            () = abandoned => return,
        };
        let outcome = match ended {
            Ok(Ok(())) => "done",
            Ok(Err(error)) => {
                tracing::warn!(%service, job = job.name(), error = describe(error.as_ref()), "a periodic job failed; it will be tried again");
                "failed"
            }
            Err(panic) => {
                tracing::error!(%service, job = job.name(), panic = text_of(panic.as_ref()), "a periodic job panicked; it will be tried again");
                "panicked"
            }
        };
        let labels = [
            ("service", service.as_str()),
            ("job", job.name()),
            ("outcome", outcome),
        ];
        JOB_RUNS.counter(&labels).increment(1);
    }
}

/// What this process says itself wakes it without the way over the bus.
pub(super) async fn hear_own(
    mut said: broadcast::Receiver<Arc<Envelope>>,
    on_wake: OnWake,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            envelope = said.recv() => match envelope {
                Ok(envelope) => on_wake(&envelope),
                // Who waits also looks by itself.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }
}

/// What other processes say wakes this one. While it can't be heard, the cache is not believed.
pub(super) async fn hear_others(
    bus: Arc<dyn Bus>,
    wake_up: &'static WakeUp,
    on_wake: OnWake,
    cache: ServiceCache,
    stop: CancellationToken,
) {
    let mut listener = loop {
        tokio::select! {
            () = stop.cancelled() => return,
            listener = bus.listen(wake_up) => match listener {
                Ok(listener) => break listener,
                Err(error) => tracing::warn!(%error, "wake-ups can't be heard yet"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            heard = listener.next() => match heard {
                Heard::Listening => cache.listens(),
                Heard::Deaf => cache.is_deaf(),
                Heard::Message(message) => {
                    if let Ok(envelope) = serde_json::from_slice::<Envelope>(&message.body) {
                        on_wake(&envelope);
                    }
                }
            }
        }
    }
}

/// What a panic said.
fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it did not say why")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::host::JobError;

    struct Moody(AtomicUsize, CancellationToken);

    #[async_trait]
    impl Job for Moody {
        fn name(&self) -> &'static str {
            "moody"
        }

        fn every(&self) -> Duration {
            Duration::from_millis(1)
        }

        async fn run(&self) -> Result<(), JobError> {
            match self.0.fetch_add(1, Ordering::SeqCst) {
                0 => panic!("a bad day"),
                1 => Err("a bad row".into()),
                _ => {
                    self.1.cancel();
                    Ok(())
                }
            }
        }
    }

    #[tokio::test]
    async fn a_job_that_panics_or_fails_is_run_again() {
        let background = Background::new();
        let well = CancellationToken::new();
        let job = Arc::new(Moody(AtomicUsize::new(0), well.clone()));
        let work = repeat(job, ServiceName::Billing, background.jobs.stop.clone());
        background.jobs.spawn(Some(ServiceName::Billing), "moody", work);
        tokio::time::timeout(Duration::from_secs(5), well.cancelled())
            .await
            .expect("the third run comes");
        assert!(!background.failed.is_cancelled(), "that is no reason to stop");
        background.stop(&[]).await;
    }

    #[tokio::test]
    async fn work_that_panics_or_ends_before_the_stop_is_noticed() {
        let panics = Background::new();
        panics
            .receivers
            .spawn(None, "receiver", async { panic!("a bad day") });
        let ends = Background::new();
        ends.relays.spawn(None, "relay", async {});
        for background in [panics, ends] {
            tokio::time::timeout(Duration::from_secs(5), background.failed())
                .await
                .expect("it is noticed");
        }
    }

    #[tokio::test]
    async fn work_that_ends_at_the_stop_is_no_failure() {
        let background = Background::new();
        let stop = background.receivers.stop.clone();
        background
            .receivers
            .spawn(None, "receiver", async move { stop.cancelled().await });
        background.stop(&[]).await;
        assert!(!background.failed.is_cancelled());
    }
}
