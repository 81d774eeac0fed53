//! What a connection runs over: TCP, TLS over TCP, or any other byte stream.

use std::{
    any::Any,
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A byte stream that a WebSocket can run over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// The usual streams by name, so that no call is indirect on them; the rest boxed. Keeps [`crate::WebSocket`] free of a
/// type parameter.
pub(crate) enum Transport {
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    TlsClient(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    #[cfg(feature = "tls")]
    TlsServer(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    Other(Box<dyn Stream>),
}

impl Transport {
    pub(crate) fn new<S: Stream>(stream: S) -> Self {
        let stream = match downcast::<S, TcpStream>(stream) {
            Ok(tcp) => return Self::Tcp(tcp),
            Err(stream) => stream,
        };
        #[cfg(feature = "tls")]
        let stream = match downcast::<S, tokio_rustls::server::TlsStream<TcpStream>>(stream) {
            Ok(tls) => return Self::TlsServer(Box::new(tls)),
            Err(stream) => stream,
        };
        #[cfg(feature = "tls")]
        let stream = match downcast::<S, tokio_rustls::client::TlsStream<TcpStream>>(stream) {
            Ok(tls) => return Self::TlsClient(Box::new(tls)),
            Err(stream) => stream,
        };
        Self::Other(Box::new(stream))
    }

    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.tcp()?.peer_addr().ok()
    }

    /// Sends small writes at once. Frames leave in whole batches, so waiting for more (Nagle) only adds delay.
    pub(crate) fn set_nodelay(&self) {
        if let Some(Err(error)) = self.tcp().map(|tcp| tcp.set_nodelay(true)) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    }

    /// This endpoint decrypts what the peer encrypts.
    pub(crate) fn is_tls(&self) -> bool {
        match self {
            #[cfg(feature = "tls")]
            Self::TlsClient(_) | Self::TlsServer(_) => true,
            Self::Tcp(_) | Self::Other(_) => false,
        }
    }

    /// Whether bytes that were taken may still be held back until a flush.
    pub(crate) fn buffers_writes(&self) -> bool {
        !matches!(self, Self::Tcp(_))
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            #[cfg(feature = "tls")]
            Self::TlsClient(tls) => Some(tls.get_ref().0),
            #[cfg(feature = "tls")]
            Self::TlsServer(tls) => Some(tls.get_ref().0),
            Self::Other(_) => None,
        }
    }
}

/// Turns an `S` into a `T` if it is one.
fn downcast<S: 'static, T: 'static>(stream: S) -> Result<T, S> {
    let mut slot = Some(stream);
    let found = (&mut slot as &mut dyn Any)
        .downcast_mut::<Option<T>>()
        .and_then(Option::take);
    match (found, slot) {
        (Some(found), _) => Ok(found),
        (None, Some(stream)) => Err(stream),
        // The slot is emptied only by what was found.
        (None, None) => unreachable!("a stream is either taken or left"),
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            #[cfg(feature = "tls")]
            Self::TlsClient(_) | Self::TlsServer(_) => "Tls",
            Self::Other(_) => "Other",
        })
    }
}

/// Calls the method of whichever stream it is.
macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Tcp($stream) => $call,
            #[cfg(feature = "tls")]
            Transport::TlsClient($stream) => $call,
            #[cfg(feature = "tls")]
            Transport::TlsServer($stream) => $call,
            Transport::Other($stream) => $call,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
