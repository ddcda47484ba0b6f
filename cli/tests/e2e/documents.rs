//! Every configuration that a page shows is one that the binary takes.
//!
//! A block of TOML is a whole `forebay.toml`, unless a word behind its language says what else it is: `file=forebay.toml` is one
//! too, any other word, such as `cargo`, is not.

use std::{fs, path::Path};

use crate::site::{Site, files, text};

/// The pages of this checkout, by their paths from its root.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with('.') || name.starts_with("target") {
            continue;
        }
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.retain(|path| path.extension().is_some_and(|end| end == "md"));
    found.sort();
    let named = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
    let page = |path| (named(path), fs::read_to_string(path).unwrap());
    found.iter().map(|path| page(path)).collect()
}

/// The configurations of a page, each with the line of its fence.
fn configurations(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((before, line)) = lines.next() {
        let Some(mark) = line.trim_start().strip_prefix("```toml") else {
            continue;
        };
        let body = lines.by_ref().take_while(|(_, line)| line.trim() != "```");
        let text: String = body.flat_map(|(_, line)| [line, "\n"]).collect();
        if matches!(mark.trim(), "" | "file=forebay.toml") {
            found.push((before + 1, text));
        }
    }
    found
}

/// The variables of the environment that a configuration names.
fn variables(configuration: &str) -> Vec<(&str, &str)> {
    let names = configuration.split("${").skip(1);
    names
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| (name, "0123456789abcdef0123456789abcdef"))
        .filter(|(name, _)| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
        .collect()
}

#[test]
fn every_configuration_of_a_page_is_valid() {
    let mut count = 0;
    for (page, content) in pages() {
        for (line, configuration) in configurations(&content) {
            let site = Site::new();
            site.configure(&configuration);
            let mut validate = site.command(&["validate"]);
            let validated = validate.envs(variables(&configuration)).output().unwrap();
            let said = text(&validated.stderr);
            assert!(validated.status.success(), "{page}:{line}: {said}");
            count += 1;
        }
    }
    assert!(count > 1, "{count} configurations are found");
}
