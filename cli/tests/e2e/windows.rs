//! Windows and the jobs that wait for them, when the process that closes them dies in between.

use std::{fs, os::unix::process::ExitStatusExt as _, process::Output, time::Duration};

use crate::site::{SIGKILL, Site, files, text};

const CONFIGURATION: &str = r#"[gateway]
id = "g1"
site = "works"
data_dir = "data"
[[job]]
name = "means"
kind = "sql"
on = "window_closed"
into = "scores"
query = "SELECT site, device, {window_end} AS event_time, avg(value) AS score, 1e9 AS limit, false AS anomalous FROM readings WHERE site = {site} AND event_time >= {window_start} AND event_time < {window_end} GROUP BY site, device"
"#;

const CSV: &str = "\
time,flow
2024-05-01T08:10:00Z,1
2024-05-01T09:10:00Z,2
2024-05-01T10:10:00Z,3
";

#[test]
fn a_kill_between_the_state_of_windows_and_their_rows_leaves_each_window_one_row_and_one_run() {
    let site = Site::new();
    site.configure(CONFIGURATION);
    fs::write(site.path("pump.csv"), CSV).unwrap();
    let csv = site.path("pump.csv").display().to_string();
    let import = |environment: &[(&str, &str)]| -> Output {
        let mut import = site.command(&["import", &csv, "--device", "pump", "--time", "time"]);
        import.envs(environment.iter().copied()).output().unwrap()
    };
    let killed = import(&[("FOREBAY_FAILPOINT", "in_windows")]);
    assert_eq!(
        killed.status.signal(),
        Some(SIGKILL),
        "{}",
        text(&killed.stderr)
    );
    assert_eq!(
        files(&site.path("data/lake/windows/_forebay/state")).len(),
        1,
        "the state is there"
    );
    assert_eq!(site.number("select count(*) from windows"), 0, "and no row");

    let again = import(&[]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let windows = "select date_part('hour', window_start), revision, rows from windows order by 1";
    assert_eq!(site.rows(windows), ["8,1,1", "9,1,1", "10,1,1"]);

    // A job that is new begins with the newest window.
    let running = site.run(&[]);
    site.until("select count(*) from job_runs", 1, Duration::from_secs(60));
    running.stop();
    assert_eq!(site.rows("select score from scores"), ["3.0"]);
    assert_eq!(
        site.rows("select state, attempt from job_runs"),
        ["succeeded,1"]
    );
    assert_eq!(site.verify().0, 0);
}

#[test]
fn a_back_fill_runs_over_the_windows_that_were_there_before_the_job() {
    let site = Site::new();
    site.configure(CONFIGURATION);
    fs::write(site.path("pump.csv"), CSV).unwrap();
    let csv = site.path("pump.csv").display().to_string();
    let import = site.forebay(&["import", &csv, "--device", "pump", "--time", "time"]);
    assert!(import.status.success(), "{}", text(&import.stderr));
    let range = [
        "--from",
        "2024-05-01T09:00:00Z",
        "--to",
        "2024-05-01T11:00:00Z",
    ];
    let jobs = |verb: &[&str], more: &[&str]| -> (String, String) {
        let args: Vec<&str> = ["jobs"].iter().chain(verb).chain(more).copied().collect();
        let output = site.forebay(&args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        (text(&output.stdout), text(&output.stderr))
    };
    let graph = jobs(&["graph"], &range).0;
    assert!(
        graph.contains("0 done, 0 waiting, 0 late, 0 failed, 2 missing"),
        "windows that end at 09:00 and 10:00: {graph}"
    );
    let dry = jobs(&["backfill", "means", "--dry-run"], &range).0;
    let scores: Vec<&str> = dry.lines().collect();
    assert_eq!(scores.len(), 2, "{dry}");
    assert!(
        scores[0].contains("\"table\":\"scores\"") && scores[0].contains("\"score\":1.0"),
        "{dry}"
    );
    assert_eq!(site.number("select count(*) from scores"), 0, "a dry run");
    let told = jobs(&["backfill", "means"], &range).1;
    assert!(
        told.contains("2 fires succeeded, 0 failed, 2 rows"),
        "{told}"
    );
    let again = jobs(&["backfill", "means"], &range).1;
    assert!(again.contains("2 fires have run before"), "{again}");
    jobs(&["run", "means", "--at", "2024-05-01T11:00"], &[]);
    let by_time = "select score from scores order by event_time, score";
    assert_eq!(site.rows(by_time), ["1.0", "2.0", "3.0"]);
    let logs = jobs(&["logs", "means"], &[]).0;
    assert!(
        logs.contains("means-backfill-1 ") && logs.contains("1 rows"),
        "{logs}"
    );
    let graph = jobs(&["graph"], &range).0;
    assert!(graph.contains("2 done, 0 waiting"), "{graph}");
    let show = jobs(&["show", "means"], &[]).0;
    assert!(show.contains("trigger     window_closed"), "{show}");
    assert!(jobs(&["models", "list"], &[]).0.is_empty());
    let nothing = site.forebay(&["jobs", "cancel", "means"]);
    assert_eq!(nothing.status.code(), Some(1), "nothing waits or runs");
}
