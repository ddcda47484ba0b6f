//! `cargo xtask dist`: the binaries that are shipped, in profile `dist`: built, started once, and measured.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use crate::command::{cargo, run as run_command, target_dir};

/// 10^6 bytes, as sizes of downloads are given.
const MB: f64 = 1e6;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this build; both unless given.
    #[arg(long, value_enum)]
    build: Vec<Build>,
}

/// What is in a binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Build {
    /// Connectors, spool and Kafka: for gateways whose lake is filled elsewhere.
    Edge,
    /// Everything.
    Full,
}

impl Build {
    const ALL: [Self; 2] = [Self::Edge, Self::Full];

    fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Full => "full",
        }
    }

    /// Features of the package `forebay`.
    fn features(self) -> &'static [&'static str] {
        match self {
            Self::Edge => &["--no-default-features", "--features", "edge"],
            Self::Full => &[],
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let builds = if args.build.is_empty() {
        &Build::ALL[..]
    } else {
        &args.build
    };
    let mut sizes = Vec::new();
    for build in builds {
        run_command(
            cargo()
                .args([
                    "build",
                    "--locked",
                    "--profile",
                    "dist",
                    "--package",
                    "forebay",
                ])
                .args(build.features()),
        )?;
        // The two share a name, so each is kept under its own.
        let built = target_dir().join("dist/forebay");
        let kept = target_dir()
            .join("dist")
            .join(format!("forebay-{}", build.name()));
        fs::copy(&built, &kept).with_context(|| format!("keep {}", kept.display()))?;
        starts(&kept)?;
        sizes.push((build.name(), kept.metadata()?.len(), kept));
    }
    for (name, bytes, path) in sizes {
        println!(
            "{name:<5} {:>6.1} MB  {}",
            bytes as f64 / MB,
            path.display()
        );
    }
    Ok(())
}

/// The binary writes a configuration, finds it valid, and makes a keyring.
fn starts(binary: &Path) -> anyhow::Result<()> {
    let folder = target_dir().join("dist/started");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    for verb in [&["init"][..], &["validate"], &["keys", "init"]] {
        run_command(Command::new(binary).args(verb).current_dir(&folder))?;
    }
    let keyring = folder.join("forebay-data/keys/keyring.json");
    ensure!(
        keyring.exists(),
        "{} made no keyring at {}",
        binary.display(),
        keyring.display()
    );
    Ok(())
}
