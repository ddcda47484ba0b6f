//! What `deploy/` holds is true: its configurations are valid, its exit codes are ours, and every metric that its dashboard and
//! its alerts name is on the page of a gateway at work.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::Duration,
};

use forebay_telemetry::names;

use crate::{
    grafana,
    site::{Broker, Peer, Site, free_port, text, until},
    watchers::{get, prometheus},
};

const MINUTE: Duration = Duration::from_secs(60);

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("deploy")
        .join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(deploy(path)).unwrap()
}

/// The configuration that stands in a manifest's ConfigMap.
pub(crate) fn in_manifest(path: &str) -> String {
    let manifest = read(path);
    let inside = manifest.split_once("  forebay.toml: |\n").unwrap().1;
    let lines = inside
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    lines
        .map(|line| line.strip_prefix("    ").unwrap_or_default().to_owned() + "\n")
        .collect()
}

#[test]
fn every_configuration_is_valid() {
    let variables = [
        "POD_NAME",
        "KAFKA_USER",
        "KAFKA_PASSWORD",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ];
    for (path, configuration) in [
        ("debian/forebay.toml", read("debian/forebay.toml")),
        ("kubernetes/edge.yaml", in_manifest("kubernetes/edge.yaml")),
        (
            "kubernetes/compactor.yaml",
            in_manifest("kubernetes/compactor.yaml"),
        ),
        ("kubernetes/jobs.yaml", in_manifest("kubernetes/jobs.yaml")),
    ] {
        let site = Site::new();
        site.configure(&configuration);
        let mut validate = site.command(&["validate"]);
        let validated = validate
            .envs(variables.map(|name| (name, "x")))
            .output()
            .unwrap();
        assert!(
            validated.status.success(),
            "{path}: {}",
            text(&validated.stderr)
        );
    }
}

/// The unit's keys and values, by section; a key may come twice.
fn unit() -> BTreeMap<String, Vec<(String, String)>> {
    let mut sections: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut section = String::new();
    for line in read("systemd/forebay.service")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        match line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            Some(name) => section = name.to_owned(),
            None => {
                let (key, value) = line
                    .split_once('=')
                    .unwrap_or_else(|| panic!("{line:?} is no setting"));
                sections
                    .entry(section.clone())
                    .or_default()
                    .push((key.to_owned(), value.to_owned()));
            }
        }
    }
    sections
}

#[test]
fn the_unit_starts_what_there_is_and_does_not_retry_what_cannot_mend_itself() {
    let unit = unit();
    assert_eq!(
        unit.keys().collect::<Vec<_>>(),
        ["Install", "Service", "Unit"]
    );
    let service: BTreeMap<_, _> = unit["Service"].iter().cloned().collect();
    assert_eq!(
        service["ExecStart"],
        "/usr/bin/forebay -c /etc/forebay/forebay.toml run"
    );
    assert_eq!(
        service["Type"], "notify",
        "`forebay run` tells systemd that it is ready"
    );
    let not_retried: Vec<&str> = service["RestartPreventExitStatus"].split(' ').collect();
    let site = Site::new();
    site.configure("[gatway]\n");
    for (args, what) in [
        (&["run"] as &[&str], "a bad configuration"),
        (&["run", "--rol"], "bad usage"),
    ] {
        let code = site.forebay(args).status.code().unwrap().to_string();
        assert!(
            not_retried.contains(&code.as_str()),
            "{what} exits {code}, which the unit retries"
        );
    }
}

/// The names of metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text
        .split(|c| !is_name(c))
        .filter(|word| word.starts_with("forebay_"));
    words.map(str::to_owned).collect()
}

fn page(port: u16) -> String {
    get(port, "/metrics")
}

/// The value of the first of a metric's lines that hold all of the labels.
fn value(page: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let found = page.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('{'))
            && labels.iter().all(|label| line.contains(label))
    });
    found?.rsplit(' ').next()?.parse().ok()
}

/// What a collector has been sent of a kind.
fn come(collector: &mut Peer, kind: &str) -> Vec<serde_json::Value> {
    let mut come: serde_json::Value = serde_json::from_str(&collector.ask("all")).unwrap();
    serde_json::from_value(come[kind].take()).unwrap()
}

/// Whether a span of each name is there, and of no other.
fn are_all(spans: &[serde_json::Value]) -> bool {
    let names: BTreeSet<&str> = spans
        .iter()
        .map(|span| span["name"].as_str().unwrap())
        .collect();
    // Only where there is a Kafka.
    let here = names::SPANS.into_iter().filter(|name| *name != "publish");
    names == here.collect()
}

fn check_traces(collector: &mut Peer) {
    let spans = come(collector, "spans");
    assert!(are_all(&spans), "{spans:?}");
    assert!(
        spans.iter().all(|span| span["gateway"] == "g1"),
        "{spans:?}"
    );
    let of = |name: &'static str| spans.iter().filter(move |span| span["name"] == name);
    let is = |span: &serde_json::Value, key: &str, least: i64| {
        span["attributes"][key].as_i64().unwrap() >= least
    };
    assert!(
        of("commit").any(|commit| is(commit, "readings", 5) && commit["error"].is_null()),
        "{spans:?}"
    );
    let received: BTreeSet<&str> = of("receive")
        .filter_map(|span| span["id"].as_str())
        .collect();
    let mut links = of("commit").flat_map(|span| span["links"].as_array().unwrap());
    assert!(
        links.any(|link| received.contains(link.as_str().unwrap())),
        "no commit names what it came from: {spans:?}"
    );
    assert!(of("merge").all(|merge| is(merge, "files", 2)), "{spans:?}");
    assert!(
        of("close_windows").all(|closing| closing["attributes"]["site"] == "works"),
        "{spans:?}"
    );
    for job in of("job") {
        let error = job["error"].as_str().unwrap_or_default();
        let is_broken = job["attributes"]["job"] == "broken";
        assert!(
            is(job, "run_attempt", 1) && error.contains("Divide by zero") == is_broken,
            "{job}"
        );
    }
    let lines = come(collector, "logs");
    assert!(
        lines
            .iter()
            .any(|line| line["body"] == "connected to the broker"
                && line["attributes"]["connector"] == "cells"),
        "{lines:?}"
    );
}

/// What is shown is what `forebay metrics` lists, of the same type.
fn check_types(page: &str) {
    let types = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE forebay_"));
    let shown: Vec<String> = types.map(|rest| format!("forebay_{rest}")).collect();
    let listed = |shown: &String| {
        names::ALL
            .iter()
            .any(|metric| *shown == format!("{} {}", metric.prometheus_name(), metric.kind.name()))
    };
    let unlisted: Vec<_> = shown.iter().filter(|shown| !listed(shown)).collect();
    assert!(unlisted.is_empty(), "{unlisted:?} of {shown:?}");
    assert!(shown.len() > 20, "{shown:?}");
}

#[test]
fn every_metric_that_is_watched_is_on_the_page_of_a_gateway_at_work() {
    let site = Site::new();
    let broker = Broker::start("allow_anonymous true");
    let mut collector = Peer::start("cli/tests/e2e/collector.py", "");
    let port = free_port();
    let query = "SELECT site, device, {window_end} AS event_time, avg(value) AS score, 1e9 AS limit, false AS anomalous \
                 FROM readings WHERE site = {site} AND event_time >= {window_start} GROUP BY site, device";
    site.configure(&format!(
        "[gateway]\nid = \"g1\"\nsite = \"works\"\ndata_dir = \"data\"\n\
         [lake]\ncommit_interval = \"300ms\"\nwindow = \"1s\"\nlateness = \"1s\"\nidle_timeout = \"1s\"\n\
         merge_every = \"1s\"\nmerge_settled = \"0s\"\n\
         [telemetry]\nprometheus_listen = \"127.0.0.1:{port}\"\notlp_endpoint = \"http://127.0.0.1:{}\"\n\
         [[alert]]\nname = \"disk\"\non = \"disk\"\nabove = 99\n\
         [[connector]]\nname = \"cells\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{}\"\nversion = 5\n\
         client_id = \"forebay-test\"\ntopics = [\"site/+/cell/#\"]\n\
         [[connector.tag]]\ntopic = \"site/{{device}}/cell/{{tag}}\"\nvalue = \"$.v\"\n\
         [[job]]\nname = \"means\"\nkind = \"sql\"\non = \"window_closed\"\ninto = \"scores\"\nquery = \"{query}\"\n\
         [[job]]\nname = \"broken\"\nkind = \"sql\"\non = \"window_closed\"\ninto = \"scores\"\nretries = 0\n\
         query = \"{}\"\n",
        collector.first_line,
        broker.port,
        query.replace("avg(value)", "1.0 * (1 / (count(*) - count(*)))")
    ));
    let told = site.path("notify");
    let systemd = UnixDatagram::bind(&told).unwrap();
    systemd.set_read_timeout(Some(MINUTE)).unwrap();
    let running = site.run_with(&[], &[("NOTIFY_SOCKET", told.to_str().unwrap())]);
    let mut said = [0; 64];
    let bytes = systemd
        .recv(&mut said)
        .expect("systemd hears that the service is ready");
    assert_eq!(text(&said[..bytes]), "READY=1");

    let mut publisher = Peer::start(
        "connectors/mqtt/tests/peer.py",
        &format!(r#"{{"port": {}, "version": 5}}"#, broker.port),
    );
    let mut last = String::new();
    let ran = until(2 * MINUTE, || {
        publisher.ask(r#"{"topic": "site/c-7/cell/volts", "first": 1, "last": 5}"#);
        last = page(port);
        value(
            &last,
            "forebay_job_runs_total",
            &["job=\"means\"", "state=\"succeeded\""],
        )
        .is_some_and(|runs| runs >= 1.0)
            && are_all(&come(&mut collector, "spans"))
    });
    assert!(ran.is_ok(), "no job has run, or nothing was merged: {last}");
    for (metric, labels) in [
        ("forebay_received_total", "connector=\"cells\""),
        ("forebay_committed_total", "otel_scope_name"),
        ("forebay_link_up", "connector=\"cells\""),
    ] {
        assert!(
            value(&last, metric, &[labels]).is_some_and(|value| value >= 1.0),
            "{metric}: {last}"
        );
    }
    grafana::every_metric_has_data(&prometheus(&site, port));
    let delay = value(
        &last,
        "forebay_watermark_delay_seconds",
        &["site=\"works\""],
    )
    .unwrap();
    assert!(
        (0.0..600.0).contains(&delay),
        "the watermark is {delay} s behind"
    );
    let device = "device=\"c-7\"";
    let table = "table=\"readings\"";
    let age = value(&last, "forebay_freshness_seconds", &[table, device]).unwrap();
    let part = |part: &str| {
        let label = format!("part=\"{part}\"");
        value(&last, "forebay_device_age_seconds", &[device, &label]).unwrap()
    };
    let parts = ["source", "spool", "stream", "commit", "since"].map(part);
    let sum: f64 = parts.iter().sum();
    // Two looks at the clock, one after the other.
    assert!((age - sum).abs() < 0.5, "{age} s are not {parts:?}");
    let waiting = value(&last, "forebay_lag", &["lane=\"0\""]).unwrap();
    assert!(
        (0.0..10_000.0).contains(&waiting),
        "{waiting} records wait in the spool"
    );
    assert_eq!(
        value(
            &last,
            "forebay_job_runs_total",
            &["job=\"means\"", "state=\"failed\""]
        ),
        Some(0.0)
    );
    running.stop();
    check_traces(&mut collector);

    check_types(&last);
    let mut shown = metrics_in(&last);
    // Only where there is a Kafka.
    shown.insert(names::PUBLISHED.prometheus_name());
    for file in [
        "grafana/forebay.json",
        "prometheus/alerts.yml",
        "prometheus/alerts.test.yml",
    ] {
        let watched = metrics_in(&read(file));
        assert!(watched.len() > 3, "{file} watches {watched:?}");
        let absent: Vec<_> = watched.difference(&shown).collect();
        assert!(
            absent.is_empty(),
            "{file} watches what no gateway shows: {absent:?} is not in {shown:?}"
        );
    }
}

#[test]
fn a_keyring_for_a_cluster_holds_the_keys_of_its_sites() {
    let site = Site::new();
    site.configure("[keys]\npath = \"keys\"\n");
    let init = |args: &[&str]| site.forebay(&[&["keys", "init"], args].concat());
    let keys = || fs::read_to_string(site.path("keys/keyring.json")).unwrap();
    assert!(init(&["--site", "plant-1"]).status.success());
    let first = keys();
    assert_eq!(
        init(&[]).status.code(),
        Some(1),
        "a keyring is never replaced"
    );
    assert!(
        init(&["--site", "plant-1", "--site", "plant-2"])
            .status
            .success()
    );
    let both = keys();
    let names: Vec<bool> = ["plant-1", "plant-2"]
        .iter()
        .map(|name| both.contains(name))
        .collect();
    assert_eq!(names, [true, true]);
    let of_the_first: Vec<&str> = first
        .lines()
        .filter(|line| line.contains("\"1\":"))
        .collect();
    assert!(
        of_the_first
            .iter()
            .all(|line| both.contains(line.trim().trim_end_matches(','))),
        "no key has changed"
    );
    assert_eq!(init(&["--site", "a\nb"]).status.code(), Some(1));
}
