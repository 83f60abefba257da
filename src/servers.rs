//! Private servers: PostgreSQL, RabbitMQ and Redis of one's own, for trying the platform and for tests.
//!
//! They live in one temporary folder on free loopback ports and know nothing of the machine's own
//! servers. Nothing outlives its [`Servers`]: dropping it stops them, and a guard (see [`guard`])
//! does the same for a parent that was killed.

mod binaries;
mod command;
mod daemon;
mod guard;
pub(crate) mod ports;
mod postgres;
mod processes;
mod rabbitmq;
mod redis;

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::Context as _;
use tempfile::TempDir;

use self::{binaries::Binaries, guard::Guard};
pub use self::{command::run, postgres::Postgres, rabbitmq::RabbitMq, redis::Redis};

/// What the data of a server survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// A kill of the server and a crash of the machine.
    Full,
    /// A kill of the server; nothing waits for the disk.
    WithoutDisk,
}

/// Which servers to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// PostgreSQL.
    pub postgres: bool,
    /// RabbitMQ with its management API.
    pub rabbitmq: bool,
    /// Redis.
    pub redis: bool,
}

impl Needs {
    /// All three.
    pub const ALL: Self = Self {
        postgres: true,
        rabbitmq: true,
        redis: true,
    };
}

/// Running private servers; dropping it stops them (blocking for a moment) and removes their folder.
///
/// Fields are dropped in order: the servers, then the guard, then the folder.
#[derive(Debug)]
pub struct Servers {
    postgres: Option<Postgres>,
    rabbitmq: Option<RabbitMq>,
    redis: Option<Redis>,
    guard: Guard,
    folder: TempDir,
}

impl Servers {
    /// Starts what is needed, all at once, and returns when everything answers.
    ///
    /// # Errors
    /// A missing binary (with the Debian package that brings it), or a server that did not come up
    /// (with the end of its log).
    pub async fn start(needs: Needs) -> anyhow::Result<Self> {
        Self::start_with(needs, Durability::Full).await
    }

    async fn start_with(needs: Needs, durability: Durability) -> anyhow::Result<Self> {
        let binaries = Binaries::find(needs)?;
        let folder = TempDir::with_prefix("kopeck-servers-").context("no temporary folder can be made")?;
        // PostgreSQL may run as another user, who has to pass through.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
        // Before the first server, so that there is no moment in which one could be orphaned; and
        // declared before the servers, so that a failed start drops it after them.
        let guard = Guard::over(folder.path())?;
        let (postgres, rabbitmq, redis) = tokio::try_join!(
            start_one(binaries.postgres, |bin| Postgres::start(
                bin,
                folder.path(),
                durability
            )),
            start_one(binaries.rabbitmq, |bin| RabbitMq::start(bin, folder.path())),
            start_one(binaries.redis, |bin| Redis::start(bin, folder.path())),
        )?;
        Ok(Self {
            postgres,
            rabbitmq,
            redis,
            guard,
            folder,
        })
    }

    /// The PostgreSQL server.
    ///
    /// # Errors
    /// It was not asked for.
    pub fn postgres(&self) -> anyhow::Result<&Postgres> {
        self.postgres.as_ref().context("PostgreSQL was not asked for")
    }

    /// The RabbitMQ broker.
    ///
    /// # Errors
    /// It was not asked for.
    pub fn rabbitmq(&self) -> anyhow::Result<&RabbitMq> {
        self.rabbitmq.as_ref().context("RabbitMQ was not asked for")
    }

    /// The Redis server.
    ///
    /// # Errors
    /// It was not asked for.
    pub fn redis(&self) -> anyhow::Result<&Redis> {
        self.redis.as_ref().context("Redis was not asked for")
    }

    /// The folder with everything the servers keep; gone after the stop.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops everything and removes the folder, as dropping does, without blocking the runtime.
    pub async fn stop(self) {
        // A panic in there has been reported already, and the guard is left for what remains.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// Notes a process that is to end too should this one be killed; forgotten with `None`.
    fn note_command(&self, pid: Option<u32>) -> anyhow::Result<()> {
        self.guard.note_command(pid)
    }
}

/// Starts a server if its binary was looked for.
async fn start_one<B, S, F>(binary: Option<B>, start: impl FnOnce(B) -> F) -> anyhow::Result<Option<S>>
where
    F: Future<Output = anyhow::Result<S>>,
{
    match binary {
        Some(binary) => start(binary).await.map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
