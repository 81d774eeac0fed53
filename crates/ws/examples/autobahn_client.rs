//! The client that a fuzzing server puts to the test (`conformance/run.py`): it asks how many cases there are, runs
//! each by sending back every message as it came, and has the report written. It offers permessage-deflate.
//!
//!     cargo run --release --example autobahn_client ws://127.0.0.1:9001

use std::{error::Error, io, sync::Arc};

use fullduplex::{Client, CloseFrame, Config, Deflate, Limits, Message, WebSocket};
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

/// The name under which the report is kept.
const AGENT: &str = "fullduplex";
/// The suite's longest message has 16 MiB, and one of 4 MiB comes in 65,536 fragments.
const MAX_MESSAGE: usize = 64 << 20;
/// Cases at a time: some wait, and others move a hundred megabytes.
const PARALLEL: usize = 4;

struct Suite {
    server: String,
    config: Arc<Config>,
}

impl Suite {
    async fn open(&self, target: &str) -> Result<WebSocket, Failure> {
        let mut deflate = Deflate::for_client();
        // What is sent back is compressed as it came, however short.
        deflate.threshold = 0;
        // Some cases take no other offer. Our own takeover is tried as a server.
        deflate.client_no_context_takeover = true;
        let client = Client::new(&format!("{}{target}", self.server))?
            .config(Arc::clone(&self.config))
            .deflate(deflate);
        let (ws, _) = client.connect().await?;
        Ok(ws)
    }

    async fn case_count(&self) -> Result<usize, Failure> {
        let mut ws = self.open("/getCaseCount").await?;
        let Some(Message::Text(count)) = ws.recv().await? else {
            return Err("the server did not say how many cases it has".into());
        };
        ws.close(CloseFrame::normal()).await;
        Ok(count.parse()?)
    }

    /// How a case ends is the server's to judge, so an error here is only the end of it.
    async fn run_case(self: Arc<Self>, case: usize) -> Result<(), Failure> {
        let mut ws = self
            .open(&format!("/runCase?case={case}&agent={AGENT}"))
            .await?;
        while let Ok(Some(message)) = ws.recv().await {
            if ws.send(message).await.is_err() {
                break;
            }
        }
        ws.close(CloseFrame::normal()).await;
        Ok(())
    }

    /// The last request of a run. Some servers end themselves then, without a Close.
    async fn update_reports(&self) -> Result<(), Failure> {
        let mut ws = self.open(&format!("/updateReports?agent={AGENT}")).await?;
        while let Ok(Some(_)) = ws.recv().await {}
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let server = std::env::args()
        .nth(1)
        .ok_or_else(|| io::Error::other("usage: autobahn_client ws://ADDR"))?;
    let mut config = Config::default();
    config.limits = Limits::with_max_message(MAX_MESSAGE);
    let suite = Arc::new(Suite {
        server: server.trim_end_matches('/').to_owned(),
        config: Arc::new(config),
    });
    let mut cases = 1..=suite.case_count().await?;
    let mut running: JoinSet<_> = cases
        .by_ref()
        .take(PARALLEL)
        .map(|case| Arc::clone(&suite).run_case(case))
        .collect();
    while let Some(ended) = running.join_next().await {
        ended??;
        if let Some(case) = cases.next() {
            running.spawn(Arc::clone(&suite).run_case(case));
        }
    }
    suite.update_reports().await
}
