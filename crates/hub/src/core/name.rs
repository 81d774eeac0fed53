//! What may be a name.

use std::borrow::Cow;

/// The room of who names none. It is there for good.
pub(crate) const DEFAULT_ROOM: &str = "general";

/// The most characters a room's or a user's name may have.
pub(crate) const MAX_NAME_CHARS: usize = 64;

/// Whether `name` may name a room: what [`is_name`] says, no `/`, neither `.` nor `..` (so that a
/// room's URL path means one thing), and no U+FFFD, which stands for what could not be read.
pub(crate) fn is_room_name(name: &str) -> bool {
    is_name(name) && name != "." && name != ".." && !name.contains(['/', '\u{fffd}'])
}

/// Whether `name` may name a user: 1 to 64 characters, at least one of them visible, none that
/// breaks or turns the line around it, not blank at either end.
pub(crate) fn is_name(name: &str) -> bool {
    name.trim().len() == name.len()
        && name.chars().count() <= MAX_NAME_CHARS
        && !name.chars().any(disturbs)
        && !name.chars().all(is_invisible)
}

/// Whether `text` may be a reaction: 1 to 64 bytes, which is more than any emoji or its short name has, with something to see and
/// nothing that breaks or turns the line around it.
pub(crate) fn is_emoji(text: &str) -> bool {
    text.trim().len() == text.len()
        && text.len() <= 64
        && !text.chars().any(disturbs)
        && !text.chars().all(is_invisible)
}

/// The part of a claimed name that can be shown as one; empty if there is none.
pub(crate) fn shown_name(name: &str) -> Cow<'_, str> {
    let name = name.trim();
    if is_name(name) {
        return name.into();
    }
    let kept: String = name
        .chars()
        .filter(|&c| !disturbs(c))
        .take(MAX_NAME_CHARS)
        .collect();
    let kept = kept.trim();
    if is_name(kept) {
        kept.to_owned().into()
    } else {
        "".into()
    }
}

/// Control characters, line separators and what changes the direction of text (Unicode's
/// `Bidi_Control`).
fn disturbs(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Blanks, and characters that Unicode lets be ignored in display (`Default_Ignorable_Code_Point`).
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s24_room_names_are_short_visible_and_no_path_tricks() {
        for good in [
            "general",
            "a.b",
            "räume 2",
            "日本",
            &"x".repeat(64),
            "...",
            "a\u{200d}b",
        ] {
            assert!(is_room_name(good), "{good:?}");
        }
        let long = "x".repeat(65);
        let longer = "\u{1f44b}".repeat(256);
        for bad in [
            "",
            " ",
            " a",
            "a\u{3000}",
            ".",
            "..",
            "a/b",
            "a\nb",
            "\u{7f}",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{2028}b",
            "\u{200b}\u{200d}",
            "\u{2800}",
            "a\u{fffd}",
            "../",
            "a/../b",
            "\0",
            long.as_str(),
            longer.as_str(),
        ] {
            assert!(!is_room_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_reaction_is_short_and_visible() {
        for good in [
            "+1",
            ":tada:",
            "\u{1f44d}\u{1f3fd}",
            "\u{2764}\u{fe0f}",
            "👨‍👩‍👧‍👦",
            "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
        ] {
            assert!(is_emoji(good), "{good:?}");
        }
        for bad in [
            "",
            " ",
            "a ",
            "\u{200d}",
            "\u{fe0f}",
            "a\nb",
            "a\u{202e}",
            "\u{7f}",
            &"x".repeat(65),
        ] {
            assert!(!is_emoji(bad), "{bad:?}");
        }
    }

    #[test]
    fn of_a_claimed_name_what_can_be_shown_is_shown() {
        for (claimed, shown) in [
            (" Ana ", "Ana"),
            ("A\u{202e}na\n", "Ana"),
            ("\u{200b}\u{200b}", ""),
            ("\u{202e}", ""),
            ("", ""),
        ] {
            assert_eq!(shown_name(claimed), shown, "{claimed:?}");
        }
    }
}
