//! The way to Sentry, on which nobody ever waits for long.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use sentry::{
    Envelope, Transport, TransportFactory, TransportOptions,
    transports::{UreqHttpTransport, UreqHttpTransportOptions},
};
use ureq::Agent;

/// How long Sentry may take for one event. After that it is lost, and the next one has its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sentry's own transport, which has a thread and a queue, but waits without a bound for that
/// thread when the queue is full, when it is flushed and when it is dropped.
struct Unhurried(Option<Arc<UreqHttpTransport>>);

/// Makes the way.
pub(super) struct ToSentry;

impl TransportFactory for ToSentry {
    fn create_transport_with_options(&self, options: TransportOptions) -> Arc<dyn Transport> {
        let agent: Agent = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        let transport = UreqHttpTransportOptions::from(options).with_agent(agent).build();
        Arc::new(Unhurried(Some(Arc::new(transport))))
    }
}

impl Transport for Unhurried {
    fn send_envelope(&self, envelope: Envelope) {
        // This one does not wait: with a full queue it drops the event.
        if let Some(transport) = &self.0 {
            transport.send_envelope(envelope);
        }
    }

    fn flush(&self, timeout: Duration) -> bool {
        let Some(transport) = self.0.clone() else {
            return true;
        };
        let (say, flushed) = mpsc::channel();
        let waiting = thread::Builder::new().name("sentry-flush".to_owned());
        let spawned = waiting.spawn(move || {
            // Its own `flush`: that of the `Arc` does nothing. Nobody may be waiting any more.
            let _ = say.send(UreqHttpTransport::flush(&transport, timeout));
        });
        spawned.is_ok() && flushed.recv_timeout(timeout).unwrap_or(false)
    }
}

impl Drop for Unhurried {
    fn drop(&mut self) {
        let transport = self.0.take();
        // The end of the process does not wait for this thread.
        let _ = thread::Builder::new()
            .name("sentry-drop".to_owned())
            .spawn(move || drop(transport));
    }
}
