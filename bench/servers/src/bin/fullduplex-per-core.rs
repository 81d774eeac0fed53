//! fullduplex on two threads that share nothing: each has a runtime and a listener, and the kernel deals the connections out.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use bench_servers::{BACKLOG, MAX_CONNECTIONS, Mode, run, start_with};
use fullduplex::{Error, Server, WebSocket};
use rustix::net::sockopt::set_socket_reuseport;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

fn main() -> io::Result<()> {
    let (_, (first, second)) = start_with(&[Mode::Echo], listeners);
    let other = thread::spawn(|| serve(second));
    serve(first)?;
    other.join().unwrap_or(Ok(()))
}

fn listeners(port: u16) -> io::Result<((TcpListener, TcpListener), SocketAddr)> {
    let first = listen(port)?;
    let address = first.local_addr()?;
    Ok(((first, listen(address.port())?), address))
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    set_socket_reuseport(&socket, true)?;
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn serve(listener: TcpListener) -> io::Result<()> {
    run(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let server = Server::new(listener).max_connections(MAX_CONNECTIONS);
        server.serve(echo).await;
        Ok(())
    })?
}

async fn echo(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}
