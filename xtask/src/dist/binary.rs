//! What a built binary asks of the system that it runs on.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};

/// What was found in a binary's headers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The newest version of glibc that a symbol names, such as 2.31; none in a static binary.
    pub(super) glibc: Option<(u32, u32)>,
    /// The shared libraries that are loaded at the start.
    pub(super) libraries: Vec<String>,
}

impl Needs {
    pub(super) fn of(binary: &Path) -> anyhow::Result<Self> {
        let asked = Command::new("readelf")
            .args(["--wide", "--version-info", "--dynamic"])
            .arg(binary)
            .env("LC_ALL", "C")
            .output()
            .context("readelf does not start (Debian: binutils)")?;
        ensure!(
            asked.status.success(),
            "readelf {}: {}",
            binary.display(),
            String::from_utf8_lossy(&asked.stderr)
        );
        Ok(Self::read(&String::from_utf8_lossy(&asked.stdout)))
    }

    fn read(text: &str) -> Self {
        let versions = text.split("GLIBC_").skip(1).filter_map(version);
        let libraries = text.lines().filter_map(|line| {
            let (_, behind) = line.split_once("Shared library: [")?;
            Some(behind.split(']').next()?.to_owned())
        });
        Self {
            glibc: versions.max(),
            libraries: libraries.collect(),
        }
    }

    pub(super) fn shown(&self) -> String {
        match self.glibc {
            Some((major, minor)) => {
                format!("glibc {major}.{minor}, loads {}", self.libraries.join(", "))
            }
            None => "static".to_owned(),
        }
    }
}

/// The version at the beginning of a text, such as that in "2.17  Flags: none".
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Bytes resident of a process of this machine, as the kernel counts them.
pub(super) fn resident_bytes(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kib: u64 = line
        .split_whitespace()
        .next()
        .context("no number behind VmRSS")?
        .parse()?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_counts_and_not_the_last_letter() {
        let text = " 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]\n \
            0x000000000000000e (SONAME) x\n  0x0010:   Name: GLIBC_2.9  Flags: none  Version: 4\n  \
            0x0020:   Name: GLIBC_2.17  Flags: none  Version: 3\n  0x0030: Name: GLIBC_PRIVATE\n  \
            0x0040: Name: GLIBC_2.2.5\n";
        let needs = Needs::read(text);
        assert_eq!(needs.glibc, Some((2, 17)));
        assert_eq!(needs.libraries, ["libc.so.6"]);
        assert_eq!(
            Needs::read("There is no dynamic section in this file."),
            Needs::default()
        );
    }
}
