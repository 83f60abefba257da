//! A mail server as its URL names it, and connections to it.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use lettre::transport::smtp::{
    SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT,
    authentication::{Credentials, DEFAULT_MECHANISMS},
    client::{AsyncSmtpConnection, Tls, TlsParameters},
    commands::Rset,
    extension::ClientId,
};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use tokio::time::Instant;

use super::refusal::{At, Refusal};

/// For how long a connection is kept that nothing is sent over.
const IDLE: Duration = Duration::from_secs(30);
/// How long one that was kept may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Where a server is and how it is talked to.
pub(super) struct Server {
    host: String,
    port: u16,
    tls: Tls,
    hello: ClientId,
    credentials: Option<Credentials>,
    /// How long connecting may take.
    patience: Duration,
}

impl Server {
    /// The server at `url`: `smtp://`, with `?tls=required` or `opportunistic` where TLS begins within,
    /// or `smtps://`. It is greeted as what the URL's path says, or else as `hello`.
    pub(super) fn read(url: &str, hello: &str, patience: Duration) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        // An IPv6 address stands in brackets in a URL, and nowhere else.
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        let wanted = url.query_pairs().find(|(key, _)| key == "tls");
        let parameters = || TlsParameters::new(host.clone()).ok();
        let (tls, port) = match (url.scheme(), wanted.as_ref().map(|(_, value)| value.as_ref())) {
            ("smtp", None) => (Tls::None, SMTP_PORT),
            ("smtp", Some("required")) => (Tls::Required(parameters()?), SUBMISSION_PORT),
            ("smtp", Some("opportunistic")) => (Tls::Opportunistic(parameters()?), SUBMISSION_PORT),
            ("smtps", _) => (Tls::Wrapper(parameters()?), SUBMISSIONS_PORT),
            _ => return None,
        };
        let credentials = match url.password() {
            Some(password) => Some(Credentials::new(decoded(url.username())?, decoded(password)?)),
            None => None,
        };
        let name = url.path().trim_matches('/');
        Some(Self {
            port: url.port().unwrap_or(port),
            tls,
            hello: ClientId::Domain(if name.is_empty() { hello } else { name }.to_owned()),
            credentials,
            patience,
            host,
        })
    }

    /// A new connection, over which mails may be sent. `at` says how far it has come.
    pub(super) async fn connect(&self, at: &mut At) -> Result<AsyncSmtpConnection, Refusal> {
        *at = At::Connecting;
        let wrapper = match &self.tls {
            Tls::Wrapper(parameters) => Some(parameters.clone()),
            _ => None,
        };
        let address = (self.host.as_str(), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(self.patience), &self.hello, wrapper, None)
                .await
                .map_err(|error| Refusal::of(*at, &error))?;
        *at = At::StartTls;
        let parameters = match &self.tls {
            Tls::Required(parameters) => Some(parameters),
            Tls::Opportunistic(parameters) if connection.can_starttls() => Some(parameters),
            _ => None,
        };
        if let Some(parameters) = parameters {
            connection
                .starttls(parameters.clone(), &self.hello)
                .await
                .map_err(|error| Refusal::of(*at, &error))?;
        }
        if let Some(credentials) = &self.credentials {
            *at = At::LoggingIn;
            connection
                .auth(DEFAULT_MECHANISMS, credentials)
                .await
                .map_err(|error| Refusal::of(*at, &error))?;
        }
        Ok(connection)
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

type Idle = Mutex<Vec<(AsyncSmtpConnection, Instant)>>;

/// Connections that nothing is sent over at the moment.
pub(super) struct Pool {
    idle: Arc<Idle>,
}

impl Pool {
    /// An empty one. What it keeps too long is closed for as long as it lives.
    pub(super) fn new() -> Self {
        let idle = Arc::default();
        tokio::spawn(close_old(Arc::downgrade(&idle)));
        Self { idle }
    }

    /// One that still answers, if there is any. It has forgotten what was said before.
    pub(super) async fn take(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let (mut connection, _) = lock(&self.idle).pop()?;
            let answer = tokio::time::timeout(ANSWER, connection.command(Rset)).await;
            if answer.is_ok_and(|answer| answer.is_ok()) {
                return Some(connection);
            }
        }
    }

    /// Keeps one that may be used again, whatever was last said over it.
    pub(super) fn keep(&self, connection: AsyncSmtpConnection) {
        lock(&self.idle).push((connection, Instant::now()));
    }
}

fn lock(idle: &Idle) -> std::sync::MutexGuard<'_, Vec<(AsyncSmtpConnection, Instant)>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn close_old(idle: Weak<Idle>) {
    loop {
        tokio::time::sleep(IDLE / 2).await;
        let Some(idle) = idle.upgrade() else {
            return;
        };
        let old: Vec<_> = lock(&idle)
            .extract_if(.., |(_, since)| since.elapsed() > IDLE)
            .collect();
        drop(idle);
        for (mut connection, _) in old {
            // A server that does not answer does not keep the others from being closed.
            let _ = tokio::time::timeout(ANSWER, connection.abort()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Option<Server> {
        Server::read(url, "example.com", IDLE)
    }

    #[test]
    fn a_url_says_where_the_server_is_and_how_it_is_talked_to() {
        for (url, host, port, tls) in [
            ("smtp://mail.example.com", "mail.example.com", 25, "None"),
            ("smtp://127.0.0.1:2525", "127.0.0.1", 2525, "None"),
            ("smtp://[::1]:2525", "::1", 2525, "None"),
            (
                "smtp://mail.example.com?tls=required",
                "mail.example.com",
                587,
                "Required",
            ),
            (
                "smtp://mail.example.com?tls=opportunistic",
                "mail.example.com",
                587,
                "Opportunistic",
            ),
            ("smtps://mail.example.com", "mail.example.com", 465, "Wrapper"),
        ] {
            let server = read(url).expect(url);
            assert_eq!((server.host.as_str(), server.port), (host, port), "{url}");
            let said = format!("{:?}", server.tls);
            assert!(said.starts_with(tls), "{url}: {said}");
            assert_eq!(server.hello.to_string(), "example.com");
        }
        assert!(read("smtp://mail.example.com?tls=maybe").is_none());
        assert!(read("http://mail.example.com").is_none());
        assert!(read("smtp:mail").is_none());
        let named = read("smtp://mail.example.com/me.example.com").unwrap();
        assert_eq!(named.hello.to_string(), "me.example.com");
    }

    #[test]
    fn users_and_passwords_may_have_any_signs() {
        let server = read("smtp://anna%40example.com:p%2B%3A%2F@mail.example.com").unwrap();
        let expected = Credentials::new("anna@example.com".to_owned(), "p+:/".to_owned());
        assert!(server.credentials == Some(expected));
        assert!(
            read("smtp://anna@mail.example.com")
                .unwrap()
                .credentials
                .is_none()
        );
    }
}
