//! Hubs with an administrator, and what is asked for in the administrator's name.

use std::collections::BTreeMap;

use fullduplex_hub::{Config, auth::AdminToken};
use serde_json::Value;

use super::{Answer, Running, tokens::bearer, within};

/// The administrator's token.
pub const ADMIN: &str = "f00ba400f00ba400f00ba400f00ba400";

/// What a hub serves that has an administrator.
pub fn with_admin() -> Config {
    Config {
        admin: Some(AdminToken::new(ADMIN.as_bytes()).unwrap()),
        ..Config::default()
    }
}

impl Running {
    /// What the administrator asks for.
    pub async fn ask(&self, method: &str, path: &str) -> Answer {
        self.request(method, path, &bearer(ADMIN)).await
    }

    /// Bans somebody.
    pub async fn ban(&self, body: &Value) -> Value {
        let answer = self.post("/api/v1/bans", &bearer(ADMIN), body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    /// Lifts a ban.
    pub async fn lift(&self, ban: &Value) {
        let path = format!("/api/v1/bans/{}", ban["id"]);
        assert_eq!(self.ask("DELETE", &path).await.status, 204);
    }

    /// The connections once there are so many, by dialect.
    pub async fn connections(&self, count: usize) -> BTreeMap<String, Value> {
        within(async {
            loop {
                let page = self.ask("GET", "/api/v1/connections").await.json();
                let found = page["connections"].as_array().unwrap();
                if found.len() == count {
                    let by_dialect = |one: &Value| {
                        let dialect = one["dialect"].as_str().unwrap();
                        (dialect.to_owned(), one.clone())
                    };
                    return found.iter().map(by_dialect).collect();
                }
            }
        })
        .await
    }
}
