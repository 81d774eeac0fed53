//! A piece of a text that shows what was found in it.

use std::borrow::Cow;

use crate::core::{fold, may_begin, words};

/// The characters that it has of the text: two lines on a phone.
const LENGTH: usize = 160;
/// Those of them that may stand before the first word that was found.
const LEAD: usize = 40;

/// The piece, in parts: every second one is a word that was found.
pub(crate) fn snippet<'a>(text: &'a str, query: &str) -> Vec<Cow<'a, str>> {
    let query = Query::new(query);
    let mut found = words(text).filter(|word| query.has(&text[word.clone()]));
    let first = found.next();
    let start = first.as_ref().map_or(0, |word| start(text, word.start));
    let end = after(text, start, LENGTH);
    let mut parts = Vec::new();
    let mut at = start;
    for word in first.into_iter().chain(found) {
        if word.end > end {
            break;
        }
        parts.push(text[at..word.start].into());
        at = word.end;
        parts.push(text[word].into());
    }
    parts.push(text[at..end].into());
    if start > 0 {
        parts[0] = format!("…{}", parts[0]).into();
    }
    if end < text.len() {
        let last = parts.len() - 1;
        parts[last] = format!("{}…", parts[last]).into();
    }
    parts
}

/// The words that are looked for, folded; the last may be the beginning of one.
struct Query {
    words: Vec<String>,
}

impl Query {
    fn new(text: &str) -> Self {
        let folded = words(text).map(|word| fold(&text[word]));
        Self {
            words: folded.collect(),
        }
    }

    fn has(&self, word: &str) -> bool {
        let word = fold(word);
        let last = self.words.last().filter(|last| may_begin(last));
        let is_begun = last.is_some_and(|last| word.starts_with(last));
        is_begun || self.words.contains(&word)
    }
}

/// Where a piece begins that has a word at `at`: with a word, if there is one near.
fn start(text: &str, at: usize) -> usize {
    let Some((lead, _)) = text[..at].char_indices().nth_back(LEAD - 1) else {
        return 0;
    };
    let blank = text[lead..at]
        .char_indices()
        .find(|(_, c)| c.is_whitespace());
    blank.map_or(lead, |(offset, c)| lead + offset + c.len_utf8())
}

/// The end of the next so many characters.
fn after(text: &str, start: usize, chars: usize) -> usize {
    let end = text[start..].char_indices().nth(chars);
    end.map_or(text.len(), |(offset, _)| start + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_part_is_what_was_found() {
        for (text, query, parts) in [
            ("hello all", "hello", &["", "hello", " all"][..]),
            ("Hello, hello!", "HELLO", &["", "Hello", ", ", "hello", "!"]),
            (
                "say hello to everybody",
                "hello every",
                &["say ", "hello", " to ", "everybody", ""],
            ),
            ("shell", "hell", &["shell"]),
            ("hellos", "hello x", &["hellos"]),
            ("", "x", &[""]),
            ("ÄRGER über", "arge", &["", "ÄRGER", " über"]),
            ("cafe\u{301}s", "CAFÉS", &["", "cafe\u{301}s", ""]),
        ] {
            assert_eq!(snippet(text, query), parts, "{text} {query}");
        }
    }

    #[test]
    fn of_a_long_text_it_is_what_is_around_the_first_word_found() {
        let text = format!(
            "{}needle {}",
            "hay é ".repeat(1_000),
            "straw ".repeat(1_000)
        );
        let parts = snippet(&text, "needle");
        assert_eq!(parts[1], "needle");
        assert!(parts[0].starts_with("…é hay ") && parts[0].chars().count() <= LEAD + 1);
        assert!(parts[2].ends_with('…'));
        let all: usize = parts.iter().map(|part| part.chars().count()).sum();
        assert_eq!(all, LENGTH + 2);
    }

    #[test]
    fn one_endless_word_is_cut_and_nothing_is_found_beyond_the_end() {
        let text = format!("{}\u{301}needle", "x".repeat(1_000));
        let parts = snippet(&text, "zzz");
        assert_eq!(parts, [format!("{}…", "x".repeat(LENGTH))]);
        let text = format!("needle {} needle", "x".repeat(LENGTH));
        assert_eq!(snippet(&text, "needle").len(), 3);
    }
}
