//! The cache in Redis, shared by all processes that name it.
//!
//! Redis may be slow, gone, or back with what it knew long ago: a call is given up after a moment,
//! and after a failure Redis is left alone for a while, so that not every request waits.

mod outage;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use redis::{
    AsyncConnectionConfig, Client, RedisError, Script, ScriptInvocation, aio::MultiplexedConnection,
};
use tokio::sync::Mutex;

use self::outage::Outage;
use super::{Cache, CacheError, Entry, LIFE, Look, Moment, Unavailable};

/// Calls that may be on their way at the same time before others wait for their turn.
const CALLS_ON_THE_WAY: usize = 1_024;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long an entry lives.
    pub life: Duration,
    /// How long Redis may take to answer, connecting included.
    pub patience: Duration,
    /// How long Redis is left alone after a failure.
    pub rest: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            life: LIFE,
            patience: Duration::from_millis(100),
            rest: Duration::from_millis(500),
        }
    }
}

/// Keeps entries in Redis.
pub struct RedisCache {
    client: Client,
    namespace: String,
    timing: Timing,
    keep: Script,
    /// None until it is needed, and after each failure: a connection that does not answer may
    /// never do so again, and nothing tells which.
    connection: Mutex<Option<MultiplexedConnection>>,
    outage: Outage,
}

impl RedisCache {
    /// For the Redis behind `url`, which need not be there yet; every key begins with `namespace`.
    ///
    /// # Errors
    /// When the URL can't be read.
    pub fn new(url: &str, namespace: &str, timing: Timing) -> Result<Self, CacheError> {
        Ok(Self {
            // Its error may repeat a piece of the password.
            client: Client::open(url).map_err(|_| CacheError::InvalidUrl)?,
            namespace: namespace.to_owned(),
            timing,
            keep: Script::new(include_str!("redis/keep.lua")),
            connection: Mutex::default(),
            outage: Outage::none(timing.rest),
        })
    }

    fn name(&self, key: &str) -> String {
        format!("{}:{key}", self.namespace)
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        // Bounded by who waits for it.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(CALLS_ON_THE_WAY);
        let new = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(connection.insert(new).clone())
    }

    /// Asks Redis, unless it failed just now.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, Unavailable> {
        if !self.outage.may_try() {
            return Err(Unavailable);
        }
        let asking = async { question(self.connection().await?).await };
        match tokio::time::timeout(self.timing.patience, asking).await {
            Ok(Ok(answer)) => {
                self.outage.end();
                return Ok(answer);
            }
            Ok(Err(error)) => self.outage.note(&error),
            Err(_) => self.outage.note(&"no answer in time"),
        }
        // Where somebody holds it, there is none, or it is dropped after the next failure.
        if let Ok(mut connection) = self.connection.try_lock() {
            connection.take();
        }
        Err(Unavailable)
    }

    /// Runs the script that keeps what is not older than what is there.
    async fn run(&self, script: ScriptInvocation<'_>) {
        // A failure is logged, and is of no consequence: see `ServiceCache`.
        let _ = self
            .ask(async |mut connection| script.invoke_async::<()>(&mut connection).await)
            .await;
    }

    fn script(&self) -> ScriptInvocation<'_> {
        let mut script = self.keep.prepare_invoke();
        script.arg(micros(self.timing.life));
        script
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, keys: &[&str]) -> Result<Look, Unavailable> {
        if keys.is_empty() {
            // MGET wants one.
            return self.get(&[""]).await.map(|look| Look {
                entries: Vec::new(),
                ..look
            });
        }
        let mut look = redis::pipe();
        // The time first: what was put in between seems to be from later, not from before.
        look.cmd("TIME");
        let mget = look.cmd("MGET");
        for key in keys {
            mget.arg(self.name(key));
        }
        let ((seconds, micros), kept): ((i64, i64), Vec<Option<Vec<u8>>>) = self
            .ask(async |mut connection| look.query_async(&mut connection).await)
            .await?;
        let at = Moment(seconds * 1_000_000 + micros);
        let lives = |entry: &Entry| at < entry.looked_up_at.plus(self.timing.life);
        let entries = kept.into_iter().map(|kept| read(&kept?).filter(lives));
        Ok(Look {
            at,
            entries: entries.collect(),
        })
    }

    async fn put(&self, key: &str, entry: Entry) {
        let mut script = self.script();
        script
            .key(self.name(key))
            .arg(entry.version)
            .arg(entry.looked_up_at.0)
            .arg(&*entry.value);
        self.run(script).await;
    }

    async fn forget(&self, changed: &[(&str, i64)]) {
        if changed.is_empty() {
            return;
        }
        let mut script = self.script();
        for (key, version) in changed {
            script.key(self.name(key)).arg(*version).arg("").arg("");
        }
        self.run(script).await;
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// An entry as the script writes it; nothing for a tombstone, or for what somebody else wrote.
fn read(kept: &[u8]) -> Option<Entry> {
    let mut parts = kept.splitn(3, |byte| *byte == b':');
    let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse().ok();
    let (version, looked_up_at) = (number()?, number()?);
    Some(Entry {
        version,
        looked_up_at: Moment(looked_up_at),
        value: Arc::from(parts.next()?),
    })
}
