//! `cargo run -p fullduplex-examples --bin fragments`
//!
//! Seeds 002 and 003: "hello", then a message in three fragments, frame for frame. There is no network: the protocol's state
//! takes bytes and gives bytes, and what is done with them is up to the program.
#![expect(clippy::print_stdout, reason = "shows the dialogue")]

use std::{error::Error, io::IoSlice, sync::Arc, time::Instant};

use fullduplex_proto::{
    Batch, Config, Connection, Event, FrameHeader, MaskingKey, Opcode, Role, apply_mask,
};

/// Anything will do where nobody listens; a real client draws one at random for each frame.
const KEY: MaskingKey = [0x37, 0xfa, 0x21, 0x3d];

fn main() -> Result<(), Box<dyn Error>> {
    let mut server = Connection::new(Role::Server, Arc::new(Config::default()), Instant::now());
    for (fin, opcode, text) in [
        (true, Opcode::Text, "hello"),
        (false, Opcode::Text, "and a"),
        (false, Opcode::Continuation, "happy new"),
        (true, Opcode::Continuation, "year!"),
    ] {
        let bits = opcode.bits();
        println!(
            "Client: FIN={}, opcode={bits:#x}, msg={text:?}",
            u8::from(fin)
        );
        let mut frame = client_frame(fin, opcode, text);
        match server.handle_input(Instant::now(), &mut frame) {
            Some(Event::Message(message)) => {
                let reply = match message.as_text() {
                    Some("hello") => "Hi.",
                    _ => "Happy new year to you too!",
                };
                server.send(Instant::now(), reply)?;
                println!("Server: {reply} {:02x?}", transmitted(&mut server));
            }
            _ => println!("Server: (listening)"),
        }
    }
    Ok(())
}

fn client_frame(fin: bool, opcode: Opcode, text: &str) -> Vec<u8> {
    let (masking_key, payload_len) = (Some(KEY), text.len() as u64);
    let header = FrameHeader {
        fin,
        rsv1: false,
        opcode,
        masking_key,
        payload_len,
    };
    let mut frame = Vec::new();
    header.encode(&mut frame);
    let mut payload = text.as_bytes().to_vec();
    apply_mask(&mut payload, KEY, 0);
    frame.extend(payload);
    frame
}

/// What a socket would be given: at most four pieces here, and it takes all of them.
fn transmitted(server: &mut Connection) -> Vec<u8> {
    let mut batch = Batch::default();
    server.poll_transmit(&mut batch, || KEY);
    let mut slices = [IoSlice::new(&[]); 4];
    let used = batch.slices(&mut slices);
    let bytes = slices[..used]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect::<Vec<u8>>();
    server.transmitted(Instant::now(), &batch, bytes.len());
    bytes
}
