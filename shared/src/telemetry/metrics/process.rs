//! What the process itself uses, under the names that Prometheus' own libraries have given it.

use std::{fmt::Write as _, fs};

/// The clock that `/proc` counts in, ticks a second: `USER_HZ`, 100 on every architecture that
/// Linux runs on here.
const TICKS: f64 = 100.0;

/// The names, for whoever documents them.
pub const NAMES: [&str; 6] = [
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
];

/// The figures in Prometheus' text format. What this system does not tell is left out.
pub(super) fn render() -> String {
    let mut text = String::new();
    let mut say = |name: &str, kind: &str, meaning: &str, value: Option<f64>| {
        if let Some(value) = value {
            // Writing into a String can't fail.
            let _ = write!(
                text,
                "# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name} {value}\n\n"
            );
        }
    };
    let stat = read("stat").as_deref().and_then(Stat::parse);
    let status = read("status").unwrap_or_default();
    let [cpu, resident, virtual_memory, open, max, started] = NAMES;
    say(
        cpu,
        "counter",
        "Processor time, of the user and of the system.",
        stat.as_ref().map(|stat| stat.cpu_seconds),
    );
    say(resident, "gauge", "Resident memory.", bytes(&status, "VmRSS:"));
    say(
        virtual_memory,
        "gauge",
        "Virtual memory.",
        bytes(&status, "VmSize:"),
    );
    say(open, "gauge", "Open file descriptors.", open_descriptors());
    say(
        max,
        "gauge",
        "The most file descriptors that may be open.",
        most_descriptors(),
    );
    say(
        started,
        "gauge",
        "When the process started, in seconds since 1970.",
        stat.and_then(|stat| Some(booted_at()? + stat.started_after_boot)),
    );
    text
}

fn read(file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/{file}")).ok()
}

/// What `/proc/self/stat` tells, in seconds.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    started_after_boot: f64,
}

impl Stat {
    /// The program's name stands in brackets and may itself have brackets and spaces: the fields
    /// are counted from behind the last one, where the third begins.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<_> = rest.split_whitespace().collect();
        let seconds = |field: usize| Some(fields.get(field - 3)?.parse::<f64>().ok()? / TICKS);
        Some(Self {
            cpu_seconds: seconds(14)? + seconds(15)?,
            started_after_boot: seconds(22)?,
        })
    }
}

/// A line like `VmRSS:   1024 kB`.
fn bytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

fn open_descriptors() -> Option<f64> {
    // Looking opens one more.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(open).ok().map(f64::from)
}

fn most_descriptors() -> Option<f64> {
    let limits = read("limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn booted_at() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_no_field() {
        let text = "7 (a) b (c d) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 4 0 12345 0 0";
        let expected = Stat {
            cpu_seconds: 3.0,
            started_after_boot: 123.45,
        };
        assert_eq!(Stat::parse(text), Some(expected));
    }

    #[test]
    fn this_process_has_all_figures() {
        let text = render();
        for name in NAMES {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name} ")))
                .unwrap_or_else(|| panic!("{name} is not in {text}"));
            assert!(value.parse::<f64>().unwrap() >= 0.0, "{name} {value}");
        }
    }
}
