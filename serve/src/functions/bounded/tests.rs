use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::FunctionRegistry as _;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;

/// What a statement answers, or its error.
async fn asked(sql: &str) -> String {
    let config = SessionConfig::new().with_target_partitions(1);
    let mut context = SessionContext::new_with_config(config);
    context.register_function_rewrite(Arc::new(Bounds)).unwrap();
    let rows = async { context.sql(sql).await?.collect().await };
    match rows.await {
        Ok(rows) => pretty_format_batches(&rows).unwrap().to_string(),
        Err(error) => error.strip_backtrace(),
    }
}

/// A literal of so many bytes.
fn text(bytes: usize) -> String {
    format!("'{}'", "a".repeat(bytes))
}

#[tokio::test]
async fn values_are_those_that_the_engine_makes() {
    for (expression, expected) in [
        ("'a' || 'b' || 1 || true", "ab1true"),
        ("'a' || NULL || 'b'", ""),
        ("x || '-' || x", "north-north"),
        ("x || NULL", ""),
        ("concat(x, NULL, 'b')", "northb"),
        ("concat_ws('/', x, 'b', NULL)", "north/b"),
        ("replace(x, 'or', 'OOR')", "nOORth"),
        ("replace(x, '', '-')", "north"),
        ("regexp_replace(x, '(o)(r)', '\\2\\1')", "nroth"),
        ("regexp_replace(x, '[a-z]', 'z', 'g')", "zzzzz"),
        ("array_to_string([x, 'b'], ',')", "north,b"),
        ("[x, 'b'] || ['c']", "[north, b, c]"),
        ("overlay(x placing 'ABC' from 2 for 2)", "nABCth"),
        ("string_to_array(x, 'r')", "[no, th]"),
        ("to_char(TIMESTAMP '2026-05-01', '%Y/%m')", "2026/05"),
    ] {
        let sql = format!("SELECT {expression} AS a FROM (VALUES ('north')) AS t(x)");
        let said = asked(&sql).await;
        let value = said.lines().nth(3).unwrap_or(&said);
        assert_eq!(value.trim_matches(['|', ' ']), expected, "{sql}\n{said}");
    }
}

#[tokio::test]
async fn a_value_that_would_be_too_large_is_refused_before_it_is_written() {
    let (long, short) = (text(8_000), text(100));
    let doubled = |select: &str| {
        let cte = |n: usize| format!("c{n} AS (SELECT {select} AS a FROM c{})", n - 1);
        let ctes: Vec<String> = (1..=20).map(cte).collect();
        let ctes = ctes.join(", ");
        format!("WITH c0 AS (SELECT {short} AS a), {ctes} SELECT length(a::text) FROM c20")
    };
    for sql in [
        format!("SELECT length(replace({long}, 'a', {long}))"),
        format!("SELECT length(replace(x, 'a', x)) FROM (SELECT {long} AS x) AS t"),
        format!("SELECT length(regexp_replace(x, 'a', x, 'g')) FROM (SELECT {long} AS x) AS t"),
        format!("SELECT length(array_to_string(string_to_array({long}, NULL), {long}))"),
        format!("SELECT length({long} || {long})"),
        // Each batch has eight times what it may have.
        format!(
            "SELECT max(length({} || value)) FROM range(8192)",
            text(4_096)
        ),
        doubled("first_value(a || a)"),
        doubled("first_value(concat(a, a, a))"),
        doubled("first_value(overlay(a placing a from 1 for 0))"),
        doubled("first_value([a, a])"),
        doubled("first_value(array_to_string([a, a], ''))"),
    ] {
        let shown = &sql[..sql.len().min(120)];
        let said = asked(&sql).await;
        assert!(
            said.contains("bytes: its texts are too long"),
            "{shown}\n{said}"
        );
    }
}

#[tokio::test]
async fn what_people_write_fits() {
    let sql = "SELECT count(DISTINCT concat('device-', value, '/', value) || replace('tag-of', 't', value::text)) FROM range(20000)";
    assert!(asked(sql).await.contains("20000"));
    // Measured a few rows at a time: the worst would not fit, what comes of it does.
    let long = text(100);
    let sql = format!(
        "SELECT max(length(regexp_replace({long} || value, '[^a-z]', '<nothing of it is left over>', 'g'))) FROM range(8192)"
    );
    let said = asked(&sql).await;
    assert!(said.contains("| 212 "), "{said}");
}

#[tokio::test]
async fn what_is_not_there_is_refused_however_it_is_written() {
    for expression in [
        "levenshtein('a', 'b')",
        "[1] @> [2]",
        "arrays_overlap([1], [2])",
    ] {
        let said = asked(&format!("SELECT {expression}")).await;
        assert!(said.contains("Invalid function"), "{expression}: {said}");
    }
}
