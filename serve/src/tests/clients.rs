//! psql and psycopg as people use them.

use std::{env, process::Command};

use super::fixture::{PASSWORD, Site};

#[tokio::test(flavor = "multi_thread")]
async fn psql_signs_in_looks_around_and_asks() {
    let site = Site::filled().await;
    let described = site.script("quentin", "\\dt\n\\d readings\n\\l\n\\conninfo\n");
    for expected in ["readings", "event_time", "timestamp with time zone"] {
        assert!(described.contains(expected), "{expected}: {described}");
    }
    assert!(!described.contains("ERROR"), "{described}");
    for (sql, expected) in [
        ("SELECT current_user, session_user", "quentin|quentin"),
        (
            "SELECT version()",
            concat!("PostgreSQL 16.6 (Forebay ", env!("CARGO_PKG_VERSION"), ")"),
        ),
        ("SHOW server_version", "16.6"),
        (
            "SET TIME ZONE 'Europe/Amsterdam'; SHOW timezone",
            "SET\nEurope/Amsterdam",
        ),
        (
            "BEGIN; SELECT count(*) FROM readings; COMMIT",
            "BEGIN\n120\nCOMMIT",
        ),
        (
            "SELECT 1; SELECT 2; SELECT 3; SELECT 4; SELECT 5; SELECT 6",
            "1\n2\n3\n4\n5\n6",
        ),
        ("", ""),
    ] {
        assert_eq!(site.ask("quentin", sql), expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_named_like_a_word_of_sql_is_named_where_a_statement_does_not_parse() {
    let site = Site::filled().await;
    let hint = "wants double quotes: \"limit\"";
    let said = site.ask("admin", "SELECT score limit FROM scores");
    assert!(said.starts_with("ERROR:") && said.contains(hint), "{said}");
    let said = site.ask("admin", "SELECT score, max(\"limit\") FORM scores LIMIT 3");
    assert!(
        said.starts_with("ERROR:") && !said.contains("double quotes"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_can_be_changed() {
    let site = Site::filled().await;
    for sql in [
        "INSERT INTO readings SELECT * FROM readings",
        "UPDATE readings SET value = 0",
        "DELETE FROM readings",
        "DROP TABLE readings",
        "TRUNCATE readings",
        "CREATE TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY readings TO '/tmp/forebay-copy.csv'",
        "ALTER TABLE readings ADD COLUMN x INT",
        "EXPLAIN ANALYZE INSERT INTO readings SELECT * FROM readings",
        "WITH a AS (SELECT 1) INSERT INTO readings SELECT * FROM readings",
        "PREPARE p AS DELETE FROM readings",
    ] {
        let said = site.ask("admin", sql);
        assert!(said.starts_with("ERROR:"), "{sql}: {said}");
    }
    let said = site.ask("admin", "DELETE FROM readings");
    assert_eq!(
        said,
        "ERROR:  DELETE FROM is not possible: this database is read only"
    );
    let said = site.ask("admin", "SELECT * FROM '/etc/passwd'");
    assert!(
        said.contains("not found") && !said.contains("root"),
        "{said}"
    );
    assert_eq!(site.ask("admin", "SELECT count(*) FROM readings"), "214");
}

/// Parameters, binary rows, prepared statements, types, cancelling: see the script.
#[tokio::test(flavor = "multi_thread")]
async fn psycopg_does_what_it_does_with_postgresql() {
    let site = Site::filled().await;
    let python = env::var("FOREBAY_TEST_PYTHON").expect("cargo xtask test sets it");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/clients.py");
    let mut command = Command::new(python);
    command.arg(script).env("PGPASSWORD", PASSWORD);
    command.arg(site.postgres().port().to_string());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
