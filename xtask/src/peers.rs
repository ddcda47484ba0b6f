//! The programs that the tests talk to and that we did not write, fetched from the package registries.
//!
//! They are kept under the target folder and made again only when the list changes.

mod kafka;
mod maven;
mod mqtt;
mod telegraf;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

pub(crate) use self::{
    kafka::kafka,
    mqtt::{hivemq, tahu},
    telegraf::telegraf,
};
use crate::command::run;

/// Python packages, pinned.
const REQUIREMENTS: &str = "\
pyarrow==26.0.1
cryptography==50.0.2
pymodbus==3.16.1
asyncua==2.1.0
moto[server]==5.2.5
paho-mqtt==2.2.0
opentelemetry-proto==1.45.2
jsonschema==4.26.0
aiosmtpd==1.4.6
psycopg[binary]==3.3.9
";

/// A package for Node.js, pinned: the last whose own packages all run on Node.js 18.
const NODE_PACKAGE: &str = "node-opcua-server@2.157.0";
/// The packages that it needs are taken as they were then.
const NODE_PACKAGES_OF: &str = "2025-10-08";

/// A Python with [`REQUIREMENTS`].
pub(crate) fn python(target: &Path) -> anyhow::Result<PathBuf> {
    let home = target.join("peers/python");
    let python = home.join("bin/python");
    let stamp = home.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == REQUIREMENTS) {
        return Ok(python);
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&home))
    .context("the tests need python3 with its venv module (Debian: python3-venv)")?;
    let wanted = home.join("wanted.txt");
    fs::write(&wanted, REQUIREMENTS)?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--requirement"])
        .arg(&wanted))?;
    fs::rename(&wanted, &stamp).context("keep the list of what is installed")?;
    Ok(python)
}

/// A folder with [`NODE_PACKAGE`] in its `node_modules`.
pub(crate) fn node_opcua(target: &Path) -> anyhow::Result<PathBuf> {
    let home = target.join("peers/node-opcua");
    let stamp = home.join("packages.txt");
    let wanted = format!("{NODE_PACKAGE} as of {NODE_PACKAGES_OF}\n");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(home);
    }
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("remove {}", home.display()))?;
    }
    fs::create_dir_all(&home)?;
    run(Command::new("npm")
        .args([
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ])
        .args(["--before", NODE_PACKAGES_OF, "--prefix"])
        .arg(&home)
        .arg(NODE_PACKAGE))
    .context("the tests need Node.js 18 or later with npm (Debian: nodejs, npm)")?;
    fs::write(&stamp, wanted).context("keep the list of what is installed")?;
    Ok(home)
}
