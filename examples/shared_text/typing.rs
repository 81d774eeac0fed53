//! What is typed, as edits.

use fullduplex_client::Client;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

use crate::text::Edit;

/// Publishes each line that is typed, one after the other.
pub(crate) async fn publish(client: Client, channel: String) {
    let mut input = BufReader::new(stdin()).lines();
    while let Ok(Some(typed)) = input.next_line().await {
        let Some(edit) = edit(&typed) else {
            println!("type LINE+ TEXT, LINE TEXT or LINE-");
            continue;
        };
        if let Err(error) = client.publish(&channel, json!(edit)).await {
            println!("not done: {typed}: {error}");
        }
    }
}

fn edit(typed: &str) -> Option<Edit> {
    let (line, text) = typed.split_once(' ').unwrap_or((typed, ""));
    Some(Edit {
        line: line.trim_end_matches(['+', '-']).parse().ok()?,
        below: line.ends_with('+'),
        text: (!line.ends_with('-')).then(|| text.to_owned()),
    })
}
