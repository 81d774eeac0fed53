//! Hubs that ask for tokens, and who comes with one.

use std::time::{Duration, UNIX_EPOCH};

use fullduplex::Client;
use fullduplex_hub::{
    Config,
    auth::{Access, Claims, KeySource, SigningKey, Tokens},
};
use serde_json::json;
use tempfile::TempDir;

use super::{Running, V1};

pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// How long a token is good for, where a test does not say.
pub const LIFE: Duration = Duration::from_secs(600);

/// The same for who has a token. The folder has the secret.
pub fn guarded(config: Config) -> (Config, TempDir) {
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let config = Config {
        access: Access::Tokens(Tokens::new(KeySource::Secret(secret))),
        ..config
    };
    (config, folder)
}

pub fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// What a token says: who, what may be done where, and for how many seconds.
pub fn claims(sub: &str, rooms: &[(&str, &str)], seconds: u64) -> Claims {
    let rooms = rooms.iter().map(|(room, rights)| {
        let rights = rights.split(',').map(str::to_owned).collect();
        ((*room).to_owned(), rights)
    });
    Claims {
        sub: sub.into(),
        rooms: rooms.collect(),
        exp: Some(now() + seconds),
        ..Claims::default()
    }
}

pub fn sign(claims: &Claims) -> String {
    let key = SigningKey::from_file(SECRET.as_bytes()).unwrap();
    key.token(claims, None).unwrap()
}

/// A token of a user with these rights in rooms.
pub fn token(sub: &str, rooms: &[(&str, &str)]) -> String {
    sign(&claims(sub, rooms, LIFE.as_secs()))
}

/// A token for everything but administering, in all rooms.
pub fn of(sub: &str) -> String {
    sign(&Claims {
        rights: vec!["log".into()],
        ..claims(sub, &[("*", "read,write")], LIFE.as_secs())
    })
}

/// The header line with a token.
pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// A client that shows a token with its handshake.
pub fn shown(client: Client, token: &str) -> Client {
    let bearer = format!("Bearer {token}");
    client.header("Authorization", &bearer).unwrap()
}

impl Running {
    /// A member of a room, as a token says.
    pub async fn member_with(&self, token: &str, room: &str) -> V1 {
        let mut client = self.v1().await;
        let hello = json!({"op": "hello", "name": "Somebody", "token": token});
        client.ok(hello).await;
        let join = json!({"op": "join", "room": room, "backlog": 0});
        client.ok(join).await;
        client
    }
}
