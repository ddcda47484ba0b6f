//! A query's limits, each named by its error; and statements as deep as they may be.

use std::{process::Stdio, time::Duration};

use tokio::time::Instant;

use super::fixture::{Site, limits};
use crate::{Limits, guard::NESTING_TOKENS_MAX};

/// How long any statement may keep the role busy that is not a query under way, in a build without optimization.
const STATEMENT_TIME_MAX: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_has_its_error() {
    let tight = Limits {
        queries_at_once: 1,
        rows_max: 100,
        memory_bytes_max: 2 << 20,
        timeout: Duration::from_secs(3),
    };
    let site = Site::with(tight).await;
    for (sql, expected) in [
        (
            "SELECT * FROM readings",
            "ERROR:  the query has more than 100 rows: narrow it, or write LIMIT",
        ),
        (
            "SELECT value FROM generate_series(1, 1000000) ORDER BY value % 1000 DESC, value",
            "ERROR:  the query needs more than 2097152 bytes of memory: narrow it, or ask a roll-up",
        ),
        (
            "SELECT repeat('x', 2000000000)",
            "ERROR:  Error during planning: Invalid function 'repeat'",
        ),
        (
            "SELECT levenshtein('a', 'b')",
            "ERROR:  Error during planning: Invalid function 'levenshtein'",
        ),
        (
            "SELECT count(*) FROM readings WHERE device ~ '(a{40}){40}'",
            "ERROR:  Error during planning: a regular expression stands for more than 500 characters beyond its own",
        ),
        (
            "SELECT regexp_like(device, concat(tag, '(a{40})', '{40}')) FROM readings",
            "ERROR:  Execution error: a regular expression stands for more than 500 characters beyond its own",
        ),
        // What it gathers is little; in each row of a join it would be 170 GB.
        (
            "WITH t AS (SELECT string_agg(a.device, ',') AS s FROM readings AS a, readings AS b) SELECT count(s) FROM t, \
             generate_series(1, 1000000)",
            "ERROR:  the query needs more than 2097152 bytes of memory: narrow it, or ask a roll-up",
        ),
        (
            "SELECT string_agg(device, ',') OVER () FROM readings",
            "ERROR:  string_agg over a window is not possible",
        ),
        (
            "WITH a AS (SELECT concat(device, device) AS x FROM alerts), b AS (SELECT replace(x, 'u', x) AS x FROM a), \
             c AS (SELECT replace(x, 'u', x) AS x FROM b) SELECT length(replace(x, 'u', x)) FROM c",
            "ERROR:  Execution error: replace makes more than 65536 bytes: its texts are too long",
        ),
        ("SELECT $1000000", "ERROR:  "),
    ] {
        let said = site.ask("quentin", sql);
        assert!(said.starts_with(expected), "{sql}\n{said}");
    }
    assert_eq!(site.ask("quentin", "SELECT count(*) FROM readings"), "120");
    // One runs until it times out; another waits for a quarter of that time, and is refused.
    let mut slow = site.psql("quentin");
    let slow = slow.args(["-c", SLOW]).stderr(Stdio::piped());
    let slow = slow.spawn().unwrap();
    wait_for(|| {
        site.ask("quentin", "SELECT 1")
            .contains("too many queries at once")
    });
    let said = String::from_utf8(slow.wait_with_output().unwrap().stderr).unwrap();
    let expected = "ERROR:  the query timed out after 3000 ms: narrow its times, or ask a roll-up";
    assert!(said.starts_with(expected), "{said}");
    wait_for(|| site.ask("quentin", "SELECT 1") == "1");
}

/// Joins 60,000² pairs, more than any machine does in the time, and keeps one of the sides in little memory.
const SLOW: &str = "SELECT count(*) FROM generate_series(1, 60000) AS a, generate_series(1, 60000) AS b \
                    WHERE a.value + b.value < 0";

fn wait_for(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain");
    }
}

/// As deep as it may be, in each way that nests: the process must not die of it, and the next statement is answered.
#[tokio::test(flavor = "multi_thread")]
async fn the_deepest_statements_are_survived() {
    let site = Site::with(limits()).await;
    let most = NESTING_TOKENS_MAX - 20;
    let times = |text: &str, count: usize| text.repeat(count);
    for sql in [
        format!("SELECT 1{}", times("+1", most)),
        format!(
            "SELECT * FROM {}alerts{}",
            times("(SELECT * FROM ", most / 6),
            times(") x", most / 6)
        ),
        format!("SELECT {}1{}", times("abs(", 40), times(")", 40)),
        format!("SELECT CASE {}", times("WHEN true THEN CASE ", 40)),
        format!("SELECT * FROM {}!", times("((SELECT * FROM ", 20)),
        format!("WITH {} SELECT * FROM c60", ctes(60, "SELECT site FROM @")),
    ] {
        let begun = Instant::now();
        let said = site.ask("quentin", &sql);
        let shown = &sql[..sql.len().min(60)];
        let took = begun.elapsed();
        assert!(took < STATEMENT_TIME_MAX, "{shown}: {took:?}");
        assert!(
            !said.contains("connection to server") && !said.contains("server closed"),
            "{shown}: {said}"
        );
        assert_eq!(site.ask("quentin", "SELECT 1"), "1", "{shown}");
    }
    for sql in [
        // Short, and without end when it is optimized.
        format!(
            "WITH {} SELECT count(*) FROM c40 WHERE site = 'x'",
            ctes(40, "SELECT site || site AS site FROM @")
        ),
        // Without end when it is planned.
        format!(
            "WITH {} SELECT count(*) FROM c40",
            ctes(40, "SELECT a.site FROM @ a, @ b")
        ),
        format!("SELECT 1{}", times("+1", NESTING_TOKENS_MAX)),
    ] {
        let begun = Instant::now();
        let said = site.ask("quentin", &sql);
        assert!(
            said.starts_with("ERROR:  the statement is too complex: "),
            "{said}"
        );
        assert!(begun.elapsed() < STATEMENT_TIME_MAX);
    }
}

/// Each selects from the one before it, which is `@` in `select`.
fn ctes(count: usize, select: &str) -> String {
    let cte = |n: usize| match n {
        0 => "c0 AS (SELECT site FROM alerts)".to_owned(),
        n => format!("c{n} AS ({})", select.replace('@', &format!("c{}", n - 1))),
    };
    (0..=count).map(cte).collect::<Vec<_>>().join(", ")
}
