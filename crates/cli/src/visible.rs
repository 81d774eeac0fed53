//! Text of strangers on our terminal.

use std::{borrow::Cow, fmt::Write as _};

/// The text with all characters escaped that a terminal would act on rather than show: an escape sequence can
/// change what stands elsewhere on the screen, and a change of direction what a line seems to say. Line ends are
/// such characters, too; tabs are not.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// The same for a text whose lines stay lines.
pub(crate) fn visible_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(visible).collect();
    lines.join("\n")
}

/// JSON that means the same, and that a terminal only shows: what would act on it stands in strings, where it can be
/// escaped.
pub(crate) fn visible_json(json: &str) -> Cow<'_, str> {
    if !json.contains(acts) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if acts(c) {
            // None lies beyond U+FFFF, and writing to a String does not fail.
            write!(shown, "\\u{:04x}", u32::from(c)).ok();
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// The beginning of a text, and how many bytes are left out.
pub(crate) fn cut(text: &str, max: usize) -> (&str, usize) {
    if text.len() <= max {
        return (text, 0);
    }
    let kept = (0..=max).rev().find_map(|end| text.get(..end));
    let kept = kept.unwrap_or_default();
    (kept, text.len() - kept.len())
}

fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends_line = matches!(c, '\u{2028}' | '\u{2029}');
    (c.is_control() && c != '\t') || turns || ends_line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_escaped_and_nothing_else() {
        for plain in ["", "hello\tyou", "你好 👨‍👩‍👧 é", r#"{"a":"\n"}"#] {
            assert_eq!(visible(plain), plain);
        }
        for (text, shown) in [
            ("\x1b[2J", r"\u{1b}[2J"),
            ("a\r\nb", r"a\r\nb"),
            ("\u{9b}1m\x7f\0", r"\u{9b}1m\u{7f}\u{0}"),
            ("\u{202e}gpj.exe", r"\u{202e}gpj.exe"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(visible_lines("a\n\x1bb\r\n"), "a\n\\u{1b}b\\r\n");
    }

    #[test]
    fn json_is_escaped_in_its_own_way() {
        assert_eq!(visible_json(r#"{"a":"\n ä"}"#), r#"{"a":"\n ä"}"#);
        assert_eq!(
            visible_json("[\"\u{7f}\u{9b}\u{202e}\"]"),
            r#"["\u007f\u009b\u202e"]"#
        );
    }

    #[test]
    fn a_cut_falls_between_characters() {
        assert_eq!(cut("äöü", 6), ("äöü", 0));
        assert_eq!(cut("äöü", 5), ("äö", 2));
        assert_eq!(cut("äöü", 1), ("", 6));
    }
}
