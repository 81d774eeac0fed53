//! Proxies, by flag and from the environment. What becomes of a tunnel is tried with real ones in `interop/`.

use crate::{
    peer,
    program::{Ended, Program, command, connect},
};

const REFUSAL: &str = "HTTP/1.1 407 Proxy Authentication Required\r\n\
    Proxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 13\r\n\r\nWho are you?\n";

async fn connect_with(variable: (&str, &str), args: &[&str]) -> Ended {
    let args = [&["connect"], args].concat();
    let (name, value) = variable;
    Program::spawn(command(&args).env(name, value)).end().await
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_from_a_server_that_does() {
    let (addr, request) = peer::answer(REFUSAL).await;
    let proxy = format!("http://aladdin:secret@{addr}");
    let ended = connect(&["ws://server.example/x", "--proxy", &proxy], "").await;
    assert_eq!(ended.code, Some(4));
    assert_eq!(
        ended.stderr,
        "fdx: the proxy refused: 407 Proxy Authentication Required\n  \
           Proxy-Authenticate: Basic realm=\"x\"\n  \
           Who are you?\n"
    );
    let request = request.await.unwrap();
    assert!(
        request.starts_with("CONNECT server.example:80 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\nProxy-Authorization: Basic YWxhZGRpbjpzZWNyZXQ=\r\n"));
}

#[tokio::test]
async fn the_environment_names_a_proxy_and_the_flag_another() {
    let (addr, request) = peer::answer(REFUSAL).await;
    let variable = ("http_proxy", &*format!("http://{addr}"));
    let ended = connect_with(variable, &["ws://server.example:81/"]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(
        request
            .await
            .unwrap()
            .starts_with("CONNECT server.example:81 ")
    );

    let (addr, request) = peer::answer(REFUSAL).await;
    let variable = ("http_proxy", "http://no-such-proxy.invalid:1");
    let flag = format!("http://{addr}");
    let ended = connect_with(variable, &["ws://server.example/", "--proxy", &flag]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(
        request
            .await
            .unwrap()
            .starts_with("CONNECT server.example:80 ")
    );
}

#[tokio::test]
async fn this_machine_is_not_looked_for_behind_the_environments_proxy() {
    let url = peer::serve(async |mut ws| {
        while let Some(message) = ws.recv().await? {
            ws.send(message).await?;
        }
        Ok(())
    })
    .await;
    let ended = connect_with(("all_proxy", "http://no-such-proxy.invalid:1"), &[&url]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn what_is_no_proxy_is_a_mistake_that_tells_no_password() {
    let url = "wss://server.example/";
    let ended = connect(&[url, "--proxy", "socks4://aladdin:secret@a"], "").await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("socks5h://"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);

    let ended = connect_with(("HTTPS_PROXY", "http://aladdin:secret@a:b"), &[url]).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("HTTPS_PROXY"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
}
