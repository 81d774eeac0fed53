//! Clients whose address has as many connections as it may.

use std::sync::Arc;

use fullduplex_proto::handshake::Rejection;
use tokio::{net::TcpStream, sync::Semaphore};

use crate::{accept, transport::Transport};

/// How many at a time are told why. Each takes a place until it has read the answer, for at most a second; more than these
/// are just closed, so that a flood of them costs next to nothing.
const TOLD_AT_A_TIME: usize = 64;

/// When to try again, in seconds: in so long, connections end.
const RETRY_AFTER: &str = "10";

/// Turns connections away without looking at their requests.
#[derive(Debug)]
pub(super) struct Refusing {
    telling: Arc<Semaphore>,
}

impl Refusing {
    pub(super) fn new() -> Self {
        Self {
            telling: Arc::new(Semaphore::new(TOLD_AT_A_TIME)),
        }
    }

    /// Answers 429. `place` is free again afterwards.
    pub(super) fn refuse(&self, tcp: TcpStream, place: impl Send + 'static) {
        let Ok(telling) = Arc::clone(&self.telling).try_acquire_owned() else {
            return;
        };
        let rejection = Rejection::new(429, "There are too many connections from your address.");
        let Ok(rejection) = rejection.header("Retry-After", RETRY_AFTER) else {
            return;
        };
        tokio::spawn(async move {
            accept::reject(Transport::new(tcp), rejection).await;
            drop((telling, place));
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_flood_is_not_told_and_takes_no_places() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let refusing = Refusing::new();
        let place = Arc::new(());
        let mut clients = Vec::new();
        for told in 1..=TOLD_AT_A_TIME + 1 {
            clients.push(TcpStream::connect(addr).await.unwrap());
            // On a runtime of one thread, the tasks that tell do not get far in between: no client reads.
            let (tcp, _) = listener.accept().await.unwrap();
            refusing.refuse(tcp, Arc::clone(&place));
            assert_eq!(Arc::strong_count(&place) - 1, told.min(TOLD_AT_A_TIME));
        }
    }
}
