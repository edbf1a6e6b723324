//! The bytes' way to the broker: TCP, with or without TLS.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::Lost;
use crate::mqtt::status::FailureKind;

/// A connection.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub(super) async fn connect(host: &str, port: u16, tls: Option<&Arc<ClientConfig>>) -> Result<Stream, Lost> {
    let tcp = TcpStream::connect((host, port)).await.map_err(|error| lost(&error))?;
    // What we write is a batch already: it must not wait for more.
    tcp.set_nodelay(true).map_err(|error| lost(&error))?;
    let Some(config) = tls else { return Ok(Stream::Plain(tcp)) };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Lost { kind: FailureKind::Tls, message: format!("TLS: `{host}` is not a host name") })?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await;
    Ok(Stream::Tls(Box::new(stream.map_err(|error| lost(&error))?)))
}

/// A TLS alert during or after the handshake reaches us as an I/O error that wraps it.
pub(super) fn lost(error: &io::Error) -> Lost {
    let text = error.to_string();
    let tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) || text.contains("alert");
    let kind = if tls { FailureKind::Tls } else { FailureKind::Network };
    Lost { kind, message: format!("{}: {text}", if tls { "TLS" } else { "I/O" }) }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
