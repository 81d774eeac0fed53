//! Two ends of one connection in memory.

use std::sync::Arc;

use fullduplex_proto::{Config, Role};

use crate::{accept::open, info::Info, transport::Transport, websocket::WebSocket};

/// Bytes that each direction holds until the other end reads: about what a socket on loopback does.
const PIPE: usize = 64 << 10;

impl WebSocket {
    /// A client and a server that are connected in memory, with default settings: for testing a handler without a
    /// socket and without the opening handshake.
    ///
    /// ```
    /// use fullduplex::{CloseFrame, Error, WebSocket};
    ///
    /// async fn shout(mut ws: WebSocket) -> Result<(), Error> {
    ///     while let Some(message) = ws.recv().await? {
    ///         let text = message.as_text().unwrap_or_default().to_uppercase();
    ///         ws.send(text).await?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let (mut client, server) = WebSocket::pair();
    /// let handler = tokio::spawn(shout(server));
    /// client.send("hello").await?;
    /// assert_eq!(client.recv().await?, Some("HELLO".into()));
    /// assert!(client.close(CloseFrame::normal()).await.clean);
    /// assert_eq!(handler.await.unwrap(), Ok(()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// With tokio's clock held still (`tokio::time::pause`), its deadlines pass without waiting.
    pub fn pair() -> (Self, Self) {
        Self::pair_with(Config::default(), Config::default())
    }

    /// As [`pair`](Self::pair), with the settings of the client and of the server.
    pub fn pair_with(
        client: impl Into<Arc<Config>>,
        server: impl Into<Arc<Config>>,
    ) -> (Self, Self) {
        let (near, far) = tokio::io::duplex(PIPE);
        let end =
            |stream, role, config| open(Transport::new(stream), role, config, &[], Info::default());
        (
            end(near, Role::Client, client.into()),
            end(far, Role::Server, server.into()),
        )
    }
}
