//! Inputs in a folder.

use std::{fs, io, path::Path};

/// What a file's name begins with, where its input was found by fuzzing.
const FOUND: [&str; 2] = ["crash-", "hang-"];

/// All inputs: first those that were found, then the others, by their names.
pub(crate) fn read(folder: &Path) -> Result<Vec<Vec<u8>>, String> {
    let failed =
        |error: io::Error| format!("reading the corpus {} failed: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_found = FOUND.iter().any(|found| name.starts_with(found));
        (!is_found, name.into_owned())
    });
    let inputs: Vec<Vec<u8>> = paths
        .iter()
        .map(fs::read)
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    if inputs.is_empty() {
        return Err(format!("the corpus {} is empty", folder.display()));
    }
    Ok(inputs)
}

/// Keeps an input; answers where.
pub(crate) fn keep(folder: &Path, what: &str, input: &[u8]) -> String {
    // FNV-1a: one name for one input.
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let path = folder.join(format!("{what}-{hash:016x}"));
    match fs::write(&path, input) {
        Ok(()) => format!("kept as {}", path.display()),
        Err(error) => format!(
            "writing {} failed: {error}; it is {input:?}",
            path.display()
        ),
    }
}
