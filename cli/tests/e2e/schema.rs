//! What `forebay schema` prints: the page in the documents, and a schema by which a validator that is not ours judges files as
//! `forebay validate` does.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    deploy::in_manifest,
    site::{Site, python, text},
};

const JUDGE: &str = "cli/tests/e2e/schema.py";
/// Pages of the documents that the binary prints, and by which verb.
const PAGES: [(&str, &str); 2] = [
    ("docs/reference/configuration.md", "schema"),
    ("docs/reference/metrics.md", "metrics"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The template, with all that it suggests in comments.
fn whole_template() -> String {
    let template = fs::read_to_string(root().join("cli/templates/forebay.toml")).unwrap();
    let suggested = |line: &str| {
        let code = line.strip_prefix("# ")?;
        let key = code.split(" = ").next()?;
        let is_key = code.contains(" = ")
            && key
                .chars()
                .all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '0'..='9'));
        (code.starts_with('[') || is_key).then(|| code.to_owned())
    };
    template
        .lines()
        .map(|line| suggested(line).unwrap_or_else(|| line.to_owned()) + "\n")
        .collect()
}

/// What the judge says of these configurations.
fn judged(site: &Site, configurations: &[String]) -> Vec<String> {
    let schema = site.path("forebay.schema.json");
    let printed = site.forebay(&["schema"]);
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    fs::write(&schema, &printed.stdout).unwrap();
    let mut judge = python(JUDGE);
    judge.arg(&schema);
    for (i, configuration) in configurations.iter().enumerate() {
        let file = site.path(&format!("{i}.toml"));
        fs::write(&file, configuration).unwrap();
        judge.arg(file);
    }
    let output = judge.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn the_pages_in_the_documents_are_what_the_binary_prints() {
    let site = Site::new();
    for (path, verb) in PAGES {
        let printed = text(&site.forebay(&[verb, "--format", "markdown"]).stdout);
        let page = fs::read_to_string(root().join(path)).unwrap_or_default();
        let differs = printed
            .lines()
            .zip(page.lines())
            .find(|(printed, page)| printed != page);
        assert!(
            printed == page && !page.is_empty(),
            "{path} is not what the code says, first here: {differs:?}\n\
             make it again with: cargo run -- {verb} --format markdown > {path}"
        );
    }
}

#[test]
fn every_configuration_of_the_repository_fits_the_schema() {
    let site = Site::new();
    let names = [
        "cli/templates/forebay.toml",
        "cli/templates/demo.toml",
        "deploy/debian/forebay.toml",
        "kubernetes/edge.yaml",
        "kubernetes/compactor.yaml",
        "kubernetes/jobs.yaml",
        "the whole template",
    ];
    let configurations = names.map(|name| match name.rsplit_once('.') {
        Some((_, "toml")) => fs::read_to_string(root().join(name)).unwrap(),
        Some((_, "yaml")) => in_manifest(name),
        // The times of the demo are put in when it runs.
        _ => whole_template(),
    });
    let configurations =
        configurations.map(|text| text.replace("<short>", "30s").replace("<baseline>", "10m"));
    let verdicts = judged(&site, &configurations);
    for (name, verdict) in names.iter().zip(&verdicts) {
        assert_eq!(verdict, "valid", "{name}");
    }
    assert_eq!(verdicts.len(), names.len());
}

/// The schema refuses what `validate` refuses, as far as one key can say it, and takes variables wherever a text stands.
#[test]
fn the_schema_and_the_binary_agree() {
    const MODBUS: &str = "[[connector]]\nname = \"a\"\nkind = \"modbus\"\nurl = \"tcp://h\"\ndevice = \"d\"\n\
                          [[connector.tag]]\nname = \"t\"\nregister = \"coil\"\naddress = 0\n";
    let with = |text: &str| format!("{text}\n{MODBUS}");
    let sound =
        [
            with(""),
            with("[spool]\nmax_bytes = \"${ROOM:-8MiB}\"\non_full = \"${ON_FULL:-block}\""),
            with("[lake]\nwindow = \"1h 30m\"\nlateness = \"0.5s\""),
            format!("{MODBUS}deadband = \"1 %\"\nkeep = [0, 1.5]\n{MODBUS}deadband = 0.5\n")
                .replacen("name = \"a\"", "name = \"b\"", 1),
        ];
    let unsound = [
        with("[gatway]\nid = \"g\""),
        with("[gateway]\nlanes = \"2\""),
        with("[spool]\nmax_bytes = \"2 parsecs\""),
        with("[spool]\nmax_age = \"30d\""),
        with("[lake]\nwindow = 10"),
        with("[lake]\nprofile = \"uniform\""),
        with("[lake]\nurl = \"s3://b\"\n[lake.s3]\nbucket = \"b\""),
        with("[stream]\nkind = \"kafka\""),
        format!("{MODBUS}deadband = \"much\"\n"),
        MODBUS.replace("address = 0", "address = -1"),
        MODBUS.replace("url = \"tcp://h\"\n", ""),
        MODBUS.replace("kind = \"modbus\"", "kind = \"mqtt\""),
        MODBUS.replace("kind = \"modbus\"\n", ""),
    ];
    for (configurations, is_sound) in [(&sound[..], true), (&unsound[..], false)] {
        let site = Site::new();
        let verdicts = judged(&site, configurations);
        assert_eq!(verdicts.len(), configurations.len());
        for (configuration, verdict) in configurations.iter().zip(verdicts) {
            site.configure(configuration);
            let validated = site.forebay(&["validate"]);
            let said = text(&validated.stderr);
            assert_eq!(
                validated.status.success(),
                is_sound,
                "validate says {said} of\n{configuration}"
            );
            assert_eq!(
                verdict == "valid",
                is_sound,
                "the schema says {verdict} of\n{configuration}"
            );
        }
    }
}
