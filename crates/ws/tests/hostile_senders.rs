//! Goal: who sends too much, too slowly, for ever, or stops half-way is answered in time, and keeps nobody else waiting.
//! Method: real loopback sockets against one echo server; where time counts, a scripted transport and a clock that is held.

mod common;

use std::time::Duration;

use common::raw::{
    Raw, TEXT, acceptance, answers, echo_server, is_accepted, pass, plain_refusal, refusal,
    request, serves_the_next_client, within,
};
use fullduplex::Acceptor;
use fullduplex_testkit::wire;

#[tokio::test]
async fn p06_frames_in_the_segment_of_the_request_are_kept_until_the_101_is_written() {
    let addr = echo_server(Acceptor::new()).await;
    let mut raw = Raw::connect(addr).await;
    let mut bytes = request(addr, "").into_bytes();
    for frame in [wire::text("early"), wire::ping("p"), wire::close(1000, "")] {
        bytes.extend(frame.masked().bytes());
    }
    raw.send(bytes).await;
    assert_eq!(raw.head().await, acceptance(""));
    // A pong goes before messages that wait.
    assert_eq!(
        raw.rest_as_frames().await,
        [wire::pong("p"), wire::text("early"), wire::close(1000, "")]
    );
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p06_half_a_frame_in_the_segment_of_the_request_is_joined_with_its_rest() {
    let addr = echo_server(Acceptor::new()).await;
    let frame = wire::text("cut anywhere").masked().bytes();
    for cut in 0..=frame.len() {
        let mut raw = Raw::connect(addr).await;
        let (front, rest) = frame.split_at(cut);
        raw.send([request(addr, "").as_bytes(), front].concat())
            .await;
        assert_eq!(raw.head().await, acceptance(""));
        raw.send(rest).await;
        assert_eq!(raw.frame().await, wire::text("cut anywhere"));
    }
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p09_header_bombs_get_431_or_414_before_they_are_read_to_their_end() {
    let addr = echo_server(Acceptor::new()).await;
    let too_large = plain_refusal(
        "431 Request Header Fields Too Large",
        "the headers are too large",
    );
    let too_many = plain_refusal(
        "431 Request Header Fields Too Large",
        "there are too many headers",
    );
    let too_long = plain_refusal("414 URI Too Long", "the first line is too long");
    let long_value = format!("X: {}\r\n", "y".repeat(20 << 10));
    answers(addr, request(addr, &long_value), &too_large).await;
    let many_values = format!("X: {}\r\n", "y".repeat(500)).repeat(40);
    answers(addr, request(addr, &many_values), &too_large).await;
    answers(addr, request(addr, &"X: y\r\n".repeat(101)), &too_many).await;
    let long_target = format!("GET /{} HTTP", "y".repeat(9 << 10));
    answers(
        addr,
        request(addr, "").replacen("GET / HTTP", &long_target, 1),
        &too_long,
    )
    .await;
    // One that never ends, without a single line end.
    answers(addr, vec![b'y'; 40 << 10], &too_long).await;
    // Within the limits nothing is wrong with many or long headers.
    let fits = format!("X: {}\r\n", "y".repeat(100)).repeat(90);
    is_accepted(addr, request(addr, &fits), "").await;
}

#[tokio::test]
async fn p10_slow_headers_get_408_at_the_total_deadline_whatever_trickles_in() {
    const HOUR: Duration = Duration::from_secs(3600);
    let addr = echo_server(Acceptor::new().handshake_timeout(HOUR)).await;
    let expected = plain_refusal("408 Request Timeout", "the request did not arrive in time");

    let silent = Raw::connect(addr).await;
    let mut trickling = Raw::connect(addr).await;
    // By then both are accepted; and by the next time, what was sent is read.
    serves_the_next_client(addr).await;
    for byte in request(addr, "").bytes().take(4) {
        pass(HOUR / 5).await;
        trickling.send([byte]).await;
        serves_the_next_client(addr).await;
    }
    pass(HOUR / 5).await;
    for mut late in [silent, trickling] {
        assert_eq!(late.rest_as_text().await, expected);
    }
    serves_the_next_client(addr).await;
}

#[tokio::test(start_paused = true)]
async fn p10_the_deadline_is_ten_seconds_after_the_first_look_to_the_second() {
    let (io, script) = fullduplex_testkit::ScriptedIo::new();
    let feeding = script.clone();
    let trickling = tokio::spawn(async move {
        for byte in common::REQUEST.bytes().cycle() {
            feeding.push([byte]);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let begun = tokio::time::Instant::now();
    let accepting = tokio::spawn(async move { Acceptor::new().accept(io).await });
    script.until(|script| !script.written().is_empty()).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    let expected = plain_refusal("408 Request Timeout", "the request did not arrive in time");
    assert_eq!(String::from_utf8(script.written()).unwrap(), expected);
    // A second more for the peer to read it, then it is over.
    assert!(accepting.await.unwrap().is_err());
    assert_eq!(begun.elapsed(), Duration::from_secs(11));
    trickling.abort();
}

#[tokio::test]
async fn p10_a_request_in_single_bytes_is_as_good_as_one_in_one_piece() {
    let addr = echo_server(Acceptor::new()).await;
    let mut raw = Raw::connect(addr).await;
    for byte in request(addr, "").bytes() {
        raw.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(raw.head().await, acceptance(""));
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p18_a_client_that_sends_on_after_a_bad_request_still_gets_the_whole_answer() {
    let addr = echo_server(Acceptor::new()).await;
    let mut bytes = request(addr, "").replacen("GET", "POST", 1).into_bytes();
    bytes.extend(vec![b'x'; 48 << 10]);
    let expected = refusal(
        "405 Method Not Allowed",
        &["Connection: close", TEXT, "Allow: GET"],
        "a WebSocket is opened with the method GET",
    );
    answers(addr, bytes, &expected).await;
}

#[tokio::test]
async fn p18_a_body_that_comes_behind_the_answer_does_not_destroy_it() {
    let addr = echo_server(Acceptor::new()).await;
    let mut raw = Raw::connect(addr).await;
    raw.send(request(addr, "").replacen("GET", "POST", 1)).await;
    let expected = refusal(
        "405 Method Not Allowed",
        &["Connection: close", TEXT, "Allow: GET"],
        "a WebSocket is opened with the method GET",
    );
    // It has arrived whole, and nobody has read it.
    let mut answer = vec![0; expected.len()];
    within(async { while raw.stream.peek(&mut answer).await.unwrap() < expected.len() {} }).await;
    // Had the server closed its socket, the first would provoke a reset, which takes away what is unread.
    for _ in 0..3 {
        assert!(raw.try_send(vec![b'x'; 1000]).await);
    }
    assert_eq!(raw.rest_as_text().await, expected);
}

#[tokio::test]
async fn p18_a_client_that_sends_for_ever_after_a_bad_request_is_cut_off() {
    let addr = echo_server(Acceptor::new()).await;
    let mut raw = Raw::connect(addr).await;
    raw.send("nonsense\r\n\r\n").await;
    let sending = async { while raw.try_send(vec![b'x'; 4096]).await {} };
    within(sending).await;
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p18_of_what_comes_behind_a_bad_request_only_so_much_is_read() {
    let (io, script) = fullduplex_testkit::ScriptedIo::new();
    script.push("nonsense\r\n\r\n");
    script.push(vec![b'x'; 1 << 20]);
    assert!(within(Acceptor::new().accept(io)).await.is_err());
    assert!(script.is_dropped());
    assert!(script.read() <= 80 << 10, "{} bytes", script.read());
}

#[tokio::test]
async fn a_client_that_ends_inside_its_request_gets_the_end_and_harms_nobody() {
    let addr = echo_server(Acceptor::new()).await;
    let whole = request(addr, "");
    for cut in [0, 1, 30, whole.len() - 1] {
        let mut raw = Raw::connect(addr).await;
        raw.send(&whole[..cut]).await;
        raw.end().await;
        assert_eq!(raw.rest_as_text().await, "");
    }
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn a_hundred_hostile_clients_at_a_time_do_not_keep_one_honest_client_waiting() {
    let addr = echo_server(Acceptor::new()).await;
    let mut silent = Vec::new();
    for i in 0..100_u8 {
        let mut raw = Raw::connect(addr).await;
        match i % 4 {
            0 => {}
            1 => raw.send("GET / HT").await,
            2 => raw.send([i; 3000]).await,
            _ => {
                raw = Raw::open(addr).await;
                raw.send(&wire::text("half a frame").masked().bytes()[..9])
                    .await;
            }
        }
        silent.push(raw);
    }
    serves_the_next_client(addr).await;
}
