//! `kopeck bench`: how fast a platform is, and what it costs.
//!
//! Real HTTP, a closed loop: each client sends a request, waits for its outcome and sends the next.
//! A figure alone says little about another machine, so the same purchase is also measured as raw SQL
//! in one transaction, in the same run, and the ratio is told. And a platform whose books are wrong
//! afterwards was not fast: it was wrong.

mod books;
mod http;
mod latency;
mod load;
mod options;
mod prepare;
mod processes;
mod raw_sql;
mod report;
mod scenario;
mod subject;
mod table;
mod throwaway;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use shared::clock::{Clock as _, SystemClock};
use tokio::signal::unix::{SignalKind, signal};

pub(super) use self::options::BenchOptions;
use self::{
    load::{Measurement, measure},
    options::Plan,
    prepare::World,
    processes::Watch,
    raw_sql::RawSql,
    report::{Ratio, Report},
    scenario::Scenario,
    subject::Subject,
};

/// For how long a platform may take to come to rest; what is still at work then is measured along.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// The same where others' platforms are seen too, which may never rest.
const LONGEST_REST_OF_ALL: Duration = Duration::from_secs(5);

pub(super) async fn bench(options: BenchOptions) -> anyhow::Result<ExitCode> {
    let plan = options.into_plan().await?;
    let mut session = Session::default();
    let outcome = tokio::select! {
        outcome = session.run(&plan) => outcome,
        signal = interrupted() => signal.and_then(|()| anyhow::bail!("interrupted")),
    };
    let ended = session.end().await;
    let report = outcome?;
    ended?;
    plan.output.write(&report)?;
    let wrong = report.what_is_wrong();
    for wrong in &wrong {
        eprintln!("kopeck: {wrong}");
    }
    Ok(if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What has to be cleared away, however the measurement ends.
#[derive(Default)]
struct Session {
    subject: Option<Subject>,
    raw_sql: Option<RawSql>,
}

impl Session {
    async fn run(&mut self, plan: &Plan) -> anyhow::Result<Report> {
        let started_at = SystemClock.now();
        let subject = self.subject.insert(Subject::start(plan).await?);
        if let Some(url) = plan.raw_sql.then(|| subject.postgres_url(plan)).flatten() {
            // Kept before it is filled, so that whatever ends that also clears it away.
            let raw_sql = self.raw_sql.insert(RawSql::create(url).await?);
            raw_sql.fill(plan.codes).await?;
        }
        let mut world = World::prepare(plan, subject).await?;
        let mut report = Report::new(plan, started_at);
        report.postgres = self.raw_sql.as_ref().map(|raw_sql| raw_sql.version().to_owned());

        let watch = subject.watch();
        rest(watch).await?;
        for scenario in &plan.scenarios {
            say(&format!("Measuring {scenario}."));
            world.renew_tokens(plan.window).await?;
            let clients = world.customers(*scenario);
            let mut measured = measure(scenario.as_str(), clients, plan.window, watch).await?;
            measured.rest_ms = millis(rest(watch).await?);
            let raw = match &self.raw_sql {
                Some(raw_sql) => measure_raw(raw_sql, *scenario, plan, watch).await?,
                None => None,
            };
            if let Some(raw) = raw {
                report.ratios.push(Ratio::between(&measured, &raw));
                report.raw_sql.push(raw);
            }
            report.scenarios.push(measured);
        }
        report.books = subject.books().await?;
        Ok(report)
    }

    async fn end(self) -> anyhow::Result<()> {
        if let Some(raw_sql) = self.raw_sql {
            raw_sql.remove().await?;
        }
        match self.subject {
            Some(subject) => subject.stop().await,
            None => Ok(()),
        }
    }
}

/// The same purchase as raw SQL, if it is one that can be compared.
async fn measure_raw(
    raw_sql: &RawSql,
    scenario: Scenario,
    plan: &Plan,
    watch: Watch,
) -> anyhow::Result<Option<Measurement>> {
    let codes = match scenario {
        Scenario::Hot => 1,
        Scenario::Many => plan.codes,
        Scenario::Plain | Scenario::Validate | Scenario::Login => return Ok(None),
    };
    say(&format!("Measuring {scenario} as raw SQL."));
    let clients = raw_sql.clients(plan.clients, codes).await?;
    let mut measured = measure(scenario.as_str(), clients, plan.window, watch).await?;
    measured.rest_ms = millis(rest(watch).await?);
    Ok(Some(measured))
}

/// Waits until the platform has come to rest, so that no measurement pays for the one before.
/// Returns how long that took.
async fn rest(watch: Watch) -> anyhow::Result<Duration> {
    /// Less than this share of one core is rest: pollers and brokers never stand still.
    const SHARE: f64 = 0.2;
    const LOOK: Duration = Duration::from_millis(500);
    let longest = if watch == Watch::Machine {
        LONGEST_REST_OF_ALL
    } else {
        LONGEST_REST
    };
    let start = Instant::now();
    let mut before = watch.look().await?;
    loop {
        tokio::time::sleep(LOOK).await;
        let after = watch.look().await?;
        if after.platform_work_since(&before) < LOOK.mul_f64(SHARE) {
            // The last look only confirms it.
            return Ok(start.elapsed().saturating_sub(LOOK));
        }
        if start.elapsed() > longest {
            say("The platform does not come to rest; what follows is measured beside that.");
            return Ok(start.elapsed());
        }
        before = after;
    }
}

/// Waits for Ctrl-C, a request to end, or the end of the terminal.
async fn interrupted() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    say("Stopping.");
    Ok(())
}

/// Tells what is going on; the standard output is for the figures.
fn say(line: &str) {
    eprintln!("{line}");
}

/// Whole milliseconds.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// This program.
fn program() -> anyhow::Result<std::path::PathBuf> {
    std::env::current_exe().context("this program can't find itself")
}
