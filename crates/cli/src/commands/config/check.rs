//! `fdx config check`.

use std::path::{Path, PathBuf};

use tokio::net::lookup_host;

use crate::{
    args,
    commands::{hub, serve},
    exit::Failure,
    output,
    settings::{self, Mistake, Settings},
};

/// Says what is wrong, or that nothing is.
pub(super) async fn run(file: Option<PathBuf>) -> Result<(), Failure> {
    let (settings, mut mistakes) =
        Settings::elsewhere(&args::line(), &[serve::NAME], file.as_deref())?;
    mistakes.extend_from_slice(settings.slips());
    // With one of them wrong, what all mean together is not known.
    if mistakes.is_empty()
        && let Err(failure) = judge(&settings).await
    {
        let place = settings.place(failure.message());
        let place = place.map(ToString::to_string);
        let named = || file.as_deref().unwrap_or_else(|| Path::new("settings"));
        let place = place.unwrap_or_else(|| named().display().to_string());
        mistakes.push(Mistake::new(place, failure.message()));
    }
    if mistakes.is_empty() {
        output::line("ok");
        return Ok(());
    }
    Err(settings::failure(&mistakes))
}

/// Whether a hub could be made of it.
async fn judge(settings: &Settings) -> Result<(), Failure> {
    let plan = args::serving(settings)?.plan()?;
    let unknown = |why: String| Failure::start(format!("cannot find {}: {why}", plan.listen));
    let mut addresses = lookup_host(&plan.listen)
        .await
        .map_err(|error| unknown(error.to_string()))?;
    let address = addresses
        .next()
        .ok_or_else(|| unknown("it has no address".to_owned()))?;
    hub::check(&plan.config, address)
}
