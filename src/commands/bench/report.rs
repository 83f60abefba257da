//! What was found, as the JSON says it.

use serde::Serialize;
use shared::clock::Instant;

use super::{
    books::Books,
    load::Measurement,
    options::{Plan, cores},
    subject::SubjectName,
};

/// Everything that was measured, and under which circumstances.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Of this program.
    pub(super) version: &'static str,
    /// How this program was built: `release`, or `debug`, whose figures say little.
    pub(super) build: &'static str,
    /// The version of the PostgreSQL that raw SQL was measured on; absent if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) postgres: Option<String>,
    /// When it began.
    pub(super) started_at: Instant,
    /// The platform.
    pub(super) platform: SubjectName,
    /// The cores of this machine that the clients may use; a throw-away platform shares them.
    pub(super) cores: usize,
    /// Clients at work at the same time.
    pub(super) clients: usize,
    /// Users of each client.
    pub(super) users_per_client: usize,
    /// Promocodes in the scenario `many`.
    pub(super) codes: u32,
    /// For how long each scenario ran before it was measured, in seconds.
    pub(super) warm_up_seconds: u64,
    /// For how long each scenario was measured, in seconds.
    pub(super) seconds: u64,
    /// The platform's figures.
    pub(super) scenarios: Vec<Measurement>,
    /// Those of raw SQL for the same scenarios, as far as they can be compared.
    pub(super) raw_sql: Vec<Measurement>,
    /// The first held against the second.
    pub(super) ratios: Vec<Ratio>,
    /// The books of a throw-away platform afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) books: Option<Books>,
}

/// A platform's throughput, of that of raw SQL.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ratio {
    /// Which scenario.
    pub(super) scenario: &'static str,
    /// 1 is as fast as raw SQL; absent if raw SQL did nothing.
    pub(super) ratio: Option<f64>,
}

impl Ratio {
    pub(super) fn between(platform: &Measurement, raw: &Measurement) -> Self {
        let ratio = platform.per_second / raw.per_second;
        Self {
            scenario: platform.scenario,
            ratio: ratio.is_finite().then(|| (ratio * 1_000.0).round() / 1_000.0),
        }
    }
}

impl Report {
    /// One to be filled.
    pub(super) fn new(plan: &Plan, started_at: Instant) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
            postgres: None,
            started_at,
            platform: SubjectName::of(&plan.platform),
            cores: cores(),
            clients: plan.clients,
            users_per_client: plan.users_per_client,
            codes: plan.codes,
            warm_up_seconds: plan.window.warm_up.as_secs(),
            seconds: plan.window.measured.as_secs(),
            scenarios: Vec::new(),
            raw_sql: Vec::new(),
            ratios: Vec::new(),
            books: None,
        }
    }

    /// Why its figures count for nothing, or for less.
    pub(super) fn what_is_wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.books.as_ref().is_some_and(|books| !books.clean) {
            wrong.push("the books are wrong, so the figures count for nothing".to_owned());
        }
        let platform = self.scenarios.iter().map(|measured| ("", measured));
        let raw = self.raw_sql.iter().map(|measured| ("raw SQL ", measured));
        for (whose, measured) in platform.chain(raw) {
            let name = format!("{whose}{}", measured.scenario);
            if measured.errors > 0 {
                wrong.push(format!("{name}: {} operations failed", measured.errors));
            }
            if measured.operations == 0 {
                wrong.push(format!("{name}: no operation ended in time"));
            }
        }
        wrong
    }
}
