//! What lies on disk after readings went through the running binary, the spool as the stream: nothing in clear, nothing
//! without its key.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what a test cannot set up ends it")]

#[allow(dead_code, unused_imports, reason = "each test needs a part of it")]
mod site;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use forebay_schemas::table::READINGS;
use site::{Broker, Peer, Running, Site, text, until};

const MINUTE: Duration = Duration::from_secs(60);
const MQTT: &str = "connectors/mqtt/tests/peer.py";
const READ_WITH_KEYRING: &str = "lake/tests/read_with_keyring.py";

const DEVICE: &str = "canary-device-5b1f";
const TAG: &str = "canary-tag-93aa";
const TEXT: &str = "canary-text-c07e";
const UNIT: &str = "canary-unit-1d64";
const CANARIES: [&str; 4] = [DEVICE, TAG, TEXT, UNIT];

const TEXTS: &str = "select count(distinct value_text) from readings";

/// Where a site keeps what must not be readable: all but its log and its configuration.
const DATA: &str = "data";

fn python(script: &str) -> Command {
    let python = std::env::var_os("FOREBAY_TEST_PYTHON")
        .expect("FOREBAY_TEST_PYTHON names a Python with PyArrow: run `cargo xtask test`");
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(script));
    command
}

fn configured(profile: &str) -> (Site, Broker) {
    let site = Site::new();
    let broker = Broker::start("allow_anonymous true\nmax_queued_messages 0");
    site.configure(&format!(
        "[gateway]\nid = \"g1\"\nsite = \"werk\"\ndata_dir = \"{DATA}\"\n\
         [lake]\ncommit_interval = \"200ms\"\nwindow = \"1s\"\nlateness = \"1s\"\nidle_timeout = \"1s\"\n\
         profile = \"{profile}\"\n\
         [[connector]]\nname = \"cells\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{}\"\nversion = 5\n\
         client_id = \"forebay-test\"\ntopics = [\"site/#\"]\n\
         [[connector.tag]]\ntopic = \"site/{{device}}/cell/{{tag}}\"\nvalue = \"$.v\"\nunit = \"{UNIT}\"\n",
        broker.port
    ));
    (site, broker)
}

fn publisher(broker: &Broker) -> Peer {
    Peer::start(MQTT, &format!(r#"{{"port": {}, "version": 5}}"#, broker.port))
}

/// Numbered texts; numbers make them different, so that each is a reading of its own.
fn publish(publisher: &mut Peer, numbers: std::ops::Range<u32>) {
    let payloads: Vec<String> = numbers.map(|n| format!(r#""{{\"v\": \"{TEXT} {n}\"}}""#)).collect();
    let command = format!(r#"{{"topic": "site/{DEVICE}/cell/{TAG}", "payloads": [{}]}}"#, payloads.join(", "));
    assert_eq!(publisher.ask(&command), "done");
}

/// What is published before the connector has subscribed goes nowhere: numbers until one has come through.
fn until_subscribed(publisher: &mut Peer, mut has_come: impl FnMut() -> bool) {
    let mut numbers = 1..;
    let probed = || {
        let n = numbers.next().unwrap();
        publisher.ask(&format!(r#"{{"topic": "site/{DEVICE}/cell/{TAG}", "first": {n}, "last": {n}}}"#));
        has_come()
    };
    until(MINUTE, probed).expect("the connector subscribes");
}

/// Each find as (word, how, file), and how many streams were decompressed.
fn finds(site: &Site) -> (Vec<(String, String, PathBuf)>, u64) {
    let looked = python("cli/tests/canaries.py").arg(site.path(DATA)).args(CANARIES).output().unwrap();
    assert!(looked.status.success(), "{}", text(&looked.stderr));
    let out = text(&looked.stdout);
    let mut lines: Vec<&str> = out.lines().collect();
    let last = lines.pop().unwrap().split('\t').collect::<Vec<_>>();
    let [_, files, streams] = last[..] else { panic!("{out}") };
    assert!(files.parse::<u64>().unwrap() > 8, "{out}");
    let find = |line: &&str| {
        let parts: Vec<&str> = line.split('\t').collect();
        (parts[0].to_owned(), parts[1].to_owned(), PathBuf::from(parts[2]))
    };
    (lines.iter().map(find).collect(), streams.parse().unwrap())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn data_files(site: &Site) -> Vec<PathBuf> {
    let files = files(&site.path("data/lake/readings"));
    let data = |file: &PathBuf| !file.to_string_lossy().contains("_delta_log");
    files.into_iter().filter(|file| data(file) && file.extension().is_some_and(|e| e == "parquet")).collect()
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(folder).into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

/// A site through whose binary the canaries went until they were committed, windows closed and small files merged.
fn with_canaries(profile: &str) -> (Site, Broker) {
    let (site, broker) = configured(profile);
    let running = site.run(&[]);
    let mut publisher = publisher(&broker);
    until_subscribed(&mut publisher, || site.number("select count(*) from readings") > 0);
    for round in 0..4_u32 {
        publish(&mut publisher, round * 100..(round + 1) * 100);
        site.until(TEXTS, i64::from(round + 1) * 100, MINUTE);
    }
    site.until("select count(*) from windows", 1, MINUTE);
    assert!(!files(&site.path("data/spool")).is_empty(), "the spool is what is to be searched");
    running.stop();
    assert_eq!(site.verify().0, 0, "{}", site.verify().1);
    (site, broker)
}

fn read_with(keyring: &Path, file: &Path) -> Output {
    python(READ_WITH_KEYRING).args([keyring, file]).output().unwrap()
}

#[test]
fn canaries_lie_nowhere_in_clear_and_open_only_with_the_keyring() {
    let (site, _broker) = with_canaries("columns");
    let (found, _) = finds(&site);
    assert!(found.is_empty(), "in clear: {found:?}");
    assert!(!files(&site.path("data/lake/readings/_forebay")).is_empty(), "state objects are among what was searched");

    let keyring = site.path("data/keys/keyring.json");
    let other = Site::new();
    other.configure("[gateway]\nid = \"g2\"\nsite = \"werk\"\ndata_dir = \"data\"\n");
    assert!(other.forebay(&["keys", "init"]).status.success());
    let all = data_files(&site);
    assert!(!all.is_empty());
    let mut texts = 0;
    for file in &all {
        let read = read_with(&keyring, file);
        assert!(read.status.success(), "{}", text(&read.stderr));
        let read = text(&read.stdout);
        texts += read.matches(TEXT).count();
        for column in READINGS.file_columns() {
            assert!(read.contains(&format!("\"{}\": [", column.name)), "{} is not in {read:.300}", column.name);
        }
        for canary in [DEVICE, TAG, UNIT] {
            assert!(read.contains(canary), "{canary} is not in {}", file.display());
        }
        for refused in [
            python(READ_WITH_KEYRING).arg("--without-keys").arg(file).output().unwrap(),
            read_with(&other.path("data/keys/keyring.json"), file),
        ] {
            assert!(!refused.status.success(), "{} opened", file.display());
            assert_eq!(text(&refused.stdout), "", "something was told before it failed");
        }
    }
    assert!(texts >= 400, "{texts} texts in all files");
}

/// Shows that the search finds what is there: in bytes, in decompressed pages, in tables. The spool is sealed all the same.
#[test]
fn the_control_run_without_encryption_is_found_by_the_same_search() {
    let (site, _broker) = with_canaries("none");
    let (found, streams) = finds(&site);
    assert!(streams > 0, "nothing could be decompressed");
    for canary in CANARIES {
        for how in ["raw", "frame", "table"] {
            let is_it = |find: &&(String, String, PathBuf)| find.0 == canary && find.1 == how;
            let place = found.iter().find(is_it).map(|(_, _, file)| file);
            // Texts are all different and stand in pages that compression changes; names stand in one dictionary each,
            // which may be too short to be compressed at all.
            assert!(place.is_some() || (canary, how) == (TEXT, "raw"), "{canary} is not found as {how}: {found:?}");
        }
    }
    for (canary, _, file) in &found {
        assert!(file.starts_with("lake"), "{canary} lies in clear in {}", file.display());
        assert!(!file.starts_with("lake/readings/_forebay"), "{canary} lies in clear in {}", file.display());
    }
}

fn log_has(site: &Site, part: &str) -> bool {
    fs::read_to_string(site.path("run.log")).unwrap_or_default().contains(part)
}

/// A gateway at work whose first readings need a key that cannot be had: the keyring went away after the start.
fn deprived() -> (Site, Broker, Peer, Running) {
    let (site, broker) = configured("columns");
    let running = site.run(&[]);
    let mut publisher = publisher(&broker);
    until(MINUTE, || log_has(&site, "consuming")).expect("it runs");
    fs::rename(site.path("data/keys"), site.path("keys-away")).unwrap();
    until_subscribed(&mut publisher, || log_has(&site, "a key cannot be had, waiting for it"));
    (site, broker, publisher, running)
}

#[test]
fn a_missing_key_stops_commits_until_it_is_back_and_nothing_is_written_clear() {
    let (site, _broker, mut publisher, mut running) = deprived();
    publish(&mut publisher, 0..200);
    // Windows and housekeeping go by meanwhile.
    until(MINUTE, || fs::read_to_string(site.path("run.log")).unwrap().matches("a key cannot be had").count() > 3)
        .unwrap();
    let spooled =
        || files(&site.path("data/spool")).iter().map(|f| fs::metadata(f).map_or(0, |m| m.len())).sum::<u64>();
    assert!(spooled() > 0);
    assert!(running.is_up(), "{}", fs::read_to_string(site.path("run.log")).unwrap());
    assert_eq!(data_files(&site), Vec::<PathBuf>::new(), "something was written although its key is missing");
    let (found, _) = finds(&site);
    assert!(found.is_empty(), "in clear: {found:?}");

    fs::rename(site.path("keys-away"), site.path("data/keys")).unwrap();
    site.until(TEXTS, 200, MINUTE);
    site.until("select count(*) from windows", 1, MINUTE);
    running.stop();
    assert_eq!(site.verify().0, 0, "{}", site.verify().1);
    let (found, _) = finds(&site);
    assert!(found.is_empty(), "in clear: {found:?}");
}

#[test]
fn a_start_without_the_keyring_writes_nothing() {
    let (site, broker) = with_canaries("columns");
    let (keys, away) = (site.path("data/keys"), site.path("keys-away"));
    fs::rename(&keys, &away).unwrap();
    let (lake, spool) = (contents(&site.path("data/lake")), contents(&site.path("data/spool")));
    let refused = site.forebay(&["run"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("its keyring is not at"), "{}", text(&refused.stderr));
    for verb in [&["query", "select * from readings"][..], &["verify"]] {
        let refused = site.forebay(verb);
        assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(1), String::new()), "{verb:?}");
    }
    assert!(!keys.exists(), "another keyring was made");
    assert_eq!(contents(&site.path("data/lake")), lake);
    assert_eq!(contents(&site.path("data/spool")), spool);

    fs::rename(&away, &keys).unwrap();
    let running = site.run(&[]);
    let before = site.number("select count(*) from readings");
    let mut publisher = publisher(&broker);
    until_subscribed(&mut publisher, || site.number("select count(*) from readings") > before);
    running.stop();
}
