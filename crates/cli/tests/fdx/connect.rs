//! `fdx connect` in a pipe.

use fullduplex::{CloseCode, CloseFrame, Message};
use tokio::{io::AsyncWriteExt as _, sync::mpsc, task::JoinSet};

use crate::{
    peer,
    program::{Ended, Program, connect, soon},
};

/// Long enough for an answer on a very slow machine.
const LINGER: &str = "--linger=10";

const CLOSED_BY_US: &str = "closed 1000 by us";

/// `fdx echo` on a free port.
async fn echo() -> (Program, String) {
    let (echo, url) = Program::listen(&["echo"]).await;
    (echo, url.0)
}

/// `connect` with this standard input. Once it has printed so much it is told to end: how long an answer takes depends on the machine.
async fn echoed(args: &[&str], input: &str, output: &str) -> Ended {
    let mut program = Program::start(&[&["connect", "--linger=600"], args].concat());
    let mut stdin = program.stdin.take().unwrap();
    let input = input.to_owned();
    let writing = tokio::spawn(async move { stdin.write_all(input.as_bytes()).await });
    program.told(|text| text.contains("connected to ")).await;
    program.said(|said| said.len() >= output.len()).await;
    soon("the end of the input", writing)
        .await
        .unwrap()
        .unwrap();
    program.terminate();
    program.end().await
}

#[tokio::test]
async fn each_line_is_a_message_and_each_message_a_line() {
    let (_echo, url) = echo().await;
    let connected = format!("connected to {}", url.trim_start_matches("ws://"));
    let mut running = JoinSet::new();
    for (input, output) in [
        ("hello\n", "hello\n"),
        ("", ""),
        ("\n\n", "\n\n"),
        (
            "you say 你好 👋🏽\nübergröße\n",
            "you say 你好 👋🏽\nübergröße\n",
        ),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("the last one\nhas no end", "the last one\nhas no end\n"),
        ("\x1b[31m\0\t\n", "\x1b[31m\0\t\n"),
    ] {
        let url = url.clone();
        running.spawn(async move { (output, echoed(&[&url], input, output).await) });
    }
    while let Some(ended) = running.join_next().await {
        let (output, ended) = ended.unwrap();
        assert_eq!((ended.code, &*ended.stdout), (Some(0), output));
        let told = ended.stderr.lines();
        // A slow machine is told what it waits for.
        let told: Vec<_> = told.filter(|line| !line.contains("closing, ")).collect();
        assert_eq!(told, [&*connected, CLOSED_BY_US]);
    }
}

#[tokio::test]
async fn where_no_answer_comes_it_closes_after_a_while() {
    let (_echo, url) = echo().await;
    let ended = connect(&[&url, "--linger", "0.2"], "").await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), ""));
}

#[tokio::test]
async fn a_line_of_a_mebibyte_and_thousands_of_lines_come_back() {
    let (_echo, url) = echo().await;
    let long = "0123456789abcdef".repeat(1 << 16) + "\n";
    let many: Vec<String> = (0..20_000).map(|n| format!("line {n}")).collect();
    let many = many.join("\n") + "\n";
    for input in [long, many] {
        let ended = echoed(&[&url], &input, &input).await;
        assert!(
            ended.stdout == input,
            "{} of {} bytes",
            ended.stdout.len(),
            input.len()
        );
        assert_eq!(ended.code, Some(0));
    }
}

#[tokio::test]
async fn after_the_end_of_the_input_it_waits_for_what_is_still_coming() {
    let (release, mut released) = mpsc::channel::<()>(1);
    let (lent, mut borrowed) = mpsc::channel(1);
    let url = peer::serve(move |mut ws| {
        let lent = lent.clone();
        async move {
            let first = ws.recv().await?;
            lent.send((ws, first)).await.unwrap();
            std::future::pending().await
        }
    })
    .await;
    let program = Program::start(&["connect", &url, "--linger", "600"]);
    let serving = tokio::spawn(async move {
        let (mut ws, first) = borrowed.recv().await.unwrap();
        released.recv().await;
        ws.send("late").await.unwrap();
        ws.send("later").await.unwrap();
        let outcome = ws.close(CloseFrame::normal()).await;
        (first, outcome)
    });
    let mut program = program;
    program.write("question\n").await;
    drop(program.stdin.take());
    // Its input is at its end, and nothing has been answered.
    release.send(()).await.unwrap();
    let ended = program.end().await;
    let (first, outcome) = serving.await.unwrap();
    assert_eq!(first, Some(Message::text("question")));
    assert!(outcome.clean);
    assert_eq!((ended.code, &*ended.stdout), (Some(0), "late\nlater\n"));
}

#[tokio::test]
async fn a_feed_that_never_pauses_is_left_after_max_wait() {
    let url = peer::serve(async |ws| {
        let (mut reader, mut writer) = ws.split();
        let sending = async { while writer.send("again and again").await.is_ok() {} };
        let receiving = async { while let Ok(Some(_)) = reader.recv().await {} };
        tokio::join!(sending, receiving);
        Ok(())
    })
    .await;
    let ended = connect(&[&url, "--linger", "600", "--max-wait", "0.2"], "").await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("by us"), "{}", ended.stderr);
}

#[tokio::test]
async fn without_linger_it_closes_at_the_end_of_the_input() {
    let url = peer::serve(async |mut ws| {
        // Never answers.
        while ws.recv().await?.is_some() {}
        Ok(())
    })
    .await;
    let ended = connect(&[&url, "--linger", "0"], "a\nb\n").await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), ""));
    assert!(
        ended.stderr.ends_with(&format!("{CLOSED_BY_US}\n")),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn the_servers_code_and_reason_are_told_and_decide_the_exit_code() {
    for (code, reason, exit, line) in [
        (
            1000,
            "Goodbye, client!",
            0,
            r#"closed 1000 "Goodbye, client!" by peer"#,
        ),
        (1001, "", 0, "closed 1001 by peer"),
        (1005, "", 0, "closed 1005 by peer"),
        (
            4001,
            "no such room",
            7,
            r#"closed 4001 "no such room" by peer"#,
        ),
        (
            1011,
            "\x1b[2Jboom\n",
            7,
            r#"closed 1011 "\u{1b}[2Jboom\n" by peer"#,
        ),
    ] {
        let url = peer::serve(move |mut ws| async move {
            let frame = CloseFrame::new(CloseCode::new(code), reason);
            ws.close(frame.unwrap_or(CloseFrame::empty())).await;
            Ok(())
        })
        .await;
        // Its input stays open: the server ends it.
        let ended = Program::start(&["connect", &url])
            .end_with_open_input()
            .await;
        assert_eq!(ended.code, Some(exit), "{code}");
        assert_eq!(ended.stderr.lines().nth(1), Some(line));
        assert_eq!(ended.stderr.lines().count(), if exit == 0 { 2 } else { 3 });
    }
}

#[tokio::test]
async fn an_end_without_a_close_is_code_6() {
    let cut = peer::answer_101(b"\x81\x05hello").await;
    let ended = Program::start(&["connect", &cut])
        .end_with_open_input()
        .await;
    assert_eq!((ended.code, &*ended.stdout), (Some(6), "hello\n"));
    assert!(
        ended.stderr.contains("closed 1006 by peer: "),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_server_that_breaks_the_protocol_is_code_6() {
    let masked = peer::answer_101(b"\x81\x85\0\0\0\0hello").await;
    let ended = Program::start(&["connect", &masked])
        .end_with_open_input()
        .await;
    assert_eq!((ended.code, &*ended.stdout), (Some(6), ""));
    assert!(ended.stderr.contains("closed 1002 "), "{}", ended.stderr);
}

#[tokio::test]
async fn a_reader_of_its_output_that_goes_away_ends_it_quietly() {
    let (seen, mut outcomes) = mpsc::channel(1);
    let url = peer::serve(move |ws| {
        let seen = seen.clone();
        async move {
            let (mut reader, mut writer) = ws.split();
            let sending = async { while writer.send("again and again").await.is_ok() {} };
            let receiving = async { while let Ok(Some(_)) = reader.recv().await {} };
            tokio::join!(sending, receiving);
            seen.send(reader.outcome()).await.unwrap();
            Ok(())
        }
    })
    .await;
    let mut child = crate::program::command(&["connect", &url])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take();
    drop(child.stdout.take());
    let ended = soon("the end", child.wait_with_output()).await.unwrap();
    drop(input);
    assert_eq!(ended.status.code(), Some(0));
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.ends_with(&format!("\n{CLOSED_BY_US}\n")), "{told}");
    let outcome = soon("the close", outcomes.recv()).await.unwrap().unwrap();
    assert_eq!(
        (outcome.code(), outcome.clean),
        (CloseCode::NORMAL_CLOSURE, true)
    );
}

#[tokio::test]
async fn output_that_cannot_be_written_is_code_1() {
    let url = peer::serve(async |mut ws| {
        ws.send("hello").await?;
        while ws.recv().await?.is_some() {}
        Ok(())
    })
    .await;
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut child = crate::program::command(&["connect", &url])
        .stdin(std::process::Stdio::piped())
        .stdout(full)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take();
    let ended = soon("the end", child.wait_with_output()).await.unwrap();
    drop(input);
    assert_eq!(ended.status.code(), Some(1));
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(
        told.ends_with("fdx: cannot write: No space left on device (os error 28)\n"),
        "{told}"
    );
}

#[tokio::test]
async fn binary_messages_are_lines_too() {
    let url = peer::serve(async |mut ws| {
        ws.send(&b"\0\xff\n"[..]).await?;
        ws.send("text").await?;
        ws.send(&b"second"[..]).await?;
        ws.close(CloseFrame::normal()).await;
        Ok(())
    })
    .await;
    let base64 = connect(&[&url, "--linger", "600"], "").await;
    assert_eq!(base64.stdout, "AP8K\ntext\nc2Vjb25k\n");
    assert_eq!(
        base64.stderr.matches("base64").count(),
        1,
        "{}",
        base64.stderr
    );
    let json = connect(&[&url, "--linger", "600", "--json"], "").await;
    assert_eq!(
        json.stdout,
        "{\"binary\":\"AP8K\"}\n{\"text\":\"text\"}\n{\"binary\":\"c2Vjb25k\"}\n"
    );
    assert!(!json.stderr.contains("base64"), "{}", json.stderr);
}

#[tokio::test]
async fn what_is_sent_as_binary_or_json_comes_back_as_it_was() {
    let (_echo, url) = echo().await;
    let lines = "a b\n\nc\n";
    let bytes = echoed(&[&*url, "--binary"], lines, lines).await;
    assert_eq!((bytes.code, &*bytes.stdout), (Some(0), lines));
    let lines = "{\"text\":\"two\\nlines\"}\n{\"binary\":\"AAH/\"}\n{\"text\":\"\"}\n";
    let json = echoed(&[&*url, "--json"], lines, lines).await;
    assert_eq!((json.code, &*json.stdout), (Some(0), lines));
}

#[tokio::test]
async fn a_line_that_is_no_message_ends_the_input_and_is_code_1() {
    let (_echo, url) = echo().await;
    let latin = connect(&[&*url, LINGER], b"one\n\xfcbel\nthree\n").await;
    assert_eq!((latin.code, &*latin.stdout), (Some(1), "one\n"));
    assert!(
        latin
            .stderr
            .ends_with("fdx: line 2 of the input is not UTF-8; see --binary\n"),
        "{}",
        latin.stderr
    );
    let json = connect(&[&*url, "--json", "--linger", "0"], "hello\n").await;
    assert_eq!(json.code, Some(1));
    assert!(
        json.stderr
            .contains("line 1 of the input is neither {\"text\":...}"),
        "{}",
        json.stderr
    );
}

#[tokio::test]
async fn a_message_over_the_limit_closes_with_1009() {
    let (_echo, url) = echo().await;
    let ended = connect(&[&url, "--max-message", "10"], "0123456789\n0123456789x\n").await;
    assert_eq!((ended.code, &*ended.stdout), (Some(6), "0123456789\n"));
    assert!(ended.stderr.contains("closed 1009 "), "{}", ended.stderr);
}

#[tokio::test]
async fn a_signal_closes_with_1000_and_code_0() {
    let (_echo, url) = echo().await;
    let mut program = Program::start(&["connect", &url]);
    program.write("hello\n").await;
    program.said(|text| text == "hello\n").await;
    program.terminate();
    let ended = program.end_with_open_input().await;
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stderr.ends_with(&format!("{CLOSED_BY_US}\n")),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_close_that_is_not_answered_is_told_and_a_second_signal_ends_it() {
    let (url, mut holding) = peer::hold().await;
    let program = Program::start(&["connect", &url]);
    let _ws = soon("a connection", holding.recv()).await.unwrap();
    program.told(|text| text.contains("connected to ")).await;
    program.terminate();
    program.told(|text| text.contains("closing, ")).await;
    program.terminate();
    let ended = program.end_with_open_input().await;
    assert_eq!(ended.code, Some(6));
    assert!(
        ended
            .stderr
            .ends_with("fdx: ended before the server answered the close\n"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_pings_is_given_up() {
    let (url, mut holding) = peer::hold().await;
    let args = [
        "connect",
        &url,
        "--ping-interval",
        "0.1",
        "--ping-timeout",
        "0.1",
    ];
    let ended = Program::start(&args).end_with_open_input().await;
    assert_eq!(ended.code, Some(6));
    assert!(
        ended.stderr.contains("keepalive timeout"),
        "{}",
        ended.stderr
    );
    assert!(holding.recv().await.is_some());
}
