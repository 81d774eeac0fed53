//! The words of texts, as a search compares them.

use std::ops::Range;

use icu_normalizer::DecomposingNormalizer;

/// Bytes of UTF-8 that a word has at least to stand for all that begin with it, too: Latin letters three, and most others one or two. With
/// less begins a good part of all words there are.
const MIN_BEGINNING: usize = 3;

/// Where the words of a text are.
pub(crate) fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let is_part = |c: char| c.is_alphanumeric() || is_accent(c);
    let mut rest = 0;
    std::iter::from_fn(move || {
        let begin = rest + text[rest..].find(char::is_alphanumeric)?;
        let length = text[begin..].find(|c| !is_part(c));
        rest = length.map_or(text.len(), |length| begin + length);
        Some(begin..rest)
    })
}

/// A word without what makes no difference: case and accents.
pub(crate) fn fold(word: &str) -> String {
    let decomposed = DecomposingNormalizer::new_nfd().normalize_iter(word.chars());
    let plain = decomposed.filter(|c| !is_accent(*c));
    plain.flat_map(char::to_lowercase).collect()
}

/// Whether a word of a search that was folded may be the beginning of one.
pub(crate) const fn may_begin(folded: &str) -> bool {
    folded.len() >= MIN_BEGINNING
}

/// Unicode's block of combining diacritical marks.
const fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_and_accents() {
        let folded = |text: &str| {
            words(text)
                .map(|word| fold(&text[word]))
                .collect::<Vec<_>>()
        };
        for (text, expected) in [
            ("Hello, all!", &["hello", "all"][..]),
            ("Café CAFE\u{301} ÜBER", &["cafe", "cafe", "uber"]),
            ("日本 3.5 x_y", &["日本", "3", "5", "x", "y"]),
            ("", &[]),
            ("!?\u{301}", &[]),
        ] {
            assert_eq!(folded(text), expected, "{text}");
        }
    }
}
