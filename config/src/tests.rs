use std::{
    path::{Path, PathBuf},
    time::Duration,
};

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

const PUMP: TableKeys = TableKeys::one(
    "pump",
    "A pump.",
    &[&NAME, &EVERY, &RETRIES, &MODE, &ROOM, &HOSTS],
);
const NAME: Required<String> = Required::new("name", "What it is called.");
const EVERY: Required<Duration> = Required::new("every", "How often it is looked at.");
const RETRIES: Defaulted<u16> =
    Defaulted::new("retries", 3, "How often it is tried again.").unit("attempts");
const MODE: Choice<u8> =
    Choice::new("mode", &[("fast", 1), ("careful", 2)], "How it runs.").absent("as it ran last");
const ROOM: Defaulted<Bytes> = Defaulted::new("room", Bytes(1536), "How much it keeps.");
const HOSTS: Defaulted<Vec<String>> = Defaulted::list("hosts", &[], "Where it is heard.");

fn pump(root: &mut Table<'_>) -> Option<Pump> {
    let mut table = root.table(&PUMP)?;
    let name = table.read(&NAME);
    let every = table.read(&EVERY);
    let retries = table.read(&RETRIES);
    let mode = table.read(&MODE);
    let room = table.read(&ROOM);
    let hosts = table.read(&HOSTS);
    table.finish();
    Some(Pump {
        name: name?,
        every: every?,
        retries,
        mode,
        room,
        hosts,
    })
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
pump.toml:5:8: pump.mode: \"carful\" is not one of \"fast\", \"careful\"; did you mean \"careful\"?
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
        (
            "every = \"${SECRET}\"",
            "or \"1h30m\" is expected, found \"${SECRET}\"",
        ),
        ("every = \"${file:secret}\"", "found \"${file:secret}\""),
        (
            "mode = \"x${SECRET}y\"",
            "\"x${SECRET}y\" is not one of \"fast\"",
        ),
        (
            "retries = \"${NO}\"",
            "a whole number from 0 to 65535 is expected, found \"${NO}\"",
        ),
        (
            "retries = \"${NOTHING:-seven}\"",
            "is expected, found \"seven\"",
        ),
        ("name = \"${SECRET}\"", "name: ${SECRET} is taken"),
    ] {
        let text = format!("[pump]\n{text}");
        let errors = Document::new(&file, &text, &environment).read(|root| {
            let mut table = root.table(&PUMP)?;
            table.given(&EVERY);
            table.read(&RETRIES);
            table.read(&MODE);
            // As a crate words its own problems.
            if let Some(name) = table.given(&NAME) {
                table.problem(&NAME, format!("{name} is taken"));
            }
            Some(())
        });
        let errors = errors.unwrap_err().to_string();
        assert!(
            errors.contains(expected) && !errors.contains("hunter2"),
            "{text}: {errors}"
        );
    }
}

#[test]
fn paths_start_from_the_files_own_folder() {
    for (file, own, default) in [
        ("etc/pump.toml", "etc/ca.pem", "etc/pki"),
        ("pump.toml", "ca.pem", "pki"),
        (
            "/etc/forebay/pump.toml",
            "/etc/forebay/ca.pem",
            "/etc/forebay/pki",
        ),
    ] {
        let document = Document::new(
            Path::new(file),
            "ca = \"ca.pem\"\nkey = \"/key.pem\"",
            &|_| None,
        );
        let (ca, key) = (
            Optional::<PathBuf>::new("ca", "Signs."),
            Optional::<PathBuf>::new("key", "Opens."),
        );
        let read =
            document.read(|root| Some((root.read(&ca)?, root.read(&key)?, root.beside("pki"))));
        assert_eq!(
            read,
            Ok((own.into(), "/key.pem".into(), default.into())),
            "{file}"
        );
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
        found = root.read(&Optional::<Secret>::new("password", "Opens."));
        root.read(&Optional::<Secret>::new("other", "Opens too."))
    });
    let found = found.unwrap();
    assert_eq!(
        (found.expose(), format!("{found:?}").as_str()),
        ("geheim", "Secret(…)")
    );
    assert!(
        errors
            .unwrap_err()
            .to_string()
            .contains("2:9: other: cannot read"),
        "the missing file is named"
    );
}

#[test]
fn units_are_exact() {
    for (text, millis) in [
        ("250ms", Some(250)),
        ("1h30m", Some(5_400_000)),
        ("2w", Some(1_209_600_000)),
        ("1y", Some(31_536_000_000)),
        ("1.5s", Some(1500)),
        ("10", None),
        ("", None),
        ("1x", None),
    ] {
        assert_eq!(
            units::duration(text).map(|d| d.as_millis()),
            millis,
            "{text}"
        );
    }
    for (text, bytes) in [
        ("2GiB", Some(2 << 30)),
        ("1.5kB", Some(1500)),
        ("0.1B", None),
        ("5", None),
        ("1 MB", Some(1_000_000)),
    ] {
        assert_eq!(units::size(text), bytes, "{text}");
    }
}

const LAKE: TableKeys = TableKeys::one("lake", "The lake.", &[&URL, &S3]);
const URL: Optional<String> = Optional::new("url", "Where it lies.");
const S3: TableKeys = TableKeys::one("s3", "A bucket.", &[&REGION]);
const REGION: Optional<String> = Optional::new("region", "Where the bucket lies.");

/// Who only reads the lake must get an answer while somebody edits a connector.
#[test]
fn some_tables_are_read_alone_whatever_else_is_wrong() {
    let read = |text: &str| {
        Document::new(Path::new("f.toml"), text, &|_: &str| None).read_only(
            &["lake", "keys"],
            |root| {
                let mut lake = root.table(&LAKE)?;
                let url = lake.read(&URL);
                let region = lake.table(&S3).and_then(|mut s3| s3.read(&REGION));
                lake.finish();
                Some((url, region))
            },
        )
    };
    let of =
        |url: &str, region: Option<&str>| Ok((Some(url.to_owned()), region.map(str::to_owned)));
    for (text, expected) in [
        ("[lake]\nurl = \"a\"\n", of("a", None)),
        (
            "[[connector]]\nname = \n[lake]\nurl = \"a\"\n",
            of("a", None),
        ),
        (
            "[gatway]\nid = 7\n[lake] # here\nurl = \"a\"\n[lake.s3]\nregion = \"r\"\n[job",
            of("a", Some("r")),
        ),
        (
            "lake.url = \"a\"\nnonsense\nother = 1\n[[connector]]\nx",
            of("a", None),
        ),
        (
            "[lake]\nurl = \"a\"\n[[job]]\nquery = '''\nselect [\n",
            of("a", None),
        ),
        ("[[job]]\ntopics = [\n  [\"lake\"],\n", Err(())),
    ] {
        assert_eq!(read(text).map_err(drop), expected, "{text}");
    }
    // What is wrong in these tables is reported with its place in the whole file.
    let said = read("[[connector]]\nname = \n\n[lake]\nurl = 7\n")
        .unwrap_err()
        .to_string();
    assert!(said.contains("f.toml:5:7: lake.url"), "{said}");
    let said = read("[[connector]]\n[lake]\nurl = \"a\"\nulr = 1\n")
        .unwrap_err()
        .to_string();
    assert!(said.contains("f.toml:4:1: lake.ulr: unknown key"), "{said}");
}

/// Whatever a reader asks for: a key that no descriptor of the table lists works in no file.
#[test]
fn a_key_that_is_not_listed_is_unknown_although_it_is_read() {
    const MORE: TableKeys = TableKeys::one("pump", "More of it.", &[&SECRET_KEY]);
    const SECRET_KEY: Optional<String> = Optional::new("colour", "Nobody documents this.");
    let text = "[pump]\nname = \"p\"\nevery = \"1s\"\ncolour = \"red\"\n";
    let read = |also: Option<TableKeys>| {
        Document::new(Path::new("f.toml"), text, &|_: &str| None).read(|root| {
            let mut table = root.table(&PUMP)?;
            also.iter().for_each(|keys| table.also(keys));
            let colour = table.read(&SECRET_KEY);
            table.finish();
            colour
        })
    };
    assert!(
        read(None)
            .unwrap_err()
            .to_string()
            .starts_with("f.toml:4:1: pump.colour: unknown key")
    );
    assert_eq!(read(Some(MORE)), Ok("red".to_owned()));
}

#[test]
fn words_and_keys_of_another_release_say_what_to_do() {
    const KEYS: TableKeys = TableKeys::one("pump", "A pump.", &[&MODE, &AGE]);
    const MODE: DefaultedChoice<u8> =
        Choice::new("mode", &[("fast", 1), ("careful", 2)], "How it runs.")
            .refused(&[("wild", "wild comes later")])
            .or_first();
    const AGE: Refused = Refused::new("age", "pumps do not age in this release: remove the key");
    let read = |text: &str| {
        Document::new(
            Path::new("f.toml"),
            &format!("[pump]\n{text}"),
            &|_: &str| None,
        )
        .read(|root| {
            let mut table = root.table(&KEYS)?;
            let mode = table.read(&MODE);
            table.read(&AGE);
            table.finish();
            Some(mode)
        })
    };
    assert_eq!((read(""), read("mode = \"careful\"")), (Ok(1), Ok(2)));
    for (text, message) in [
        ("mode = \"wild\"", "f.toml:2:8: pump.mode: wild comes later"),
        (
            "mode = \"widl\"",
            "f.toml:2:8: pump.mode: \"widl\" is not one of \"fast\", \"careful\", \"wild\"; did you mean \"wild\"?",
        ),
        (
            "age = 1",
            "f.toml:2:7: pump.age: pumps do not age in this release: remove the key",
        ),
    ] {
        assert_eq!(read(text).unwrap_err().to_string(), message, "{text}");
    }
    let Shape::Table { keys, .. } = KEYS.describe().shape else {
        panic!("it is a table")
    };
    assert_eq!(
        keys.iter().map(|key| key.name).collect::<Vec<_>>(),
        ["mode"],
        "documents show what can be written"
    );
}

#[test]
fn descriptors_say_what_they_read() {
    let Shape::Table { form, keys } = PUMP.describe().shape else {
        panic!("it is a table")
    };
    assert_eq!((form, keys.len()), (TableForm::One, 6));
    let of = |name: &str| keys.iter().find(|key| key.name == name).unwrap();
    assert_eq!(
        (&of("name").presence, &of("name").shape),
        (&Presence::Required, &Shape::Text)
    );
    assert_eq!(
        (of("retries").meaning, of("retries").unit),
        ("How often it is tried again.", Some("attempts"))
    );
    assert_eq!(
        of("retries").presence,
        Presence::Default(Expanded::Integer(3))
    );
    assert_eq!(
        of("retries").shape,
        Shape::Integer {
            min: Some(0),
            max: Some(65_535)
        }
    );
    assert_eq!(
        of("mode").presence,
        Presence::Optional(Some("as it ran last"))
    );
    assert_eq!(of("mode").shape, Shape::Words(vec!["fast", "careful"]));
    assert_eq!(
        of("room").presence,
        Presence::Default(Expanded::Text("1536B".to_owned()))
    );
    assert_eq!(
        (&of("hosts").shape, &of("hosts").presence),
        (
            &Shape::Array(Box::new(Shape::Text)),
            &Presence::Default(Expanded::Array(Vec::new())),
        )
    );
}

#[test]
fn keys_that_two_read_from_one_table_are_shown_once() {
    let keys = |table: TableKeys| match table.describe().shape {
        Shape::Table { keys, .. } => keys,
        other => panic!("{other:?} is no table"),
    };
    const MORE: TableKeys = TableKeys::one("lake", "More of it.", &[&URL, &NAME, &MORE_S3]);
    const MORE_S3: TableKeys = TableKeys::one("s3", "More of the bucket.", &[&REGION, &RETRIES]);
    let joined = KeyInfo::joined(keys(LAKE), keys(MORE));
    let names = |keys: &[KeyInfo]| keys.iter().map(|key| key.name).collect::<Vec<_>>();
    assert_eq!(names(&joined), ["url", "s3", "name"]);
    let Shape::Table { keys: inner, .. } = &joined[1].shape else {
        panic!("{:?}", joined[1])
    };
    assert_eq!(
        (names(inner), joined[1].meaning),
        (vec!["region", "retries"], "A bucket.")
    );
}

/// A default is shown as a file would say it: reading what is shown gives the default.
#[test]
fn defaults_are_written_as_they_are_read() {
    fn check<T: FromConstant + PartialEq + std::fmt::Debug>(constant: T::Constant, written: &str) {
        let expanded = T::written(constant);
        assert_eq!(expanded.toml(), written);
        assert_eq!(
            T::from_value(&expanded),
            Ok(T::from_constant(constant)),
            "{written}"
        );
    }
    for (millis, written) in [
        (0, "0s"),
        (250, "250ms"),
        (1_000, "1s"),
        (90_000, "1m30s"),
        (5_400_000, "1h30m"),
        (86_400_000, "1d"),
    ] {
        check::<Duration>(Duration::from_millis(millis), &format!("{written:?}"));
    }
    for (bytes, written) in [
        (0, "0B"),
        (1, "1B"),
        (1000, "1000B"),
        (4096, "4KiB"),
        (3 << 30, "3GiB"),
        (1 << 50, "1024TiB"),
    ] {
        check::<Bytes>(Bytes(bytes), &format!("{written:?}"));
    }
    check::<f64>(1.0, "1.0");
    check::<f64>(0.005, "0.005");
    check::<u32>(7, "7");
    check::<bool>(false, "false");
    check::<String>("a \"b\" \\ c", r#""a \"b\" \\ c""#);
    check::<Vec<String>>(&["*", "x"], "[\"*\", \"x\"]");
}
