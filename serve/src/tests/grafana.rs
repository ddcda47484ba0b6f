//! What Grafana's PostgreSQL source sends: its health check, its version checks, its query builder's questions, and what
//! its macros expand to (docs/how-to/sql.md lists them).

use super::fixture::Site;

const FROM: &str = "2026-05-01T00:00:00Z";
const TO: &str = "2026-05-01T00:30:00Z";

/// A macro's expansion in a query, and the first line and the number of lines that come.
const MACROS: [(&str, &str, usize); 8] = [
    // $__timeFilter(event_time)
    (
        "SELECT count(*) FROM readings WHERE event_time BETWEEN '{from}' AND '{to}'",
        "62",
        1,
    ),
    // $__time(event_time), $__timeFrom(), $__timeTo()
    (
        "SELECT event_time AS \"time\", value FROM readings WHERE event_time >= '{from}' AND event_time < '{to}' AND device = \
         'quartz-pump' ORDER BY 1",
        "2026-05-01 00:00:00+00|1234.5",
        30,
    ),
    // $__timeEpoch(event_time)
    (
        "SELECT extract(epoch from event_time) AS \"time\", value FROM readings WHERE event_time BETWEEN '{from}' AND '{to}' \
         ORDER BY 1 LIMIT 1",
        "1777593600|1234.5",
        1,
    ),
    // $__timeGroup(event_time, '5m')
    (
        "SELECT floor(extract(epoch from event_time)/300)*300 AS \"time\", avg(value) AS v FROM readings WHERE event_time \
         BETWEEN '{from}' AND '{to}' GROUP BY 1 ORDER BY 1",
        "1777593600|1234.5",
        7,
    ),
    // $__timeGroupAlias(event_time, '1h') and a metric column
    (
        "SELECT floor(extract(epoch from event_time)/3600)*3600 AS \"time\", device AS metric, max(value) AS value FROM \
         readings WHERE event_time BETWEEN '{from}' AND '{to}' GROUP BY 1, 2 ORDER BY 1, 2",
        "1777593600|quartz-fan|1234.5",
        2,
    ),
    // $__unixEpochFilter(e)
    (
        "SELECT count(*) FROM (SELECT extract(epoch from event_time) AS e FROM readings) AS r WHERE e >= 1777593600 AND e <= \
         1777595400",
        "62",
        1,
    ),
    // $__unixEpochNanoFilter(n), $__unixEpochNanoFrom()
    (
        "SELECT count(*) FROM (SELECT CAST(extract(epoch from event_time) * 1000000000 AS BIGINT) AS n FROM readings) AS r \
         WHERE n >= 1777593600000000000 AND n <= 1777595400000000000",
        "62",
        1,
    ),
    // $__unixEpochGroup(e, '5m')
    (
        "SELECT floor((e)/300)*300 AS \"time\", count(*) FROM (SELECT extract(epoch from event_time) AS e FROM readings) AS r \
         GROUP BY 1 ORDER BY 1",
        "1777593600|10",
        12,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn its_macros_run() {
    let site = Site::filled().await;
    for (sql, first, lines) in MACROS {
        let said = site.ask("quentin", &sql.replace("{from}", FROM).replace("{to}", TO));
        assert_eq!(said.lines().next(), Some(first), "{sql}\n{said}");
        assert_eq!(said.lines().count(), lines, "{sql}\n{said}");
    }
}

/// A search path's schemas, as the source's query builder asks for them.
const SEARCH_PATH: &str = "SELECT CASE WHEN trim(s[i]) = '\"$user\"' THEN user ELSE trim(s[i]) END FROM generate_series(\
    array_lower(string_to_array(current_setting('search_path'),','),1), \
    array_upper(string_to_array(current_setting('search_path'),','),1)) as i, \
    string_to_array(current_setting('search_path'),',') s";

#[tokio::test(flavor = "multi_thread")]
async fn its_checks_and_its_query_builder_are_answered() {
    let site = Site::filled().await;
    assert_eq!(site.ask("quentin", "SELECT 1"), "1");
    assert_eq!(
        site.ask(
            "quentin",
            "SELECT current_setting('server_version_num')::int/100 as version"
        ),
        "1600"
    );
    assert_eq!(
        site.ask(
            "quentin",
            "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"
        ),
        ""
    );
    let tables = format!(
        "SELECT CASE WHEN quote_ident(table_schema) IN ({SEARCH_PATH}) THEN quote_ident(table_name) ELSE \
         quote_ident(table_schema) || '.' || quote_ident(table_name) END AS \"table\" FROM information_schema.tables WHERE \
         quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', '_timescaledb_cache', \
         '_timescaledb_catalog', '_timescaledb_internal', '_timescaledb_config', 'timescaledb_information', \
         'timescaledb_experimental') ORDER BY CASE WHEN quote_ident(table_schema) IN ({SEARCH_PATH}) THEN 0 ELSE 1 END, 1"
    );
    let said = site.ask("quentin", &tables);
    for table in ["readings", "latest", "alerts_now", "forecast_vs_actual"] {
        assert!(
            said.lines()
                .any(|line| line == table || line == format!("public.{table}")),
            "{table}: {said}"
        );
    }
    assert!(!said.contains("quarantine"), "{said}");
    let columns = |table: &str| {
        format!(
            "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\" FROM information_schema.columns WHERE CASE \
             WHEN array_length(parse_ident('{table}'),1) = 2 THEN quote_ident(table_schema) = (parse_ident('{table}'))[1] AND \
             quote_ident(table_name) = (parse_ident('{table}'))[2] ELSE quote_ident(table_name) = '{table}' AND \
             quote_ident(table_schema) IN ({SEARCH_PATH}) END"
        )
    };
    let said = site.ask("quentin", &columns("public.readings"));
    assert!(
        said.contains("event_time|") && said.contains("value|"),
        "{said}"
    );
    // Variables of a dashboard.
    for (sql, expected) in [
        ("SELECT DISTINCT site FROM readings", "quartz"),
        (
            "SELECT DISTINCT tag AS __text, tag AS __value FROM readings WHERE device IN ('quartz-pump')",
            "quartz-temp|quartz-temp",
        ),
    ] {
        assert_eq!(site.ask("quentin", sql), expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_as_postgresql_has_them() {
    let site = Site::filled().await;
    for (sql, expected) in [
        (
            "SELECT date_bin(INTERVAL '15 minutes', event_time, TIMESTAMP '1970-01-01') AS t, count(*) FROM readings GROUP BY 1 ORDER BY 1 LIMIT 1",
            "2026-05-01 00:00:00+00|30",
        ),
        (
            "SELECT date_trunc('hour', max(event_time)) FROM readings",
            "2026-05-01 00:00:00+00",
        ),
        ("SELECT now() > TIMESTAMP '2020-01-01'", "t"),
        (
            "SELECT count(*) FROM readings WHERE event_time > now() - INTERVAL '100 years'",
            "120",
        ),
        ("SELECT to_timestamp(1777593600)", "2026-05-01 00:00:00+00"),
        (
            "SELECT extract(hour FROM max(event_time) AT TIME ZONE 'Europe/Amsterdam') FROM readings",
            "2",
        ),
        (
            "SELECT count(*) FROM readings WHERE event_time >= '2026-05-01 02:30:00+02'",
            "60",
        ),
    ] {
        assert_eq!(site.ask("quentin", sql), expected, "{sql}");
    }
}
