//! How long operations took.

use std::time::Duration;

use serde::Serialize;

/// Every duration of a measurement, in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies(Vec<u32>);

/// How long operations took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Percentiles {
    /// Half of them took at most this.
    pub(super) p50: f64,
    /// 95 of 100 did.
    pub(super) p95: f64,
    /// 99 of 100 did.
    pub(super) p99: f64,
    /// The slowest one.
    pub(super) max: f64,
}

impl Latencies {
    /// Takes one more; what takes longer than an hour counts as that.
    pub(super) fn push(&mut self, duration: Duration) {
        self.0
            .push(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX));
    }

    /// Takes all of another's.
    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// The percentiles; all zero where nothing was measured.
    pub(super) fn percentiles(mut self) -> Percentiles {
        self.0.sort_unstable();
        Percentiles {
            p50: self.at(50),
            p95: self.at(95),
            p99: self.at(99),
            max: self.at(100),
        }
    }

    /// The nearest rank: the smallest duration that `percent` of all do not exceed.
    fn at(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100);
        let micros = self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default();
        f64::from(micros) / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl IntoIterator<Item = u64>) -> Percentiles {
        let mut latencies = Latencies::default();
        for micros in micros {
            latencies.push(Duration::from_micros(micros));
        }
        latencies.percentiles()
    }

    #[test]
    fn percentiles_are_durations_that_occurred() {
        let found = of((1..=1_000).rev().map(|number| number * 1_000));
        assert_eq!((found.p50, found.p95), (500.0, 950.0));
        assert_eq!((found.p99, found.max), (990.0, 1_000.0));
    }

    #[test]
    fn a_single_slow_operation_is_the_maximum_and_nothing_else() {
        let found = of(std::iter::repeat_n(1_500, 999).chain([60_000_000]));
        assert_eq!((found.p50, found.p99, found.max), (1.5, 1.5, 60_000.0));
    }

    #[test]
    fn one_operation_is_every_percentile_and_none_is_zero() {
        let one = of([2_000]);
        assert_eq!((one.p50, one.p99, one.max), (2.0, 2.0, 2.0));
        assert_eq!(of([]), Percentiles::default());
    }

    #[test]
    fn clients_are_put_together_before_percentiles_are_taken() {
        let mut all = Latencies::default();
        let mut other = Latencies::default();
        all.push(Duration::from_millis(9));
        other.push(Duration::from_millis(1));
        other.push(Duration::from_millis(2));
        all.append(other);
        assert_eq!(all.percentiles().p50, 2.0);
    }
}
