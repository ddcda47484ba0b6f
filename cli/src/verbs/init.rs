//! `forebay init`: a configuration to start from.

use std::{fs, io::Write as _, path::Path, process::ExitCode};

use anyhow::{Context as _, bail};
use forebay_keys::random_bytes;

use crate::{clock::random, place::Place};

/// What a new configuration says; a test keeps it valid, and `cargo xtask dist` that of the edge.
#[cfg(not(feature = "lake"))]
const TEMPLATE: &str = include_str!("../../templates/edge.toml");
#[cfg(feature = "lake")]
const TEMPLATE: &str = include_str!("../../templates/forebay.toml");
/// The gateway's id in the template.
const ID: &str = "gateway-1";

pub(crate) fn run(place: &Place, data_dir: Option<&Path>) -> anyhow::Result<ExitCode> {
    if let Some(folder) = data_dir {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let file = place.config.as_ref().unwrap_or(&place.expected);
    if file.exists() {
        bail!(
            "{} already exists, and an existing file is never overwritten",
            file.display()
        );
    }
    let text = TEMPLATE.replace(ID, &new_id()?);
    let mut created =
        fs::File::create_new(file).with_context(|| format!("cannot create {}", file.display()))?;
    created
        .write_all(text.as_bytes())
        .with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!(
        "wrote {0}: change the connectors to yours, then `forebay validate -c {0}` and `forebay run -c {0}`",
        file.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Two gateways with one id would pass for one another, at a broker and in a topic: each file begins with its own.
fn new_id() -> anyhow::Result<String> {
    let [a, b, c] = random_bytes(&random())?;
    Ok(format!("gateway-{a:02x}{b:02x}{c:02x}"))
}
