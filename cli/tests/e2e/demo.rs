//! `forebay demo` in its three scenarios, as a new user runs it: what it shows follows from what the plant does.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    grafana::{Psql, empty_of_lake},
    site::{Alone, Site, free_port, text, until, wall_micros},
};

/// How long readings are taken; the plant's recordings are replayed within it, whatever it is.
const LENGTH: &str = "40s";
/// Start, history, readings and the rest of a run; generous, since three run at once on few cores.
const RUN_MAX: Duration = Duration::from_secs(240);

/// A demo in a folder of its own, given as a place with the demo's own configuration.
struct Demo {
    site: Site,
    child: Child,
    /// In µs since 1970.
    started: i64,
}

impl Demo {
    fn start(scenario: &str, length: &str) -> Self {
        Self::start_in(Site::new(), scenario, length)
    }

    fn start_in(site: Site, scenario: &str, length: &str) -> Self {
        let file = |name| File::create(site.path(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_forebay"))
            .arg("--data-dir")
            .arg(site.folder.path())
            .args(["demo", "--scenario", scenario, "--for", length])
            .env("NO_COLOR", "1")
            .stdout(file("demo.out"))
            .stderr(file("demo.err"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            site,
            child,
            started: wall_micros(),
        }
    }

    /// Its site once it has ended with 0, and what it printed.
    fn ended(mut self) -> (Site, String, i64) {
        let mut status = None;
        let ended = until(RUN_MAX, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        if ended.is_err() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
        let read = |name| fs::read_to_string(self.site.path(name)).unwrap();
        let (out, err) = (read("demo.out"), read("demo.err"));
        assert_eq!(
            status.and_then(|status| status.code()),
            Some(0),
            "{out}\n{err}"
        );
        (self.site, out, self.started)
    }
}

/// Seconds from a demo's start to the first of a table's rows, by its column of this machine's time.
fn shown_after(site: &Site, started: i64, at: &str, from: &str) -> f64 {
    (float(
        site,
        &format!("select cast(min({at}) as bigint) from {from}"),
    ) - started as f64)
        / 1e6
}

fn float(site: &Site, sql: &str) -> f64 {
    let rows = site.rows(sql);
    rows.first()
        .and_then(|row| row.parse().ok())
        .unwrap_or_else(|| panic!("{sql} answers {rows:?}"))
}

/// The report whose path a demo has printed.
fn report(out: &str) -> String {
    let (_, after) = out.split_once("Report, for a browser: ").expect(out);
    let path = after.lines().next().unwrap();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Mean of the newest forecast.
fn forecast(site: &Site) -> f64 {
    float(
        site,
        "select avg(value) from predictions where issued_at = (select max(issued_at) from predictions)",
    )
}

/// Seconds from the pump's first reading to what is warned of first.
fn warned_after(site: &Site) -> f64 {
    let first = "select cast(min(event_time) as bigint) from readings where device like 'pump-%'";
    let warned = "select cast(min(first_seen) as bigint) from alerts";
    (float(site, warned) - float(site, first)) / 1e6
}

#[test]
fn forecast_and_warning_follow_from_what_the_plant_does() {
    let _alone = Alone::at_last();
    let [recorded, healthy, perturbed] = ["recorded", "healthy", "perturbed"]
        .map(|s| Demo::start(s, LENGTH))
        .map(Demo::ended);
    for ((site, out, started), warns) in [(&recorded, true), (&healthy, false), (&perturbed, true)]
    {
        assert_eq!(
            site.number("select count(*) from alerts") > 0,
            warns,
            "{out}"
        );
        assert_eq!(out.contains("Failure warnings:"), warns, "{out}");
        assert_eq!(out.contains("No failure warning."), !warns, "{out}");
        assert!(
            out.contains("The newest forecast of the feeder's load"),
            "{out}"
        );
        for device in ["pump-", "press-", "feeder-287"] {
            let of = format!(
                "select count(*) from readings where device like '{device}%' and quality = 0"
            );
            assert!(site.number(&of) > 20, "{device} was hardly heard: {out}");
        }
        assert!(
            site.number("select count(*) from windows where site = 'demo'") > 2,
            "{out}"
        );
        assert_eq!(site.verify().0, 0, "{}", site.verify().1);
        let report = report(out);
        for shown in ["Forebay demo", "pump-7", "90 % interval", "feeder-forecast"] {
            assert!(
                report.contains(shown),
                "{shown} is not in the report: {out}"
            );
        }
        assert_eq!(report.contains("class=\"shade\""), warns, "{out}");
        // Whoever warns of nothing must have looked.
        let scores = site
            .number("select count(*) from scores where device like 'pump-%' and score is not null");
        assert!(scores >= 3, "the pump was judged {scores} times: {out}");
        let window = format!("windows where cast(window_start as bigint) >= {started}");
        let forecast =
            "job_runs where job = 'feeder-forecast' and state = 'succeeded' and rows_written > 0";
        let mut shown = vec![("closed_at", window.as_str()), ("finished_at", forecast)];
        shown.extend(warns.then_some(("changed_at", "alerts")));
        for (at, from) in shown {
            let seconds = shown_after(site, *started, at, from);
            assert!(seconds < 60.0, "{seconds} s to the first of {from}: {out}");
        }
    }
    let [recorded, healthy, perturbed] = [recorded.0, healthy.0, perturbed.0];
    // Demand is higher by 30 % in the last days, and nowhere else.
    let [base, same, higher] = [&recorded, &healthy, &perturbed].map(forecast);
    assert!(
        higher > 1.15 * base,
        "{higher} MW are forecast for a higher demand, {base} for the recorded one"
    );
    assert!(
        (same - base).abs() < 0.1 * base,
        "{same} MW are forecast beside a healthy pump, {base} beside the other"
    );
    // The failure comes after two fifths instead of four fifths.
    let [late, soon] = [&recorded, &perturbed].map(warned_after);
    assert!(
        soon < late - 5.0,
        "warned after {soon} s of the sooner failure, after {late} s of the recorded one"
    );

    panels_have_data(&recorded);

    // The folder can be used again, and what was there stays.
    let counts = |site: &Site| {
        ["readings", "predictions"]
            .map(|table| site.number(&format!("select count(*) from {table}")))
    };
    let before = counts(&healthy);
    let (again, out, _) = Demo::start_in(healthy, "healthy", "15s").ended();
    assert!(
        out.contains(&format!(
            " {} of them new;",
            again.number("select count(*) from readings") - before[0]
        )),
        "{out}"
    );
    let after = counts(&again);
    assert!(
        after[0] > before[0] && after[1] > before[1],
        "{before:?}, then {after:?}: {out}"
    );
    assert_eq!(again.number("select count(*) from alerts"), 0, "{out}");
    assert_eq!(again.verify().0, 0, "{}", again.verify().1);
    // An earlier run's warnings are not this one's, although its alerts are resolved only now.
    let (other, out, started) = Demo::start_in(perturbed, "healthy", "15s").ended();
    assert!(out.contains("No failure warning."), "{out}");
    // Of the other past only the last days are another.
    let past =
        format!("readings where device = 'feeder-287' and cast(event_time as bigint) < {started}");
    let distinct = format!("select count(*) from (select distinct event_time, value from {past})");
    assert_eq!(
        other.number(&format!("select count(*) from {past}")),
        other.number(&distinct),
        "imported twice"
    );
}

/// Panels of which the demo's plant has nothing to show: nothing bad, no outage, no gap, no roll-ups, no remaining
/// life, no fitted model.
const WITHOUT_DATA: [&str; 7] = [
    "plant.json: Not good, by reason",
    "plant.json: Known gaps",
    "plant.json: Long history (hourly roll-ups)",
    "machines.json: Remaining life",
    "feeders.json: Back-tests",
    "feeders.json: Outages and other events",
    "jobs.json: Models",
];

/// Asks every panel of the dashboards over the lake as Grafana does.
fn panels_have_data(site: &Site) {
    let (psql, serve) = Psql::of(site, free_port());
    let configuration = fs::read_to_string(site.config()).unwrap();
    site.configure(&format!("{configuration}\n{serve}"));
    let running = site.run(&["--role", "serve"]);
    let is_up = until(RUN_MAX, || psql.ask("select 1").is_ok());
    assert!(is_up.is_ok(), "{:?}: {}", psql.ask("select 1"), site.log());
    let boards = ["plant.json", "machines.json", "feeders.json", "jobs.json"];
    let empty: Vec<String> = boards
        .into_iter()
        .flat_map(|board| empty_of_lake(board, &psql))
        .collect();
    assert_eq!(empty, WITHOUT_DATA, "{}", site.log());
    running.stop();
}

#[test]
fn a_demo_keeps_off_other_folders_and_says_what_it_cannot_do() {
    let site = Site::new();
    site.configure("[gateway]\nid = \"mine\"\n");
    let demo = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        let ran = command
            .arg("--data-dir")
            .arg(site.folder.path())
            .arg("demo")
            .args(args)
            .output()
            .unwrap();
        (ran.status.code(), text(&ran.stderr))
    };
    for (args, code, says) in [
        (
            &[][..],
            1,
            "is not the demo's: give --data-dir a folder of its own",
        ),
        (&["--for", "0s"], 1, "at least 1s is expected"),
        (&["--for", "soon"], 2, "a duration such as"),
        (&["--scenario", "rainy"], 2, "healthy"),
    ] {
        let (found, said) = demo(args);
        assert_eq!(found, Some(code), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
    }
    assert_eq!(
        fs::read_to_string(site.config()).unwrap(),
        "[gateway]\nid = \"mine\"\n"
    );
}
