//! A request whose body can't be read to its end.

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Answer, Call};

/// Sends `call` to `path` with a body in chunks, the second of which is none.
pub(super) async fn send(base: &str, call: &Call, path: &str, authorization: Option<String>) -> Answer {
    let address = base.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let mut head = format!(
        "{} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n",
        call.method
    );
    let authorization = authorization.map(|value| ("authorization".to_owned(), value));
    for (name, value) in call.headers.iter().chain(&authorization) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let request = format!("{head}\r\n1\r\n{{\r\nnonsense\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = Vec::new();
    // The server may hang up at once: what it said before counts.
    let _ = stream.read_to_end(&mut answer).await;
    read(&String::from_utf8_lossy(&answer))
}

fn read(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let mut headers = HeaderMap::new();
    for line in lines {
        if let Some(kind) = line.strip_prefix("content-type: ") {
            headers.insert(CONTENT_TYPE, kind.parse().expect("a media type"));
        }
    }
    Answer {
        status: status.and_then(|status| status.parse().ok()).expect("a status"),
        headers,
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}
