//! Who may use `fdx serve`.

use std::fs;

use fullduplex::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    certificates::text,
    program::{Program, Url, run, soon},
};

/// What a `hello` with this token is answered with, or how the connection ends.
async fn hello(url: &Url, token: &str) -> Result<Value, u16> {
    let client = Client::new(&url.ws("/ws")).unwrap();
    let client = client.subprotocol("fdx.v1.json").unwrap();
    let (mut ws, _) = soon("a connection", client.connect()).await.unwrap();
    let hello = json!({"op": "hello", "id": 1, "token": token});
    ws.send(hello.to_string()).await.unwrap();
    match soon("an answer", ws.recv()).await.unwrap() {
        Some(reply) => Ok(serde_json::from_str(reply.as_text().unwrap()).unwrap()),
        None => Err(ws.outcome().unwrap().code().get()),
    }
}

#[tokio::test]
async fn what_fdx_token_makes_fdx_serve_takes() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        text(&path).to_owned()
    };
    let secret = file("secret", "0123456789abcdef0123456789abcdef\n");
    let other = file("other", "another secret of thirty-two bytes");
    let make = async |key: &str| {
        let made = run(
            &["token", "--key", key, "--sub", "ana", "--audience", "chat"],
            "",
        )
        .await;
        made.stdout.trim().to_owned()
    };
    let serve = ["serve", "--auth-secret", &secret, "--auth-audience", "chat"];
    let (server, url) = Program::listen(&serve).await;
    let welcome = hello(&url, &make(&secret).await).await.unwrap();
    assert_eq!(welcome["ok"]["user"]["id"], "ana");
    assert_eq!(hello(&url, &make(&other).await).await, Err(4001));
    server.terminate();
    let said = server.end().await;
    assert!(!said.stderr.contains("0123456789abcdef"), "{said:?}");
    assert!(said.stderr.contains("can be read by others"), "{said:?}");
}

#[tokio::test]
async fn off_loopback_it_needs_tokens_or_to_be_told_that_all_may() {
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    let serve = ["serve", "--memory", "--listen", "0.0.0.0:0"];
    let refused = run(&serve, "").await;
    assert_eq!(refused.code, Some(2));
    for remedy in ["--auth-secret", "--auth-keys", "--open"] {
        assert!(refused.stderr.contains(remedy), "{refused:?}");
    }
    let with_tokens = [&serve[..], &["--auth-secret", text(&secret)]].concat();
    let server = Program::start(&with_tokens);
    server.listening().await;
    server.terminate();
    assert!(!server.end().await.stderr.contains("anybody"));
}

#[tokio::test]
async fn what_can_t_be_together_or_is_of_no_use_is_told() {
    let folder = TempDir::new().unwrap();
    let short = folder.path().join("short");
    fs::write(&short, "hunter2").unwrap();
    let short = text(&short);
    for (flags, code, why) in [
        (
            &["--open", "--auth-secret", short][..],
            2,
            "cannot be used with",
        ),
        (
            &["--auth-keys", "x", "--auth-secret", short],
            2,
            "cannot be used with",
        ),
        (
            &["--auth-issuer", "x"],
            2,
            "pass --auth-secret or --auth-keys",
        ),
        (&["--auth-secret", short], 3, "openssl rand -hex 32"),
        (&["--admin-token", short], 3, "openssl rand -hex 32"),
        (&["--auth-secret", "/nowhere"], 3, "cannot use /nowhere"),
        (&["--auth-keys", short], 3, "neither a public key"),
        (&["--auth-keys", "http://id.example/keys"], 2, "https"),
        (
            &["--auth-keys", "x", "--auth-cookie", "a b"],
            2,
            "no name of a cookie",
        ),
    ] {
        let listen = ["serve", "--memory", "--listen", "127.0.0.1:0"];
        let refused = run(&[&listen[..], flags].concat(), "").await;
        assert_eq!(
            (refused.code, &*refused.stdout),
            (Some(code), ""),
            "{flags:?} {refused:?}"
        );
        assert!(refused.stderr.contains(why), "{flags:?} {refused:?}");
        assert!(!refused.stderr.contains("hunter2"), "{refused:?}");
    }
}
