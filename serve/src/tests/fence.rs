//! Whatever a user asks: never a row, a name or a number of another site.

use std::{collections::BTreeSet, env};

use datafusion::{physical_plan::displayable, prelude::SessionContext};
use forebay_lake::LakeView;

use super::{
    fixture::{Site, TestLake},
    statements::statements,
};
use crate::{SiteSet, fence::fenced, user::User};

/// How many statements each user sends; more where this variable says so.
const STATEMENTS: usize = 200;
const STATEMENTS_VARIABLE: &str = "FOREBAY_TEST_STATEMENTS";
const SEED: u64 = 20_261_129;

/// What tells a row of each site: texts that name it, and its numbers.
const QUARTZ: [&str; 3] = ["quartz", "1234.5", "111222333"];
const BASALT: [&str; 3] = ["basalt", "98765.4", "999888777"];

#[tokio::test(flavor = "multi_thread")]
async fn statements_by_chance_show_nothing_of_another_site() {
    let site = Site::filled().await;
    let more = env::var(STATEMENTS_VARIABLE).ok();
    let count = more.map_or(STATEMENTS, |count| count.parse().unwrap());
    let statements = statements(SEED, count);
    for (user, own, foreign) in [("quentin", QUARTZ, BASALT), ("basil", BASALT, QUARTZ)] {
        let answers = answers(&site, user, &statements);
        let shows_own = |answer: &&String| own.iter().any(|mark| answer.contains(mark));
        let seen = answers.iter().filter(shows_own).count();
        // Else it would prove nothing: most statements must work, and show what is the user's own.
        assert!(seen > count / 4, "{user} saw own rows {seen} times");
        let failed = answers
            .iter()
            .filter(|answer| answer.contains("ERROR:"))
            .count();
        assert!((count / 20..count / 2).contains(&failed), "{failed} errors");
        for (statement, answer) in statements.iter().zip(&answers) {
            for mark in foreign {
                assert!(
                    !answer.contains(mark),
                    "{user} sees {mark}:\n{statement}\n{answer}"
                );
            }
        }
    }
    // The same statements do reach the other site's rows where nothing is fenced.
    let answers = answers(&site, "admin", &statements);
    let both = |answer: &&String| answer.contains("quartz") && answer.contains("basalt");
    let reached = answers.iter().filter(both).count();
    assert!(reached > count / 8, "admin saw both sites {reached} times");
}

fn answers(site: &Site, user: &str, statements: &[String]) -> Vec<String> {
    let script: Vec<String> = statements
        .iter()
        .map(|statement| format!("\\echo {MARK}\n{statement};\n"))
        .collect();
    let said = site.script(user, &script.concat());
    let answers: Vec<String> = said.split(MARK).skip(1).map(str::to_owned).collect();
    let last = answers.last().map_or("", String::as_str);
    assert_eq!(answers.len(), statements.len(), "psql ended early: {last}");
    answers
}

const MARK: &str = "====";

#[tokio::test(flavor = "multi_thread")]
async fn counts_and_sums_are_of_own_rows() {
    let site = Site::filled().await;
    for (sql, quentin, basil) in [
        ("SELECT count(*) FROM readings", "120", "94"),
        (
            "SELECT count(1), count(DISTINCT site) FROM readings",
            "120|1",
            "94|1",
        ),
        ("SELECT count(*) FROM alerts", "1", "1"),
        (
            "SELECT count(*) FROM (SELECT 1 FROM alerts LIMIT 5) a",
            "1",
            "1",
        ),
        (
            "SELECT count(*) FROM alerts a CROSS JOIN alerts b",
            "1",
            "1",
        ),
        ("SELECT sum(score) FROM scores", "1234.5", "98765.4"),
        ("SELECT max(value) FROM readings", "1234.5", "98765.4"),
        (
            "SELECT count(*) FROM readings WHERE site = 'nowhere' OR 1 = 1",
            "120",
            "94",
        ),
        (
            "SELECT string_agg(DISTINCT site, ',') FROM predictions",
            "quartz",
            "basalt",
        ),
        (
            "SELECT site FROM alerts ORDER BY site LIMIT 1",
            "quartz",
            "basalt",
        ),
        (
            "SELECT site FROM alerts ORDER BY site DESC LIMIT 1",
            "quartz",
            "basalt",
        ),
        ("SELECT count(*) FROM latest", "2", "2"),
        ("SELECT count(*) FROM alerts_now", "1", "1"),
        (
            "SELECT min(first_seen)::text FROM alerts WHERE CAST(replace(device, site || '-pump', '1') AS INT) = 1",
            "2026-05-01T00:00:00Z",
            "2026-05-01T00:01:00Z",
        ),
    ] {
        assert_eq!(site.ask("quentin", sql), quentin, "{sql}");
        assert_eq!(site.ask("basil", sql), basil, "{sql}");
    }
}

/// A scan evaluates conditions on the user's own rows: what they raise may be told.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_fails_within_a_scan_is_told_with_its_cause() {
    let site = Site::filled().await;
    for (condition, cause) in [
        ("CAST(device AS INT) = 1", "Cannot cast string '{site}-"),
        ("1 / (seq - seq) = 1", "Divide by zero"),
        (
            "CAST(device AS INT) = 1 AND value > 0",
            "Cannot cast string '{site}-",
        ),
    ] {
        let sql = format!("SELECT count(*) FROM readings WHERE {condition}");
        for (user, own, foreign) in [("quentin", "quartz", BASALT), ("basil", "basalt", QUARTZ)] {
            let said = site.ask(user, &sql);
            let cause = format!(
                "a condition failed on a row: {}",
                cause.replace("{site}", own)
            );
            assert!(
                said.starts_with("ERROR:") && said.contains(&cause),
                "{sql}: {said}"
            );
            assert!(
                foreign.iter().all(|mark| !said.contains(mark)),
                "{sql}: {said}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_without_a_site_and_hidden_columns_are_not_there() {
    let site = Site::filled().await;
    for table in ["quarantine", "job_runs"] {
        let sql = format!("SELECT * FROM {table}");
        let said = site.ask("quentin", &sql);
        assert!(
            said.contains("not found") && !said.contains("quartz"),
            "{said}"
        );
        assert!(site.ask("admin", &sql).contains("basalt"), "{table}");
        let listed =
            format!("SELECT count(*) FROM information_schema.tables WHERE table_name = '{table}'");
        assert_eq!(site.ask("quentin", &listed), "0");
        let listed = format!("SELECT count(*) FROM pg_catalog.pg_class WHERE relname = '{table}'");
        assert_eq!(site.ask("quentin", &listed), "0");
        assert_eq!(site.ask("admin", &listed), "1");
    }
    for sql in [
        "SELECT value FROM readings",
        "SELECT r.gateway FROM readings r",
        "SELECT * FROM (SELECT max(value) FROM predictions) p",
        "SELECT value FROM latest",
        "SELECT forecast FROM forecast_vs_actual",
        "SELECT 1 FROM readings WHERE value > 3",
        "SELECT 1 FROM readings ORDER BY value",
    ] {
        let said = site.ask("blind", sql);
        assert!(
            said.starts_with("ERROR:") && !said.contains("1234"),
            "{sql}: {said}"
        );
    }
    let all = site.ask("blind", "SELECT * FROM readings LIMIT 1");
    assert!(
        all.contains("quartz-") && !all.contains("1234") && !all.contains("gateway"),
        "{all}"
    );
    let columns =
        "SELECT count(*) FROM information_schema.columns WHERE column_name IN ('value', 'gateway')";
    assert_eq!(site.ask("blind", columns), "0");
    let columns = "SELECT count(*) FROM pg_catalog.pg_attribute WHERE attname = 'value'";
    assert_eq!(site.ask("blind", columns), "0");
}

/// Files of other sites are not among those that a scan could open.
#[tokio::test(flavor = "multi_thread")]
async fn the_plan_names_own_files_alone() {
    let lake = TestLake::filled().await;
    let own = physical_plan(&lake, &["quartz"]).await;
    assert!(
        own.contains("site=quartz") && !own.contains("basalt"),
        "{own}"
    );
    let all = physical_plan(&lake, &["*"]).await;
    assert!(
        all.contains("site=quartz") && all.contains("site=basalt"),
        "{all}"
    );
}

/// How the table of readings is read for a user of these sites.
async fn physical_plan(lake: &TestLake, sites: &[&str]) -> String {
    let reader = lake.reader();
    let view = LakeView::open(&reader.tables, &reader.decrypter).await;
    let tables = view.unwrap().tables();
    let readings = tables.iter().find(|t| t.table().name == "readings");
    let readings = readings.unwrap();
    let user = User {
        name: "someone".into(),
        sites: SiteSet::new(sites.iter().map(|site| (*site).to_owned()).collect()),
        columns_hidden: BTreeSet::new(),
    };
    let context = SessionContext::new();
    readings.register_store(&context.runtime_env());
    let own = fenced(readings, &user).unwrap();
    context.register_table("readings", own).unwrap();
    let rows = context.sql("SELECT * FROM readings").await.unwrap();
    let plan = rows.create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(true).to_string()
}

/// A plan's files, and their counts of rows, are of all sites: a user of some sees what the statement becomes, no more.
#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_counts_nothing_for_users_of_some_sites() {
    let site = Site::filled().await;
    for sql in [
        "EXPLAIN SELECT * FROM alerts WHERE device > 'a'",
        "EXPLAIN SELECT count(*) FROM readings",
    ] {
        let own = site.ask("quentin", sql);
        assert!(
            own.contains("logical_plan|") && own.contains("TableScan"),
            "{own}"
        );
        for mark in ["physical", "Exec", "parquet", "Rows=", "basalt"] {
            assert!(!own.contains(mark), "{mark}: {own}");
        }
        assert!(site.ask("admin", sql).contains("physical_plan|"), "{sql}");
    }
    for how in ["FORMAT TREE", "FORMAT PGJSON"] {
        let refused = site.ask("quentin", &format!("EXPLAIN {how} SELECT * FROM alerts"));
        assert!(refused.starts_with("ERROR:  "), "{how}: {refused}");
    }
    for how in ["ANALYZE", "VERBOSE", "ANALYZE VERBOSE"] {
        let sql = format!("EXPLAIN {how} SELECT * FROM alerts");
        let refused = site.ask("quentin", &sql);
        assert!(
            refused.contains("for users of all sites"),
            "{sql}: {refused}"
        );
    }
    let sql = "EXPLAIN ANALYZE SELECT * FROM alerts";
    assert!(site.ask("admin", sql).contains("output_rows"));
}
