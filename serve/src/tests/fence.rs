//! Whatever a user asks: never a row, a name or a number of another site.

use super::{fixture::Site, statements::statements};

/// How many statements each user sends.
const STATEMENTS: usize = 1_000;
const SEED: u64 = 20_261_129;

/// What tells a row of each site: texts that name it, and its numbers.
const QUARTZ: [&str; 3] = ["quartz", "1234.5", "111222333"];
const BASALT: [&str; 3] = ["basalt", "98765.4", "999888777"];

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_statements_show_nothing_of_another_site() {
    let site = Site::filled().await;
    let statements = statements(SEED, STATEMENTS);
    for (user, own, foreign) in [("quentin", QUARTZ, BASALT), ("basil", BASALT, QUARTZ)] {
        let answers = answers(&site, user, &statements);
        let shows_own = |answer: &&String| own.iter().any(|mark| answer.contains(mark));
        let seen = answers.iter().filter(shows_own).count();
        // Else it would prove nothing: most statements must work, and show what is the user's own.
        assert!(seen > STATEMENTS / 4, "{user} saw own rows {seen} times");
        let failed = answers
            .iter()
            .filter(|answer| answer.contains("ERROR:"))
            .count();
        assert!((50..STATEMENTS / 2).contains(&failed), "{failed} errors");
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
    assert!(
        reached > STATEMENTS / 8,
        "admin saw both sites {reached} times"
    );
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
    let site = Site::filled().await;
    let plan = |user| site.ask(user, "EXPLAIN SELECT * FROM readings");
    let (own, all) = (plan("quentin"), plan("admin"));
    assert!(
        own.contains("site=quartz") && !own.contains("basalt"),
        "{own}"
    );
    assert!(
        all.contains("site=quartz") && all.contains("site=basalt"),
        "{all}"
    );
    let refused = site.ask("quentin", "EXPLAIN ANALYZE SELECT * FROM alerts");
    assert!(
        refused.contains("EXPLAIN ANALYZE is for users of all sites"),
        "{refused}"
    );
    assert!(
        site.ask("admin", "EXPLAIN ANALYZE SELECT * FROM alerts")
            .contains("output_rows")
    );
}
