//! What PostgreSQL's users write, answered as PostgreSQL does, or refused.

use super::{
    fixture::Site,
    raw::{Raw, bind, execute, parse},
};

#[tokio::test(flavor = "multi_thread")]
async fn array_literals_are_arrays() {
    let site = Site::filled().await;
    for (sql, expected) in [
        (
            "SELECT count(*) FROM readings WHERE tag = any('{quartz-temp,other}'::text[])",
            "120",
        ),
        (
            "SELECT count(*) FROM readings WHERE tag = any(cast('{quartz-temp}' AS varchar[]))",
            "120",
        ),
        (
            "SELECT count(*) FROM readings WHERE tag = any('{\"quartz-temp\"}')",
            "120",
        ),
        (
            "SELECT count(*) FROM readings WHERE tag <> all('{quartz-temp}')",
            "0",
        ),
        (
            "SELECT count(*) FROM readings WHERE value = any('{1,1234.5}')",
            "120",
        ),
        ("SELECT 'a,b' = any('{\"a,b\",c}')", "t"),
        (
            "SELECT '{\"a,b\",NULL,\"NULL\"}'::text[]",
            "{\"a,b\",NULL,\"NULL\"}",
        ),
        ("SELECT '{1,2}'::int[]", "{1,2}"),
        ("SELECT '{}'::text[]", "{}"),
    ] {
        assert_eq!(site.ask("quentin", sql), expected, "{sql}");
    }
    for sql in [
        "SELECT count(*) FROM readings WHERE tag = any('quartz-temp')",
        "SELECT count(*) FROM readings WHERE tag = any(device::text[])",
        "SELECT '{a,{b}}'::text[]",
    ] {
        let said = site.ask("quentin", sql);
        assert!(said.contains("array['a', 'b']"), "{sql}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_and_times_are_bound_as_texts() {
    let site = Site::filled().await;
    let mut raw = Raw::sign_in(&site, "quentin");
    let count = |condition: &str| format!("SELECT count(*) FROM readings WHERE {condition}");
    for (condition, value, expected) in [
        ("tag = any($1::text[])", "{other,\"quartz-temp\"}", "120"),
        ("tag = any($1)", "{quartz-temp}", "120"),
        ("tag = any($1)", "{\"quartz,temp\"}", "0"),
        ("value = any($1)", "{1,1234.5}", "120"),
        ("event_time < $1", "2026-05-01 00:01", "2"),
        ("event_time < $1", "2026-05-01 02:01:00+02", "2"),
    ] {
        let sql = count(condition);
        let sent = [parse("", &sql), bind("", "", &[value]), execute("", 0)];
        raw.send(&sent.concat());
        let (kinds, error) = raw.synced(&[]);
        assert_eq!((kinds.as_str(), error.as_str()), ("12DCZ", ""), "{sql}");
        let other = format!("SELECT n FROM ({sql}) AS c(n) WHERE n <> {expected}");
        let sent = [parse("", &other), bind("", "", &[value]), execute("", 0)];
        let (kinds, error) = raw.synced(&sent);
        assert_eq!((kinds.as_str(), error.as_str()), ("12CZ", ""), "{sql}");
    }
    let sent = [
        parse("", &count("tag = any($1)")),
        bind("", "", &["quartz-temp"]),
        execute("", 0),
    ];
    let (_, error) = raw.synced(&sent);
    assert!(error.contains("malformed array literal"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_without_a_zone_are_read_in_the_zone_of_the_session() {
    let site = Site::filled().await;
    for (sql, expected) in [
        (
            "SELECT timestamptz '2026-11-30T12:00:00Z' AT TIME ZONE 'Europe/Berlin'",
            "2026-11-30 13:00:00+01",
        ),
        (
            "SELECT '2026-11-30T12:00:00+02:00'::timestamptz",
            "2026-11-30 10:00:00+00",
        ),
        (
            "SELECT count(*) FROM readings WHERE event_time < '2026-05-01 00:01'",
            "2",
        ),
        ("SELECT timestamp '2026-11-30 12:00'", "2026-11-30 12:00:00"),
    ] {
        assert_eq!(site.ask("quentin", sql), expected, "{sql}");
    }
    // Berlin is two hours ahead: that is 2026-05-01 00:01:00 in UTC.
    for condition in [
        "event_time < '2026-05-01 02:01:00'",
        "'2026-05-01 02:01' > event_time",
        "event_time < timestamptz '2026-05-01 02:01:00'",
        "event_time BETWEEN '2026-05-01' AND '2026-05-01 02:00:59'",
        "event_time IN ('2026-05-01 02:00:00')",
        "event_time < '2026-05-01 00:01:00Z'",
    ] {
        let sql = format!(
            "SET TIME ZONE 'Europe/Berlin'; SELECT count(*) FROM readings WHERE {condition};"
        );
        assert_eq!(
            site.script("quentin", &format!("\\t on\n{sql}")),
            "2",
            "{sql}"
        );
    }
    let sql = "SET TIME ZONE 'Europe/Berlin'; SELECT count(*) FROM readings WHERE event_time > '2026-10-25 02:30:00';";
    let said = site.script("quentin", sql);
    assert!(said.contains("no single one, in the time zone"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_columns_have_postgresqls_names() {
    let site = Site::filled().await;
    for (columns, header) in [
        ("value, value::int", "value|value"),
        ("value::int", "value"),
        ("event_time, event_time::date", "event_time|event_time"),
        ("device, device", "device|device"),
        ("device, tag AS device", "device|device"),
        ("r.device, device", "device|device"),
        ("max(value), max(value)", "max|max"),
        ("1, 1", "?column?|?column?"),
        ("device, *", ""),
        ("*, value::int", ""),
    ] {
        let grouped = if columns.starts_with("max") {
            ""
        } else {
            " LIMIT 1"
        };
        let script = format!("\\pset footer off\nSELECT {columns} FROM readings AS r{grouped};");
        let said = site.script("quentin", &script);
        let (names, row) = said.split_once('\n').unwrap_or((&said, ""));
        if header.is_empty() {
            assert!(
                !names.contains("ERROR") && !names.contains("__"),
                "{columns}: {said}"
            );
        } else {
            assert_eq!(names, header, "{columns}: {said}");
        }
        assert!(!row.is_empty(), "{columns}: {said}");
    }
    let sql =
        "SELECT count(*) FROM (SELECT value, value::int FROM readings) AS t WHERE t.value > 1";
    assert_eq!(site.ask("quentin", sql), "120");
    let sql = "SELECT l.tag, (SELECT max(value) FROM readings r WHERE r.tag = l.tag) FROM latest l ORDER BY 1 LIMIT 1";
    assert_eq!(site.ask("quentin", sql), "quartz-temp|1234.5");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_ignored_is_refused() {
    let site = Site::filled().await;
    for (sql, words) in [
        (
            "SELECT count(*) FROM readings TABLESAMPLE BERNOULLI (10)",
            "TABLESAMPLE is not supported",
        ),
        (
            "SELECT to_char(event_time, 'YYYY-MM-DD') FROM readings",
            "to_char takes formats such as '%Y-%m-%d",
        ),
        (
            "SELECT now() - '1 hour'",
            "an interval is written interval '1 hour'",
        ),
        ("COPY (SELECT 1) TO STDOUT", "COPY is not supported"),
        ("SET ROLE admin", "SET ROLE is not supported"),
    ] {
        let said = site.ask("quentin", sql);
        assert!(said.contains(words), "{sql}: {said}");
    }
}
