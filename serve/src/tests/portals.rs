//! The extended protocol as no driver speaks it: rows by the million, portals without end, turns that are kept.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::{
    fixture::{Site, limits},
    raw::{Raw, bind, execute, parse, query},
};
use crate::Limits;

const MANY: &str = "SELECT value FROM generate_series(1, 5000)";

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_rows_may_be_asked() {
    let site = Site::with(limits()).await;
    let mut raw = Raw::sign_in(&site, "quentin");
    for (rows_max, answers) in [(i32::MAX, 5_000), (0, 5_000), (-1, 5_000), (3, 3)] {
        let asked = [parse("", MANY), bind("", "", &[]), execute("", rows_max)];
        let (said, error) = raw.synced(&asked);
        assert_eq!(error, "");
        let rows = said.chars().filter(|kind| *kind == 'D').count();
        assert_eq!(rows, answers, "{rows_max}");
        assert!(said.ends_with(if answers == 3 { "sZ" } else { "CZ" }));
    }
    // In parts: the last one has fewer, and after it there are none.
    let asked = [
        parse("", MANY),
        bind("a", "", &[]),
        execute("a", 3_000),
        execute("a", 3_000),
        execute("a", 3_000),
    ];
    let (said, _) = raw.synced(&asked);
    let parts: Vec<usize> = said.split(['s', 'C']).map(str::len).collect();
    assert_eq!(parts, [2 + 3_000, 2_000, 0, 1], "{}", said.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_keeps_is_bounded() {
    let site = Site::with(limits()).await;
    let mut raw = Raw::sign_in(&site, "quentin");
    let full = "53200";
    // Empty statements count, and long names are refused.
    let empty: Vec<Vec<u8>> = (0..257).map(|n| parse(&n.to_string(), "")).collect();
    let (said, error) = raw.synced(&empty);
    assert_eq!(said, format!("{}EZ", "1".repeat(256)));
    assert!(
        error.contains(full) && error.contains("256 prepared statements"),
        "{error}"
    );
    let (_, error) = raw.synced(&[parse(&"x".repeat(1_000), "")]);
    assert!(error.contains("42622"), "{error}");
    // What is forgotten makes room.
    raw.send(&query("DEALLOCATE ALL"));
    assert_eq!(raw.until_ready().len(), 2);
    let (said, error) = raw.synced(&[parse("s", "SELECT $1")]);
    assert_eq!(said, "1Z", "{error}");
    let (said, error) = raw.synced(&[bind("p", "s", &[])]);
    assert!(said == "EZ" && error.contains("0 parameters are bound, 1 are expected"));
    // Portals by their number, and by their parameters.
    let portals = |count: usize, parameter: &str| -> Vec<Vec<u8>> {
        (0..count)
            .map(|n| bind(&n.to_string(), "s", &[parameter]))
            .collect()
    };
    let (said, error) = raw.synced(&portals(65, "a"));
    assert_eq!(said, format!("{}EZ", "2".repeat(64)));
    assert!(
        error.contains(full) && error.contains("64 portals"),
        "{error}"
    );
    let (said, error) = raw.synced(&portals(20, &"a".repeat(1_000_000)));
    assert_eq!(said, format!("{}EZ", "2".repeat(16)));
    assert!(
        error.contains(full) && error.contains("16777216 bytes"),
        "{error}"
    );
    // One name is one portal, and the end of a transaction, which a Sync is, frees all.
    let again: Vec<Vec<u8>> = (0..100).map(|_| bind("p", "s", &["a"])).collect();
    assert_eq!(raw.synced(&again).0, format!("{}Z", "2".repeat(100)));
    let (_, error) = raw.synced(&[execute("p", 0)]);
    assert!(
        error.contains("26000") || error.contains("34000"),
        "{error}"
    );
    // A parameter that each row would repeat.
    let long = "a".repeat(100_000);
    let asked = [bind("p", "s", &[&long]), execute("p", 0)];
    let (_, error) = raw.synced(&asked);
    assert!(error.contains("a constant of 100000 bytes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_waits_keeps_nobody_out() {
    let one = Limits {
        queries_at_once: 1,
        timeout: Duration::from_secs(4),
        ..limits()
    };
    let site = Site::with(one).await;
    let mut raw = Raw::sign_in(&site, "quentin");
    let first = [parse("s", MANY), bind("p", "s", &[]), execute("p", 1)];
    // Outside a transaction the query ends with the Sync.
    assert_eq!(raw.synced(&first).0, "12DsZ");
    assert_eq!(site.ask("basil", "SELECT 1"), "1");
    // Within one it goes on until the transaction ends,
    let begin = |raw: &mut Raw| {
        raw.send(&query("BEGIN"));
        assert_eq!(raw.until_ready().len(), 2);
        assert_eq!(raw.synced(&first).0, "12DsZ");
    };
    begin(&mut raw);
    assert_eq!(raw.synced(&[execute("p", 2)]).0, "DDsZ");
    assert!(
        site.ask("basil", "SELECT 1")
            .contains("too many queries at once")
    );
    raw.send(&query("COMMIT"));
    assert_eq!(raw.until_ready().len(), 2);
    assert_eq!(site.ask("basil", "SELECT 1"), "1");
    // or until the query times out, though its client says nothing.
    begin(&mut raw);
    let begun = Instant::now();
    while site.ask("basil", "SELECT 1") != "1" {
        assert!(begun.elapsed() < Duration::from_secs(20), "kept");
    }
    let (said, error) = raw.synced(&[execute("p", 1)]);
    assert!(
        said == "EZ" && error.contains("timed out after 4000 ms"),
        "{said} {error}"
    );
}

/// Each statement is answered before the next begins, and what was answered stays so when a later one fails.
#[tokio::test(flavor = "multi_thread")]
async fn the_statements_of_a_message_run_one_after_another() {
    let site = Site::with(limits()).await;
    let mut raw = Raw::sign_in(&site, "quentin");
    let endless = "SELECT count(*) FROM generate_series(1, 60000) a, generate_series(1, 60000) b WHERE a.value + b.value < 0";
    raw.send(&query(&format!(
        "SET statement_timeout = '1500ms'; SELECT 7; {endless}; {endless}"
    )));
    let answers: String = raw.until_ready().iter().map(|answer| answer.kind).collect();
    assert_eq!(answers, "CTDCTEZ");
    // Of the two that would not end only one was begun.
    assert_eq!(site.progress.failed.load(Ordering::Relaxed), 1);
    assert_eq!(site.progress.answered.load(Ordering::Relaxed), 1);
}
