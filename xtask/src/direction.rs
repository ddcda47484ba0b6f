//! The direction of dependencies between our crates, as docs/ARCHITECTURE.md draws it, held against `cargo metadata`.

use cargo_metadata::{DependencyKind, MetadataCommand};

/// For each crate, the ones of ours that it may depend on. A crate that is missing here fails the test.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("forebay-schemas", &[]),
    ("forebay-config", &["forebay-schemas"]),
    ("forebay-stream", &["forebay-schemas", "forebay-config"]),
    ("forebay-keys", &["forebay-schemas"]),
    ("forebay-lake", &["forebay-schemas", "forebay-config", "forebay-keys"]),
    ("forebay-telemetry", &["forebay-schemas", "forebay-config"]),
    ("forebay-connectors", &["forebay-schemas", "forebay-config"]),
    ("forebay-mqtt", &["forebay-schemas", "forebay-config", "forebay-connectors"]),
    ("forebay-modbus", &["forebay-schemas", "forebay-config", "forebay-connectors"]),
    ("forebay-opcua", &["forebay-schemas", "forebay-config", "forebay-connectors"]),
    ("forebay-simulated", &["forebay-schemas"]),
    ("forebay-gateway", &["forebay-schemas", "forebay-config", "forebay-stream", "forebay-connectors"]),
    ("forebay-compactor", &["forebay-schemas", "forebay-config", "forebay-stream", "forebay-lake"]),
    ("forebay-jobs", &["forebay-schemas", "forebay-config", "forebay-lake"]),
    ("forebay-jobs-sql", &["forebay-schemas", "forebay-config", "forebay-lake", "forebay-jobs"]),
    ("forebay-predictive-maintenance", &["forebay-schemas", "forebay-config", "forebay-lake", "forebay-jobs"]),
    ("forebay-grid", &["forebay-schemas", "forebay-config", "forebay-lake", "forebay-jobs"]),
    (
        "forebay",
        &[
            "forebay-schemas",
            "forebay-config",
            "forebay-keys",
            "forebay-stream",
            "forebay-lake",
            "forebay-connectors",
            "forebay-mqtt",
            "forebay-modbus",
            "forebay-opcua",
            "forebay-simulated",
            "forebay-gateway",
            "forebay-compactor",
            "forebay-jobs",
            "forebay-jobs-sql",
            "forebay-predictive-maintenance",
            "forebay-grid",
            "forebay-telemetry",
        ],
    ),
    (
        "forebay-benches",
        &[
            "forebay-schemas",
            "forebay-config",
            "forebay-stream",
            "forebay-lake",
            "forebay-compactor",
            "forebay-simulated",
        ],
    ),
    ("xtask", &[]),
];

#[test]
fn nothing_depends_against_the_flow() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let ours: Vec<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    assert!(ours.contains(&"forebay-schemas"), "{ours:?} are not our packages");
    for package in &metadata.packages {
        let (_, allowed) = MAY_DEPEND_ON
            .iter()
            .find(|(name, _)| *name == package.name.as_str())
            .unwrap_or_else(|| panic!("{} is new: say in this table what it may depend on", package.name));
        for dependency in &package.dependencies {
            let own = ours.contains(&dependency.name.as_str()) && dependency.kind == DependencyKind::Normal;
            assert!(
                !own || allowed.contains(&dependency.name.as_str()),
                "{} must not depend on {}",
                package.name,
                dependency.name
            );
        }
    }
}
