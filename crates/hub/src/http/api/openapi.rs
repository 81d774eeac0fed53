//! What the API is, for programs.

use axum::response::Response;
use http::StatusCode;

use super::json;

/// `OpenAPI` 3.1.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> Response {
    json(StatusCode::OK, DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{super::ROUTES, DOCUMENT};

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    #[test]
    fn every_route_is_in_the_document_and_nothing_else() {
        let document = document();
        let documented: BTreeSet<_> = document["paths"].as_object().unwrap().keys().collect();
        let routes: Vec<_> = ROUTES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(documented, routes.iter().collect());
    }
}
