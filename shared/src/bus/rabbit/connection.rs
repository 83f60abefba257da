//! One connection at a time, built anew when it is broken.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use lapin::{Channel, Connection, ConnectionProperties, uri::AMQPUri};
use tokio::time::timeout;

use super::topology;
use crate::bus::BusError;

/// How long building a connection with all its topology may take.
pub(super) const CONNECT_BOUND: Duration = Duration::from_secs(10);

/// A peer that says nothing for twice this long (in seconds) is taken for gone; what a consumer that
/// hangs has in hand goes to another one then.
const HEARTBEAT: u16 = 5;

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The broker refused, or the connection broke.
    #[error("the broker refused or went away: {0}")]
    Broker(#[from] lapin::Error),
    /// It did not answer within the bound.
    #[error("the broker did not answer in time")]
    TimedOut,
    /// This process is shutting down.
    #[error("connecting was given up")]
    GivenUp,
}

impl From<LinkError> for BusError {
    fn from(error: LinkError) -> Self {
        Self::Unreachable(Box::new(error))
    }
}

/// A live connection on which the topology stands.
pub(super) struct Link {
    connection: Connection,
    broken: AtomicBool,
}

impl Link {
    /// A connection whose topology is declared before anybody else can use it.
    async fn open(uri: AMQPUri, name: &str) -> Result<Self, lapin::Error> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect_uri(uri, properties).await?;
        let link = Self {
            connection,
            broken: AtomicBool::new(false),
        };
        topology::declare(&link.channel().await?).await?;
        Ok(link)
    }

    /// A new channel, for one purpose and one task at a time.
    pub(super) async fn channel(&self) -> Result<Channel, lapin::Error> {
        self.connection.create_channel().await
    }

    /// Whether it can be used, as far as is known.
    pub(super) fn is_alive(&self) -> bool {
        !self.broken.load(Ordering::Acquire) && self.connection.status().connected()
    }

    /// Whether the broker has asked publishers to stop (no memory or disk left).
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Nobody will get it from its [`Line`] any more; it closes when the last user lets go.
    pub(super) fn mark_broken(&self) {
        self.broken.store(true, Ordering::Release);
    }
}

type Attempt = Shared<BoxFuture<'static, Result<Arc<Link>, LinkError>>>;

#[derive(Default)]
struct State {
    link: Option<Arc<Link>>,
    attempt: Option<Attempt>,
}

/// Where connections come from: everybody shares the live one, or the one attempt to make it.
pub(super) struct Line {
    uri: AMQPUri,
    name: &'static str,
    state: Mutex<State>,
}

// By hand: the URI holds a password.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Line {
    pub(super) fn new(url: &str, name: &'static str) -> Result<Arc<Self>, BusError> {
        // The parser's own message may repeat parts of the URL.
        let mut uri: AMQPUri = url.parse().map_err(|_| BusError::InvalidUrl)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        // Bounds the thread that lapin leaves behind, too, when an attempt is given up.
        uri.query
            .connection_timeout
            .get_or_insert(CONNECT_BOUND.as_millis() as u64);
        Ok(Arc::new(Self {
            uri,
            name,
            state: Mutex::default(),
        }))
    }

    /// The live connection, or a new one within [`CONNECT_BOUND`]. However many ask, one attempt
    /// runs, and who asked during a failed one shares its failure.
    pub(super) async fn link(self: &Arc<Self>) -> Result<Arc<Link>, LinkError> {
        let attempt = {
            let mut state = self.state();
            if let Some(link) = state.link.as_ref().filter(|link| link.is_alive()) {
                return Ok(Arc::clone(link));
            }
            state.link = None;
            match state.attempt.as_ref().filter(|attempt| attempt.peek().is_none()) {
                Some(attempt) => attempt.clone(),
                None => state.attempt.insert(self.start_attempt()).clone(),
            }
        };
        attempt.await
    }

    /// A task of its own, so that it goes on when who asked first is cancelled.
    fn start_attempt(self: &Arc<Self>) -> Attempt {
        let line = Arc::clone(self);
        let task = tokio::spawn(async move {
            let link = timeout(CONNECT_BOUND, Link::open(line.uri.clone(), line.name))
                .await
                .map_err(|_| LinkError::TimedOut)??;
            let link = Arc::new(link);
            let mut state = line.state();
            state.link = Some(Arc::clone(&link));
            state.attempt = None;
            Ok(link)
        });
        task.map(|done| done.unwrap_or(Err(LinkError::GivenUp)))
            .boxed()
            .shared()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
