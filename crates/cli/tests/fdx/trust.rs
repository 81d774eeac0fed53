//! Whom `fdx connect` believes over TLS.

use crate::{
    certificates::{Certificates, text},
    program::{Program, connect},
};

/// A server over TLS.
async fn echo(certificates: &Certificates) -> (Program, String) {
    let (cert, key) = (certificates.cert(), certificates.key());
    let (program, url) =
        Program::listen(&["echo", "--tls-cert", text(&cert), "--tls-key", text(&key)]).await;
    let port = url.addr().rsplit_once(':').unwrap().1;
    assert!(url.0.starts_with("wss://"));
    (program, format!("wss://localhost:{port}/"))
}

#[tokio::test]
async fn a_server_is_believed_when_its_authority_is_known_or_nothing_is_checked() {
    let certificates = Certificates::new();
    let (_echo, url) = echo(&certificates).await;
    let ca = certificates.ca();
    let known = connect(&[&url, "--ca", text(&ca)], "secret\n").await;
    assert_eq!(
        (known.code, &*known.stdout),
        (Some(0), "secret\n"),
        "{}",
        known.stderr
    );
    let unchecked = connect(&[&url, "-k"], "secret\n").await;
    assert_eq!((unchecked.code, &*unchecked.stdout), (Some(0), "secret\n"));
    assert!(
        unchecked
            .stderr
            .starts_with("fdx: warning: certificates are not checked"),
        "{}",
        unchecked.stderr
    );
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_code_4_with_a_hint() {
    let (_echo, url) = echo(&Certificates::new()).await;
    let stranger = connect(&[&url], "secret\n").await;
    assert_eq!((stranger.code, &*stranger.stdout), (Some(4), ""));
    assert!(
        stranger
            .stderr
            .ends_with("; pass --ca FILE to trust its authority, or -k to trust any certificate\n"),
        "{}",
        stranger.stderr
    );
    assert_eq!(stranger.stderr.lines().count(), 1);
    let others = Certificates::new();
    let wrong = connect(&[&url, "--ca", text(&others.ca())], "secret\n").await;
    assert_eq!((wrong.code, &*wrong.stdout), (Some(4), ""));
    // It was passed.
    assert!(!wrong.stderr.contains("pass --ca"), "{}", wrong.stderr);
}

#[tokio::test]
async fn a_self_signed_server_is_believed_when_its_certificate_is_listed_for_its_name() {
    let certificates = Certificates::self_signed();
    let (_echo, url) = echo(&certificates).await;
    let cert = certificates.cert();
    let listed = connect(&[&url, "--ca", text(&cert)], "secret\n").await;
    assert_eq!(
        (listed.code, &*listed.stdout),
        (Some(0), "secret\n"),
        "{}",
        listed.stderr
    );
    let other_name = url.replace("localhost", "127.0.0.1");
    let others = Certificates::self_signed();
    for (url, cert) in [(&other_name, cert), (&url, others.cert())] {
        let wrong = connect(&[url, "--ca", text(&cert)], "secret\n").await;
        assert_eq!(
            (wrong.code, &*wrong.stdout),
            (Some(4), ""),
            "{}",
            wrong.stderr
        );
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_believed() {
    let certificates = Certificates::new();
    let (_echo, url) = echo(&certificates).await;
    let url = url.replace("localhost", "127.0.0.1");
    let ca = certificates.ca();
    let wrong = connect(&[&url, "--ca", text(&ca)], "secret\n").await;
    assert_eq!(
        (wrong.code, &*wrong.stdout),
        (Some(4), ""),
        "{}",
        wrong.stderr
    );
    assert!(wrong.stderr.contains("certificate"), "{}", wrong.stderr);
    assert_eq!(connect(&[&url, "-k"], "secret\n").await.stdout, "secret\n");
}

#[tokio::test]
async fn tls_with_a_server_that_speaks_none_is_told() {
    let (_echo, url) = Program::listen(&["echo"]).await;
    let url = url.0.replace("ws://", "wss://");
    let ended = connect(&[&url, "-k"], "").await;
    assert_eq!(ended.code, Some(4));
    assert!(
        ended
            .stderr
            .ends_with("; perhaps it speaks no TLS: try ws://\n"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_server_that_speaks_tls_only_is_told() {
    let (_echo, url) = echo(&Certificates::new()).await;
    let ended = connect(&[&url.replace("wss://", "ws://")], "").await;
    assert_eq!(ended.code, Some(5));
    assert!(
        ended
            .stderr
            .ends_with("; perhaps it speaks TLS: try wss://\n"),
        "{}",
        ended.stderr
    );
}
