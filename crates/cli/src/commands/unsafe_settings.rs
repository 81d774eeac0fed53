//! Settings that an operator may have good reasons for, and should know the price of.

use fullduplex_hub::{
    AllowedOrigins, Config,
    log::sqlite::{Durability, Options},
};

/// What to tell at start, a line each. Where rooms are kept, and who may come, is told apart.
pub(super) fn warnings(config: &Config, store: Option<&Options>) -> Vec<&'static str> {
    let mut warnings = Vec::new();
    if config.origins == AllowedOrigins::Any {
        warnings.push(
            "--allow-origin any: a page of any site may act for whoever opens it in a browser",
        );
    }
    if store.is_some_and(|store| store.durability == Durability::Normal) {
        warnings.push(
            "--durability normal: a failing power may take messages of the last moments that were acknowledged",
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_safe_needs_no_warning() {
        let mut config = Config::default();
        let mut store = Options::new("/nowhere");
        assert!(warnings(&config, Some(&store)).is_empty());
        assert!(warnings(&config, None).is_empty());
        config.origins = AllowedOrigins::List(vec!["https://example.com".to_owned()]);
        assert!(warnings(&config, None).is_empty());
        config.origins = AllowedOrigins::Any;
        store.durability = Durability::Normal;
        assert_eq!(warnings(&config, Some(&store)).len(), 2);
    }
}
