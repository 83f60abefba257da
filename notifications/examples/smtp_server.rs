//! A mail server for tests, as a process of its own: `smtp_server ADDRESS [MOOD]`.
//!
//! It writes `listening ADDRESS`, then one JSON line for each mail that it takes. What the address of
//! a recipient begins with says what becomes of the mail: `nobody` does not exist, `busy` is told to
//! come later (both answers repeat the address, as those of real servers do), of `spam` the text is
//! refused, `slow` is not answered the first time.
//!
//! Its mood: `auth` wants a password, and nobody's is right; `sender` takes mail from nobody, and
//! `late_sender` says so only when it hears to whom; `relay` takes mail to nobody, as a policy;
//! `hello` does not like what it is greeted as; `closed` takes no connection.

#![allow(clippy::unwrap_used)] // a test server fails by panicking

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{IpAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
};

use mailin::{Action, AuthMechanism, Handler, Response, SessionBuilder, response};

/// Whether somebody slow was not answered yet.
static ANSWERED: AtomicBool = AtomicBool::new(false);

#[derive(Default)]
struct Taken {
    mood: String,
    from: String,
    to: Vec<String>,
    data: Vec<u8>,
}

impl Handler for &mut Taken {
    fn helo(&mut self, _: IpAddr, _: &str) -> Response {
        self.unless("hello", 550, "Go away")
    }

    fn mail(&mut self, _: IpAddr, _: &str, from: &str) -> Response {
        self.unless("sender", 550, &format!("5.7.1 <{from}>: Sender address rejected"))
    }

    fn rcpt(&mut self, to: &str) -> Response {
        if self.mood == "late_sender" {
            return Response::custom(550, "5.1.8 Sender address rejected".to_owned());
        }
        if self.mood == "relay" {
            return Response::custom(554, format!("5.7.1 <{to}>: Relay access denied"));
        }
        if to.starts_with("slow") && !ANSWERED.swap(true, Ordering::SeqCst) {
            loop {
                std::thread::park();
            }
        }
        if to.starts_with("nobody") {
            return Response::custom(550, format!("5.1.1 <{to}> does not live here"));
        }
        if to.starts_with("busy") {
            return Response::custom(451, format!("4.2.1 <{to}> is busy"));
        }
        response::OK
    }

    fn data_start(&mut self, _domain: &str, from: &str, _is8bit: bool, to: &[String]) -> Response {
        self.from = from.to_owned();
        self.to = to.to_vec();
        self.data.clear();
        response::OK
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        self.data.extend_from_slice(line);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        if self.to.iter().any(|to| to.starts_with("spam")) {
            return Response::custom(554, "5.6.0 What a text".to_owned());
        }
        let mail = serde_json::json!({
            "from": self.from,
            "to": self.to,
            "data": String::from_utf8_lossy(&self.data),
        });
        let mut out = io::stdout().lock();
        writeln!(out, "{mail}").and_then(|()| out.flush()).unwrap();
        response::OK
    }
}

impl Taken {
    fn unless(&self, mood: &str, code: u16, words: &str) -> Response {
        if self.mood == mood {
            Response::custom(code, words.to_owned())
        } else {
            response::OK
        }
    }
}

fn main() {
    let address = std::env::args().nth(1).unwrap();
    let mood = std::env::args().nth(2).unwrap_or_default();
    let listener = TcpListener::bind(address).unwrap();
    let mut out = io::stdout().lock();
    writeln!(out, "listening {}", listener.local_addr().unwrap()).unwrap();
    out.flush().unwrap();
    drop(out);
    for stream in listener.incoming() {
        let mood = mood.clone();
        std::thread::spawn(move || serve(stream.unwrap(), mood));
    }
}

fn serve(mut stream: TcpStream, mood: String) {
    if mood == "closed" {
        let _ = stream.write_all(b"554 5.3.2 Closed today\r\n");
        return;
    }
    let wants_passwords = mood == "auth";
    let mut taken = Taken {
        mood,
        ..Taken::default()
    };
    let mut session = SessionBuilder::new("mail.test");
    if wants_passwords {
        session
            .enable_auth(AuthMechanism::Plain)
            .insecure_enable_plaintext_auth();
    }
    let mut session = session.build(stream.peer_addr().unwrap().ip(), &mut taken);
    let mut out = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream);
    let mut answer = session.greeting();
    loop {
        if answer.action != Action::NoReply && answer.write_to(&mut out).is_err() {
            return;
        }
        if answer.action == Action::Close {
            return;
        }
        let mut line = Vec::new();
        match lines.read_until(b'\n', &mut line) {
            Ok(read) if read > 0 => answer = session.process(&line),
            _ => return,
        }
    }
}
