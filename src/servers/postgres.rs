//! A PostgreSQL server of one's own.

use std::{
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};

use super::{
    Durability,
    daemon::{Daemon, Owner, Program},
    ports,
};

const ROLE: &str = "kopeck";
const ACCOUNTS: &str = "/etc/passwd";

/// A running PostgreSQL with the superuser `kopeck`, who needs no password from this machine.
///
/// Durability is the default one, unless the server is for tests: what the platform promises rests on it.
#[derive(Debug)]
pub struct Postgres {
    daemon: Daemon,
    port: u16,
}

impl Postgres {
    /// Makes a cluster and starts it; `binaries` is the folder with `initdb` and `postgres`.
    pub(super) async fn start(
        binaries: PathBuf,
        folder: &Path,
        durability: Durability,
    ) -> anyhow::Result<Self> {
        let home = folder.join("postgres");
        std::fs::create_dir(&home)?;
        let owner = other_owner(folder)?;
        if let Some(owner) = owner {
            chown(&home, Some(owner.uid), Some(owner.gid))?;
        }
        let program = |name: &str, arguments: &[&str]| Program {
            path: binaries.join(name),
            arguments: arguments.iter().map(Into::into).collect(),
            environment: Vec::new(),
            owner,
        };
        let initdb = program("initdb", &INITDB);
        // Killed halfway it would leave shared memory behind; it is done in a second or two.
        Daemon::new("initdb", home.clone(), initdb, Some("0"))
            .run()
            .await?;

        let port = ports::free()?;
        let port_setting = format!("port={port}");
        let settings = [
            port_setting.as_str(),
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=300",
            "shared_buffers=64MB",
        ];
        let without_disk: &[&str] = match durability {
            Durability::Full => &[],
            Durability::WithoutDisk => &WITHOUT_DISK,
        };
        let mut arguments = vec!["-D", "data"];
        let settings = settings.iter().chain(without_disk);
        arguments.extend(settings.flat_map(|setting| ["-c", *setting]));
        // On SIGQUIT the server goes at once, but frees its shared memory.
        let daemon = Daemon::new("PostgreSQL", home, program("postgres", &arguments), Some("QUIT"));
        let server = Self { daemon, port };
        server.start_again().await?;
        Ok(server)
    }

    /// The URL of the maintenance database.
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// The URL of a database on this server.
    pub fn database_url(&self, database: &str) -> String {
        format!("postgres://{ROLE}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes empty databases.
    ///
    /// # Errors
    /// A name that is not made of small letters, digits and `_`, or that is there already.
    pub async fn create_databases(&self, names: &[&str]) -> anyhow::Result<()> {
        let connection = self.connect().await?;
        for name in names {
            anyhow::ensure!(is_plain(name), "`{name}` is no name for a database");
            let statement = format!("CREATE DATABASE {name}");
            let created = connection.execute_unprepared(&statement).await;
            created.with_context(|| format!("the database `{name}` can't be made"))?;
        }
        Ok(connection.close().await?)
    }

    /// Kills the server with all its processes (`kill -9`). Blocks for some milliseconds.
    pub fn kill(&self) {
        self.daemon.kill();
    }

    /// Stops the server politely: open transactions are rolled back.
    ///
    /// # Errors
    /// It did not end.
    pub async fn stop(&self) -> anyhow::Result<()> {
        self.daemon.end("INT").await
    }

    /// Starts the server after a kill or a stop, on the same port with the same data, and returns when it answers.
    ///
    /// # Errors
    /// It did not come up.
    pub async fn start_again(&self) -> anyhow::Result<()> {
        self.daemon.spawn()?;
        self.daemon.until_ready(|| self.probe()).await
    }

    /// Stops the server politely and starts it again.
    ///
    /// # Errors
    /// It did not come up.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.stop().await?;
        self.start_again().await
    }

    async fn probe(&self) -> anyhow::Result<()> {
        let connection = self.connect().await?;
        connection.execute_unprepared("SELECT 1").await?;
        Ok(connection.close().await?)
    }

    async fn connect(&self) -> anyhow::Result<DatabaseConnection> {
        let mut options = ConnectOptions::new(self.url());
        options
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(1))
            .connect_timeout(Duration::from_secs(1))
            .sqlx_logging(false);
        Ok(Database::connect(options).await?)
    }
}

/// Letters sort by code point, as in the platform's own comparisons, and are known beyond ASCII.
const LOCALE: &str = if cfg!(target_os = "linux") {
    "--locale=C.UTF-8"
} else {
    "--locale=C"
};

/// The fresh files are not flushed: the folder is not meant to survive the machine.
const INITDB: [&str; 9] = [
    "-D",
    "data",
    "-U",
    ROLE,
    "--auth=trust",
    "--encoding=UTF8",
    LOCALE,
    "--no-sync",
    "--no-instructions",
];

/// A test makes a database, and hundreds of tests run: no database waits for the disk, and none is visited
/// by `autovacuum`, which would start a process for each of them every minute.
const WITHOUT_DISK: [&str; 3] = ["fsync=off", "full_page_writes=off", "autovacuum=off"];

/// PostgreSQL refuses to run as root, who therefore gives it to another user of the machine.
fn other_owner(own_folder: &Path) -> anyhow::Result<Option<Owner>> {
    // Who made the folder is who runs this process.
    if std::fs::metadata(own_folder)?.uid() != 0 {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string(ACCOUNTS)?;
    let owner = ["postgres", "nobody"]
        .iter()
        .find_map(|name| account(&accounts, name));
    owner
        .map(Some)
        .context("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")
}

/// A line of accounts is `name:password:uid:gid:…`.
fn account(accounts: &str, name: &str) -> Option<Owner> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(name);
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        is_it.then_some(Owner { uid, gid })
    })
}

/// Whether a name needs no quotes in SQL and no escapes in a URL.
fn is_plain(name: &str) -> bool {
    let letters_fit = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    letters_fit && name.starts_with(|first: char| first.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts =
            "root:x:0:0:root:/root:/bin/bash\nbroken\nnobody2:x:9:9::/:\nnobody:x:65534:65533::/:\n";
        assert_eq!(
            account(accounts, "nobody"),
            Some(Owner {
                uid: 65534,
                gid: 65533
            })
        );
        assert_eq!(account(accounts, "postgres"), None);
    }

    #[test]
    fn names_that_could_carry_sql_are_refused() {
        assert!(is_plain("billing_2"));
        for name in ["", "2nd", "a b", "a;drop", "a\"b", "Ä", "Upper"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
