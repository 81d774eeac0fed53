//! What may be a name.

/// The room of who names none. It is there for good.
pub(crate) const DEFAULT_ROOM: &str = "general";

/// The most characters a room's or a user's name may have.
pub(crate) const MAX_NAME_CHARS: usize = 64;

/// Whether `name` may name a room: 1 to 64 characters, no control characters, no `/`, neither `.`
/// nor `..` (so that a room's URL path means one thing), not blank at either end.
pub(crate) fn is_room_name(name: &str) -> bool {
    is_name(name) && name != "." && name != ".." && !name.contains('/')
}

/// Whether `name` may name a user: 1 to 64 characters, no control characters, not blank at
/// either end.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.trim().len() == name.len()
        && name.chars().count() <= MAX_NAME_CHARS
        && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_names_are_short_visible_and_no_path_tricks() {
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
            long.as_str(),
        ] {
            assert!(!is_room_name(bad), "{bad:?}");
        }
    }
}
