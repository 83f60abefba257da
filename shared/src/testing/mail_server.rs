//! A mail server in a process of its own, and what arrives there.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::eventually;

/// A mail as it arrived.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The sender of the envelope.
    pub from: String,
    /// The one recipient of the envelope.
    pub to: String,
    /// Its Message-ID, with the angle brackets.
    pub id: String,
    /// Its subject.
    pub subject: String,
    /// Its text, decoded, a line feed a line.
    pub body: String,
}

impl Mail {
    fn parse(line: &str) -> Self {
        let taken: Value = serde_json::from_str(line).unwrap();
        let data = taken["data"].as_str().unwrap();
        let (head, body) = data.split_once("\r\n\r\n").unwrap();
        let head = head.replace("\r\n ", " ");
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        assert_eq!(taken["to"].as_array().unwrap().len(), 1);
        Self {
            from: taken["from"].as_str().unwrap().to_owned(),
            to: taken["to"][0].as_str().unwrap().to_owned(),
            id: header("Message-ID:"),
            subject: words(&header("Subject:")),
            body: decoded(&header("Content-Transfer-Encoding:"), body)
                .replace("\r\n", "\n")
                .replace('\u{a0}', " "),
        }
    }

    /// The secret in its link to `page`, if it has one.
    #[must_use]
    pub fn secret(&self, page: &str) -> Option<String> {
        let link = format!("/{page}?token=");
        let (_, rest) = self.body.split_once(&link)?;
        rest.lines().next().map(str::to_owned)
    }
}

/// A header that may be encoded (RFC 2047, base64).
fn words(header: &str) -> String {
    let mut text = String::new();
    for word in header.split_ascii_whitespace() {
        let encoded = word
            .strip_prefix("=?utf-8?b?")
            .and_then(|word| word.strip_suffix("?="));
        match encoded {
            Some(encoded) => text.push_str(&decoded("base64", encoded)),
            None if text.is_empty() => text.push_str(word),
            None => {
                text.push(' ');
                text.push_str(word);
            }
        }
    }
    text
}

fn decoded(encoding: &str, body: &str) -> String {
    match encoding {
        "base64" => {
            let text: String = body.split_whitespace().collect();
            String::from_utf8(BASE64_STANDARD.decode(text).unwrap()).unwrap()
        }
        "quoted-printable" => {
            let text = body.replace("=\r\n", "");
            let mut bytes = Vec::new();
            let mut rest = text.bytes();
            while let Some(byte) = rest.next() {
                if byte == b'=' {
                    let hex = [rest.next().unwrap(), rest.next().unwrap()];
                    let hex = std::str::from_utf8(&hex).unwrap();
                    bytes.push(u8::from_str_radix(hex, 16).unwrap());
                } else {
                    bytes.push(byte);
                }
            }
            String::from_utf8(bytes).unwrap()
        }
        _ => body.to_owned(),
    }
}

/// A mail server: the example `smtp_server` of notifications, which says what it takes and refuses.
pub struct MailServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it is started with.
    mood: Option<&'static str>,
    child: Option<Child>,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl MailServer {
    /// Starts one.
    pub async fn start() -> Self {
        Self::start_in(None).await
    }

    /// One that takes nobody's password.
    pub async fn start_with_passwords() -> Self {
        Self::start_in(Some("auth")).await
    }

    async fn start_in(mood: Option<&'static str>) -> Self {
        let mut server = Self {
            address: ([127, 0, 0, 1], 0).into(),
            mood,
            child: None,
            mails: Arc::default(),
        };
        server.start_again().await;
        server
    }

    /// Starts the process, at the address it had.
    pub async fn start_again(&mut self) {
        let mut child = Command::new(program())
            .arg(self.address.to_string())
            .args(self.mood)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect(
                "the example smtp_server of notifications: `cargo build --workspace --all-targets` builds it",
            );
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().expect("it listens");
        self.address = first.strip_prefix("listening ").unwrap().parse().unwrap();
        let mails = Arc::clone(&self.mails);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                mails.lock().unwrap().push(Mail::parse(&line));
            }
        });
        self.child = Some(child);
    }

    /// Starts the same server again in another mood, or in none.
    pub async fn changes_to(&mut self, mood: Option<&'static str>) {
        self.kill().await;
        self.mood = mood;
        self.start_again().await;
    }

    /// Kills the process as a crash would.
    pub async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// Everything that has arrived.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// Waits until `count` mails have arrived, and no more.
    pub async fn take(&self, count: usize) -> Vec<Mail> {
        let mails = eventually(&format!("{count} mails have arrived"), || {
            let mails = self.mails();
            std::future::ready((mails.len() >= count).then_some(mails))
        })
        .await;
        assert_eq!(mails.len(), count, "{mails:#?}");
        mails
    }

    /// Waits until a mail that `fits` has arrived; the first such one.
    pub async fn find(&self, what: &str, fits: impl Fn(&Mail) -> bool) -> Mail {
        eventually(what, || {
            let found = self.mails().into_iter().find(|mail| fits(mail));
            std::future::ready(found)
        })
        .await
    }
}

/// Tests are in `deps`, beside the folder of examples.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().unwrap().parent().unwrap();
    target.join("examples/smtp_server")
}
