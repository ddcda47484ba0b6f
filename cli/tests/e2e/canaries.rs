//! What lies on disk after readings went through the running binary, the spool as the stream: nothing in clear, nothing
//! without its key.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use forebay_schemas::{
    DeviceId, Epoch, EpochNonce, GatewayId, Lane, LaneId, Reading, Seq, Series, SiteId, Status,
    TagName, Timestamp, Value,
    table::{READINGS, TABLES},
    wire::ReadingBatch,
};

use crate::site::{Broker, Peer, Running, Site, files, python, text, until};

const MINUTE: Duration = Duration::from_secs(60);
const MQTT: &str = "connectors/mqtt/tests/peer.py";
const READ_WITH_KEYRING: &str = "lake/tests/read_with_keyring.py";

const DEVICE: &str = "canary-device-5b1f";
const TAG: &str = "canary-tag-93aa";
const TEXT: &str = "canary-text-c07e";
const UNIT: &str = "canary-unit-1d64";
const CANARIES: [&str; 4] = [DEVICE, TAG, TEXT, UNIT];

/// Commits soon after what was published.
const SOON: &str = "commit_interval = \"200ms\"";
/// That, and within a minute or two merged files and a checkpoint of the log.
const EVERYTHING: &str = "commit_interval = \"200ms\"\nmerge_every = \"1s\"\nmerge_settled = \"0s\"\nlog_retention = \"1m\"";

const TEXTS: &str = "select count(distinct value_text) from readings";

/// Where a site keeps what must not be readable: all but its log and its configuration.
const DATA: &str = "data";

/// With more lines for `[lake]`.
fn configured(profile: &str, lake: &str) -> (Site, Broker) {
    let site = Site::new();
    let broker = Broker::start("allow_anonymous true\nmax_queued_messages 0");
    site.configure(&format!(
        "[gateway]\nid = \"g1\"\nsite = \"werk\"\ndata_dir = \"{DATA}\"\n\
         [lake]\nwindow = \"1s\"\nlateness = \"1s\"\nidle_timeout = \"1s\"\nprofile = \"{profile}\"\n{lake}\n\
         [[connector]]\nname = \"cells\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{}\"\nversion = 5\n\
         client_id = \"forebay-test\"\ntopics = [\"site/#\"]\n\
         [[connector.tag]]\ntopic = \"site/{{device}}/cell/{{tag}}\"\nvalue = \"$.v\"\nunit = \"{UNIT}\"\n",
        broker.port
    ));
    (site, broker)
}

fn publisher(broker: &Broker) -> Peer {
    Peer::start(
        MQTT,
        &format!(r#"{{"port": {}, "version": 5}}"#, broker.port),
    )
}

/// Numbered texts; numbers make them different, so that each is a reading of its own.
fn publish(publisher: &mut Peer, numbers: std::ops::Range<u32>) {
    let payloads: Vec<String> = numbers
        .map(|n| format!(r#""{{\"v\": \"{TEXT} {n}\"}}""#))
        .collect();
    let command = format!(
        r#"{{"topic": "site/{DEVICE}/cell/{TAG}", "payloads": [{}]}}"#,
        payloads.join(", ")
    );
    assert_eq!(publisher.ask(&command), "done");
}

/// What is published before the connector has subscribed goes nowhere: numbers until one has come through.
fn until_subscribed(publisher: &mut Peer, mut has_come: impl FnMut() -> bool) {
    let mut numbers = 1..;
    let probed = || {
        let n = numbers.next().unwrap();
        publisher.ask(&format!(
            r#"{{"topic": "site/{DEVICE}/cell/{TAG}", "first": {n}, "last": {n}}}"#
        ));
        has_come()
    };
    until(MINUTE, probed).expect("the connector subscribes");
}

/// Each find as (word, how, file), and how many streams were decompressed.
fn finds(site: &Site) -> (Vec<(String, String, PathBuf)>, u64) {
    let looked = python("cli/tests/e2e/canaries.py")
        .arg(site.path(DATA))
        .args(CANARIES)
        .output()
        .unwrap();
    assert!(looked.status.success(), "{}", text(&looked.stderr));
    let out = text(&looked.stdout);
    let mut lines: Vec<&str> = out.lines().collect();
    let last = lines.pop().unwrap().split('\t').collect::<Vec<_>>();
    let [_, files, streams] = last[..] else {
        panic!("{out}")
    };
    assert!(files.parse::<u64>().unwrap() > 8, "{out}");
    let find = |line: &&str| {
        let parts: Vec<&str> = line.split('\t').collect();
        (
            parts[0].to_owned(),
            parts[1].to_owned(),
            PathBuf::from(parts[2]),
        )
    };
    (lines.iter().map(find).collect(), streams.parse().unwrap())
}

fn data_files(site: &Site) -> Vec<PathBuf> {
    let files = files(&site.path("data/lake/readings"));
    let data = |file: &PathBuf| !file.to_string_lossy().contains("_delta_log");
    files
        .into_iter()
        .filter(|file| data(file) && file.extension().is_some_and(|e| e == "parquet"))
        .collect()
}

/// Without what was removed in between.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(folder)
        .into_iter()
        .filter_map(|file| fs::read(&file).ok().map(|bytes| (file, bytes)))
        .collect()
}

/// Entries of a table's log that have an action of this kind.
fn entries_with(site: &Site, table: &str, action: &str) -> usize {
    let log = contents(&site.path("data/lake").join(table).join("_delta_log"));
    log.values()
        .filter(|entry| text(entry).contains(&format!("{{\"{action}\":")))
        .count()
}

fn entries_that_add(site: &Site) -> usize {
    TABLES
        .iter()
        .map(|table| entries_with(site, table.name, "add"))
        .sum()
}

/// A site through whose binary the canaries went until they were committed and windows closed.
fn with_canaries(profile: &str, lake: &str) -> (Site, Broker) {
    let (site, broker) = configured(profile, lake);
    let running = site.run(&[]);
    let mut publisher = publisher(&broker);
    until_subscribed(&mut publisher, || {
        site.number_yet("select count(*) from readings") > 0
    });
    // Each round is a file at least, and eight are merged.
    for round in 0..10_u32 {
        publish(&mut publisher, round * 40..(round + 1) * 40);
        site.until(TEXTS, i64::from(round + 1) * 40, MINUTE);
    }
    site.until("select count(*) from windows", 1, MINUTE);
    if lake == EVERYTHING {
        until(MINUTE, || entries_with(&site, "readings", "remove") > 0)
            .expect("small files are merged");
        let log = site.path("data/lake/readings/_delta_log");
        let is_checkpoint =
            |path: &PathBuf| path.to_string_lossy().ends_with(".checkpoint.parquet");
        until(3 * MINUTE, || files(&log).iter().any(is_checkpoint))
            .expect("the log has a checkpoint");
    }
    running.stop();
    assert_eq!(site.verify().0, 0, "{}", site.verify().1);
    (site, broker)
}

fn read_with(keyring: &Path, file: &Path) -> Output {
    python(READ_WITH_KEYRING)
        .args([keyring, file])
        .output()
        .unwrap()
}

#[test]
fn canaries_lie_nowhere_in_clear_and_open_only_with_the_keyring() {
    let (site, _broker) = with_canaries("columns", EVERYTHING);
    let (found, _) = finds(&site);
    assert!(found.is_empty(), "in clear: {found:?}");
    assert!(
        !files(&site.path("data/lake/readings/_forebay")).is_empty(),
        "state objects are among what was searched"
    );

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
            assert!(
                read.contains(&format!("\"{}\": [", column.name)),
                "{} is not in {read:.300}",
                column.name
            );
        }
        for canary in [DEVICE, TAG, UNIT] {
            assert!(
                read.contains(canary),
                "{canary} is not in {}",
                file.display()
            );
        }
        for refused in [
            python(READ_WITH_KEYRING)
                .arg("--without-keys")
                .arg(file)
                .output()
                .unwrap(),
            read_with(&other.path("data/keys/keyring.json"), file),
        ] {
            assert!(!refused.status.success(), "{} opened", file.display());
            assert_eq!(
                text(&refused.stdout),
                "",
                "something was told before it failed"
            );
        }
    }
    assert!(texts >= 400, "{texts} texts in all files");
}

/// Shows that the search finds what is there: in bytes, in decompressed pages, in tables. The spool is sealed all the same.
#[test]
fn the_control_run_without_encryption_is_found_by_the_same_search() {
    let (site, _broker) = with_canaries("none", EVERYTHING);
    let (found, streams) = finds(&site);
    assert!(streams > 0, "nothing could be decompressed");
    for canary in CANARIES {
        for how in ["raw", "frame", "table"] {
            let is_it = |find: &&(String, String, PathBuf)| find.0 == canary && find.1 == how;
            let place = found.iter().find(is_it).map(|(_, _, file)| file);
            // Texts are all different and stand in pages that compression changes; names stand in one dictionary each,
            // which may be too short to be compressed at all.
            assert!(
                place.is_some() || (canary, how) == (TEXT, "raw"),
                "{canary} is not found as {how}: {found:?}"
            );
        }
    }
    for (canary, _, file) in &found {
        assert!(
            file.starts_with("lake"),
            "{canary} lies in clear in {}",
            file.display()
        );
        assert!(
            !file.starts_with("lake/readings/_forebay"),
            "{canary} lies in clear in {}",
            file.display()
        );
    }
}

/// What so many texts take at least.
fn texts_bytes(count: usize) -> usize {
    count * TEXT.len()
}

/// The spool is sealed whatever the lake's profile is.
#[test]
fn what_waits_in_the_spool_is_sealed_too() {
    let (site, broker) = configured("none", "commit_interval = \"1h\"");
    let running = site.run(&[]);
    let mut publisher = publisher(&broker);
    until(MINUTE, || log_has(&site, "consuming")).expect("it runs");
    let empty = site.spooled();
    until_subscribed(&mut publisher, || site.spooled() > empty);
    let before = site.spooled();
    publish(&mut publisher, 0..200);
    until(MINUTE, || site.spooled() > before + texts_bytes(200))
        .expect("all texts are in the spool");
    running.kill();
    let (found, _) = finds(&site);
    assert!(found.is_empty(), "in clear: {found:?}");
    assert_eq!(
        data_files(&site),
        Vec::<PathBuf>::new(),
        "nothing was committed: all was in the spool"
    );
    // The search would find what a record holds if it were not sealed: nothing else is done to it.
    fs::write(site.path("data/spool/unsealed"), unsealed()).unwrap();
    let found: Vec<String> = finds(&site)
        .0
        .into_iter()
        .map(|(canary, _, _)| canary)
        .collect();
    assert_eq!(found, CANARIES);
}

/// A record of the spool, in clear.
fn unsealed() -> Vec<u8> {
    let at = Timestamp::from_nanos(1);
    let series = Series {
        site: SiteId::new("werk").unwrap(),
        device: DeviceId::new(DEVICE).unwrap(),
        tag: TagName::new(TAG).unwrap(),
    };
    let (value, unit) = (Some(Value::Text(TEXT.into())), Some(UNIT.into()));
    let reading = Reading {
        series,
        event_time: at,
        observed_time: at,
        value,
        unit,
        status: Status::GOOD,
    };
    let lane = LaneId {
        gateway: GatewayId::new("g1").unwrap(),
        lane: Lane(0),
    };
    ReadingBatch {
        lane,
        epoch: Epoch(1),
        nonce: EpochNonce::UNKNOWN,
        first_seq: Seq(1),
        readings: vec![reading],
    }
    .encode()
}

fn log_has(site: &Site, part: &str) -> bool {
    fs::read_to_string(site.path("run.log"))
        .unwrap_or_default()
        .contains(part)
}

/// A gateway at work whose first readings need a key that cannot be had: the keyring went away after the start.
fn deprived() -> (Site, Broker, Peer, Running) {
    let (site, broker) = configured("columns", SOON);
    let running = site.run(&[]);
    let mut publisher = publisher(&broker);
    until(MINUTE, || log_has(&site, "consuming")).expect("it runs");
    fs::rename(site.path("data/keys"), site.path("keys-away")).unwrap();
    until_subscribed(&mut publisher, || {
        log_has(&site, "a key cannot be had, waiting for it")
    });
    (site, broker, publisher, running)
}

#[test]
fn a_missing_key_stops_commits_until_it_is_back_and_nothing_is_written_clear() {
    let (site, _broker, mut publisher, mut running) = deprived();
    let (before, committed) = (site.spooled(), entries_that_add(&site));
    publish(&mut publisher, 0..200);
    until(MINUTE, || site.spooled() > before + texts_bytes(200))
        .expect("the spool keeps what waits for the key");
    // Windows and housekeeping go by meanwhile.
    until(MINUTE, || {
        let log = fs::read_to_string(site.path("run.log")).unwrap();
        let count = |words: &str| log.matches(words).count();
        count("a key cannot be had") + count("a key is unavailable") > 3
    })
    .unwrap();
    assert!(
        running.is_up(),
        "{}",
        fs::read_to_string(site.path("run.log")).unwrap()
    );
    assert_eq!(
        data_files(&site),
        Vec::<PathBuf>::new(),
        "something was written although its key is missing"
    );
    assert_eq!(
        entries_that_add(&site),
        committed,
        "something was committed although a key is missing"
    );
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
    let (site, broker) = with_canaries("columns", SOON);
    let (keys, away) = (site.path("data/keys"), site.path("keys-away"));
    fs::rename(&keys, &away).unwrap();
    let (lake, spool) = (
        contents(&site.path("data/lake")),
        contents(&site.path("data/spool")),
    );
    let refused = site.forebay(&["run"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains("its keyring is not at"),
        "{}",
        text(&refused.stderr)
    );
    for verb in [&["query", "select * from readings"][..], &["verify"]] {
        let refused = site.forebay(verb);
        assert_eq!(
            (refused.status.code(), text(&refused.stdout)),
            (Some(1), String::new()),
            "{verb:?}"
        );
    }
    assert!(!keys.exists(), "another keyring was made");
    assert_eq!(contents(&site.path("data/lake")), lake);
    assert_eq!(contents(&site.path("data/spool")), spool);

    fs::rename(&away, &keys).unwrap();
    let running = site.run(&[]);
    let before = site.number("select count(*) from readings");
    let mut publisher = publisher(&broker);
    until_subscribed(&mut publisher, || {
        site.number_yet("select count(*) from readings") > before
    });
    running.stop();
}
