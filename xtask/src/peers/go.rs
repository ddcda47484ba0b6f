//! Programs in Go, built by Go's own tool from the module proxy.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::run;

/// A program of a module, pinned.
pub(super) struct Program {
    /// Its name, which is also its binary's.
    pub(super) name: &'static str,
    /// Path and version of its package.
    pub(super) module: &'static str,
    pub(super) tags: &'static str,
}

/// The binary that an earlier build has left.
pub(super) fn built(target: &Path, program: &Program) -> anyhow::Result<Option<PathBuf>> {
    let binary = folder(target, program)?.join(program.name);
    Ok(Some(binary).filter(|binary| binary.exists()))
}

/// The binary, built where it is not there; `None` where there is no Go.
pub(super) fn build(target: &Path, program: &Program) -> anyhow::Result<Option<PathBuf>> {
    if let Some(binary) = built(target, program)? {
        return Ok(Some(binary));
    }
    let version = Command::new("go").arg("version").output();
    if !version.is_ok_and(|version| version.status.success()) {
        eprintln!("go is not there: {} is left out", program.name);
        return Ok(None);
    }
    let folder = folder(target, program)?;
    run(Command::new("go")
        .args(["install", "-tags", program.tags, program.module])
        .env("GOBIN", &folder))?;
    built(target, program)
}

fn folder(target: &Path, program: &Program) -> anyhow::Result<PathBuf> {
    Ok(std::path::absolute(target)?
        .join("peers")
        .join(program.name))
}
