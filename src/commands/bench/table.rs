//! What was found, as people read it.

use std::fmt::Write as _;

use super::{load::Measurement, processes::ProcessUse, report::Report, subject::SubjectName};

/// The whole report.
pub(super) fn of(report: &Report) -> String {
    let mut text = head(report);
    text.push('\n');
    text.push_str(&figures(report));
    if !report.ratios.is_empty() {
        text.push_str("\nThroughput of the platform, of that of raw SQL in one transaction:\n");
        for ratio in &report.ratios {
            let value = ratio
                .ratio
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
            let _ = writeln!(text, "  {}: {value}", ratio.scenario);
        }
    }
    text.push_str(&errors(report));
    text.push_str(&processes(report));
    if let Some(books) = &report.books {
        let verdict = if books.clean { "right" } else { "WRONG" };
        let _ = writeln!(text, "\nThe books are {verdict}:");
        for line in &books.said {
            let _ = writeln!(text, "  {line}");
        }
    } else {
        text.push_str("\nThe books were not looked at: `kopeck reconcile` does, where the databases are.\n");
    }
    text
}

fn head(report: &Report) -> String {
    let platform = match report.platform {
        SubjectName::Embedded => "embedded platform (SQLite, one process)".to_owned(),
        SubjectName::Distributed { replicas: 1 } => "distributed platform, a process a service".to_owned(),
        SubjectName::Distributed { replicas } => {
            format!("distributed platform, {replicas} processes a service")
        }
        SubjectName::Running => "running platform".to_owned(),
    };
    let postgres = report
        .postgres
        .as_ref()
        .map_or_else(String::new, |version| format!(", PostgreSQL {version}"));
    let mut text = format!(
        "Kopeck {} ({} build), {platform}{postgres}\n\
         {} clients, {} s after {} s of warm-up, {} cores for everything on this machine\n",
        report.version, report.build, report.clients, report.seconds, report.warm_up_seconds, report.cores,
    );
    if report.build == "debug" {
        text.push_str("A debug build: its figures say little.\n");
    }
    text
}

/// Every measurement with what it is called here.
fn all(report: &Report) -> impl Iterator<Item = (String, &Measurement)> {
    let platform = report
        .scenarios
        .iter()
        .map(|measured| (measured.scenario.to_owned(), measured));
    let raw = report
        .raw_sql
        .iter()
        .map(|measured| (format!("raw {}", measured.scenario), measured));
    platform.chain(raw)
}

fn figures(report: &Report) -> String {
    const HEAD: [&str; 9] = [
        "scenario",
        "operations",
        "per second",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
        "errors",
        "asked again",
    ];
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    for (name, measured) in all(report) {
        let latency = measured.latency_ms;
        let mut row = vec![
            name,
            measured.operations.to_string(),
            format!("{:.1}", measured.per_second),
        ];
        row.extend([latency.p50, latency.p95, latency.p99, latency.max].map(|ms| format!("{ms:.1}")));
        row.extend([measured.errors, measured.asked_again].map(|count| count.to_string()));
        rows.push(row);
    }
    aligned(&rows)
}

fn errors(report: &Report) -> String {
    let mut text = String::new();
    for (name, measured) in all(report).filter(|(_, measured)| measured.errors > 0) {
        let codes: Vec<_> = measured
            .error_codes
            .iter()
            .map(|error| format!("{} × {}", error.count, error.code))
            .collect();
        let _ = writeln!(text, "\nErrors in {name}: {}", codes.join(", "));
    }
    text
}

fn processes(report: &Report) -> String {
    if all(report).all(|(_, measured)| measured.processes.is_empty()) {
        return "\nProcessor time and memory can be seen on Linux only.\n".to_owned();
    }
    let per_operation = by_process(report, |process| {
        process
            .cpu_us_per_operation
            .map_or_else(|| "-".to_owned(), |micros| format!("{micros:.0}"))
    });
    let cpu = by_process(report, |process| process.cpu_ms.to_string());
    let memory = by_process(report, |process| format!("{:.1}", mib(process.resident_kib)));
    let whose = match report.platform {
        SubjectName::Running => "\nOf every platform and server on this machine, if the platform is on it:\n",
        SubjectName::Embedded | SubjectName::Distributed { .. } => "",
    };
    format!(
        "{whose}\nProcessor time an operation, in µs:\n{per_operation}\
         \nProcessor time in all, in ms:\n{cpu}\
         \nResident memory at the end, in MiB:\n{memory}"
    )
}

#[allow(clippy::cast_precision_loss)] // shown with one decimal
fn mib(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}

/// A row a process, a column a measurement.
fn by_process(report: &Report, show: impl Fn(&ProcessUse) -> String) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (_, measured) in all(report) {
        for process in &measured.processes {
            if !names.contains(&process.name.as_str()) {
                names.push(&process.name);
            }
        }
    }
    let mut rows = vec![vec!["process".to_owned()]];
    rows[0].extend(all(report).map(|(name, _)| name));
    for name in names {
        let mut row = vec![name.to_owned()];
        row.extend(all(report).map(|(_, measured)| {
            let process = measured.processes.iter().find(|process| process.name == name);
            process.map_or_else(|| "-".to_owned(), &show)
        }));
        rows.push(row);
    }
    aligned(&rows)
}

/// The first column begins at the left, the others end at the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(row.len().max(widths.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(text, "  {cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = aligned(&[row(["name", "µs", "b"]), row(["x", "1234", "56"])]);
        assert_eq!(text, "  name    µs   b\n  x     1234  56\n");
    }
}
