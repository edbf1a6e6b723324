//! Connections: TLS for everybody, plain HTTP for this machine alone, on one port.
//!
//! The first byte of a connection tells which it is: 22 begins a TLS record (RFC 8446, section 5.1) and
//! no HTTP method.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

/// Connections at once; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 1024;
/// First byte and TLS handshake must be there within this time.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// Head of a request must be there within this time, and the next request of a connection that is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Request line and headers together, bytes; more is answered with 431.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Headers of a request; more is answered with 431.
const HEADERS_MAX: usize = 100;
/// How long requests in progress may take at the end.
const END_PATIENCE: Duration = Duration::from_secs(8);
/// Pause after the system could not give a connection, such as when there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Content type of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 22;
const PLAIN_REFUSED: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 51\r\nconnection: close\r\n\r\nfrom another machine only https:// is answered here";

/// Answers requests until `shutdown` resolves, then lets those in progress finish.
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    tls: Arc<ServerConfig>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (ending, places) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    let tls = TlsAcceptor::from(tls);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = &mut shutdown => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (router, tls, watcher) = (router.clone(), tls.clone(), ending.watcher());
        tokio::spawn(async move {
            greet(stream, peer, router, tls, watcher).await;
            drop(place);
        });
    }
    if tokio::time::timeout(END_PATIENCE, ending.shutdown()).await.is_err() {
        tracing::warn!("requests in progress were broken off");
    }
}

/// Finds out how the caller speaks, and answers in kind.
async fn greet(mut stream: TcpStream, peer: SocketAddr, router: Router, tls: TlsAcceptor, watcher: Watcher) {
    let mut first = [0];
    let peeked = tokio::time::timeout(GREETING_TIMEOUT, stream.peek(&mut first)).await;
    if !matches!(peeked, Ok(Ok(1))) {
        return;
    }
    if first == [TLS_HANDSHAKE] {
        match tokio::time::timeout(GREETING_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, router, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, %peer, "no TLS"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        }
    } else if stream.local_addr().is_ok_and(|own| is_here(peer, own)) {
        converse(stream, router, watcher).await;
    } else if let Err(error) = stream.write_all(PLAIN_REFUSED).await {
        tracing::debug!(%error, %peer, "cannot refuse plain HTTP");
    }
}

/// Whether the caller is on this machine: it reaches us from the address at which we are.
fn is_here(peer: SocketAddr, own: SocketAddr) -> bool {
    let (peer, own) = (peer.ip().to_canonical(), own.ip().to_canonical());
    peer.is_loopback() || peer == own
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    watcher: Watcher,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_here() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (peer, own, expected) in [
            ("127.0.0.1:5", "127.0.0.1:9470", true),
            ("[::1]:5", "[::1]:9470", true),
            ("[::ffff:127.0.0.1]:5", "[::]:9470", true),
            ("192.0.2.7:5", "192.0.2.7:9470", true),
            ("192.0.2.8:5", "192.0.2.7:9470", false),
            ("[2001:db8::1]:5", "[2001:db8::2]:9470", false),
        ] {
            assert_eq!(is_here(at(peer), at(own)), expected, "{peer} {own}");
        }
    }

    #[test]
    fn the_refusal_says_its_length() {
        let text = std::str::from_utf8(PLAIN_REFUSED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{text}");
    }
}
