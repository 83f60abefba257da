//! The machine's processes at one moment.

use std::{collections::BTreeMap, fs, time::Duration};

/// A tick of the clock in which Linux counts processor time for `/proc`: a hundredth of a second on
/// every machine that this program is built for.
const TICK: Duration = Duration::from_millis(10);

/// Every process of the machine; empty where there is no `/proc`.
#[derive(Debug, Default)]
pub(super) struct Table {
    processes: BTreeMap<u32, Process>,
}

/// A process, as its `stat` file tells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// What the kernel calls it, at most 15 characters.
    pub(super) name: String,
    pub(super) parent: u32,
    /// In ticks since the machine started.
    pub(super) began: u64,
    /// In ticks, with that of children that have ended and were waited for: a server's work for a
    /// connection that was closed is not forgotten.
    ticks: u64,
}

impl Table {
    pub(super) fn read() -> Self {
        let processes = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
                Some((pid, parse(&stat)?))
            })
            .collect();
        Self { processes }
    }

    pub(super) fn get(&self, pid: u32) -> Option<&Process> {
        self.processes.get(&pid)
    }

    pub(super) fn pids(&self) -> impl Iterator<Item = u32> + '_ {
        self.processes.keys().copied()
    }

    /// A process with all that descends from it; empty if it is not there.
    pub(super) fn family(&self, root: u32) -> Vec<u32> {
        let mut family: Vec<u32> = self
            .processes
            .contains_key(&root)
            .then_some(root)
            .into_iter()
            .collect();
        let mut next = 0;
        while let Some(parent) = family.get(next).copied() {
            let children = self
                .processes
                .iter()
                .filter(|(_, process)| process.parent == parent);
            family.extend(children.map(|(pid, _)| *pid));
            next += 1;
        }
        family
    }

    /// The processor time of these processes, which must be a family or a single one.
    pub(super) fn cpu(&self, pids: &[u32]) -> Duration {
        let ticks: u64 = pids
            .iter()
            .filter_map(|pid| self.get(*pid))
            .map(|process| process.ticks)
            .sum();
        TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
    }
}

/// `pid (name) state parent …`, where the name may hold spaces and parentheses.
fn parse(stat: &str) -> Option<Process> {
    let (head, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The manual counts from 1, and the state is its third.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Process {
        name: head.split_once('(')?.1.to_owned(),
        parent: u32::try_from(field(4)?).ok()?,
        began: field(22)?,
        ticks: field(14)? + field(15)? + field(16)? + field(17)?,
    })
}

/// The resident memory of processes that share some of it, in KiB.
pub(super) fn resident_kib(pids: &[u32]) -> u64 {
    let (mut own, mut files, mut shared) = (0, 0, 0);
    for pid in pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        own += line_kib(&status, "RssAnon:");
        files = line_kib(&status, "RssFile:").max(files);
        shared = line_kib(&status, "RssShmem:").max(shared);
    }
    own + files + shared
}

/// The number on the line that starts so; nothing if there is none.
fn line_kib(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_it_is_called() {
        let stat = "42 (a) Z 7 (b)) S 17 42 42 0 -1 4194304 1 2 3 4 100 20 3 4 20 0 1 0 5555 1 1";
        let process = parse(stat).unwrap();
        let expected = Process {
            name: "a) Z 7 (b)".to_owned(),
            parent: 17,
            began: 5_555,
            ticks: 127,
        };
        assert_eq!(process, expected);
        let table = Table {
            processes: [(42, process)].into(),
        };
        assert_eq!(table.cpu(&[42, 43]), Duration::from_millis(1_270));
    }

    #[test]
    fn a_family_is_a_process_with_all_below_it() {
        let process = |parent| Process {
            name: String::new(),
            parent,
            began: 0,
            ticks: 1,
        };
        let table = Table {
            processes: [(1, process(0)), (5, process(1)), (4, process(5)), (3, process(1))].into(),
        };
        let mut family = table.family(5);
        family.sort_unstable();
        assert_eq!(family, [4, 5]);
        assert_eq!(table.family(9), [] as [u32; 0]);
    }

    #[test]
    fn memory_is_read_from_its_line() {
        let status = "Name:\tpostgres\nVmRSS:\t  9000 kB\nRssAnon:\t    1234 kB\n";
        assert_eq!(line_kib(status, "RssAnon:"), 1_234);
        assert_eq!(line_kib(status, "RssShmem:"), 0);
    }
}
