use arrow::{
    datatypes::{DataType, Field, Schema},
    util::pretty::pretty_format_batches,
};

use super::*;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;

/// Tag, event time in seconds, value, quality; seqs count up.
type Row = (&'static str, i64, Option<f64>, i64);

fn readings(rows: &[Row]) -> RecordBatch {
    let field = |name: &str, of: DataType| Field::new(name, of, true);
    let schema = Schema::new(vec![
        field("device", DataType::Utf8),
        field("tag", DataType::Utf8),
        field("event_time", DataType::Int64),
        field("value", DataType::Float64),
        field("quality", DataType::Int64),
        field("unit", DataType::Utf8),
        field("epoch", DataType::Int64),
        field("seq", DataType::Int64),
    ]);
    let longs = |of: &dyn Fn(usize, &Row) -> i64| -> ArrayRef {
        let values = rows.iter().enumerate().map(|(at, row)| of(at, row));
        Arc::new(Int64Array::from_iter_values(values))
    };
    let units = rows.iter().map(|row| (row.0 != "none").then_some("Cel"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| "d"))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
        longs(&|_, row| row.1 * SECOND),
        Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
        longs(&|_, row| row.3),
        Arc::new(units.collect::<StringArray>()),
        longs(&|_, _| 1),
        longs(&|at, _| at as i64),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// Tag, minute, min, max, mean, last, count, count_bad, unit.
fn shown(rows: &RecordBatch) -> Vec<String> {
    let text = pretty_format_batches(std::slice::from_ref(rows)).unwrap();
    let text = text.to_string();
    let lines = text.lines().skip(3).filter(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).skip(2).collect();
        let time = cells[1].get(11..16).unwrap_or_default();
        let rest = cells[2..].join(" ");
        format!("{} {time} {}", cells[0], rest.trim_end())
    };
    lines.map(cells).collect()
}

fn rolled_up(width: i64, rows: &[Row], level: RollupLevel) -> Vec<String> {
    let mut aggregate = Aggregate::new(width);
    aggregate.add(&readings(rows)).unwrap();
    shown(&aggregate.rows(level, &[(0, 100 * 60 * MINUTE)]).unwrap())
}

#[test]
fn a_row_says_what_its_readings_are_like() {
    let check = |rows: &[Row], expected: &[&str]| {
        assert_eq!(rolled_up(MINUTE, rows, RollupLevel::Minute), expected);
    };
    check(&[], &[]);
    check(
        &[
            ("t", 1, Some(3.0), 0),
            ("t", 59, Some(1.0), 1),
            ("t", 30, Some(5.0), 0),
        ],
        &["t 00:00 1.0 5.0 3.0 1.0 3 0 Cel"],
    );
    // Bad readings are counted, and what they say is not.
    check(
        &[
            ("t", 1, Some(3.0), 0),
            ("t", 2, Some(9.0), 2),
            ("t", 3, None, 2),
        ],
        &["t 00:00 3.0 3.0 3.0 3.0 1 2 Cel"],
    );
    check(&[("t", 61, None, 2)], &["t 00:01     0 1"]);
    // Text has no number.
    check(&[("t", 1, None, 0)], &[]);
    // Of equal times the highest seq is the last.
    check(
        &[("none", 5, Some(1.0), 0), ("none", 5, Some(2.0), 0)],
        &["none 00:00 1.0 2.0 1.5 2.0 2 0"],
    );
    check(
        &[
            ("t", 119, Some(1.0), 0),
            ("s", 60, Some(-1.0), 0),
            ("t", 120, Some(0.0), 0),
        ],
        &[
            "s 00:01 -1.0 -1.0 -1.0 -1.0 1 0 Cel",
            "t 00:01 1.0 1.0 1.0 1.0 1 0 Cel",
            "t 00:02 0.0 0.0 0.0 0.0 1 0 Cel",
        ],
    );
}

#[test]
fn hours_are_the_same_whether_they_are_made_of_minutes_or_of_readings() {
    let rows: Vec<Row> = (0..7_200)
        .map(|second| {
            let quality = if second % 7 == 0 { 2 } else { 0 };
            ("t", second, Some((second as f64 * 0.1).sin()), quality)
        })
        .collect();
    let of_minutes = rolled_up(MINUTE, &rows, RollupLevel::Hour);
    assert_eq!(of_minutes, rolled_up(60 * MINUTE, &rows, RollupLevel::Hour));
    assert_eq!(of_minutes.len(), 2);
}

#[test]
fn a_mean_does_not_depend_on_the_order_of_its_readings() {
    let mut rows: Vec<Row> = (0..1_000)
        .map(|n| ("t", n % 60, Some(1e15 / (n as f64 + 1.0)), 0))
        .collect();
    rows.push(("t", 30, Some(-1e18), 0));
    rows.push(("t", 31, Some(1e18), 0));
    let mean = |rows: &[Row]| {
        let mut aggregate = Aggregate::new(MINUTE);
        for part in rows.chunks(100) {
            aggregate.add(&readings(part)).unwrap();
        }
        let rows = aggregate.rows(RollupLevel::Minute, &[(0, MINUTE)]).unwrap();
        rows.column(5).as_primitive::<Float64Type>().value(0)
    };
    let forward = mean(&rows);
    rows.reverse();
    assert_eq!(mean(&rows).to_bits(), forward.to_bits());
    rows.sort_by(|a, b| a.2.partial_cmp(&b.2).unwrap());
    assert_eq!(mean(&rows).to_bits(), forward.to_bits());
}

#[test]
fn only_rows_of_the_stretches_are_given() {
    let mut aggregate = Aggregate::new(MINUTE);
    let rows: Vec<Row> = (0..5)
        .map(|minute| ("t", minute * 60, Some(0.0), 0))
        .collect();
    aggregate.add(&readings(&rows)).unwrap();
    let stretches = [(MINUTE, 2 * MINUTE), (3 * MINUTE, 4 * MINUTE)];
    let rows = aggregate.rows(RollupLevel::Minute, &stretches).unwrap();
    let starts: Vec<String> = shown(&rows)
        .iter()
        .map(|row| row[2..7].to_owned())
        .collect();
    assert_eq!(starts, ["00:01", "00:03"]);
}
