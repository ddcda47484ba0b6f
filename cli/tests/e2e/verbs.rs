//! What the verbs say and refuse: keyrings, configurations, jobs.

use std::{fs, process::Output, time::Duration};

use crate::site::{Site, text, until};

const MINUTE: Duration = Duration::from_secs(60);

/// An edge that publishes; neither its broker nor its Kafka has to be there.
const EDGE: &str = "\
[gateway]
id = \"g1\"
site = \"werk\"
data_dir = \"data\"
[stream]
kind = \"kafka\"
brokers = [\"127.0.0.1:1\"]
[[connector]]
name = \"cells\"
kind = \"mqtt\"
url = \"mqtt://127.0.0.1:1\"
topics = [\"site/#\"]
[[connector.tag]]
topic = \"site/{device}/{tag}\"
";

/// Exit code and messages; nothing may be said twice.
fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), text(&output.stderr))
}

fn import(site: &Site) -> Output {
    let csv = site.path("pump.csv");
    fs::write(
        &csv,
        "time,rpm\n2026-05-01T10:00:00Z,1500\n2026-05-01T10:00:01Z,1501\n",
    )
    .unwrap();
    site.forebay(&[
        "import",
        csv.to_str().unwrap(),
        "--device",
        "pump",
        "--time",
        "time",
    ])
}

#[test]
fn no_keyring_is_made_beside_what_another_has_sealed() {
    let site = Site::new();
    site.configure(EDGE);
    let (keys, away) = (site.path("data/keys"), site.path("keys-away"));
    let log = || fs::read_to_string(site.path("run.log")).unwrap_or_default();
    let running = site.run(&["--role", "edge"]);
    until(MINUTE, || {
        site.path("data/spool/0").exists() && log().contains("running")
    })
    .expect("the edge runs");
    running.kill();
    assert_eq!(log().matches("created a keyring").count(), 1, "{}", log());
    assert!(keys.join("keyring.json").exists());

    fs::rename(&keys, &away).unwrap();
    for args in [&["run", "--role", "edge"][..], &["run"], &["keys", "init"]] {
        let (code, said) = said(&site.forebay(args));
        assert_eq!(code, Some(1), "{args:?}: {said}");
        let expected = format!(
            "{} is sealed, and its keyring is not at {}",
            site.path("data/spool").display(),
            keys.display()
        );
        assert!(said.contains(&expected), "{args:?}: {said}");
        assert!(!keys.exists(), "{args:?} has made another keyring");
    }
    // Mounted again, but not the one: an empty folder, or another's.
    fs::create_dir(&keys).unwrap();
    let (code, empty) = said(&site.forebay(&["run", "--role", "edge"]));
    assert_eq!(code, Some(1), "{empty}");
    assert!(
        empty.contains("no keyring at") && empty.contains("restore it from its backup"),
        "{empty}"
    );

    fs::remove_dir(&keys).unwrap();
    fs::rename(&away, &keys).unwrap();
    let before = log().matches("running").count();
    let running = site.run(&["--role", "edge"]);
    until(MINUTE, || log().matches("running").count() > before)
        .expect("with its keyring back it runs");
    running.kill();
}

#[test]
fn a_new_keyring_is_told_of_once() {
    let site = Site::new();
    site.configure("[gateway]\nid = \"g1\"\nsite = \"werk\"\ndata_dir = \"data\"\n");
    let (code, first) = said(&import(&site));
    assert_eq!(code, Some(0), "{first}");
    let keys = site.path("data/keys");
    assert!(
        first.contains("created a keyring") && first.contains(&keys.display().to_string()),
        "{first}"
    );
    let (code, second) = said(&import(&site));
    assert_eq!(
        (code, second.contains("keyring")),
        (Some(0), false),
        "{second}"
    );
}

#[test]
fn a_keyring_that_is_older_than_the_lake_is_given_no_second_key() {
    let site = Site::new();
    site.configure("[gateway]\nid = \"g1\"\nsite = \"werk\"\ndata_dir = \"data\"\n");
    assert!(site.forebay(&["keys", "init"]).status.success());
    let keyring = site.path("data/keys/keyring.json");
    let older = fs::read(&keyring).unwrap();
    assert!(import(&site).status.success());
    fs::write(&keyring, &older).unwrap();
    let (code, refused) = said(&site.forebay(&["keys", "init", "--site", "werk"]));
    assert_eq!(code, Some(1), "{refused}");
    assert!(
        refused.contains("forebay.site.werk.v1") && refused.contains("restore the newer copy"),
        "{refused}"
    );
    assert_eq!(fs::read(&keyring).unwrap(), older);
    let (code, made) = said(&site.forebay(&["keys", "init", "--site", "another"]));
    assert_eq!(code, Some(0), "{made}");
}

#[test]
fn a_lost_state_is_named_and_rebuilt_and_nothing_comes_twice() {
    let site = Site::new();
    site.configure("[gateway]\nid = \"g1\"\nsite = \"werk\"\ndata_dir = \"data\"\n");
    assert!(import(&site).status.success());
    fs::remove_dir_all(site.path("data/lake/readings/_forebay")).unwrap();
    let (code, lost) = said(&site.forebay(&["verify"]));
    assert_eq!(code, Some(3), "{lost}");
    assert!(
        lost.contains("it is missing: `forebay repair state` rebuilds it"),
        "{lost}"
    );
    let (code, refused) = said(&import(&site));
    assert_eq!(code, Some(1), "{refused}");
    assert!(refused.contains("`forebay repair state`"), "{refused}");

    let repair = |args: &[&str]| {
        let output = site.forebay(&[&["repair", "state"], args].concat());
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let trial = repair(&["--dry-run"]);
    assert!(
        trial.0 == Some(0) && trial.1.contains("seqs 1 to 2, 0 gaps"),
        "{trial:?}"
    );
    let done = repair(&[]);
    assert_eq!((done.0, &done.1), (Some(0), &trial.1), "{done:?}");
    let verdict = || text(&site.forebay(&["verify"]).stdout);
    assert!(verdict().starts_with("ok readings=2 "), "{}", verdict());

    let id = done
        .1
        .strip_prefix("stream ")
        .and_then(|rest| rest.split(':').next())
        .unwrap()
        .to_owned();
    let again = repair(&["--stream", &id]);
    assert!(
        again.0 == Some(1) && again.2.contains("can be read: nothing is rebuilt"),
        "{again:?}"
    );
    assert!(repair(&[]).2.contains("every stream's state can be read"));
    assert!(import(&site).status.success());
    assert!(verdict().starts_with("ok readings=2 "), "{}", verdict());
}

#[test]
fn no_error_shows_a_secret() {
    const SECRET: &str = "hunter2-in-the-wrong-key";
    let site = Site::new();
    fs::write(site.path("secret"), "hunter2-in-a-file\n").unwrap();
    site.configure(
        "[gateway]\nlanes = \"${SECRET}\"\n[lake]\nwindow = \"${file:secret}\"\nprofile = \"${SECRET}\"\n\
         [telemetry]\notlp_endpoint = \"${SECRET}\"\n\
         [stream]\nkind = \"kafka\"\nbrokers = [\"${SECRET}\"]\ntopic = \"${SECRET} \"\n\
         [[connector]]\nname = \"a\"\nkind = \"mqtt\"\nurl = \"mqtt://u:${SECRET}@h\"\ntopics = [\"${SECRET}/#/x\"]\n\
         [[connector.tag]]\ntopic = \"x\"\nvalue = \"${SECRET}\"\n\
         [[connector]]\nname = \"b\"\nkind = \"opcua\"\nurl = \"${SECRET}\"\nuser = \"u\"\npassword = 7\n\
         [[connector.tag]]\nname = \"t\"\nnode = \"${SECRET}\"\n\
         [[job]]\nname = \"${SECRET} x\"\nkind = \"sql\"\nschedule = \"${SECRET}\"\n",
    );
    let all = [
        "lanes",
        "window",
        "profile",
        "otlp_endpoint",
        "brokers",
        "topic",
        "url",
        "value",
        "node",
        "name",
    ]
    .as_slice();
    // A verb that only reads reports only what reading needs.
    for (args, parts) in [
        (&["validate"][..], all),
        (&["run"], all),
        (&["query", "select 1"], &all[..3]),
    ] {
        let verb = args[0];
        let (code, said) = said(&site.command(args).env("SECRET", SECRET).output().unwrap());
        assert_eq!(code, Some(78), "{verb}: {said}");
        assert!(!said.contains("hunter2"), "{verb}: {said}");
        for part in parts {
            assert!(said.contains(part), "{verb}: {part} is not named in {said}");
        }
        assert!(
            said.contains("${SECRET}") && said.contains("${file:secret}"),
            "{verb}: {said}"
        );
    }
}

#[test]
fn a_file_that_configures_nothing_is_no_configuration_of_a_gateway() {
    let site = Site::new();
    site.configure("[gateway]\nid = \"g1\"\nsite = \"werk\"\ndata_dir = \"data\"\n");
    for verb in ["validate", "run"] {
        let (code, said) = said(&site.forebay(&[verb]));
        assert_eq!(code, Some(78), "{verb}: {said}");
        assert!(
            said.contains("forebay.toml:1:1: ") && said.contains("there is nothing to run"),
            "{verb}: {said}"
        );
    }
    // It serves those who only import and query.
    let (code, said) = said(&import(&site));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(site.number("select count(*) from readings"), 2);
}

#[test]
fn a_configuration_that_cannot_be_read_is_a_bad_one() {
    let site = Site::new();
    let refuses = |what: &str| {
        for args in [&["validate"][..], &["run"], &["query", "select 1"]] {
            let (code, said) = said(&site.forebay(args));
            assert_eq!(code, Some(78), "{args:?}: {said}");
            assert!(
                said.contains("forebay.toml:1:1: cannot be read: ") && said.contains(what),
                "{args:?}: {said}"
            );
        }
    };
    refuses("No such file");
    fs::write(site.config(), b"[gateway]\nid = \"g\xff\"\n").unwrap();
    refuses("UTF-8");
    fs::remove_file(site.config()).unwrap();
    fs::create_dir(site.config()).unwrap();
    refuses("directory");

    for verb in ["validate", "run"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_forebay"));
        let ran = command
            .current_dir(site.folder.path())
            .args(["--data-dir", "nowhere", verb])
            .output()
            .unwrap();
        let (code, said) = said(&ran);
        assert_eq!(code, Some(78), "{verb}: {said}");
        assert!(
            said.contains("nowhere/forebay.toml:1:1: does not exist: `forebay init` writes one"),
            "{verb}: {said}"
        );
    }
    let elsewhere = Site::new();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_forebay"));
    let ran = command
        .current_dir(elsewhere.folder.path())
        .arg("run")
        .output()
        .unwrap();
    let (code, said) = said(&ran);
    assert_eq!(code, Some(78), "{said}");
    assert!(
        said.starts_with("forebay.toml:1:1: does not exist: `forebay init` writes one"),
        "{said}"
    );
}

#[test]
fn a_query_error_is_told_once() {
    let site = Site::new();
    site.configure("[gateway]\nid = \"g1\"\nsite = \"werk\"\ndata_dir = \"data\"\n");
    assert!(import(&site).status.success());
    for (sql, part) in [
        ("select nonsense from readings", "nonsense"),
        ("selec 1", "selec"),
        ("select * from nowhere", "nowhere"),
        ("select cast(device as bigint) from readings", "cannot cast"),
        ("drop table readings", "DDL not supported"),
    ] {
        let (code, said) = said(&site.forebay(&["query", sql]));
        assert_eq!(code, Some(1), "{sql}: {said}");
        let times = said.to_lowercase().matches(&part.to_lowercase()).count();
        assert_eq!(times, 1, "{sql}: {said}");
    }
}

#[test]
fn the_template_is_valid_as_it_is_and_with_all_that_it_suggests() {
    let site = Site::new();
    assert!(site.forebay(&["init"]).status.success());
    let listed = site.forebay(&["jobs", "list"]);
    assert_eq!(
        said(&listed),
        (Some(0), String::new()),
        "before the first run"
    );
    assert!(
        text(&listed.stdout).starts_with("bad-readings  sql  window_closed"),
        "{}",
        text(&listed.stdout)
    );
    assert!(!site.path("forebay-data").exists(), "looking makes nothing");

    let (code, imported) = said(&import(&site));
    assert_eq!(code, Some(0), "{imported}");
    let ran = site.forebay(&["jobs", "run", "bad-readings"]);
    assert_eq!(
        ran.status.code(),
        Some(0),
        "{}{}",
        text(&ran.stdout),
        text(&ran.stderr)
    );
    assert_eq!(
        site.rows("select device, score, anomalous from scores"),
        ["pump,0.0,false"]
    );
    let listed = site.forebay(&["jobs", "list"]);
    assert!(
        text(&listed.stdout).contains("succeeded"),
        "{}",
        text(&listed.stdout)
    );

    let template = fs::read_to_string(site.config()).unwrap();
    let mut all = String::new();
    for line in template.lines() {
        let code = line.strip_prefix("# ").filter(|code| {
            let key = code.split(" = ").next().unwrap_or_default();
            code.starts_with('[')
                || (code.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        });
        all.push_str(code.unwrap_or(line));
        all.push('\n');
    }
    site.configure(&all);
    let valid = site
        .command(&["validate"])
        .envs([("MQTT_PASSWORD", "p"), ("KAFKA_PASSWORD", "p")])
        .output()
        .unwrap();
    assert_eq!(
        valid.status.code(),
        Some(0),
        "{}\n{all}",
        text(&valid.stderr)
    );
    let said = text(&valid.stdout);
    for part in [
        "connector \"cells\"",
        "connector \"press\"",
        "job \"boiler-warning\"",
        "roles edge, compactor, jobs",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}
