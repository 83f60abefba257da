//! Serves the API: `axum::serve`, but bounded against clients that never finish a request's head.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
};
use hyper::{body::Incoming, server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// How long a connection may take to send the head of a request. It is also how long one may be
/// idle between two requests: longer than proxies and HTTP clients keep one for reuse, so that it
/// is they who close it and no request meets a connection that is just closing.
pub(super) const HEAD: Duration = Duration::from_secs(95);

/// Serves `router` until `stop`, then until every request that has begun is answered. The head
/// of a request must come within `head`.
pub(super) async fn serve(listener: TcpListener, router: Router, head: Duration, stop: CancellationToken) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head);
    let connections = GracefulShutdown::new();
    loop {
        let (stream, client) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    after_failed_accept(&error, &stop).await;
                    continue;
                }
            },
        };
        let connection = connections.watch(connect(&server, &router, stream, client));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%client, %error, "a connection broke");
            }
        });
    }
    // Nobody is to wait for an answer that can't come.
    drop(listener);
    connections.shutdown().await;
}

type Connection<S> = http1::Connection<TokioIo<TcpStream>, S>;

fn connect(
    server: &http1::Builder,
    router: &Router,
    stream: TcpStream,
    client: SocketAddr,
) -> Connection<
    impl hyper::service::Service<
        Request<Incoming>,
        Response = axum::response::Response<Body>,
        Error = std::convert::Infallible,
        Future: Send,
    > + use<>,
> {
    let routes = TowerToHyperService::new(router.clone());
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        // Handlers may ask where a client calls from.
        request.extensions_mut().insert(ConnectInfo(client));
        routes.call(request)
    });
    server.serve_connection(TokioIo::new(stream), service)
}

/// A client that has gone already is its own matter. Anything else, like too many open files,
/// takes a moment to pass.
async fn after_failed_accept(error: &io::Error, stop: &CancellationToken) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        return;
    }
    tracing::error!(%error, "a connection can't be accepted");
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    struct Served {
        address: SocketAddr,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    async fn served(head: Duration) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let who = |ConnectInfo(client): ConnectInfo<SocketAddr>| async move { client.ip().to_string() };
        let router = Router::new().route("/", get(who));
        let task = tokio::spawn(serve(listener, router, head, stop.clone()));
        Served { address, stop, task }
    }

    async fn all_from(stream: &mut TcpStream) -> String {
        let mut answer = String::new();
        tokio::time::timeout(SOON, stream.read_to_string(&mut answer))
            .await
            .expect("the connection ends")
            .unwrap();
        answer
    }

    #[tokio::test]
    async fn a_request_is_answered_and_its_client_known() {
        let served = served(SOON).await;
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let answer = all_from(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn a_client_that_never_finishes_its_head_is_let_go() {
        let served = served(Duration::from_millis(50)).await;
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
        let answer = all_from(&mut stream).await;
        assert!(!answer.contains("200"), "{answer}");
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_the_stop() {
        let served = served(SOON * 10).await;
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut first = [0; 15];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        served.stop.cancel();
        tokio::time::timeout(SOON, served.task)
            .await
            .expect("it stops")
            .unwrap();
        assert!(
            TcpStream::connect(served.address).await.is_err(),
            "nobody listens"
        );
    }

    /// As docs/architecture.md says.
    #[tokio::test]
    async fn what_is_no_request_yet_gets_a_bare_status() {
        let served = served(SOON).await;
        let long_target = |length: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(length - 1));
        let many_headers = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
        for (head, status) in [
            (long_target(65_535), "414"),
            (many_headers(101), "431"),
            ("this is no HTTP\r\n\r\n".to_owned(), "400"),
        ] {
            let mut stream = TcpStream::connect(served.address).await.unwrap();
            // It may be refused before it is there whole.
            let _ = stream.write_all(head.as_bytes()).await;
            let answer = all_from(&mut stream).await;
            let (first, rest) = answer.split_once("\r\n").unwrap_or_default();
            assert!(
                first.starts_with(&format!("HTTP/1.1 {status} ")),
                "{status}: {answer}"
            );
            assert!(rest.ends_with("\r\n\r\n"), "{status} has a body: {answer}");
        }
        for (head, status) in [(long_target(65_534), "404"), (many_headers(100), "200")] {
            let mut stream = TcpStream::connect(served.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut start = [0; 12];
            stream.read_exact(&mut start).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&start), format!("HTTP/1.1 {status}"));
        }
    }
}
