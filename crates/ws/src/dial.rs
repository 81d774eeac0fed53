//! TCP to a host of several addresses: raced, so that one that does not answer costs little (RFC 8305).

#[cfg(unix)]
use std::path::Path;
use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, sleep_until},
};

/// How long one attempt stands alone before the next begins. RFC 8305 §5 recommends 250 ms: longer than most round
/// trips, shorter than a person notices.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Most addresses of one name that are tried. The tenth begins after 2.25 s, well within any deadline for the whole; who
/// has more addresses has them to spread load, and any ten of them will do.
const MAX_ADDRESSES: usize = 10;

/// Connects to whichever address of the host answers first, as clients do (RFC 8305): one that does not answer costs 250 ms. For what is no
/// WebSocket; there is no deadline in here. `host` is a name or an address, without brackets.
///
/// # Errors
///
/// The name can't be resolved, or none of its addresses can be connected to.
///
/// # Cancel safety
///
/// Dropped, it leaves no socket.
pub async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses = lookup_host((host, port)).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot resolve {host:?}: {error}"))
    })?;
    let tcp = race(addresses, TcpStream::connect).await?;
    // Frames and handshakes leave in whole batches: waiting for more (Nagle) only adds delay.
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    Ok(tcp)
}

/// Connects to the socket at this path.
#[cfg(unix)]
pub(crate) async fn dial_unix(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Begins an attempt every [`ATTEMPT_DELAY`], and at once when one fails, until one succeeds. The others are dropped.
async fn race<T, F: Future<Output = io::Result<T>>>(
    addresses: impl Iterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    let addresses = interleaved(addresses);
    let mut waiting = addresses.iter().copied().peekable();
    let mut attempts = Attempts(Vec::new());
    let mut failure: Option<(SocketAddr, io::Error)> = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.0.push((address, Box::pin(connect(address))));
        } else if attempts.0.is_empty() {
            return Err(unreached(failure, addresses.len()));
        }
        let next = Instant::now() + ATTEMPT_DELAY;
        tokio::select! {
            (address, ended) = poll_fn(|cx| attempts.poll(cx)) => match ended {
                Ok(connected) => return Ok(connected),
                Err(error) => failure = Some(more_telling(failure, (address, error))),
            },
            () = sleep_until(next), if waiting.peek().is_some() => {}
        }
    }
}

/// Attempts under way: never more than [`MAX_ADDRESSES`], so each is polled whenever one wakes.
struct Attempts<F>(Vec<(SocketAddr, Pin<Box<F>>)>);

impl<T, F: Future<Output = io::Result<T>>> Attempts<F> {
    /// One that has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(SocketAddr, io::Result<T>)> {
        for index in 0..self.0.len() {
            let (address, attempt) = &mut self.0[index];
            if let Poll::Ready(ended) = attempt.as_mut().poll(cx) {
                let address = *address;
                drop(self.0.remove(index));
                return Poll::Ready((address, ended));
            }
        }
        Poll::Pending
    }
}

/// Puts the families in turns, the one first that the system prefers, and leaves out what is too many (RFC 8305 §4).
fn interleaved(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = addresses.peekable();
    let first = addresses.peek().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = addresses.partition(|address| address.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut mixed = Vec::new();
    while mixed.len() < MAX_ADDRESSES {
        let before = mixed.len();
        mixed.extend(one.next());
        mixed.extend(other.next());
        if mixed.len() == before {
            break;
        }
    }
    mixed.truncate(MAX_ADDRESSES);
    mixed
}

/// That this machine has no way to an address says less than what happened on the way.
fn more_telling(
    failure: Option<(SocketAddr, io::Error)>,
    latest: (SocketAddr, io::Error),
) -> (SocketAddr, io::Error) {
    let is_no_way = matches!(
        latest.1.kind(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable
    );
    match failure {
        Some(before) if is_no_way => before,
        _ => latest,
    }
}

fn unreached(failure: Option<(SocketAddr, io::Error)>, tried: usize) -> io::Error {
    let Some((address, error)) = failure else {
        return io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    };
    let text = match tried {
        1 => format!("{address}: {error}"),
        _ => format!("none of {tried} addresses answers; {address}: {error}"),
    };
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending};

    use tokio::{
        net::TcpListener,
        time::{sleep, timeout},
    };

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// A minute, which costs nothing while the clock is held still.
    async fn within<T>(future: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(60), future).await.unwrap()
    }

    fn refused() -> io::Error {
        io::ErrorKind::ConnectionRefused.into()
    }

    /// When which address was tried, in milliseconds after the start.
    struct Log(Instant, RefCell<Vec<(u128, String)>>);

    impl Log {
        fn new() -> Self {
            Self(Instant::now(), RefCell::default())
        }

        fn add(&self, address: SocketAddr) {
            let entry = (self.0.elapsed().as_millis(), address.ip().to_string());
            self.1.borrow_mut().push(entry);
        }

        fn entries(&self) -> Vec<(u128, String)> {
            self.1.take()
        }
    }

    #[test]
    fn p33_the_families_take_turns_beginning_with_the_systems_choice() {
        let mixed = |texts: &[&str]| {
            let mixed = interleaved(addresses(texts).into_iter());
            let ports = mixed.iter().map(|address| address.port().to_string());
            ports.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(mixed(&["[::1]:1", "[::1]:2", "1.1.1.1:3"]), "1 3 2");
        assert_eq!(mixed(&["1.1.1.1:1", "[::1]:2", "[::1]:3"]), "1 2 3");
        assert_eq!(mixed(&["1.1.1.1:1", "1.1.1.1:2"]), "1 2");
        assert_eq!(mixed(&[]), "");
        let many: Vec<_> = (0..100).map(|_| "1.1.1.1:1").collect();
        let one_of_the_other = [many.as_slice(), &["[::1]:2"]].concat();
        assert_eq!(mixed(&one_of_the_other), "1 2 1 1 1 1 1 1 1 1");
    }

    #[tokio::test(start_paused = true)]
    async fn p33_an_address_that_swallows_everything_costs_a_quarter_of_a_second() {
        let log = Log::new();
        let connected = race(
            addresses(&["[2001:db8::1]:80", "192.0.2.1:80", "192.0.2.2:80"]).into_iter(),
            async |address| {
                log.add(address);
                if address.is_ipv6() {
                    pending().await
                } else {
                    // Slower than the next attempt begins, and still the first.
                    sleep(Duration::from_millis(300)).await;
                    Ok(address)
                }
            },
        );
        assert_eq!(within(connected).await.unwrap().to_string(), "192.0.2.1:80");
        assert_eq!(log.0.elapsed(), Duration::from_millis(550));
        let tried = log.entries();
        let tried: Vec<_> = tried.iter().map(|(at, who)| (*at, &**who)).collect();
        assert_eq!(
            tried,
            [(0, "2001:db8::1"), (250, "192.0.2.1"), (500, "192.0.2.2")]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn p33_a_slow_address_wins_if_it_is_still_the_first_to_answer() {
        let connected = race(
            addresses(&["192.0.2.1:80", "192.0.2.2:80"]).into_iter(),
            async |address| {
                let is_first = address.to_string() == "192.0.2.1:80";
                sleep(Duration::from_millis(if is_first { 400 } else { 200 })).await;
                Ok(address)
            },
        );
        assert_eq!(within(connected).await.unwrap().to_string(), "192.0.2.1:80");
    }

    #[tokio::test(start_paused = true)]
    async fn p33_a_failure_begins_the_next_attempt_at_once() {
        let log = Log::new();
        let connected = race(
            addresses(&["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"]).into_iter(),
            async |address| {
                log.add(address);
                if address.to_string() == "192.0.2.3:80" {
                    Ok(address)
                } else {
                    Err(refused())
                }
            },
        );
        assert_eq!(within(connected).await.unwrap().to_string(), "192.0.2.3:80");
        assert_eq!(log.0.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn p33_losers_are_dropped() {
        let alive = std::rc::Rc::new(());
        let connected = race(
            addresses(&["192.0.2.1:80", "192.0.2.2:80"]).into_iter(),
            |address| {
                let alive = std::rc::Rc::clone(&alive);
                async move {
                    if address.to_string() == "192.0.2.1:80" {
                        pending::<()>().await;
                    }
                    drop(alive);
                    Ok(address)
                }
            },
        );
        assert!(within(connected).await.is_ok());
        assert_eq!(std::rc::Rc::strong_count(&alive), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_is_named_and_no_way_to_a_family_is_not_the_reason() {
        let failing = async |texts: &[&str]| {
            let raced: io::Result<()> = race(addresses(texts).into_iter(), async |address| {
                Err(if address.is_ipv6() {
                    io::ErrorKind::NetworkUnreachable.into()
                } else {
                    refused()
                })
            })
            .await;
            raced.unwrap_err()
        };
        for texts in [["192.0.2.1:80", "[::1]:80"], ["[::1]:80", "192.0.2.1:80"]] {
            let error = failing(&texts).await;
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            assert_eq!(
                error.to_string(),
                "none of 2 addresses answers; 192.0.2.1:80: connection refused"
            );
        }
        assert_eq!(
            failing(&["192.0.2.1:80"]).await.to_string(),
            "192.0.2.1:80: connection refused"
        );
        assert_eq!(failing(&[]).await.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn p33_a_port_that_refuses_is_passed_over_for_one_that_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        // Bound and not listening: nobody else gets it meanwhile.
        let unused = tokio::net::TcpSocket::new_v4().unwrap();
        unused.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let dead = unused.local_addr().unwrap();
        let connected = race([dead, live].into_iter(), TcpStream::connect).await;
        assert_eq!(connected.unwrap().peer_addr().unwrap(), live);
        let error = race([dead].into_iter(), TcpStream::connect)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(&dead.to_string()), "{error}");
    }

    #[tokio::test]
    async fn addresses_are_dialled_as_a_uri_gives_them() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let uri: fullduplex_proto::handshake::Uri =
            format!("ws://127.0.0.1:{port}").parse().unwrap();
        assert!(dial(uri.host(), uri.port()).await.is_ok());
        // Some machines have no IPv6.
        if let Ok(listener) = TcpListener::bind("[::1]:0").await {
            let port = listener.local_addr().unwrap().port();
            let uri: fullduplex_proto::handshake::Uri =
                format!("ws://[::1]:{port}").parse().unwrap();
            assert!(dial(uri.host(), uri.port()).await.is_ok());
        }
        let error = dial("no-such-host.invalid", 1).await.unwrap_err();
        assert!(
            error.to_string().contains("no-such-host.invalid"),
            "{error}"
        );
    }
}
