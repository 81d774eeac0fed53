//! Who may use `fdx serve`.

use std::fs;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fullduplex::Client;
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    certificates::{Certificates, text},
    http::get,
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
async fn s48_a_hangup_has_the_keys_of_tokens_read_anew() {
    let folder = TempDir::new().unwrap();
    let keys = text(&folder.path().join("keys")).to_owned();
    let mut tokens = Vec::new();
    let mut public = Vec::new();
    for name in ["old", "new"] {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let private = folder.path().join(name);
        fs::write(&private, pair.serialize_pem()).unwrap();
        let made = run(&["token", "--key", text(&private), "--sub", "ana"], "").await;
        tokens.push(made.stdout.trim().to_owned());
        public.push(pair.public_key_pem());
    }
    fs::write(&keys, &public[0]).unwrap();
    let (server, url) = Program::listen(&["serve", "--auth-keys", &keys]).await;
    assert!(hello(&url, &tokens[0]).await.is_ok());
    // It was leaked, say: nobody waits for a quarter of an hour.
    fs::write(&keys, &public[1]).unwrap();
    server.hang_up();
    server
        .told(|text| text.contains("keys of tokens were read anew"))
        .await;
    assert_eq!(hello(&url, &tokens[0]).await, Err(4001));
    assert!(hello(&url, &tokens[1]).await.is_ok());
    // By mistake: the ones before stay.
    fs::write(&keys, "no keys").unwrap();
    server.hang_up();
    server
        .told(|text| text.contains("keys of tokens can't be fetched"))
        .await;
    assert!(hello(&url, &tokens[1]).await.is_ok());
}

#[tokio::test]
async fn keys_come_over_https_from_whom_the_given_authority_vouches_for() {
    let (tls, folder) = (Certificates::new(), TempDir::new().unwrap());
    let signing = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let key = folder.path().join("key.pem");
    fs::write(&key, signing.serialize_pem()).unwrap();
    let x = URL_SAFE_NO_PAD.encode(signing.public_key_raw());
    let set = json!({"keys": [{"kid": "one", "kty": "OKP", "crv": "Ed25519", "x": x}]});
    let published = folder.path().join("published");
    fs::create_dir(&published).unwrap();
    fs::write(published.join("jwks.json"), set.to_string()).unwrap();
    let (cert, tls_key, ca) = (tls.cert(), tls.key(), tls.ca());
    let issuer = ["serve", "--static", text(&published)];
    let with_tls = ["--tls-cert", text(&cert), "--tls-key", text(&tls_key)];
    let (_issuer, at) = Program::listen(&[&issuer[..], &with_tls].concat()).await;
    let port = at.addr().rsplit(':').next().unwrap();
    let keys = format!("https://localhost:{port}/jwks.json");
    let made = ["token", "--key", text(&key), "--sub", "ana", "--kid", "one"];
    let token = run(&made, "").await.stdout.trim().to_owned();

    let serve = ["serve", "--auth-keys", &keys];
    let trusting = [&serve[..], &["--auth-ca", text(&ca)]].concat();
    let (_server, url) = Program::listen(&trusting).await;
    let welcome = hello(&url, &token).await.unwrap();
    assert_eq!(welcome["ok"]["user"]["id"], "ana");
    let forged = format!("{token}A");
    assert_eq!(hello(&url, &forged).await, Err(4001));
    // Whoever else may answer at that address is not believed, and nobody is let in.
    let (server, url) = Program::listen(&serve).await;
    assert_eq!(hello(&url, &token).await, Err(1013));
    let said = server.told(|text| text.contains("can't be fetched")).await;
    assert!(said.contains("certificate"), "{said}");
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
async fn behind_a_proxy_it_needs_the_same_also_on_loopback() {
    let serve = ["serve", "--memory", "--listen", "127.0.0.1:0"];
    let serve = [&serve[..], &["--trusted-proxy", "127.0.0.1"]].concat();
    let refused = run(&serve, "").await;
    assert_eq!(refused.code, Some(2));
    for named in ["the proxy", "--auth-secret", "--auth-keys", "--open"] {
        assert!(refused.stderr.contains(named), "{refused:?}");
    }
    let server = Program::start(&[&serve[..], &["--open"]].concat());
    server.listening().await;
    server.terminate();
    let said = server.end().await.stderr;
    let warning = "warning: anybody who reaches the proxy of --trusted-proxy may use it\n";
    assert!(said.contains(warning), "{said}");
    let tail = ["tail", "--listen", "127.0.0.1:0", "--trusted-proxy", "::1"];
    let refused = run(&[&tail[..], &["/nowhere"]].concat(), "").await;
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("--logs-open"), "{refused:?}");
}

#[tokio::test]
async fn who_names_its_host_is_reached_by_others_also_on_loopback() {
    let serve = ["serve", "--memory", "--listen", "127.0.0.1:0"];
    let serve = [&serve[..], &["--host", "chat.example.com"]].concat();
    let refused = run(&serve, "").await;
    assert_eq!(refused.code, Some(2));
    for named in ["reaches chat.example.com", "--auth-secret", "--open"] {
        assert!(refused.stderr.contains(named), "{refused:?}");
    }
}

#[tokio::test]
async fn a_proxy_on_this_machine_that_is_not_named_is_told_of_once() {
    for (flags, is_told) in [
        (&[][..], true),
        (&["--open", "--trusted-proxy", "10.0.0.0/8"], true),
        (&["--open", "--trusted-proxy", "127.0.0.1"], false),
    ] {
        let (server, url) = Program::listen(&[&["serve"], flags].concat()).await;
        get(url.addr(), "/healthz", "").await;
        for header in ["X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1"] {
            get(url.addr(), "/healthz", &format!("{header}\r\n")).await;
        }
        server.terminate();
        let said = server.end().await.stderr;
        let told = said.matches("pass --trusted-proxy").count();
        assert_eq!(told, usize::from(is_told), "{flags:?}: {said}");
    }
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
