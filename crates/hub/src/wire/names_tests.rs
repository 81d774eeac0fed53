//! Goal: whoever writes a client finds in the document every event, error code and close code of ours that there may be, with what to do, and
//! none that there is not.
//! Method: the tables of the document, compared with the names in the source.

use std::{collections::BTreeSet, fs, path::Path};

type Names = BTreeSet<String>;

/// What the first column of the document's table with this head has. No other is empty.
fn table(head: &str) -> Names {
    let document = include_str!("../../../../docs/hub-protocol.md");
    let (_, rows) = document.split_once(head).expect("a table with this head");
    let rows = rows.lines().skip(2).take_while(|row| row.starts_with('|'));
    let mut names = Names::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 3 && !cells.contains(&""), "{row}");
        names.extend(cells[0].split(", ").map(|name| name.replace('`', "")));
    }
    names
}

/// What is in the source of these files or folders, but for tests.
fn source(path: &Path) -> String {
    if path.is_dir() {
        let all = fs::read_dir(path).unwrap();
        return all.map(|entry| source(&entry.unwrap().path())).collect();
    }
    let name = path.to_str().unwrap();
    if name.ends_with("tests.rs") || path.iter().any(|part| part == "tests") {
        return String::new();
    }
    let text = fs::read_to_string(path).unwrap();
    let ours = text.split("#[cfg(test)]\nmod tests {").next();
    ours.unwrap().to_owned()
}

fn ours(path: &str) -> String {
    source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path))
}

/// What stands between each `before` and the next `after`.
fn all_between<'a>(text: &'a str, before: &str, after: char) -> impl Iterator<Item = &'a str> {
    let rest = text.split(before).skip(1);
    rest.map(move |rest| rest.split(after).next().unwrap())
}

#[test]
fn every_event_is_in_the_document_and_no_other() {
    let wire = ours("wire");
    let (_, kinds) = wire.split_once("fn kind(what: &What) -> &str {").unwrap();
    let (kinds, _) = kinds.split_once("\n}").unwrap();
    let mut events: Names = all_between(kinds, "=> \"", '"').map(Into::into).collect();
    for before in ["ev: \"", "\"ev\":\""] {
        events.extend(all_between(&wire, before, '"').map(str::to_owned));
    }
    assert_eq!(events, table("| `ev` | what it tells | the client |"));
}

#[test]
fn every_error_code_is_in_the_document_and_no_other() {
    let wire = ours("wire/reply.rs");
    let codes = all_between(&wire, "pub(crate) enum ErrorCode {", '}').next();
    let codes = codes.unwrap().split(',').map(str::trim);
    let codes = codes.filter(|code| !code.is_empty()).map(in_snake_case);
    let documented = table("| `code` | meaning | the client |");
    assert_eq!(codes.collect::<Names>(), documented);
}

fn in_snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

#[test]
fn every_close_code_of_ours_is_in_the_document_and_no_other() {
    let all = ours("");
    let codes = all_between(&all, "CloseCode::new(", ')').map(str::to_owned);
    let is_ours = |code: &String| code.starts_with('4');
    let codes: Names = codes.filter(is_ours).collect();
    let documented = table("| close code | meaning | the client |");
    let documented: Names = documented.into_iter().filter(is_ours).collect();
    assert_eq!(codes, documented);
}
