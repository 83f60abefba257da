//! What the process counts and measures, for Prometheus.
//!
//! One recorder a process, however many services and hosts run in it; what belongs to one of
//! several services has it as the label `service`. Labels are of bounded number: route
//! templates, outcomes, reasons, names of jobs; never an id, an address or anything personal.
//! Where no recorder is installed (commands beside the platform) counting does nothing.

mod catalogue;
mod process;

use std::sync::OnceLock;

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use serde::Serialize;

pub use catalogue::*;
pub use process::NAMES as PROCESS_METRICS;

/// What a scrape may be answered as.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

static RECORDED: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to record, for the whole process. Safe to repeat. Handles that were made before record
/// nothing, so this comes before the first database is opened.
pub fn install() {
    RECORDED.get_or_init(|| {
        let recorder = match recorder() {
            Ok(recorder) => recorder,
            Err(error) => {
                tracing::error!(%error, "nothing can be counted");
                return None;
            }
        };
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::error!("somebody else counts in this process");
            return None;
        }
        describe();
        BUILD_INFO
            .gauge(&[("version", env!("CARGO_PKG_VERSION"))])
            .set(1.0);
        Some(handle)
    });
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in ALL {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    Ok(builder.build_recorder())
}

fn describe() {
    for Metric {
        name,
        kind,
        unit,
        meaning,
    } in ALL.iter().copied()
    {
        match kind {
            Kind::Counter => metrics::describe_counter!(name, unit, meaning),
            Kind::Gauge => metrics::describe_gauge!(name, unit, meaning),
            Kind::Histogram(_) => metrics::describe_histogram!(name, unit, meaning),
        }
    }
}

/// Everything as it stands, in Prometheus' text format.
#[must_use]
pub fn render() -> String {
    let mut text = process::render();
    if let Some(Some(handle)) = RECORDED.get() {
        text.push_str(&handle.render());
    }
    text
}

/// Takes in what histograms have gathered. To be done every few seconds: where nobody scrapes,
/// they would gather without end.
pub fn tidy() {
    if let Some(Some(handle)) = RECORDED.get() {
        handle.run_upkeep();
    }
}

/// The word that stands for `value` on the wire, as a label; for enumerations without content.
#[must_use]
pub fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;
    use crate::contracts::{FailureReason, RefusalCode};

    fn documented() -> String {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operation.md");
        fs::read_to_string(file).unwrap()
    }

    #[test]
    fn every_metric_is_documented() {
        let text = documented();
        let names = ALL.iter().map(|metric| metric.name).chain(PROCESS_METRICS);
        let missing: Vec<_> = names
            .filter(|name| !text.contains(&format!("| `{name}` |")))
            .collect();
        assert!(missing.is_empty(), "not in docs/operation.md: {missing:?}");
    }

    #[test]
    fn names_follow_the_conventions() {
        let mut seen = BTreeSet::new();
        for Metric { name, kind, unit, .. } in ALL {
            assert!(seen.insert(name), "{name} is there twice");
            assert!(name.starts_with("kopeck_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(
                name.ends_with("_seconds"),
                *unit == metrics::Unit::Seconds,
                "{name}"
            );
        }
    }

    #[test]
    fn a_second_installation_changes_nothing() {
        install();
        HOLD_REPORTS.counter(&[("test", "twice")]).increment(1);
        install();
        HOLD_REPORTS.counter(&[("test", "twice")]).increment(1);
        let text = render();
        assert!(
            text.contains("kopeck_hold_reports_total{test=\"twice\"} 2\n"),
            "{text}"
        );
    }

    #[test]
    fn words_are_those_of_the_wire() {
        assert_eq!(word(&FailureReason::InsufficientFunds), "insufficient_funds");
        assert_eq!(word(&RefusalCode::UsesExhausted), "uses_exhausted");
    }
}
