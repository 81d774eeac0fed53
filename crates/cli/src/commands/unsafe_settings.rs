//! Settings that an operator may have good reasons for, and should know the price of.

use fullduplex_hub::{
    AllowedOrigins, Config,
    auth::{Access, KeySource, Tokens},
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
    if let Access::Tokens(tokens) = &config.access {
        warnings.extend(of_tokens(tokens));
    }
    warnings
}

fn of_tokens(tokens: &Tokens) -> impl Iterator<Item = &'static str> {
    let is_url = matches!(tokens.keys, KeySource::Url { .. });
    let all = [
        (
            tokens.query && tokens.rules.endless,
            "--auth-query with --auth-endless: addresses get into logs, and a token out of one is good for ever",
        ),
        (
            is_url && tokens.rules.audience.is_none(),
            "--auth-keys without --auth-audience: tokens that the issuer made for other applications are good here",
        ),
    ];
    all.into_iter()
        .filter_map(|(is_so, what)| is_so.then_some(what))
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

    #[test]
    fn what_makes_tokens_worth_less_is_told() {
        let told = |tokens: &Tokens| of_tokens(tokens).count();
        let mut tokens = Tokens::new(KeySource::File("keys".into()));
        assert_eq!(told(&tokens), 0, "keys of one's own");
        tokens.query = true;
        assert_eq!(told(&tokens), 0);
        tokens.rules.endless = true;
        assert_eq!(told(&tokens), 1);
        tokens.query = false;
        assert_eq!(told(&tokens), 0);
        tokens.keys = KeySource::Url {
            url: "https://id.example/keys".into(),
            ca: None,
        };
        assert_eq!(told(&tokens), 1);
        tokens.rules.audience = Some("chat".into());
        assert_eq!(told(&tokens), 0);
    }
}
