//! Every metric that there is, in the order of `docs/operation.md`, which says what to make of them.

use metrics::{Counter, Gauge, Histogram, IntoLabels, Unit};

/// What kind of figures a metric has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Grows only.
    Counter,
    /// As it is at the moment.
    Gauge,
    /// How values are spread, in buckets with these upper bounds.
    Histogram(&'static [f64]),
}

/// Something that is counted or measured.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As Prometheus knows it.
    pub name: &'static str,
    /// What kind of figures it has.
    pub kind: Kind,
    /// In what they are.
    pub unit: Unit,
    /// What they mean.
    pub meaning: &'static str,
}

impl Metric {
    const fn counter_of(name: &'static str, unit: Unit, meaning: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Counter,
            unit,
            meaning,
        }
    }

    const fn gauge_of(name: &'static str, unit: Unit, meaning: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Gauge,
            unit,
            meaning,
        }
    }

    const fn seconds(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Histogram(SECONDS),
            unit: Unit::Seconds,
            meaning,
        }
    }

    const fn batch(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Histogram(MESSAGES),
            unit: Unit::Count,
            meaning,
        }
    }

    /// The counter with these labels. To be kept where it is counted often: looking it up costs
    /// more than counting.
    pub fn counter(&self, labels: impl IntoLabels) -> Counter {
        debug_assert!(self.kind == Kind::Counter, "{}", self.name);
        metrics::counter!(self.name, labels)
    }

    /// The gauge with these labels.
    pub fn gauge(&self, labels: impl IntoLabels) -> Gauge {
        debug_assert!(self.kind == Kind::Gauge, "{}", self.name);
        metrics::gauge!(self.name, labels)
    }

    /// The histogram with these labels. To be kept like a counter.
    pub fn histogram(&self, labels: impl IntoLabels) -> Histogram {
        debug_assert!(matches!(self.kind, Kind::Histogram(_)), "{}", self.name);
        metrics::histogram!(self.name, labels)
    }
}

/// For what belongs to the one service that there is of its kind.
pub const NO_LABELS: [(&str, &str); 0] = [];

/// From what a look-up takes to what nobody waits for.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Up to the largest batch there is.
const MESSAGES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// What runs.
pub const BUILD_INFO: Metric = Metric::gauge_of(
    "kopeck_build_info",
    Unit::Count,
    "1, with the version that runs as its label.",
);

/// Requests.
pub const HTTP_REQUESTS: Metric =
    Metric::counter_of("kopeck_http_requests_total", Unit::Count, "Requests answered.");

/// How long requests take.
pub const HTTP_REQUEST_DURATION: Metric = Metric::seconds(
    "kopeck_http_request_duration_seconds",
    "How long requests take, from their head to the head of the answer.",
);

/// Purchases that have ended.
pub const PURCHASES: Metric = Metric::counter_of(
    "kopeck_purchases_total",
    Unit::Count,
    "Purchases that have ended, each once, by how.",
);

/// Whether purchases outlive their deadline.
pub const PURCHASES_OVERDUE: Metric = Metric::gauge_of(
    "kopeck_purchases_overdue_seconds",
    Unit::Seconds,
    "How far the pending purchase with the oldest deadline is past it; 0 if none is.",
);

/// Refused promocodes.
pub const PROMOCODE_REFUSALS: Metric = Metric::counter_of(
    "kopeck_promocode_refusals_total",
    Unit::Count,
    "Conditions that a promocode did not meet; one refusal may have several.",
);

/// What becomes of redemptions.
pub const REDEMPTIONS: Metric = Metric::counter_of(
    "kopeck_redemptions_total",
    Unit::Count,
    "Redemptions that came to this status, each once a status.",
);

/// Questions about stale holds.
pub const HOLD_REPORTS: Metric = Metric::counter_of(
    "kopeck_hold_reports_total",
    Unit::Count,
    "Times that billing was asked about a hold that is older than its deadline.",
);

/// How many holds wait.
pub const WAITING_HOLDS: Metric = Metric::gauge_of(
    "kopeck_waiting_holds",
    Unit::Count,
    "Purchases that wait for a use which others hold.",
);

/// Messages published, and not.
pub const OUTBOX_PUBLISHES: Metric = Metric::counter_of(
    "kopeck_outbox_publishes_total",
    Unit::Count,
    "Messages given to the bus, by whether it confirmed them; a failed one is tried again.",
);

/// How many messages are published together.
pub const OUTBOX_BATCH: Metric = Metric::batch(
    "kopeck_outbox_batch_messages",
    "Messages that are published together.",
);

/// How long publishing takes.
pub const OUTBOX_BATCH_DURATION: Metric = Metric::seconds(
    "kopeck_outbox_batch_duration_seconds",
    "How long a batch takes until the bus has confirmed it; embedded, until subscribers have committed.",
);

/// How much waits to be published.
pub const OUTBOX_WAITING: Metric = Metric::gauge_of(
    "kopeck_outbox_waiting_messages",
    Unit::Count,
    "Messages in the outbox that are not yet confirmed, counted to 10000.",
);

/// For how long messages wait to be published.
pub const OUTBOX_OLDEST: Metric = Metric::gauge_of(
    "kopeck_outbox_oldest_age_seconds",
    Unit::Seconds,
    "The age of the oldest message that is not yet confirmed; 0 if there is none.",
);

/// How long subscribers leave messages unacknowledged.
pub const OUTBOX_UNACKNOWLEDGED: Metric = Metric::gauge_of(
    "kopeck_outbox_unacknowledged_age_seconds",
    Unit::Seconds,
    "The age of the oldest published message that a subscriber has not acknowledged; 0 if there is none.",
);

/// Messages that a subscriber lacked.
pub const MESSAGES_MISSED: Metric = Metric::counter_of(
    "kopeck_messages_missed_total",
    Unit::Count,
    "Messages that the broker had confirmed and a subscriber lacked; each was published to it again.",
);

/// Messages that no queue took.
pub const MESSAGES_RETURNED: Metric = Metric::counter_of(
    "kopeck_messages_returned_total",
    Unit::Count,
    "Messages that the broker returned since no queue took them; each is published again.",
);

/// What became of messages that came in.
pub const INBOX_MESSAGES: Metric = Metric::counter_of(
    "kopeck_inbox_messages_total",
    Unit::Count,
    "Messages dealt with, by what became of them.",
);

/// How many messages are applied together.
pub const INBOX_BATCH: Metric = Metric::batch(
    "kopeck_inbox_batch_messages",
    "Messages that are applied in one transaction, repeats included.",
);

/// How long applying takes.
pub const INBOX_BATCH_DURATION: Metric = Metric::seconds(
    "kopeck_inbox_batch_duration_seconds",
    "How long a batch takes to be applied and committed.",
);

/// How much waits to be tried again.
pub const INBOX_RETRY: Metric = Metric::gauge_of(
    "kopeck_inbox_retry_messages",
    Unit::Count,
    "Messages that have failed and will be tried again, counted to 10000.",
);

/// How much waits for an administrator.
pub const INBOX_PARKED: Metric = Metric::gauge_of(
    "kopeck_inbox_parked_messages",
    Unit::Count,
    "Messages that are given up and wait for an administrator, counted to 10000.",
);

/// How long transactions take to begin.
pub const TRANSACTION_BEGIN: Metric = Metric::seconds(
    "kopeck_transaction_begin_duration_seconds",
    "How long a transaction that writes waits for a connection and its BEGIN.",
);

/// Lost races.
pub const TRANSACTIONS_REPEATED: Metric = Metric::counter_of(
    "kopeck_transactions_repeated_total",
    Unit::Count,
    "Transactions run again since they lost a race (deadlock, serialization, a row that was quicker).",
);

/// What is asked of the cache.
pub const CACHE_READS: Metric = Metric::counter_of(
    "kopeck_cache_reads_total",
    Unit::Count,
    "Values looked for in the cache, by whether they were found and believed.",
);

/// Connections to the database.
pub const DB_CONNECTIONS: Metric = Metric::gauge_of(
    "kopeck_db_connections",
    Unit::Count,
    "Connections to the database that are open, by what they do.",
);

/// How many there may be.
pub const DB_CONNECTIONS_MAX: Metric = Metric::gauge_of(
    "kopeck_db_connections_max",
    Unit::Count,
    "The most connections to the database that there may be.",
);

/// Mails.
pub const MAILS: Metric = Metric::counter_of(
    "kopeck_mails_total",
    Unit::Count,
    "Tries to mail something, by how they ended; a postponed one is tried again.",
);

/// What services do by themselves.
pub const JOB_RUNS: Metric = Metric::counter_of(
    "kopeck_job_runs_total",
    Unit::Count,
    "Runs of periodic jobs, by how they ended.",
);

/// What breaks the rules of a service's tables.
pub const RECONCILE_FINDINGS: Metric = Metric::gauge_of(
    "kopeck_reconcile_findings",
    Unit::Count,
    "Rows that broke a rule of the books when a service last held its own tables against each other.",
);

/// When that was.
pub const RECONCILE_LAST_RUN: Metric = Metric::gauge_of(
    "kopeck_reconcile_last_run_timestamp_seconds",
    Unit::Seconds,
    "When a service last held its own tables against each other.",
);

/// How far clocks differ.
pub const CLOCK_OFFSET: Metric = Metric::gauge_of(
    "kopeck_clock_offset_seconds",
    Unit::Seconds,
    "How far the machine's clock is ahead of the database's.",
);

/// All of them.
pub const ALL: &[Metric] = &[
    BUILD_INFO,
    HTTP_REQUESTS,
    HTTP_REQUEST_DURATION,
    PURCHASES,
    PURCHASES_OVERDUE,
    PROMOCODE_REFUSALS,
    REDEMPTIONS,
    HOLD_REPORTS,
    WAITING_HOLDS,
    OUTBOX_PUBLISHES,
    OUTBOX_BATCH,
    OUTBOX_BATCH_DURATION,
    OUTBOX_WAITING,
    OUTBOX_OLDEST,
    OUTBOX_UNACKNOWLEDGED,
    MESSAGES_MISSED,
    MESSAGES_RETURNED,
    INBOX_MESSAGES,
    INBOX_BATCH,
    INBOX_BATCH_DURATION,
    INBOX_RETRY,
    INBOX_PARKED,
    TRANSACTION_BEGIN,
    TRANSACTIONS_REPEATED,
    CACHE_READS,
    DB_CONNECTIONS,
    DB_CONNECTIONS_MAX,
    MAILS,
    JOB_RUNS,
    RECONCILE_FINDINGS,
    RECONCILE_LAST_RUN,
    CLOCK_OFFSET,
];
