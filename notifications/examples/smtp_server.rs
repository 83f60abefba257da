//! A mail server for tests, as a process of its own: `smtp_server ADDRESS [auth]`.
//!
//! It writes `listening ADDRESS`, then one JSON line for each mail that it takes. What the address of
//! a recipient begins with says what becomes of the mail: `nobody` does not exist, `busy` is told to
//! come later; both answers repeat the address, as those of real servers do. With `auth` it wants a
//! password, and nobody's is right.

#![allow(clippy::unwrap_used)] // a test server fails by panicking

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
};

use mailin::{Action, AuthMechanism, Handler, Response, SessionBuilder, response};

#[derive(Default)]
struct Taken {
    from: String,
    to: Vec<String>,
    data: Vec<u8>,
}

impl Handler for &mut Taken {
    fn rcpt(&mut self, to: &str) -> Response {
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

fn main() {
    let address = std::env::args().nth(1).unwrap();
    let wants_passwords = std::env::args().nth(2).is_some();
    let listener = TcpListener::bind(address).unwrap();
    let mut out = io::stdout().lock();
    writeln!(out, "listening {}", listener.local_addr().unwrap()).unwrap();
    out.flush().unwrap();
    drop(out);
    for stream in listener.incoming() {
        std::thread::spawn(move || serve(stream.unwrap(), wants_passwords));
    }
}

fn serve(stream: TcpStream, wants_passwords: bool) {
    let mut taken = Taken::default();
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
