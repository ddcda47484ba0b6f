//! Alertmanager, which receives alerts in tests where it is cached: a cold build takes a minute and a half of processor time.

use std::path::{Path, PathBuf};

use super::go::{Program, build, built};

const ALERTMANAGER: Program = Program {
    name: "alertmanager",
    module: "github.com/prometheus/alertmanager/cmd/alertmanager@v0.28.1",
    tags: "netgo",
};

/// Whoever sets it has the time for a build; from then on the binary is cached.
const BUILD_IT: &str = "FOREBAY_BUILD_ALERTMANAGER";

/// The binary; `None` where it is neither cached nor to be built, or there is no Go.
pub(crate) fn alertmanager(target: &Path) -> anyhow::Result<Option<PathBuf>> {
    let cached = built(target, &ALERTMANAGER)?;
    if cached.is_none() && std::env::var_os(BUILD_IT).is_some() {
        return build(target, &ALERTMANAGER);
    }
    Ok(cached)
}
