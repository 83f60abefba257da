//! What the processes of a platform use of this machine, as Linux tells it under `/proc`.

mod kinds;
mod table;

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use self::{kinds::Kind, table::Table};

/// Which processes are looked at. The benchmark's own always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// What this process has started, and what that has: a throw-away platform with its servers.
    Descendants,
    /// Every platform and every server on this machine.
    Machine,
    /// Nothing else: the platform is on another machine.
    ClientOnly,
}

/// What every watched process has used since it began; a server with all its processes is one.
#[derive(Debug, Default)]
pub(super) struct Usage(BTreeMap<u32, Used>);

#[derive(Debug)]
struct Used {
    kind: Kind,
    /// In clock ticks since the machine started.
    began: u64,
    cpu: Duration,
    resident_kib: u64,
}

/// What a process used in the measured time.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ProcessUse {
    /// A service, a server, or `client`: the benchmark itself. Numbered where there are several.
    pub(super) name: String,
    /// Its process id; of a server with many processes the first one's.
    pub(super) pid: u32,
    /// Processor time, user and system, in milliseconds; Linux counts it in steps of ten.
    pub(super) cpu_ms: u64,
    /// The same divided by the operations of the measured time, in microseconds; absent without any.
    pub(super) cpu_us_per_operation: Option<f64>,
    /// Resident memory at the end of the measured time, in KiB. Of a server with many processes: the
    /// sum of what is theirs alone, and once what they share.
    pub(super) resident_kib: u64,
}

impl Watch {
    /// Nothing but the benchmark itself.
    #[cfg(test)]
    pub(super) const fn client_only() -> Self {
        Self::ClientOnly
    }

    /// Looks. Without `/proc` nothing is seen.
    pub(super) async fn look(self) -> anyhow::Result<Usage> {
        // Some hundred files may be read, and the clients are at work beside.
        Ok(tokio::task::spawn_blocking(move || self.look_now(std::process::id())).await?)
    }

    fn look_now(self, own: u32) -> Usage {
        let table = Table::read();
        let mut usage = BTreeMap::new();
        let candidates = match self {
            Self::Descendants => table.family(own),
            Self::Machine => table.pids().collect(),
            Self::ClientOnly => vec![own],
        };
        for pid in candidates {
            let Some(kind) = kinds::of(&table, pid, own) else {
                continue;
            };
            let members = if kind.is_a_family() {
                table.family(pid)
            } else {
                vec![pid]
            };
            let resident_kib = table::resident_kib(&members);
            // One that holds no memory has ended since the table was read.
            if let (Some(process), 1..) = (table.get(pid), resident_kib) {
                let used = Used {
                    kind,
                    began: process.began,
                    cpu: table.cpu(&members),
                    resident_kib,
                };
                usage.insert(pid, used);
            }
        }
        Usage(usage)
    }
}

impl Usage {
    /// What was used since `before`, in the time of so many operations.
    pub(super) fn since(&self, before: &Self, operations: u64) -> Vec<ProcessUse> {
        let mut processes: Vec<_> = self.0.iter().collect();
        processes.sort_by(|(_, one), (_, other)| (&one.kind, one.began).cmp(&(&other.kind, other.began)));
        let mut seen = BTreeMap::new();
        processes
            .iter()
            .map(|(pid, used)| {
                let number = seen.entry(&used.kind).or_insert(0);
                *number += 1;
                let alone = processes
                    .iter()
                    .filter(|(_, other)| other.kind == used.kind)
                    .count()
                    == 1;
                let cpu = used.cpu.saturating_sub(before.cpu_of(**pid));
                ProcessUse {
                    name: if alone {
                        used.kind.to_string()
                    } else {
                        format!("{}-{number}", used.kind)
                    },
                    pid: **pid,
                    cpu_ms: super::millis(cpu),
                    cpu_us_per_operation: per_operation(cpu, operations),
                    resident_kib: used.resident_kib,
                }
            })
            .collect()
    }

    /// The processor time that all but the benchmark itself used since `before`.
    pub(super) fn platform_work_since(&self, before: &Self) -> Duration {
        self.0
            .iter()
            .filter(|(_, used)| used.kind != Kind::Client)
            .map(|(pid, used)| used.cpu.saturating_sub(before.cpu_of(*pid)))
            .sum()
    }

    fn cpu_of(&self, pid: u32) -> Duration {
        self.0.get(&pid).map_or(Duration::ZERO, |used| used.cpu)
    }
}

/// In microseconds, to a tenth.
#[allow(clippy::cast_precision_loss)] // nobody counts to 2^53 operations
fn per_operation(cpu: Duration, operations: u64) -> Option<f64> {
    let micros = cpu.as_secs_f64() * 1e6 / operations as f64;
    (operations > 0).then(|| (micros * 10.0).round() / 10.0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        process::{Command, Stdio},
        time::Instant,
    };

    use super::*;

    /// Keeps a core busy for some clock ticks.
    fn work() {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(60) {
            std::hint::black_box(start);
        }
    }

    #[test]
    fn the_benchmark_sees_its_own_work_and_memory() {
        let before = Watch::ClientOnly.look_now(std::process::id());
        let mut rounds = 0;
        let seen = loop {
            work();
            rounds += 1;
            let after = Watch::ClientOnly.look_now(std::process::id());
            let seen = after.since(&before, 10);
            // On a busy machine it may take a while to get any time.
            if seen[0].cpu_ms > 0 || rounds > 100 {
                break seen;
            }
        };
        assert_eq!((seen.len(), seen[0].name.as_str()), (1, "client"));
        assert!(seen[0].cpu_ms > 0 && seen[0].resident_kib > 0, "{seen:?}");
        assert_eq!(
            seen[0].cpu_us_per_operation,
            per_operation(Duration::from_millis(seen[0].cpu_ms), 10)
        );
    }

    #[test]
    fn the_work_of_the_benchmark_is_not_the_platforms() {
        let before = Watch::ClientOnly.look_now(std::process::id());
        work();
        let after = Watch::ClientOnly.look_now(std::process::id());
        assert_eq!(after.platform_work_since(&before), Duration::ZERO);
    }

    #[test]
    fn a_service_that_was_started_is_seen_by_its_command_line_while_it_runs() {
        use std::os::unix::process::CommandExt as _;
        let mut service = Command::new("sh")
            .arg0("kopeck")
            .args(["-s", "run", "--only", "billing"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = service.id();
        let usage = Watch::Descendants.look_now(std::process::id());
        let elsewhere = Watch::Descendants.look_now(pid);
        drop(service.stdin.take());
        service.wait().unwrap();
        assert_eq!(usage.0[&pid].kind, Kind::Platform("billing".to_owned()));
        assert_eq!(elsewhere.0[&pid].kind, Kind::Client, "everybody sees themselves");
        assert!(elsewhere.0.len() == 1, "and nobody but their own: {elsewhere:?}");
    }

    #[test]
    fn several_of_a_kind_are_numbered_in_the_order_of_their_start() {
        let used = |began| Used {
            kind: Kind::Platform("billing".to_owned()),
            began,
            cpu: Duration::from_millis(30),
            resident_kib: 1,
        };
        let alone = Used {
            kind: Kind::RabbitMq,
            ..used(1)
        };
        let usage = Usage([(7, used(20)), (9, used(10)), (3, alone)].into());
        let seen = usage.since(&Usage::default(), 3);
        let seen: Vec<_> = seen
            .iter()
            .map(|process| (process.name.as_str(), process.pid, process.cpu_us_per_operation))
            .collect();
        assert_eq!(
            seen,
            [
                ("billing-1", 9, Some(10_000.0)),
                ("billing-2", 7, Some(10_000.0)),
                ("rabbitmq", 3, Some(10_000.0)),
            ]
        );
        assert_eq!(usage.since(&Usage::default(), 0)[0].cpu_us_per_operation, None);
    }
}
