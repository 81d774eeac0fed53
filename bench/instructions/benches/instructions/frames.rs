//! What a client sends.

use fullduplex_testkit::{REQUEST, wire};

/// Binary messages of this length, masked, in one input.
pub fn frames(len: usize, at_once: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
    let frame = wire::binary(payload).masked().bytes();
    frame.repeat(at_once)
}

/// As a browser asks.
pub fn request(offer_deflate: bool) -> Vec<u8> {
    let mut request = REQUEST.trim_end().to_owned();
    request += "\r\nOrigin: http://server.example.com\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
        Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n";
    if offer_deflate {
        request += "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    }
    request += "\r\n";
    request.into_bytes()
}

/// A document of 1 KiB as an API sends them: names that repeat, numbers and identifiers that do not.
pub fn json() -> String {
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise
    };
    let members = std::iter::repeat_with(|| {
        format!(
            r#"{{"id":"{:016x}","room":"general","name":"member {}","unread":{},"active":true}}"#,
            next(),
            next() % 100,
            next() % 1000,
        )
    });
    let members: Vec<_> = members.take(20).collect();
    format!("[{}]", members.join(","))[..1024].to_owned()
}
