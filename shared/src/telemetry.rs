//! Structured logs, metrics, reports of errors, and the trace that ties a request to everything
//! that follows from it.

pub mod metrics;
mod sentry;
pub mod trace;

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::{Config, LogFormat};
use sentry::Reporter;

/// The log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter can't be read.
    #[error("`log.filter` can't be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// There is a log already.
    #[error("the log is started already")]
    Started(#[from] tracing_subscriber::util::TryInitError),
    /// The DSN can't be read. It holds a key, so nothing of it is repeated.
    #[error("`sentry.dsn` can't be read: it must be https://KEY@HOST/PROJECT")]
    Dsn,
}

/// What is to live as long as the process: dropping it sends what is still to be reported.
#[must_use = "dropped, it reports nothing any more"]
pub struct Telemetry {
    _reporter: Option<Reporter>,
}

/// Starts the process's log on standard error and, where a DSN is configured, the reports of
/// errors to Sentry. What the filter keeps out of the log is not reported either.
///
/// # Errors
/// When the filter or the DSN can't be read, or a log was started before.
pub fn init(config: &Config) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(&config.log.filter)?;
    let reporter = config
        .sentry
        .dsn
        .as_ref()
        .map(|dsn| Reporter::new(dsn, config.environment))
        .transpose()?;
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(reporter.as_ref().map(Reporter::layer));
    match config.log.format {
        LogFormat::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    // Colours are for people: in a file they are rubbish.
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_target(false),
            )
            .try_init()?,
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr),
            )
            .try_init()?,
    }
    if let Some(reporter) = &reporter {
        reporter.report_panics();
    }
    Ok(Telemetry { _reporter: reporter })
}

/// The error with its sources, on one line.
#[must_use]
pub fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
