//! What `fdx connect` says when there is no connection to be had.

use tokio::net::TcpListener;

use crate::{
    peer,
    program::{Program, connect},
};

#[tokio::test]
async fn a_server_that_is_not_there_is_one_line_and_code_4() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = nobody.local_addr().unwrap();
    drop(nobody);
    let ended = connect(&[&format!("ws://user:secret@{addr}/x")], "hello\n").await;
    let line = format!(
        "fdx: cannot connect to ws://{addr}/x: {addr}: Connection refused (os error 111)\n"
    );
    assert_eq!(
        (ended.code, ended.stderr, &*ended.stdout),
        (Some(4), line, "")
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_with_code_4() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", silent.local_addr().unwrap());
    let ended = connect(&[&url, "--connect-timeout", "0.2"], "").await;
    let line = format!("fdx: no connection to {url}: connecting took too long\n");
    assert_eq!((ended.code, ended.stderr), (Some(4), line));
}

#[tokio::test]
async fn a_refusal_is_shown_with_what_it_says_to_do_and_code_5() {
    let (addr, _) = peer::answer(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nServer: y\r\n\
         Content-Length: 25\r\n\r\nWho are you?\n\nLog in.\x1b[2J\n",
    )
    .await;
    let ended = connect(&[&format!("ws://{addr}/")], "hello\n").await;
    assert_eq!((ended.code, &*ended.stdout), (Some(5), ""));
    assert_eq!(
        ended.stderr,
        "fdx: the server refused: 401 Unauthorized\n  \
           WWW-Authenticate: Basic realm=\"x\"\n  \
           Who are you?\n  \
           Log in.\\u{1b}[2J\n"
    );
}

#[tokio::test]
async fn a_redirect_says_where_to_and_a_page_of_a_body_is_cut() {
    let body = format!("{}\n", "x".repeat(300)) + &"line\n".repeat(20);
    let (addr, _) = peer::answer(format!(
        "HTTP/1.1 302 \r\nLocation: wss://elsewhere/\r\nRetry-After: 5\r\n\r\n{body}"
    ))
    .await;
    let ended = connect(&[&format!("ws://{addr}/")], "").await;
    assert_eq!(ended.code, Some(5));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines[0], "fdx: the server refused: 302 Found");
    assert_eq!(lines[1], "  Location: wss://elsewhere/");
    assert_eq!(lines[2], "  Retry-After: 5");
    assert_eq!(lines[3], format!("  {}…", "x".repeat(200)));
    assert_eq!(lines[4], "  line");
    assert_eq!((lines.len(), lines[13]), (14, "  …"));
}

#[tokio::test]
async fn versions_that_a_server_speaks_are_shown() {
    let (addr, _) = peer::answer(
        "HTTP/1.1 400 Bad Request\r\nSec-WebSocket-Version: 8,7\r\nSec-WebSocket-Version: 25\r\n\r\n",
    )
    .await;
    let ended = connect(&[&format!("ws://{addr}/")], "").await;
    assert_eq!(
        ended.stderr,
        "fdx: the server refused: 400 Bad Request\n  \
           Sec-WebSocket-Version: 8,7\n  \
           Sec-WebSocket-Version: 25\n"
    );
}

#[tokio::test]
async fn a_path_that_is_not_there_and_an_origin_that_may_not_are_told() {
    let (_serve, serve) = Program::listen(&["serve"]).await;
    let nothing = connect(&[&serve.ws("/nothing")], "").await;
    assert_eq!(nothing.code, Some(5));
    assert!(
        nothing
            .stderr
            .starts_with("fdx: the server refused: 404 Not Found\n"),
        "{}",
        nothing.stderr
    );
    let foreign = connect(&[&serve.ws("/echo"), "--origin", "http://evil.example"], "").await;
    assert_eq!(foreign.code, Some(5));
    assert!(
        foreign
            .stderr
            .starts_with("fdx: the server refused: 403 Forbidden\n"),
        "{}",
        foreign.stderr
    );
    assert!(
        foreign
            .stderr
            .contains("--allow-origin http://evil.example"),
        "{}",
        foreign.stderr
    );
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_code_5() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
    ] {
        let (addr, _) = peer::answer(answer).await;
        let ended = connect(&[&format!("ws://{addr}/")], "").await;
        let start = format!("fdx: no WebSocket at ws://{addr}/: ");
        assert!(ended.stderr.starts_with(&start), "{}", ended.stderr);
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(5), 1));
    }
}

#[tokio::test]
async fn headers_origin_and_subprotocols_reach_the_server() {
    let (addr, request) = peer::answer("HTTP/1.1 403 Forbidden\r\n\r\n").await;
    let url = format!("ws://us%20er:pass@{addr}/chat?room=1");
    let flags = [
        "-H",
        "X-Token: a b",
        "-H",
        "x-token:c",
        "--origin",
        "http://Example.com:80/",
    ];
    let subprotocols = ["--subprotocol", "chat", "--subprotocol", "superchat"];
    connect(&[&[&*url], &flags[..], &subprotocols].concat(), "").await;
    let request = request.await.unwrap();
    assert!(
        request.starts_with("GET /chat?room=1 HTTP/1.1\r\n"),
        "{request}"
    );
    for line in [
        "X-Token: a b",
        "x-token: c",
        "Origin: http://example.com",
        "Sec-WebSocket-Protocol: chat, superchat",
        "Authorization: Basic dXMgZXI6cGFzcw==",
    ] {
        assert!(
            request.lines().any(|other| other == line),
            "{line} is not in {request}"
        );
    }
}
