//! Proxies on loopback: one of each kind that works, and one that does whatever a test wants.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// Where a proxy listens, and what each client said to it first.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    asked: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Proxy {
    /// What the clients asked for, as text.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }
}

/// A proxy that handles each connection so; what `handle` returns is what was asked for.
pub(crate) async fn proxy<F>(
    handle: impl Fn(TcpStream, Arc<Mutex<Vec<Vec<u8>>>>) -> F + Send + 'static,
) -> Proxy
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream, Arc::clone(&log)));
        }
    });
    Proxy { addr, asked }
}

/// Opens tunnels by `CONNECT`, for whoever asks.
pub(crate) async fn http_proxy() -> Proxy {
    proxy(async |stream, asked| connect(stream, &asked, b"").await).await
}

/// As [`http_proxy`], and says `early` in the packet of its answer, as if the server had.
pub(crate) async fn early_proxy(early: &'static [u8]) -> Proxy {
    proxy(move |stream, asked| async move { connect(stream, &asked, early).await }).await
}

/// Opens a tunnel to wherever the request says.
pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    asked: &Mutex<Vec<Vec<u8>>>,
    early: &[u8],
) {
    let request = read_head(&mut stream).await;
    asked.lock().unwrap().push(request.clone());
    let request = String::from_utf8(request).unwrap();
    let target = request.split(' ').nth(1).unwrap();
    let mut server = TcpStream::connect(target).await.unwrap();
    let answer = [b"HTTP/1.1 200 Connection established\r\n\r\n", early].concat();
    stream.write_all(&answer).await.unwrap();
    stream.flush().await.unwrap();
    drop(copy_bidirectional(&mut stream, &mut server).await);
}

/// Reads up to the blank line and no further.
pub(crate) async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    head
}

/// SOCKS5 for the user `aladdin` with the password `open sesame`, and for nobody else.
pub(crate) async fn socks_proxy() -> Proxy {
    proxy(async |mut stream, asked| {
        let methods = read_counted(&mut stream, 1).await;
        if !methods[2..].contains(&2) {
            stream.write_all(&[5, 0xff]).await.unwrap();
            return;
        }
        stream.write_all(&[5, 2]).await.unwrap();
        let mut login = read_counted(&mut stream, 1).await;
        login.extend(read_counted(&mut stream, 0).await);
        let is_right = login == b"\x01\x07aladdin\x0bopen sesame";
        stream.write_all(&[1, u8::from(!is_right)]).await.unwrap();
        if !is_right {
            return;
        }
        let mut request = vec![0; 4];
        stream.read_exact(&mut request).await.unwrap();
        let host = match request[3] {
            3 => {
                let name = read_counted(&mut stream, 0).await;
                String::from_utf8(name[1..].to_vec()).unwrap()
            }
            _ => std::net::Ipv4Addr::from_bits(stream.read_u32().await.unwrap()).to_string(),
        };
        let target = format!("{host}:{}", stream.read_u16().await.unwrap());
        asked.lock().unwrap().push(target.clone().into_bytes());
        let mut server = TcpStream::connect(target).await.unwrap();
        let reply = [5, 0, 0, 1, 127, 0, 0, 1, 0, 0];
        stream.write_all(&reply).await.unwrap();
        drop(copy_bidirectional(&mut stream, &mut server).await);
    })
    .await
}

/// Reads `before` bytes, a length, and so many bytes more.
async fn read_counted(stream: &mut TcpStream, before: usize) -> Vec<u8> {
    let mut bytes = vec![0; before + 1];
    stream.read_exact(&mut bytes).await.unwrap();
    let mut counted = vec![0; usize::from(bytes[before])];
    stream.read_exact(&mut counted).await.unwrap();
    bytes.extend(counted);
    bytes
}
