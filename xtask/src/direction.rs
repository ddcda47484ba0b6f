//! The direction of dependencies between our crates, as docs/ARCHITECTURE.md draws it, held against `cargo metadata`.
//!
//! The rules are by folder: a new connector or kind of job needs none of its own.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// For each folder, the folders whose crates it may depend on. `x/*` stands for every folder in `x` that is not named
/// itself, `*` for all.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("schemas", &[]),
    ("runtime", &[]),
    ("fuzz", &[]),
    ("tls", &[]),
    ("config", &["schemas"]),
    ("keys", &["schemas", "config"]),
    ("stream", &["schemas", "runtime", "config"]),
    ("lake", &["schemas", "runtime", "config", "keys"]),
    ("telemetry", &["schemas", "runtime", "config", "tls"]),
    ("connectors/core", &["schemas", "runtime", "config"]),
    (
        "connectors/payload",
        &["schemas", "runtime", "config", "connectors/core"],
    ),
    (
        "connectors/*",
        &[
            "schemas",
            "runtime",
            "config",
            "tls",
            "connectors/core",
            "connectors/payload",
        ],
    ),
    (
        "gateway",
        &["schemas", "runtime", "config", "stream", "connectors/core"],
    ),
    (
        "compactor",
        &["schemas", "runtime", "config", "stream", "lake"],
    ),
    ("serve", &["schemas", "runtime", "config", "tls", "lake"]),
    ("alerts", &["schemas", "runtime", "config", "tls"]),
    ("jobs/core", &["schemas", "runtime", "config", "lake"]),
    ("jobs/statistics", &[]),
    ("jobs/demand_model", &["jobs/statistics"]),
    ("jobs/signals", &["jobs/statistics"]),
    (
        "jobs/*",
        &[
            "schemas",
            "runtime",
            "config",
            "lake",
            "jobs/core",
            "jobs/statistics",
            "jobs/demand_model",
            "jobs/signals",
        ],
    ),
    // As a connector in `connectors/` has it.
    (
        "docs/examples/*",
        &["schemas", "runtime", "config", "connectors/core"],
    ),
    ("jobs/charts", &[]),
    (
        "jobs/report",
        &[
            "schemas",
            "config",
            "lake",
            "jobs/core",
            "jobs/charts",
            "jobs/sql",
        ],
    ),
    ("cli", &["*"]),
    (
        "benches",
        &[
            "schemas",
            "config",
            "stream",
            "lake",
            "compactor",
            "connectors/simulated",
        ],
    ),
    ("xtask", &[]),
];

#[test]
fn nothing_depends_against_the_flow() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let ours = folders(&metadata);
    let folder_of = |name: &str| {
        ours.iter()
            .find(|(ours, _)| *ours == name)
            .map(|(_, folder)| folder.as_str())
    };
    assert!(
        folder_of("forebay-schemas").is_some(),
        "{ours:?} are not our packages"
    );
    for package in &metadata.packages {
        let folder = folder_of(package.name.as_str()).unwrap();
        let allowed = allowed(folder)
            .unwrap_or_else(|| panic!("{folder} is new: say in this table what it may depend on"));
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal)
        {
            let Some(on) = folder_of(&dependency.name) else {
                continue;
            };
            assert!(
                allowed.iter().any(|rule| *rule == "*" || *rule == on),
                "{folder} must not depend on {on}"
            );
        }
    }
}

/// Each of our packages, and its folder below the workspace's root.
fn folders(metadata: &Metadata) -> Vec<(&str, String)> {
    let root = &metadata.workspace_root;
    let of = |path: &cargo_metadata::camino::Utf8Path| {
        path.parent()?
            .strip_prefix(root)
            .ok()
            .map(ToString::to_string)
    };
    metadata
        .packages
        .iter()
        .filter_map(|package| Some((package.name.as_str(), of(package.manifest_path.as_path())?)))
        .collect()
}

fn allowed(folder: &str) -> Option<&'static [&'static str]> {
    let rule = |name: &str| {
        MAY_DEPEND_ON
            .iter()
            .find(|(rule, _)| *rule == name)
            .map(|(_, allowed)| *allowed)
    };
    rule(folder).or_else(|| rule(&format!("{}/*", folder.rsplit_once('/')?.0)))
}
