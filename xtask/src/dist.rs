//! `cargo xtask dist`: the binaries that are shipped, in profile `dist`: built, run, and measured.
//!
//! The build for the edge also has to read a device, keep what it read through SIGKILL, and start with what it kept. With
//! `--target` it is built for another processor or C library, and runs under qemu-user where that is installed.

mod binary;
mod edge_path;
mod symbols;
mod target;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use self::{
    binary::{Needs, stripped_bytes, version},
    edge_path::Program,
    target::{GLIBC, Target},
};
use crate::{
    command::{cargo, run as run_command, target_dir},
    peers,
};

/// 10^6 bytes, as sizes of downloads are given.
const MB: f64 = 1e6;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this build; both unless given.
    #[arg(long, value_enum)]
    build: Vec<Build>,
    /// The build for the edge, for another target, with its own OpenSSL.
    #[arg(long, value_enum, conflicts_with = "build")]
    target: Option<Target>,
    /// The compiler for --target, with its standard library; `rustc` unless given.
    #[arg(long, value_name = "FILE", requires = "target")]
    rustc: Option<PathBuf>,
    /// Keep the symbols in the binaries, and print what each crate takes.
    #[arg(long)]
    symbols: bool,
}

impl Args {
    fn symbols(&self) -> Symbols {
        if self.symbols {
            Symbols::Kept
        } else {
            Symbols::Stripped
        }
    }
}

/// What becomes of the symbols in a binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbols {
    Stripped,
    Kept,
}

impl Symbols {
    /// Variables for cargo. The profile strips.
    fn profile(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Stripped => None,
            Self::Kept => Some(("CARGO_PROFILE_DIST_STRIP", "none")),
        }
    }
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
    if let Some(target) = args.target {
        println!("{}", for_target(target, args)?);
        return Ok(());
    }
    let builds = if args.build.is_empty() {
        &Build::ALL[..]
    } else {
        &args.build
    };
    let lines: Vec<String> = builds
        .iter()
        .map(|build| for_this_machine(*build, args.symbols()))
        .collect::<anyhow::Result<_>>()?;
    println!("{}", lines.join("\n"));
    Ok(())
}

fn for_this_machine(build: Build, symbols: Symbols) -> anyhow::Result<String> {
    run_command(
        cargo()
            .args(["build", "--locked", "--profile", "dist"])
            .args(["--package", "forebay"])
            .args(build.features())
            .envs(symbols.profile()),
    )?;
    let built = target_dir().join("dist/forebay");
    let program = Program {
        binary: kept(&built, build.name())?,
        emulator: None,
    };
    let seen = works(&program, build)?;
    let needs = Needs::of(&program.binary)?;
    line(build.name(), &program.binary, &needs, &seen, symbols)
}

fn for_target(target: Target, args: &Args) -> anyhow::Result<String> {
    let built = target.build(args.rustc.as_deref(), args.symbols())?;
    let binary = kept(&built, "edge")?;
    let needs = Needs::of(&binary)?;
    check_needs(target, &needs)?;
    let seen = match target.emulator() {
        Ok(emulator) => works(
            &Program {
                binary: binary.clone(),
                emulator,
            },
            Build::Edge,
        )?,
        Err(missing) => format!("built and not run: {missing}"),
    };
    line(target.name(), &binary, &needs, &seen, args.symbols())
}

/// What a gateway with an older system lacks is found here and not there.
fn check_needs(target: Target, needs: &Needs) -> anyhow::Result<()> {
    ensure!(
        target.is_static() == needs.glibc.is_none(),
        "{}: {}",
        target.name(),
        needs.shown()
    );
    ensure!(
        needs.glibc <= version(GLIBC),
        "aimed at glibc {GLIBC}, found {}",
        needs.shown()
    );
    let foreign = ["libssl", "libcrypto", "libz", "libzstd"]
        .into_iter()
        .find(|name| {
            needs
                .libraries
                .iter()
                .any(|library| library.starts_with(name))
        });
    ensure!(
        foreign.is_none(),
        "must not be loaded from the system: {}",
        needs.shown()
    );
    Ok(())
}

/// All are named `forebay`, so each is kept under its build's name.
fn kept(built: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let kept = built.with_file_name(format!("forebay-{name}"));
    fs::copy(built, &kept).with_context(|| format!("keep {}", kept.display()))?;
    Ok(kept)
}

/// The binary writes a configuration, finds it valid, and makes a keyring; that for the edge then works. Answers what was seen.
fn works(program: &Program, build: Build) -> anyhow::Result<String> {
    let folder = target_dir()
        .join("dist-run")
        .join(std::process::id().to_string());
    let started = folder.join("started");
    fs::create_dir_all(&started)?;
    for verb in [
        &["--version"][..],
        &["init"],
        &["validate"],
        &["keys", "init"],
    ] {
        run_command(program.command().args(verb).current_dir(&started))?;
    }
    let keyring = started.join("forebay-data/keys/keyring.json");
    ensure!(
        keyring.exists(),
        "{} made no keyring at {}",
        program.binary.display(),
        keyring.display()
    );
    let seen = match build {
        Build::Full => "started".to_owned(),
        Build::Edge => {
            let python = peers::python(&target_dir())?;
            edge_path::prove(program, &python, &folder)
                .with_context(|| format!("everything is left in {}", folder.display()))?
                .shown()
        }
    };
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok(seen)
}

fn line(
    name: &str,
    binary: &Path,
    needs: &Needs,
    seen: &str,
    symbols: Symbols,
) -> anyhow::Result<String> {
    let line = format!(
        "{name:<5} {:>6.1} MB stripped  {}\n      {}\n      {seen}",
        stripped_bytes(binary)? as f64 / MB,
        binary.display(),
        needs.shown()
    );
    Ok(match symbols {
        Symbols::Stripped => line,
        Symbols::Kept => format!("{line}\n{}", symbols::table(binary)?),
    })
}
