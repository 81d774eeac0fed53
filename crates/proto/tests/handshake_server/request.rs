//! Requests as bytes, and what a server makes of them.

use fullduplex_proto::handshake::{
    Origins, Progress, Rejection, Request, ServerHandshake, ServerOptions,
};

/// A request under construction; starts as one that is right.
#[derive(Clone)]
pub(crate) struct Raw {
    line: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Raw {
    pub(crate) fn new() -> Self {
        Self {
            line: "GET /chat HTTP/1.1".into(),
            headers: Vec::new(),
        }
        .add("Host", "server.example.com")
        .add("Upgrade", "websocket")
        .add("Connection", "Upgrade")
        .add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .add("Sec-WebSocket-Version", "13")
    }

    pub(crate) fn line(mut self, line: &str) -> Self {
        self.line = line.into();
        self
    }

    pub(crate) fn add(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    pub(crate) fn set(self, name: &str, value: &str) -> Self {
        self.without(name).add(name, value)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"));
        let lines: Vec<_> = [self.line.clone()].into_iter().chain(headers).collect();
        format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
    }

    pub(crate) fn judged(&self, options: &ServerOptions) -> Result<Request, Rejection> {
        receive(&self.bytes(), options)
    }

    pub(crate) fn accepted(&self) -> Request {
        self.judged(&ServerOptions::default())
            .unwrap_or_else(|rejection| {
                panic!("{rejection}\n{}", String::from_utf8_lossy(&self.bytes()))
            })
    }

    pub(crate) fn refused(&self) -> Rejection {
        match self.judged(&ServerOptions::default()) {
            Err(rejection) => rejection,
            Ok(_) => panic!("accepted: {}", String::from_utf8_lossy(&self.bytes())),
        }
    }
}

/// Gives a server everything at once; the request has to be judged by then.
pub(crate) fn receive(bytes: &[u8], options: &ServerOptions) -> Result<Request, Rejection> {
    match ServerHandshake::new(options.clone()).receive(bytes)? {
        Progress::Done { value, used } => {
            assert_eq!(used, bytes.len());
            Ok(value)
        }
        Progress::NeedMore => panic!("not judged: {}", String::from_utf8_lossy(bytes)),
    }
}

pub(crate) fn status_of(bytes: &[u8]) -> u16 {
    receive(bytes, &ServerOptions::default()).map_or_else(|rejection| rejection.status(), |_| 101)
}

pub(crate) fn header(rejection: &Rejection, name: &str) -> Option<String> {
    rejection.headers().get_str(name).map(str::to_owned)
}

pub(crate) fn sentence(rejection: &Rejection) -> String {
    String::from_utf8(rejection.body().to_vec()).unwrap()
}

pub(crate) fn with_origins(origins: Origins) -> ServerOptions {
    ServerOptions {
        origins,
        ..ServerOptions::default()
    }
}
