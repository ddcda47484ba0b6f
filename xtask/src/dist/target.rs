//! Targets other than the machine's own: how they are built, and what has to be there first.
//!
//! The C compiler and the linker are zig's, by cargo-zigbuild: it brings the C library of every target, of the version
//! that is asked for. The standard library must be of the compiler's own version, so it is never fetched here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use super::Symbols;
use crate::command::{cargo, run as run_command, target_dir};

/// The oldest glibc that a binary has to start with.
pub(super) const GLIBC: &str = "2.31";
const PAGE: &str = "see docs/how-to/gateways.md";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Target {
    #[value(name = "x86_64-unknown-linux-gnu")]
    X86Gnu,
    #[value(name = "x86_64-unknown-linux-musl")]
    X86Musl,
    #[value(name = "aarch64-unknown-linux-gnu")]
    ArmGnu,
    #[value(name = "aarch64-unknown-linux-musl")]
    ArmMusl,
    #[value(name = "armv7-unknown-linux-gnueabihf")]
    Arm32Gnu,
}

/// What differs between targets.
struct Traits {
    rust: &'static str,
    zig: &'static str,
    /// Of qemu-user; the machine's own processors need none.
    processor: &'static str,
    /// Where Debian's packages put the C library of another processor.
    libraries: &'static str,
}

impl Target {
    fn traits(self) -> Traits {
        match self {
            Self::X86Gnu => Traits {
                rust: "x86_64-unknown-linux-gnu",
                zig: "x86_64-linux-gnu",
                processor: "x86_64",
                libraries: "/",
            },
            Self::X86Musl => Traits {
                rust: "x86_64-unknown-linux-musl",
                zig: "x86_64-linux-musl",
                processor: "x86_64",
                libraries: "/",
            },
            Self::ArmGnu => Traits {
                rust: "aarch64-unknown-linux-gnu",
                zig: "aarch64-linux-gnu",
                processor: "aarch64",
                libraries: "/usr/aarch64-linux-gnu",
            },
            Self::ArmMusl => Traits {
                rust: "aarch64-unknown-linux-musl",
                zig: "aarch64-linux-musl",
                processor: "aarch64",
                libraries: "/",
            },
            Self::Arm32Gnu => Traits {
                rust: "armv7-unknown-linux-gnueabihf",
                zig: "arm-linux-gnueabihf",
                processor: "arm",
                libraries: "/usr/arm-linux-gnueabihf",
            },
        }
    }

    pub(super) fn name(self) -> &'static str {
        self.traits().rust
    }

    /// Against musl, which is linked in.
    pub(super) fn is_static(self) -> bool {
        matches!(self, Self::X86Musl | Self::ArmMusl)
    }

    /// The version of glibc as zig and cargo-zigbuild expect it behind a target.
    fn suffix(self) -> String {
        if self.is_static() {
            return String::new();
        }
        format!(".{GLIBC}")
    }

    /// Builds the edge; answers where the binary lies.
    pub(super) fn build(self, rustc: Option<&Path>, symbols: Symbols) -> anyhow::Result<PathBuf> {
        let traits = self.traits();
        let rustc = rustc.unwrap_or(Path::new("rustc"));
        self.check_tools(rustc)?;
        let compiler = format!("-target {}{}", traits.zig, self.suffix());
        run_command(
            cargo()
                .args(["zigbuild", "--locked", "--profile", "dist"])
                .args(["--package", "forebay", "--no-default-features"])
                .args(["--features", "edge,bundled-openssl", "--target"])
                .arg(format!("{}{}", traits.rust, self.suffix()))
                .env("RUSTC", rustc)
                .envs(symbols.profile())
                // librdkafka's configure knows none of cargo-zigbuild's variables, which name the target.
                // Its makefile links a shared library too, with an export list of symbols that it has not all; lld refuses that by default.
                .env("LDFLAGS", "-Wl,--undefined-version")
                .env("CC", format!("cargo-zigbuild zig cc -- {compiler}"))
                .env("CXX", format!("cargo-zigbuild zig c++ -- {compiler}"))
                .env("AR", "cargo-zigbuild zig ar --")
                .env("RANLIB", "cargo-zigbuild zig ranlib --")
                .env("HOST_CC", "cc")
                .env("HOST_CXX", "c++")
                .env("HOST_AR", "ar"),
        )?;
        Ok(target_dir().join(traits.rust).join("dist/forebay"))
    }

    /// An error names everything that is missing and how to get it.
    fn check_tools(self, rustc: &Path) -> anyhow::Result<()> {
        let mut missing = Vec::new();
        if !has_standard_library(rustc, self.name())? {
            missing.push(format!(
                "{} has no standard library for {target}: `rustup target add {target}`, or --rustc with a compiler that has one",
                rustc.display(),
                target = self.name()
            ));
        }
        let tools = [
            (
                "cargo-zigbuild",
                "--version",
                "pip install cargo-zigbuild ziglang",
            ),
            ("perl", "-v", "OpenSSL is built from source; Debian: perl"),
            (
                "make",
                "--version",
                "OpenSSL is built from source; Debian: make",
            ),
        ];
        for (tool, version, package) in tools {
            if !starts(Command::new(tool).arg(version)) {
                missing.push(format!("{tool} does not start ({package})"));
            }
        }
        if !missing.is_empty() {
            bail!(
                "cannot build for {}:\n- {}\n{PAGE}",
                self.name(),
                missing.join("\n- ")
            );
        }
        Ok(())
    }

    /// What a binary has to be started by on this machine: nothing for its own processor.
    pub(super) fn emulator(self) -> anyhow::Result<Option<Emulator>> {
        let traits = self.traits();
        if traits.processor == std::env::consts::ARCH {
            return Ok(None);
        }
        let names = [
            format!("qemu-{}-static", traits.processor),
            format!("qemu-{}", traits.processor),
        ];
        let found = names
            .iter()
            .find(|name| starts(Command::new(name).arg("--version")));
        let Some(program) = found else {
            bail!(
                "{} is not on this machine (Debian: qemu-user-static)",
                names.join(" or ")
            );
        };
        let libraries = std::env::var_os("QEMU_LD_PREFIX")
            .map_or_else(|| PathBuf::from(traits.libraries), PathBuf::from);
        if !self.is_static() && !libraries.join("lib").exists() {
            bail!(
                "{} has no C library for {program} (Debian: libc6-arm64-cross or libc6-armhf-cross; QEMU_LD_PREFIX names another folder)",
                libraries.display()
            );
        }
        Ok(Some(Emulator {
            program: program.clone(),
            libraries,
        }))
    }
}

/// qemu-user, with the folder in which it finds the target's C library.
#[derive(Debug, Clone)]
pub(super) struct Emulator {
    pub(super) program: String,
    pub(super) libraries: PathBuf,
}

fn starts(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// True also where cargo builds the standard library from source (`CARGO_UNSTABLE_BUILD_STD`).
fn has_standard_library(rustc: &Path, target: &str) -> anyhow::Result<bool> {
    if std::env::var_os("CARGO_UNSTABLE_BUILD_STD").is_some() {
        return Ok(true);
    }
    let asked = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .with_context(|| format!("cannot start {}", rustc.display()))?;
    let folder = String::from_utf8(asked.stdout)?;
    let Ok(files) = fs::read_dir(folder.trim()) else {
        return Ok(false);
    };
    let is_std = |name: &str| name.starts_with("libstd-") && name.ends_with(".rlib");
    Ok(files
        .flatten()
        .any(|file| is_std(&file.file_name().to_string_lossy())))
}
