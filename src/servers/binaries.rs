//! Where the servers' programs are on this machine.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::Needs;

/// The programs of the servers that are needed.
#[derive(Debug)]
pub(super) struct Binaries {
    /// The folder with `initdb` and `postgres`.
    pub(super) postgres: Option<PathBuf>,
    /// The real `rabbitmq-server` script.
    pub(super) rabbitmq: Option<PathBuf>,
    /// `redis-server`.
    pub(super) redis: Option<PathBuf>,
}

impl Binaries {
    /// Looks for all of them, and names every one that is missing at once.
    pub(super) fn find(needs: Needs) -> anyhow::Result<Self> {
        let found = Self {
            postgres: needs.postgres.then(postgres).flatten(),
            rabbitmq: needs.rabbitmq.then(rabbitmq).flatten(),
            redis: needs.redis.then(|| in_path("redis-server")).flatten(),
        };
        let missing: Vec<&str> = [
            (
                needs.postgres && found.postgres.is_none(),
                "PostgreSQL (Debian package `postgresql`)",
            ),
            (
                needs.rabbitmq && found.rabbitmq.is_none(),
                "RabbitMQ (Debian package `rabbitmq-server`)",
            ),
            (
                needs.redis && found.redis.is_none(),
                "Redis (Debian package `redis-server`)",
            ),
        ]
        .into_iter()
        .filter_map(|(is_missing, what)| is_missing.then_some(what))
        .collect();
        anyhow::ensure!(
            missing.is_empty(),
            "not found on this machine: {}",
            missing.join(", ")
        );
        Ok(found)
    }
}

fn postgres() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| folder.join("postgres").is_file() && folder.join("initdb").is_file();
    // What is in PATH may be a link into the real folder.
    let real = in_path("postgres").and_then(|program| program.canonicalize().ok());
    let beside_path = real.and_then(|program| Some(program.parent()?.to_owned()));
    // Debian keeps the server's programs out of PATH.
    beside_path
        .filter(complete)
        .or_else(|| newest(Path::new("/usr/lib/postgresql"), "bin").find(complete))
}

fn rabbitmq() -> Option<PathBuf> {
    // What Debian has in PATH is a wrapper that insists on its own user, and calls itself without end
    // under another name than it expects. What remains of its name without links tells it apart.
    let is_real = |script: &PathBuf| script.is_file() && script.ends_with("rabbitmq-server");
    newest(Path::new("/usr/lib/rabbitmq/lib"), "sbin")
        .map(|folder| folder.join("rabbitmq-server"))
        .find(is_real)
        .or_else(|| in_path("rabbitmq-server")?.canonicalize().ok().filter(is_real))
}

/// The program that a shell would run; `/usr/sbin` counts too, which users other than root often lack.
fn in_path(program: &str) -> Option<PathBuf> {
    let output = Command::new("sh")
        .args(["-c", "PATH=\"$PATH:/usr/sbin\"; command -v \"$1\"", "sh", program])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_absolute().then_some(path)
}

/// `leaf` in every subfolder of `parent`, the highest version first.
fn newest(parent: &Path, leaf: &str) -> impl Iterator<Item = PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    folders.sort_by_key(|folder| std::cmp::Reverse(version(&folder.to_string_lossy())));
    folders.into_iter().map(move |folder| folder.join(leaf))
}

/// The numbers in a name, so that 4.10 is more than 4.9.
fn version(name: &str) -> Vec<u64> {
    name.split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["server-3.9.27", "server-3.10.8", "server-3.10.10"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let found: Vec<_> = newest(folder.path(), "bin").collect();
        let expected = ["server-3.10.10", "server-3.10.8", "server-3.9.27"];
        assert_eq!(found, expected.map(|name| folder.path().join(name).join("bin")));
    }

    #[test]
    fn a_program_nobody_has_is_not_found() {
        assert_eq!(in_path("kopeck-no-such-program"), None);
        assert!(in_path("sh").is_some());
    }

    #[test]
    fn what_is_not_needed_is_not_looked_for() {
        let found = Binaries::find(Needs {
            postgres: false,
            rabbitmq: false,
            redis: false,
        })
        .unwrap();
        assert!(found.postgres.is_none() && found.rabbitmq.is_none() && found.redis.is_none());
    }
}
