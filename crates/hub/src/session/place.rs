//! Where a stream of a log is.

use std::{fmt, str::FromStr};

use fullduplex_tail::{Bookmark, NoBookmark};

use crate::level::Level;

/// Behind a line, and what level the next one has there if it does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bookmark: Bookmark,
    pub(super) level: Level,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bookmark, level } = self;
        if *level == Level::Info {
            return bookmark.fmt(f);
        }
        write!(f, "{bookmark}.{}", level.name())
    }
}

impl FromStr for Place {
    type Err = NoBookmark;

    fn from_str(text: &str) -> Result<Self, NoBookmark> {
        let with_level = text
            .rsplit_once('.')
            .and_then(|(bookmark, name)| Some((bookmark, Level::named(name)?)));
        let (bookmark, level) = with_level.unwrap_or((text, Level::Info));
        let bookmark = bookmark.parse()?;
        Ok(Self { bookmark, level })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_told_where_it_is_not_the_usual_one() {
        let bookmark: Bookmark = "1.2.d".parse().unwrap();
        for (level, text) in [
            (Level::Info, "1.2.d"),
            (Level::Debug, "1.2.d.debug"),
            (Level::Error, "1.2.d.error"),
        ] {
            let place = Place { bookmark, level };
            assert_eq!(place.to_string(), text);
            assert_eq!(text.parse(), Ok(place));
        }
        for text in ["1.2.debug", "1.2.d.", "1.2.d.x", "1.2.d.error.error"] {
            assert_eq!(text.parse::<Place>(), Err(NoBookmark), "{text}");
        }
    }
}
