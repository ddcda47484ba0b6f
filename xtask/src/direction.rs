//! The direction of dependencies between our crates, as docs/ARCHITECTURE.md draws it, held against `cargo metadata`.

use cargo_metadata::{DependencyKind, MetadataCommand};

/// For each crate, the ones of ours that it may depend on. A crate that is missing here fails the test.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("forebay-schemas", &[]),
    ("forebay-stream", &["forebay-schemas"]),
    ("forebay-lake", &["forebay-schemas"]),
    ("forebay-compactor", &["forebay-schemas", "forebay-stream", "forebay-lake"]),
    ("forebay", &["forebay-schemas", "forebay-stream", "forebay-lake", "forebay-compactor"]),
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
