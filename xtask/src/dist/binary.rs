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
        let arguments = ["--wide", "--version-info", "--dynamic"];
        Ok(Self::read(&told("readelf", &arguments, binary)?))
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

/// What a tool of binutils says of a binary.
pub(super) fn told(tool: &str, arguments: &[&str], binary: &Path) -> anyhow::Result<String> {
    let asked = Command::new(tool)
        .args(arguments)
        .arg(binary)
        .env("LC_ALL", "C")
        .output()
        .with_context(|| format!("{tool} does not start (Debian: binutils)"))?;
    ensure!(
        asked.status.success(),
        "{tool} {}: {}",
        binary.display(),
        String::from_utf8_lossy(&asked.stderr)
    );
    Ok(String::from_utf8_lossy(&asked.stdout).into_owned())
}

/// Bytes of a binary without the sections that `strip` removes, whether it still has them or not.
pub(super) fn stripped_bytes(binary: &Path) -> anyhow::Result<u64> {
    let sections = told("readelf", &["--wide", "--section-headers"], binary)?;
    let removed: u64 = sections.lines().filter_map(removed_bytes).sum();
    Ok(binary.metadata()?.len().saturating_sub(removed))
}

/// Of a line such as ` [31] .symtab SYMTAB 0000000000000000 1e2d30 04d0a8 18 32 8190 8`: 0x04d0a8.
fn removed_bytes(section: &str) -> Option<u64> {
    let (_, behind) = section.split_once("] ")?;
    let mut words = behind.split_whitespace();
    let name = words.next()?;
    let is_removed = matches!(name, ".symtab" | ".strtab") || name.starts_with(".debug_");
    if !is_removed {
        return None;
    }
    u64::from_str_radix(words.nth(3)?, 16).ok()
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
    fn symbols_and_lines_of_source_are_what_strip_removes() {
        for (line, wanted) in [
            (
                "  [ 7] .strtab           STRTAB          0000000000000000 0f10 000020 00      0   0  1",
                Some(0x20),
            ),
            (
                "  [31] .debug_info       PROGBITS        0000000000000000 1e2d30 04d0a8 00      0   0  1",
                Some(0x4d0a8),
            ),
            (
                "  [ 5] .dynstr           STRTAB          0000000000000900 000900 000400 00   A  0   0  1",
                None,
            ),
            (
                "  [Nr] Name              Type            Address          Off    Size   ES Flg Lk Inf Al",
                None,
            ),
        ] {
            assert_eq!(removed_bytes(line), wanted, "{line}");
        }
    }

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
