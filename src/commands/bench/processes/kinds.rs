//! Which process is what.

use std::{fmt, fs, path::Path};

use super::table::Table;

/// What a process is to a platform; in the order in which they are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `kopeck run`, by the services that it runs.
    Platform(String),
    /// A PostgreSQL server with all its processes.
    Postgres,
    /// A RabbitMQ broker with its helpers.
    RabbitMq,
    /// A Redis server.
    Redis,
    /// The benchmark itself.
    Client,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Platform(services) => services,
            Self::Postgres => "postgres",
            Self::RabbitMq => "rabbitmq",
            Self::Redis => "redis",
            Self::Client => "client",
        })
    }
}

impl Kind {
    /// Whether what descends from it is part of it.
    pub(super) const fn is_a_family(&self) -> bool {
        matches!(self, Self::Postgres | Self::RabbitMq | Self::Redis)
    }
}

/// What this process is, if it is anything to a platform.
pub(super) fn of(table: &Table, pid: u32, own: u32) -> Option<Kind> {
    if pid == own {
        return Some(Kind::Client);
    }
    let process = table.get(pid)?;
    match process.name.as_str() {
        "postgres" => {
            let parent = table.get(process.parent).map(|parent| parent.name.as_str());
            (parent != Some("postgres")).then_some(Kind::Postgres)
        }
        "beam.smp" => command_line(pid)
            .iter()
            .any(|argument| argument.contains("rabbit"))
            .then_some(Kind::RabbitMq),
        "redis-server" => Some(Kind::Redis),
        _ => platform(&command_line(pid)).map(Kind::Platform),
    }
}

fn command_line(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// The services that this command line runs: `billing`, `auth+loyalty`, `kopeck` for all of them. None
/// if it is no `kopeck run`.
fn platform(command_line: &[String]) -> Option<String> {
    let mut arguments = command_line.iter().map(String::as_str);
    let program = Path::new(arguments.next()?).file_name()?;
    if program != "kopeck" {
        return None;
    }
    let mut only = Vec::new();
    let mut command = "run";
    let mut named = false;
    while let Some(argument) = arguments.next() {
        match argument.split_once('=') {
            Some(("--only", service)) => only.push(service),
            _ if argument == "--only" => only.extend(arguments.next()),
            _ if matches!(argument, "--config" | "--data" | "--listen") => {
                arguments.next();
            }
            _ if argument.starts_with('-') => {}
            _ if named => {}
            _ => (command, named) = (argument, true),
        }
    }
    (command == "run").then(|| match only.as_slice() {
        [] => "kopeck".to_owned(),
        services => services.join("+"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_known_by_its_command_line() {
        for (line, expected) in [
            ("/usr/bin/kopeck", Some("kopeck")),
            ("kopeck run", Some("kopeck")),
            ("kopeck --data run --listen 127.0.0.1:0", Some("kopeck")),
            (
                "kopeck --data=x run --only billing --listen 127.0.0.1:0",
                Some("billing"),
            ),
            ("kopeck run --only=auth --only loyalty", Some("auth+loyalty")),
            ("kopeck bench --url http://a", None),
            ("kopeck --config run servers -- cargo test run", None),
            ("vim kopeck run", None),
            ("", None),
        ] {
            let line: Vec<_> = line.split_ascii_whitespace().map(str::to_owned).collect();
            assert_eq!(platform(&line).as_deref(), expected, "{line:?}");
        }
    }
}
