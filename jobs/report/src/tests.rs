//! Reports over a lake, and what is said of settings that do not fit.

use std::{fs, path::Path, sync::Arc};

use forebay_jobs::{Job, RunContext};
use forebay_jobs_conformance::{TestLake, configured};
use forebay_schemas::{ErrorKind, Timestamp};
use ring::rand::SystemRandom;

use crate::ReportKind;

const HOUR: i64 = 3600;
/// Monday 2026-11-30 05:00 UTC: 06:00 in Amsterdam.
const MONDAY: i64 = 1_796_014_800;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos((MONDAY + seconds) * 1_000_000_000)
}

fn job(keys: &str) -> Box<dyn Job> {
    configured(&ReportKind, keys).unwrap_or_else(|errors| panic!("{errors}"))
}

/// A week of a boiler and of a device with a name that no page may take for markup, both up to the fire.
async fn lake(folder: &Path) -> TestLake {
    let lake = TestLake::open(folder, Arc::new(SystemRandom::new())).await;
    let week: Vec<(Timestamp, f64)> = (-168 * 4..0)
        .map(|quarter| (at(quarter * HOUR / 4), 70.0 + (quarter as f64 / 10.0).sin()))
        .collect();
    lake.put_readings("boiler-1", "steam_temp", &week).await;
    lake.put_readings("<script>alert(1)</script>", "a\"b'c", &week[..200])
        .await;
    lake
}

/// The context of a run, and what the run has written.
async fn written(job: &dyn Job, context: RunContext, data: &Path) -> (String, String) {
    let outcome = job.run(&context.in_folder(data)).await.unwrap();
    assert_eq!(outcome.results, forebay_jobs::Results::default());
    let note = outcome.note.unwrap();
    let path = note.strip_prefix("report: ").unwrap();
    (path.to_owned(), fs::read_to_string(path).unwrap())
}

#[tokio::test]
async fn a_week_of_a_plant_becomes_one_file_that_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let week =
        job("template = \"plant_week\", timezone = \"Europe/Amsterdam\", schedule = \"0 6 * * 1\"");
    let (path, html) = written(&*week, lake.context("week", at(0)), folder.path()).await;
    assert!(
        path.ends_with("reports/week/week-2026-11-30T050000Z.html"),
        "{path}"
    );
    for shown in [
        "<h1>Plant week</h1>",
        "23 – 30 Nov 2026",
        "Times are Europe/Amsterdam.",
        "<dt>Readings</dt><dd class=\"plain\">872</dd>",
        "<h2>Completeness</h2>",
        "boiler-1 · steam_temp",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "No warning was seen in this range.",
        "No event touches this range.",
        "Mon 23 Nov 2026 06:00",
    ] {
        assert!(html.contains(shown), "{shown} is not in {html}");
    }
    assert!(!html.contains("<script"), "{html}");

    // What comes later changes nothing, and the same fire writes the same file.
    lake.put_readings("boiler-1", "steam_temp", &[(at(10), 500.0)])
        .await;
    let again = written(&*week, lake.context("week", at(0)), folder.path()).await;
    assert!(again == (path, html), "another report for the same fire");
    assert_eq!(
        fs::read_dir(folder.path().join("reports/week"))
            .unwrap()
            .count(),
        1
    );
}

#[tokio::test]
async fn sections_of_ones_own_and_only_the_newest_reports_stay() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let keys = "title = \"Boilers\", keep = 2, range = \"1d\", range_end = \"latest_reading\", devices = [\"boiler-*\"], section = [\
        { title = \"Heat\", sql = \"SELECT event_time AS t, value AS v FROM readings WHERE {series} AND event_time >= {from}\", \
        chart = \"line\", x = \"t\", y = \"v\", unit = \"Cel\" }, \
        { title = \"Counts\", sql = \"SELECT device AS x, count(*) AS y FROM readings GROUP BY device ORDER BY x\", chart = \"bars\" }, \
        { title = \"Nothing\", sql = \"SELECT device FROM readings WHERE value > 1000\", chart = \"table\" } ]";
    let job = job(keys);
    // Long after the last reading: the range ends there, since the data was imported.
    for day in [20, 10, 30] {
        let context = lake.context("boilers", at(day * 24 * HOUR));
        let (_, html) = written(&*job, context, folder.path()).await;
        assert!(
            html.contains("<h1>Boilers</h1>") && html.contains("v (°C)"),
            "{html}"
        );
        assert!(html.contains("96 values"), "a day has 96 quarters: {html}");
        assert!(html.contains("The query gave no rows."), "{html}");
    }
    let mut names: Vec<String> = fs::read_dir(folder.path().join("reports/boilers"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "boilers-2026-12-20T050000Z.html",
            "boilers-2026-12-30T050000Z.html"
        ]
    );
}

#[tokio::test]
async fn a_report_that_cannot_be_written_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let job = job(&format!("template = \"machine_health\", folder = {file:?}"));
    let context = lake.context("week", at(0)).in_folder(folder.path());
    let error = job.run(&context).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(
        error.to_string().contains("cannot write the report"),
        "{error}"
    );
}

#[test]
fn what_does_not_fit_is_said_when_the_configuration_is_read() {
    let section = |keys: &str| format!("section = [{{ title = \"S\", {keys} }}]");
    let line = |sql: &str, more: &str| section(&format!("chart = \"line\"{more}, sql = \"{sql}\""));
    for (keys, message) in [
        (
            "range = \"7d\"".to_owned(),
            "job.template: a report has a template, such as \"plant_week\", or sections",
        ),
        (
            "template = \"plant_weak\"".to_owned(),
            "did you mean \"plant_week\"?",
        ),
        (
            "template = \"plant_week\", range = \"0s\"".to_owned(),
            "job.range: a second is the least",
        ),
        (
            "template = \"plant_week\", keep = 0".to_owned(),
            "job.keep: one report at least",
        ),
        (
            "template = \"plant_week\", timezone = \"Mars\"".to_owned(),
            "job.timezone: ",
        ),
        (
            "template = \"plant_week\", url = \"ftp://x\"".to_owned(),
            "s3://bucket/prefix",
        ),
        (
            "template = \"plant_week\", url = \"s3://b/p\", folder = \"f\"".to_owned(),
            "not to both",
        ),
        (
            line("SELECT event_time AS x, valu AS y FROM readings", ""),
            "job.section.sql: ",
        ),
        (line("DELETE FROM readings", ""), "job.section.sql: "),
        (
            line("SELECT 1; SELECT 2", ""),
            "2 statements, one SELECT is expected",
        ),
        (
            line("SELECT event_time AS x, value FROM readings", ""),
            "job.section.y: missing, and the query has no column \"y\" either; it has x, value",
        ),
        (
            line(
                "SELECT event_time AS x, value AS y FROM readings",
                ", lo = \"vale\"",
            ),
            "job.section.lo: the query has no column \"vale\"",
        ),
        (
            line("SELECT event_time AS x, device AS y FROM readings", ""),
            "job.section.y: column \"y\" holds texts, numbers are expected",
        ),
        (
            line("SELECT event_time AS x, value_bytes AS y FROM readings", ""),
            "which no report can show",
        ),
        (
            section("chart = \"table\", x = \"a\", sql = \"SELECT 1 AS a\""),
            "job.section.x: chart = \"table\" has no x",
        ),
        (
            section("sql = \"SELECT 1 AS a\""),
            "job.section.chart: chart is missing",
        ),
        (section("chart = \"line\""), "sql is missing"),
        (
            section("chart = \"numbers\", alarms = [\"b\"], sql = \"SELECT 1 AS a\""),
            "job.section.alarms: the query has no column \"b\"",
        ),
        (
            format!(
                "schedule = \"0 6 * * *\", {}",
                section("chart = \"table\", sql = \"SELECT {site} AS s\"")
            ),
            "only on = \"window_closed\" gives a run a window",
        ),
        (
            section("chart = \"table\", sql = \"SELECT 1 AS a\", colour = \"red\""),
            "unknown key",
        ),
    ] {
        match configured(&ReportKind, &keys) {
            Ok(_) => panic!("{keys} is taken"),
            Err(errors) => assert!(errors.to_string().contains(message), "{keys}: {errors}"),
        }
    }
}
