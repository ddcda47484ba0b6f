//! `forebay init`: a configuration to start from.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};

use crate::place::{CONFIG_FILE, Place};

/// What a new configuration says; a test keeps it valid.
const TEMPLATE: &str = include_str!("../../templates/forebay.toml");

pub(crate) fn run(place: &Place, data_dir: Option<&Path>) -> anyhow::Result<ExitCode> {
    let file = match (data_dir, &place.config) {
        (Some(folder), _) => {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
            folder.join(CONFIG_FILE)
        }
        (None, Some(file)) => file.clone(),
        (None, None) => PathBuf::from(CONFIG_FILE),
    };
    if file.exists() {
        bail!("{} is there already, and an existing file is never overwritten", file.display());
    }
    let mut created = fs::File::create_new(&file).with_context(|| format!("cannot create {}", file.display()))?;
    created.write_all(TEMPLATE.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!(
        "wrote {0}: change the connectors to yours, then `forebay validate -c {0}` and `forebay run -c {0}`",
        file.display()
    );
    Ok(ExitCode::SUCCESS)
}
