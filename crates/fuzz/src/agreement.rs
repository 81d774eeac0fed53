//! What two sides agree on that want to compress.

use fullduplex_proto::{
    Deflate, DeflateParams,
    handshake::{ClientRequest, Progress, ServerHandshake, ServerOptions, Uri},
};

/// Lets a client and a server shake hands. Neither can ask for anything that the other refuses, and both have to understand the
/// same.
pub(crate) fn agree(client: Deflate, server: Deflate) -> DeflateParams {
    let Ok(uri) = "ws://a.example/".parse::<Uri>() else {
        unreachable!("it is one");
    };
    let mut client = ClientRequest::new(uri).deflate(client).start([1; 16]);
    let mut reader = ServerHandshake::new(ServerOptions {
        deflate: Some(server),
        ..ServerOptions::default()
    });
    let Ok(Progress::Done { value: request, .. }) = reader.receive(client.request()) else {
        unreachable!("the request is whole and right");
    };
    let acceptance = request.accept();
    let answer = client.receive(&acceptance.to_bytes());
    let Ok(Progress::Done {
        value: response, ..
    }) = answer
    else {
        unreachable!("refused by the client: {answer:?}");
    };
    let (ours, theirs) = (acceptance.deflate(), response.deflate());
    let Some((server, client)) = ours.zip(theirs) else {
        unreachable!("not agreed: {ours:?} {theirs:?}");
    };
    assert!(
        client.server_no_context_takeover == server.server_no_context_takeover
            && client.client_no_context_takeover >= server.client_no_context_takeover
            && client.server_max_window_bits >= server.server_max_window_bits
            && client.client_max_window_bits <= server.client_max_window_bits,
        "a side may do what the other does not expect: {client:?} {server:?}"
    );
    server
}
