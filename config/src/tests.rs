use std::{path::Path, time::Duration};

use super::*;

#[derive(Debug, PartialEq)]
struct Pump {
    name: String,
    every: Duration,
    retries: u16,
    mode: Option<u8>,
    room: Bytes,
    hosts: Vec<String>,
}

fn pump(root: &mut Table<'_>) -> Option<Pump> {
    let mut table = root.table("pump")?;
    let name = table.required("name");
    let every = table.required("every");
    let retries = table.or("retries", 3);
    let mode = table.choice("mode", &[("fast", 1), ("careful", 2)]);
    let room = table.or("room", Bytes(1));
    let hosts = table.or("hosts", Vec::new());
    table.finish();
    Some(Pump { name: name?, every: every?, retries, mode, room, hosts })
}

fn read(text: &str) -> Result<Pump, ConfigErrors> {
    let environment = |name: &str| (name == "HOST").then(|| "a.example".to_owned());
    Document::new(Path::new("pump.toml"), text, &environment).read(pump)
}

#[test]
fn values_are_typed_and_expanded() {
    let text = "[pump]\nname = \"${NAME:-p1}\"\nevery = \"1m30s\"\nmode = \"careful\"\nroom = \"2KiB\"\n\
                hosts = [\"${HOST}:1\", \"$b\"]";
    let expected = Pump {
        name: "p1".into(),
        every: Duration::from_secs(90),
        retries: 3,
        mode: Some(2),
        room: Bytes(2048),
        hosts: vec!["a.example:1".into(), "$b".into()],
    };
    assert_eq!(read(text), Ok(expected));
}

#[test]
fn all_errors_come_at_once_each_with_its_place_and_a_way_out() {
    let text = "[pump]\nname = 7\nevry = \"1s\"\nretries = 70000\nmode = \"carful\"\nroom = \"2 parsecs\"\n\
                hosts = [\"${NOWHERE}\"]\ncolour = 1\n";
    let errors = read(text).unwrap_err();
    let expected = "\
pump.toml:1:1: pump: every is missing, a duration such as \"10s\", \"250ms\" or \"1h30m\" is expected
pump.toml:2:8: pump.name: a text in quotes is expected, found 7
pump.toml:3:1: pump.evry: unknown key; did you mean \"every\"?
pump.toml:4:11: pump.retries: a whole number from 0 to 65535 is expected, found 70000
pump.toml:5:8: pump.mode: \"carful\" is none of \"fast\", \"careful\"; did you mean \"careful\"?
pump.toml:6:8: pump.room: a size such as \"64KiB\" or \"2GiB\" is expected, found \"2 parsecs\"
pump.toml:7:9: pump.hosts: the environment variable NOWHERE is not set: set it, or write ${NOWHERE:-default}
pump.toml:8:1: pump.colour: unknown key; known here: every, hosts, mode, name, retries, room";
    assert_eq!(errors.to_string(), expected);
}

/// A password in the wrong key, or a wrong one in the right key: the error says where it came from.
#[test]
fn no_error_shows_what_came_from_outside() {
    const SECRET: &str = "hunter2 \"quoted\" ü";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
    let file = folder.path().join("pump.toml");
    let environment = |name: &str| match name {
        "SECRET" => Some(SECRET.to_owned()),
        "NO" => Some("no".to_owned()),
        _ => None,
    };
    for (text, expected) in [
        ("every = \"${SECRET}\"", "or \"1h30m\" is expected, found \"${SECRET}\""),
        ("every = \"${file:secret}\"", "found \"${file:secret}\""),
        ("mode = \"x${SECRET}y\"", "\"x${SECRET}y\" is none of \"fast\""),
        ("retries = \"${NO}\"", "a whole number from 0 to 65535 is expected, found \"${NO}\""),
        ("retries = \"${NOTHING:-seven}\"", "is expected, found \"seven\""),
        ("name = \"${SECRET}\"", "name: ${SECRET} is taken"),
    ] {
        let text = format!("[pump]\n{text}");
        let errors = Document::new(&file, &text, &environment).read(|root| {
            let mut table = root.table("pump")?;
            table.optional::<Duration>("every");
            table.optional::<u16>("retries");
            table.choice("mode", &[("fast", 1)]);
            // As a crate words its own problems.
            if let Some(name) = table.optional::<String>("name") {
                table.problem("name", format!("{name} is taken"));
            }
            Some(())
        });
        let errors = errors.unwrap_err().to_string();
        assert!(errors.contains(expected) && !errors.contains("hunter2"), "{text}: {errors}");
    }
}

#[test]
fn paths_start_from_the_files_own_folder() {
    for (file, own, default) in [
        ("etc/pump.toml", "etc/ca.pem", "etc/pki"),
        ("pump.toml", "ca.pem", "pki"),
        ("/etc/forebay/pump.toml", "/etc/forebay/ca.pem", "/etc/forebay/pki"),
    ] {
        let document = Document::new(Path::new(file), "ca = \"ca.pem\"\nkey = \"/key.pem\"", &|_| None);
        let read = document.read(|root| Some((root.path("ca")?, root.path("key")?, root.beside("pki"))));
        assert_eq!(read, Ok((own.into(), "/key.pem".into(), default.into())), "{file}");
    }
}

#[test]
fn broken_syntax_names_its_place() {
    let errors = read("[pump]\nname = \"p1\"\nevery = \n").unwrap_err();
    assert!(errors.to_string().starts_with("pump.toml:3:"), "{errors}");
}

#[test]
fn files_are_read_beside_the_configuration_and_secrets_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "geheim\n").unwrap();
    let file = folder.path().join("forebay.toml");
    let text = "password = \"${file:password}\"\nother = \"${file:nothing}\"";
    let document = Document::new(&file, text, &|_| None);
    let mut found = None;
    let errors = document.read(|root| {
        found = root.optional::<Secret>("password");
        root.optional::<Secret>("other")
    });
    let found = found.unwrap();
    assert_eq!((found.expose(), format!("{found:?}").as_str()), ("geheim", "Secret(…)"));
    assert!(errors.unwrap_err().to_string().contains("2:9: other: cannot read"), "the missing file is named");
}

#[test]
fn units_are_exact() {
    for (text, millis) in
        [("250ms", Some(250)), ("1h30m", Some(5_400_000)), ("1.5s", Some(1500)), ("10", None), ("", None), ("1x", None)]
    {
        assert_eq!(units::duration(text).map(|d| d.as_millis()), millis, "{text}");
    }
    for (text, bytes) in
        [("2GiB", Some(2 << 30)), ("1.5kB", Some(1500)), ("0.1B", None), ("5", None), ("1 MB", Some(1_000_000))]
    {
        assert_eq!(units::size(text), bytes, "{text}");
    }
}

/// Who only reads the lake must get an answer while somebody edits a connector.
#[test]
fn some_tables_are_read_alone_whatever_else_is_wrong() {
    let read = |text: &str| {
        Document::new(Path::new("f.toml"), text, &|_: &str| None).read_only(&["lake", "keys"], |root| {
            let mut lake = root.table("lake")?;
            let url: Option<String> = lake.optional("url");
            let region = lake.table("s3").and_then(|mut s3| s3.optional::<String>("region"));
            lake.finish();
            Some((url, region))
        })
    };
    let of = |url: &str, region: Option<&str>| Ok((Some(url.to_owned()), region.map(str::to_owned)));
    for (text, expected) in [
        ("[lake]\nurl = \"a\"\n", of("a", None)),
        ("[[connector]]\nname = \n[lake]\nurl = \"a\"\n", of("a", None)),
        ("[gatway]\nid = 7\n[lake] # here\nurl = \"a\"\n[lake.s3]\nregion = \"r\"\n[job", of("a", Some("r"))),
        ("lake.url = \"a\"\nnonsense\nother = 1\n[[connector]]\nx", of("a", None)),
        ("[lake]\nurl = \"a\"\n[[job]]\nquery = '''\nselect [\n", of("a", None)),
        ("[[job]]\ntopics = [\n  [\"lake\"],\n", Err(())),
    ] {
        assert_eq!(read(text).map_err(drop), expected, "{text}");
    }
    // What is wrong in these tables is told with its place in the whole file.
    let said = read("[[connector]]\nname = \n\n[lake]\nurl = 7\n").unwrap_err().to_string();
    assert!(said.contains("f.toml:5:7: lake.url"), "{said}");
    let said = read("[[connector]]\n[lake]\nurl = \"a\"\nulr = 1\n").unwrap_err().to_string();
    assert!(said.contains("f.toml:4:1: lake.ulr: unknown key"), "{said}");
}
