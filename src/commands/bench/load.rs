//! A closed loop of clients, measured.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::task::JoinSet;

use super::{
    latency::{Latencies, Percentiles},
    millis,
    processes::{ProcessUse, Watch},
};

/// The codes of errors that are told one by one.
const TOLD: usize = 5;

/// Somebody who does one operation after another.
pub(super) trait Client: Send + 'static {
    /// Does one operation to its end.
    fn operate(&mut self) -> impl Future<Output = Result<Done, Failed>> + Send;
}

/// An operation with the expected outcome.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Whether the request was answered before the operation had ended (202), so that its outcome
    /// had to be asked for.
    pub(super) asked_again: bool,
}

/// Why an operation did not have the expected outcome: a problem's code, or what stands for one.
#[derive(Clone, Debug)]
pub(super) struct Failed(pub(super) String);

/// For how long clients work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Before it counts.
    pub(super) warm_up: Duration,
    /// While it counts.
    pub(super) measured: Duration,
}

impl Window {
    /// From the first request to the last.
    pub(super) fn whole(self) -> Duration {
        self.warm_up + self.measured
    }
}

/// What clients did and what it took.
#[derive(Debug, Serialize)]
pub(super) struct Measurement {
    /// What was measured.
    pub(super) scenario: &'static str,
    /// Operations that ended, in the measured time, as they should.
    pub(super) operations: u64,
    /// The same a second.
    pub(super) per_second: f64,
    /// How long they took, in milliseconds; those that were on their way when the time was over
    /// included, so that one that hangs is seen.
    pub(super) latency_ms: Percentiles,
    /// Operations that were answered before they had ended (202) and had to be asked for.
    pub(super) asked_again: u64,
    /// Operations that did not end as they should; in none of the figures above.
    pub(super) errors: u64,
    /// The commonest of their codes, most frequent first.
    pub(super) error_codes: Vec<ErrorCode>,
    /// What it took of this machine; empty where that can't be seen.
    pub(super) processes: Vec<ProcessUse>,
    /// How long the platform went on working after the last request, in milliseconds.
    pub(super) rest_ms: u64,
}

/// How often operations failed in one way.
#[derive(Debug, Serialize)]
pub(super) struct ErrorCode {
    /// A problem's code.
    pub(super) code: String,
    /// How often it came.
    pub(super) count: u64,
}

/// What one client did.
#[derive(Default)]
struct Tally {
    latencies: Latencies,
    operations: u64,
    asked_again: u64,
    errors: BTreeMap<String, u64>,
}

/// Lets the clients work at the same time.
pub(super) async fn measure<C: Client>(
    scenario: &'static str,
    clients: Vec<C>,
    window: Window,
    watch: Watch,
) -> anyhow::Result<Measurement> {
    let begin = Instant::now() + window.warm_up;
    let end = begin + window.measured;
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(work(client, begin, end));
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = watch.look().await?;
    tokio::time::sleep_until(end.into()).await;
    let after = watch.look().await?;

    let mut all = Tally::default();
    while let Some(tally) = tasks.join_next().await {
        all.add(tally?);
    }
    let processes = after.since(&before, all.operations);
    Ok(all.into_measurement(scenario, window, processes))
}

async fn work<C: Client>(mut client: C, begin: Instant, end: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut start = Instant::now();
    while start < end {
        let outcome = client.operate().await;
        let now = Instant::now();
        // What ends in the measured time counts; what ends later shows how long it took.
        if now >= begin {
            tally.take(outcome, now - start, now <= end);
        }
        start = now;
    }
    tally
}

impl Tally {
    fn take(&mut self, outcome: Result<Done, Failed>, took: Duration, in_time: bool) {
        match outcome {
            Ok(done) => {
                self.latencies.push(took);
                self.operations += u64::from(in_time);
                self.asked_again += u64::from(done.asked_again);
            }
            Err(Failed(code)) => *self.errors.entry(code).or_default() += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.latencies.append(other.latencies);
        self.operations += other.operations;
        self.asked_again += other.asked_again;
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
    }

    fn into_measurement(
        self,
        scenario: &'static str,
        window: Window,
        processes: Vec<ProcessUse>,
    ) -> Measurement {
        let errors = self.errors.values().sum();
        let mut error_codes: Vec<_> = self
            .errors
            .into_iter()
            .map(|(code, count)| ErrorCode { code, count })
            .collect();
        error_codes.sort_by_key(|error| std::cmp::Reverse(error.count));
        error_codes.truncate(TOLD);
        Measurement {
            scenario,
            operations: self.operations,
            per_second: rate(self.operations, window.measured),
            latency_ms: self.latencies.percentiles(),
            asked_again: self.asked_again,
            errors,
            error_codes,
            processes,
            rest_ms: 0,
        }
    }
}

/// So many in that time, a second.
#[allow(clippy::cast_precision_loss)] // nobody counts to 2^53 operations
fn rate(operations: u64, time: Duration) -> f64 {
    operations as f64 * 1_000.0 / millis(time) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers in a millisecond, with an error every tenth time.
    struct Metronome(u32);

    impl Client for Metronome {
        async fn operate(&mut self) -> Result<Done, Failed> {
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.0 += 1;
            match self.0 % 10 {
                0 => Err(Failed("tenth".to_owned())),
                n => Ok(Done { asked_again: n == 1 }),
            }
        }
    }

    #[tokio::test]
    async fn only_what_ends_well_in_the_measured_time_is_counted() {
        let window = Window {
            warm_up: Duration::from_millis(100),
            measured: Duration::from_millis(300),
        };
        let clients = vec![Metronome(0), Metronome(0)];
        let measured = measure("test", clients, window, Watch::client_only())
            .await
            .unwrap();
        // At most one a millisecond and client, the warm-up not counted.
        assert!(
            measured.operations > 20 && measured.operations <= 600,
            "{measured:?}"
        );
        assert!(measured.errors * 5 < measured.operations && measured.errors > 0);
        assert_eq!(measured.error_codes[0].code, "tenth");
        assert_eq!(measured.error_codes[0].count, measured.errors);
        assert!(measured.asked_again > 0 && measured.asked_again * 5 < measured.operations);
        assert!(measured.latency_ms.p50 >= 1.0);
        let expected = rate(measured.operations, window.measured);
        assert!((measured.per_second - expected).abs() < 0.001);
    }

    #[tokio::test]
    async fn an_operation_that_outlasts_the_measured_time_is_seen_but_not_counted() {
        struct Slow;
        impl Client for Slow {
            async fn operate(&mut self) -> Result<Done, Failed> {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Ok(Done::default())
            }
        }
        let window = Window {
            warm_up: Duration::ZERO,
            measured: Duration::from_millis(50),
        };
        let measured = measure("test", vec![Slow], window, Watch::client_only())
            .await
            .unwrap();
        assert_eq!(measured.operations, 0);
        assert!(measured.latency_ms.max >= 200.0);
    }
}
