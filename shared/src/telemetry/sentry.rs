//! Reports of errors to Sentry.
//!
//! What is logged as an error, and every panic, becomes an event. An event is built here, field
//! by field, and goes to the client directly: Sentry's hub, scopes and breadcrumbs are not used,
//! so nothing is attached that is not named below; no bodies, headers, users or addresses. Nobody
//! waits for Sentry: events go into a short queue, and what does not fit is dropped.

mod event;
mod transport;

use std::{panic, sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use sentry::{
    Client, ClientOptions,
    integrations::{
        backtrace::ProcessStacktraceIntegration, contexts::ContextIntegration, panic::PanicIntegration,
    },
    types::Dsn,
};
use tracing::{Level, Subscriber};
use tracing_subscriber::{Layer, layer::Context};
use transport::ToSentry;

use super::TelemetryError;
use crate::config::Environment;

/// How long the end of the process may wait for what is still to be reported: with the nine
/// seconds of a stop, less than the ten after which container runtimes kill.
const FLUSH: Duration = Duration::from_millis(800);

/// Reports errors while it lives, and sends what is left when it is dropped.
pub(super) struct Reporter(Arc<Client>);

impl Reporter {
    /// Reports to the project of `dsn`.
    pub(super) fn new(dsn: &SecretString, environment: Environment) -> Result<Self, TelemetryError> {
        let dsn: Dsn = dsn.expose_secret().parse().map_err(|_| TelemetryError::Dsn)?;
        let mut options = ClientOptions::new()
            .release(concat!("kopeck@", env!("CARGO_PKG_VERSION")))
            .environment(match environment {
                Environment::Development => "development",
                Environment::Production => "production",
            })
            .send_default_pii(false)
            .transport(ToSentry)
            .add_integration(ContextIntegration::new())
            .add_integration(ProcessStacktraceIntegration);
        options.dsn = Some(dsn);
        // Not `sentry::init`, which would also read variables of the environment.
        Ok(Self(Arc::new(Client::with_options(options))))
    }

    /// Reports what is logged as an error.
    pub(super) fn layer(&self) -> ReportErrors {
        ReportErrors(Arc::clone(&self.0))
    }

    /// Reports panics too. Sentry's own hook would wait until each is sent.
    pub(super) fn report_panics(&self) {
        let client = Arc::clone(&self.0);
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let panicked = PanicIntegration::new().event_from_panic_info(info);
            client.capture_event(event::of_panic(panicked), None);
            before(info);
        }));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.0.close(Some(FLUSH));
    }
}

/// The layer of the log that reports errors.
pub(super) struct ReportErrors(Arc<Client>);

impl<S: Subscriber> Layer<S> for ReportErrors {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // An error of the way to Sentry would report itself, and again.
        let own = ["ureq", "sentry"]
            .iter()
            .any(|own| metadata.target().starts_with(own));
        if *metadata.level() == Level::ERROR && !own {
            self.0.capture_event(event::of_log(event), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::{TcpListener, TcpStream},
        sync::Mutex,
        thread,
        time::Instant,
    };

    use sentry::protocol::Event;

    use super::*;

    /// A Sentry that deals with connections so; and a reporter to it.
    fn reporter(deal_with: impl Fn(TcpStream) + Send + 'static) -> Reporter {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dsn = format!("http://public@{}/1", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                deal_with(stream.unwrap());
            }
        });
        Reporter::new(&SecretString::from(dsn), Environment::Development).unwrap()
    }

    /// The body of one request, which is answered.
    fn take(stream: TcpStream) -> String {
        let mut reader = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line).unwrap() > 2 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        reader.into_inner().write_all(answer).unwrap();
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn a_panic_is_reported_with_its_place_and_without_addresses() {
        let taken = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&taken);
        let reporter = reporter(move |stream| kept.lock().unwrap().push_str(&take(stream)));
        reporter.report_panics();
        let panicked = thread::spawn(|| panic!("anna@mail.example had a bad day")).join();
        assert!(panicked.is_err());
        let deadline = Instant::now() + Duration::from_secs(20);
        while !taken.lock().unwrap().contains("[removed] had a bad day") {
            assert!(Instant::now() < deadline, "waited in vain for the report");
            thread::sleep(Duration::from_millis(20));
        }
        let text = taken.lock().unwrap().clone();
        assert!(!text.contains("anna@"), "{text}");
        assert!(text.contains("a_panic_is_reported_with_its_place"), "{text}");
    }

    #[test]
    fn what_is_left_is_sent_at_the_end() {
        let taken = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&taken);
        let reporter = reporter(move |stream| kept.lock().unwrap().push_str(&take(stream)));
        reporter.0.capture_event(named("the last words"), None);
        drop(reporter);
        let text = taken.lock().unwrap().clone();
        assert!(text.contains("the last words"), "{text}");
    }

    #[test]
    fn a_sentry_that_never_answers_is_not_waited_for() {
        let streams = Mutex::new(Vec::new());
        let reporter = reporter(move |stream| streams.lock().unwrap().push(stream));
        let began = Instant::now();
        for number in 0..100 {
            reporter.0.capture_event(named(&number.to_string()), None);
        }
        drop(reporter);
        // Its own thread waits for the first of them alone for five seconds.
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }

    fn named(message: &str) -> Event<'static> {
        Event {
            message: Some(message.to_owned()),
            ..Event::default()
        }
    }

    #[test]
    fn a_dsn_that_cannot_be_read_is_refused_without_repeating_it() {
        for dsn in [
            "hunter2",
            "https://sentry.example/1",
            "https://hunter2@sentry.example",
            "https://sentry.example/hunter2",
            "https://hunter2@sentry.example/",
            "redis://hunter2@sentry.example/1",
        ] {
            let refused = Reporter::new(&SecretString::from(dsn), Environment::Production);
            let error = refused.err().unwrap_or_else(|| panic!("{dsn} is taken"));
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("`sentry.dsn`"), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
