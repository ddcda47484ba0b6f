//! The same questions, answered with roll-ups and without: of data by chance, with late rows, before and after their windows are
//! closed again. And which questions a roll-up answers.

mod chance;
mod lake;

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Float64Type, Int64Type},
    util::display::array_value_to_string,
};
use forebay_schemas::Value;
use futures::StreamExt as _;

use crate::RollupUse;
use chance::Chance;
use lake::{DAY, RolledUpLake, Seen};

const SEED: u64 = 20_261_130;
/// Questions of each user after each change.
const QUESTIONS: usize = 14;

/// A row: what it is grouped by, and its numbers.
type Row = (Vec<String>, Vec<Option<f64>>);

async fn answer(seen: &Seen, user: &str, sql: &str) -> Vec<Row> {
    let mut rows = seen.ask(user, sql).await;
    let mut found = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch.unwrap_or_else(|error| panic!("{sql}: {error}"));
        found.extend((0..batch.num_rows()).map(|row| row_of(&batch, row)));
    }
    found.sort_by(|a: &Row, b: &Row| a.0.cmp(&b.0));
    found
}

fn row_of(batch: &RecordBatch, row: usize) -> Row {
    let (mut groups, mut numbers) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.name().starts_with('g') {
            groups.push(array_value_to_string(column, row).unwrap());
            continue;
        }
        let number = match column.data_type() {
            DataType::Float64 => column.as_primitive::<Float64Type>().value(row),
            DataType::Int64 => column.as_primitive::<Int64Type>().value(row) as f64,
            other => panic!("{other} of {}", field.name()),
        };
        numbers.push(column.is_valid(row).then_some(number));
    }
    (groups, numbers)
}

fn are_same(with: &[Row], without: &[Row]) -> bool {
    let close = |(a, b): (&Option<f64>, &Option<f64>)| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0),
        (a, b) => a.is_none() && b.is_none(),
    };
    with.len() == without.len()
        && with
            .iter()
            .zip(without)
            .all(|(with, without)| with.0 == without.0 && with.1.iter().zip(&without.1).all(close))
}

/// Which roll-ups a statement reads, and whether it reads readings.
async fn tables_of(seen: &Seen, user: &str, sql: &str) -> Vec<&'static str> {
    let mut rows = seen.ask(user, &format!("EXPLAIN {sql}")).await;
    let mut plan = String::new();
    while let Some(batch) = rows.next().await {
        let batch = batch.unwrap();
        let texts = batch.column(1).as_string::<i32>();
        plan.extend(texts.iter().flatten());
    }
    let scanned = |table: &&str| {
        let scan = format!("TableScan: {table}");
        plan.match_indices(&scan)
            .any(|(at, _)| !plan[at + scan.len()..].starts_with('_'))
    };
    ["readings", "readings_1m", "readings_1h"]
        .into_iter()
        .filter(scanned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_by_chance_have_the_same_answers() {
    let mut lake = RolledUpLake::new().await;
    let mut chance = Chance::new(SEED);
    let mut used: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
    lake.fill(&mut chance).await;
    for change in [
        "closed",
        "late",
        "closed again",
        "thinned",
        "closed after that",
    ] {
        match change {
            "late" => lake.late(&mut chance).await,
            "thinned" => lake.thin().await,
            _ => lake.close().await,
        }
        let with = lake.seen(RollupUse::WhereTheyFit);
        let without = lake.seen(RollupUse::Never);
        for user in ["all", "plant"] {
            for _ in 0..QUESTIONS {
                let sql = chance.question();
                let answers = (
                    answer(&with, user, &sql).await,
                    answer(&without, user, &sql).await,
                );
                assert!(
                    are_same(&answers.0, &answers.1),
                    "{change}, {user}: {sql}\n{:?}\n{:?}",
                    answers.0,
                    answers.1
                );
                *used.entry(tables_of(&with, user, &sql).await).or_default() += 1;
            }
        }
    }
    // Else it would prove nothing.
    for tables in [
        vec!["readings"],
        vec!["readings", "readings_1m"],
        vec!["readings", "readings_1h"],
    ] {
        let count = used.get(&tables).copied().unwrap_or(0);
        assert!(count >= 8, "{tables:?} was read {count} times: {used:?}");
    }
}

/// Questions of the first day, all of which is rolled up, and the tables that answer them.
#[tokio::test(flavor = "multi_thread")]
async fn a_roll_up_answers_what_it_can_tell_and_nothing_else() {
    let mut lake = RolledUpLake::new().await;
    let mut chance = Chance::new(SEED);
    lake.fill(&mut chance).await;
    lake.close().await;
    let seen = lake.seen(RollupUse::WhereTheyFit);
    let numbers = "quality < 2 AND value IS NOT NULL";
    let day = format!("event_time >= '{}' AND event_time < '{}'", DAY[0], DAY[1]);
    let of_day = format!("{numbers} AND {day} AND site = 'plant'");
    let grafana = "floor(extract(epoch from event_time)/300)*300";
    let (raw, minutes, hours) = (vec!["readings"], vec!["readings_1m"], vec!["readings_1h"]);
    for (select, filter, expected) in [
        (format!("{grafana}, avg(value) FROM readings"), of_day.clone(), &minutes),
        (grafana.replace("300", "3600") + ", avg(value) FROM readings", of_day.clone(), &hours),
        (grafana.replace("300", "90") + ", avg(value) FROM readings", of_day.clone(), &raw),
        (
            "date_bin(interval '2 hours', event_time), device || '/' || tag, max(value), count(*) FROM readings".into(),
            of_day.clone(),
            &hours,
        ),
        (
            "date_bin(interval '2 hours', event_time, timestamp '2026-05-01 00:15:00'), max(value) FROM readings".into(),
            of_day.clone(),
            &minutes,
        ),
        (
            "date_bin(interval '2 hours', event_time, timestamp '2026-05-01 00:00:30'), max(value) FROM readings".into(),
            of_day.clone(),
            &raw,
        ),
        ("date_trunc('day', r.event_time), min(value) FROM readings AS r".into(), of_day.clone(), &hours),
        ("date_trunc('second', event_time), min(value) FROM readings".into(), of_day.clone(), &raw),
        ("extract(hour from event_time), sum(value) FROM readings".into(), of_day.clone(), &hours),
        ("event_time, sum(value) FROM readings".into(), of_day.clone(), &raw),
        ("device, count(value) FROM readings".into(), of_day.clone(), &hours),
        ("1, count(*) FROM readings".into(), of_day.clone() + " AND tag LIKE 't%'", &hours),
        // The last of a series is in its roll-up, that of several is not.
        (
            "device, tag, last_value(value ORDER BY event_time) FROM readings".into(),
            of_day.clone(),
            &hours,
        ),
        ("device, last_value(value ORDER BY event_time) FROM readings".into(), of_day.clone(), &raw),
        ("device, last_value(value ORDER BY value) FROM readings".into(), of_day.clone(), &raw),
        // What a roll-up does not tell.
        ("device, stddev(value) FROM readings".into(), of_day.clone(), &raw),
        ("device, count(DISTINCT value) FROM readings".into(), of_day.clone(), &raw),
        ("device, avg(value) FILTER (WHERE value > 1) FROM readings".into(), of_day.clone(), &raw),
        ("device, avg(value * 2) FROM readings".into(), of_day.clone(), &raw),
        ("unit, avg(value) FROM readings".into(), of_day.clone(), &raw),
        ("random(), avg(value) FROM readings".into(), of_day.clone(), &raw),
        // Other readings than those that are rolled up.
        ("device, avg(value) FROM readings".into(), format!("{day} AND value IS NOT NULL"), &raw),
        ("device, avg(value) FROM readings".into(), format!("{day} AND quality = 0 AND value IS NOT NULL"), &raw),
        ("device, avg(value) FROM readings".into(), format!("{day} AND quality < 2"), &raw),
        ("device, avg(value) FROM readings".into(), of_day.clone() + " AND value > 3", &raw),
        ("device, avg(value) FROM readings".into(), of_day.clone() + " AND gateway = 'gw'", &raw),
        (
            "device, avg(value) FROM readings".into(),
            of_day.clone() + " AND (event_time < '2026-05-01T01:00:00Z' OR tag = 't1')",
            &raw,
        ),
        // Another site, none of whose windows are closed.
        ("device, avg(value) FROM readings".into(), of_day.replace("plant", "quarry"), &raw),
    ] {
        // Each begins with the first group; two have a second one.
        let has_two = select.contains("device, tag, last") || select.contains("'/'");
        let group = if has_two { "1, 2" } else { "1" };
        let sql = format!("SELECT {select} WHERE {filter} GROUP BY {group}");
        assert_eq!(tables_of(&seen, "all", &sql).await, *expected, "{sql}");
    }
    // With what is not the same in ragged minutes, and of sites that have none.
    let ragged = format!(
        "SELECT {grafana}, avg(value) FROM readings WHERE {numbers} AND event_time BETWEEN '2026-05-01T00:00:10Z' AND \
         '2026-05-01T02:00:20Z' GROUP BY 1"
    );
    let both = vec!["readings", "readings_1m"];
    assert_eq!(tables_of(&seen, "all", &ragged).await, both);
    let never = lake.seen(RollupUse::Never);
    assert_eq!(tables_of(&never, "all", &ragged).await, raw);
    // A roll-up that is not wholly there for the user answers nothing.
    assert_eq!(tables_of(&seen, "blind", &ragged).await, raw);
}

/// The last reading of an hour, and of a minute, is a text; roll-ups count numbers alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_value_is_the_same_where_the_newest_reading_is_a_text() {
    let mut lake = RolledUpLake::new().await;
    lake.fill(&mut Chance::new(SEED)).await;
    let text = || Value::Text("off".into());
    let values = [
        (60, Value::F64(1.5)),
        (61, text()),
        (120, text()),
        (180, text()),
        (185, Value::F64(2.5)),
    ];
    lake.put_values("mixed", &values).await;
    lake.close().await;
    let (with, without) = (
        lake.seen(RollupUse::WhereTheyFit),
        lake.seen(RollupUse::Never),
    );
    let last = |bin: &str, filter: &str| {
        format!(
            "SELECT date_trunc('{bin}', event_time) AS g0, device AS g1, tag AS g2, last_value(value ORDER BY event_time) AS n FROM \
             readings WHERE site = 'plant' AND tag = 'mixed' AND quality < 2 {filter} AND event_time >= '{}' AND event_time < '{}' GROUP BY 1, 2, 3",
            DAY[0], DAY[1]
        )
    };
    for (bin, table) in [("hour", "readings_1h"), ("minute", "readings_1m")] {
        let sql = last(bin, "AND value IS NOT NULL");
        assert_eq!(tables_of(&with, "all", &sql).await, vec![table]);
        let found = answer(&with, "all", &sql).await;
        assert_eq!(found, answer(&without, "all", &sql).await, "{bin}");
        let numbers: Vec<Option<f64>> = found.iter().map(|row| row.1[0]).collect();
        assert_eq!(numbers, [Some(1.5), Some(2.5)]);
    }
    // Here the text counts, as a reading without a number.
    let sql = last("hour", "");
    assert_eq!(tables_of(&with, "all", &sql).await, vec!["readings"]);
    let found = answer(&with, "all", &sql).await;
    assert_eq!(found, answer(&without, "all", &sql).await);
    let numbers: Vec<Option<f64>> = found.iter().map(|row| row.1[0]).collect();
    assert_eq!(numbers, [None, None, Some(2.5)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_beyond_a_double_is_the_same_infinity() {
    let mut lake = RolledUpLake::new().await;
    lake.fill(&mut Chance::new(SEED)).await;
    let huge = Value::F64(1.7e308);
    let up = [60, 61, 120, 180].map(|minute| (minute, huge.clone()));
    let down = [60, 61, 120].map(|minute| (minute, Value::F64(-1.7e308)));
    lake.put_values("up", &up).await;
    lake.put_values("down", &down).await;
    lake.close().await;
    let (with, without) = (
        lake.seen(RollupUse::WhereTheyFit),
        lake.seen(RollupUse::Never),
    );
    for (bin, ends) in [("hour", 5), ("day", 2)] {
        let sql = format!(
            "SELECT date_trunc('{bin}', event_time) AS g0, tag AS g1, avg(value) AS n0, sum(value) AS n1, max(value) AS n2, count(*) AS n3 \
             FROM readings WHERE site = 'plant' AND tag IN ('up', 'down') AND quality < 2 AND value IS NOT NULL AND event_time >= '{}' AND \
             event_time < '{}' GROUP BY 1, 2",
            DAY[0], DAY[1]
        );
        assert_eq!(tables_of(&with, "all", &sql).await, vec!["readings_1h"]);
        let found = answer(&with, "all", &sql).await;
        // Infinities are equal, and NaN to nothing.
        assert_eq!(found, answer(&without, "all", &sql).await, "{bin}");
        assert_eq!(found.len(), ends, "{found:?}");
        let infinite = |row: &&Row| row.1[0].is_some_and(f64::is_infinite);
        assert_eq!(found.iter().filter(infinite).count(), 2, "{found:?}");
    }
}

/// Roll-ups are a shortcut: who cannot read what they hold has answers all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_windows_that_cannot_be_read_costs_the_shortcut_alone() {
    let mut lake = RolledUpLake::new().await;
    let mut chance = Chance::new(SEED);
    lake.fill(&mut chance).await;
    lake.close().await;
    let sql = format!(
        "SELECT date_trunc('hour', event_time) AS g, avg(value) FROM readings WHERE quality < 2 AND value IS NOT NULL AND \
         site = 'plant' AND event_time >= '{}' AND event_time < '{}' GROUP BY 1",
        DAY[0], DAY[1]
    );
    let seen = lake.seen(RollupUse::WhereTheyFit);
    assert_eq!(tables_of(&seen, "all", &sql).await, vec!["readings_1h"]);
    let expected = answer(&seen, "all", &sql).await;
    assert!(expected.len() > 10, "{expected:?}");
    for fault in ["of a newer release", "out of reach"] {
        match fault {
            "out of reach" => lake.shut_off_states_of_windows().await,
            _ => lake.newer_state_of_windows().await,
        }
        let seen = lake.seen(RollupUse::WhereTheyFit);
        assert_eq!(
            tables_of(&seen, "all", &sql).await,
            vec!["readings"],
            "{fault}"
        );
        let found = answer(&seen, "all", &sql).await;
        assert!(are_same(&found, &expected), "{fault}: {found:?}");
        let waiting = answer(&seen, "all", "SELECT site AS g FROM windows_waiting").await;
        assert_eq!(waiting.len(), 2, "{fault}");
    }
}

/// What a user of one site is shown names no other, and no time of another.
#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_names_no_site_of_another_user() {
    let mut lake = RolledUpLake::new().await;
    let mut chance = Chance::new(SEED);
    lake.fill(&mut chance).await;
    lake.close().await;
    let seen = lake.seen(RollupUse::WhereTheyFit);
    let sql = "EXPLAIN SELECT date_trunc('hour', event_time), avg(value) FROM readings WHERE quality < 2 AND value IS NOT NULL \
               GROUP BY 1";
    for (user, names_quarry) in [("all", true), ("plant", false)] {
        let mut rows = seen.ask(user, sql).await;
        let mut plan = String::new();
        while let Some(batch) = rows.next().await {
            plan.extend(batch.unwrap().column(1).as_string::<i32>().iter().flatten());
        }
        assert!(plan.contains("readings_1h"), "{plan}");
        assert_eq!(plan.contains("quarry"), names_quarry, "{user}: {plan}");
    }
}
