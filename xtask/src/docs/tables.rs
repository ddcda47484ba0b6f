//! The page of the tables against the golden file of their columns.

use std::collections::BTreeMap;

use anyhow::Context as _;

use super::{
    Problem, Repository,
    markdown::{heading, lines, spans},
    problem,
};

const PAGE: &str = "docs/reference/tables.md";
const GOLDEN: &str = "schemas/golden/tables.v1.txt";

/// The golden file's types, as SQL calls them.
const TYPES: [(&str, &str); 8] = [
    ("String", "string"),
    ("Binary", "binary"),
    ("Short", "smallint"),
    ("Int", "int"),
    ("Long", "bigint"),
    ("Double", "double"),
    ("Bool", "boolean"),
    ("Timestamp", "timestamp"),
];

/// A column's name, and its type with a question mark where it may be null.
type Columns = Vec<(String, String)>;

/// Tables and columns that differ.
pub(super) fn check(repository: &Repository) -> anyhow::Result<Vec<Problem>> {
    let stored = golden(repository.text(GOLDEN)?)?;
    let described = page(repository.text(PAGE)?);
    let mut problems = Vec::new();
    for (table, columns) in &stored {
        match described.get(table) {
            None => problems.push(problem(PAGE, 1, format!("table {table} is missing"))),
            Some((line, found)) if found != columns => {
                let message = format!(
                    "table {table} has the columns {}, this says {}",
                    shown(columns),
                    shown(found)
                );
                problems.push(problem(PAGE, *line, message));
            }
            Some(_) => {}
        }
    }
    let unknown = described
        .iter()
        .filter(|(table, (_, columns))| !stored.contains_key(*table) && !columns.is_empty());
    problems.extend(
        unknown
            .map(|(table, (line, _))| problem(PAGE, *line, format!("there is no table {table}"))),
    );
    Ok(problems)
}

fn shown(columns: &Columns) -> String {
    columns
        .iter()
        .map(|(name, of)| format!("{name} {of}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn golden(text: &str) -> anyhow::Result<BTreeMap<String, Columns>> {
    let mut tables: BTreeMap<String, Columns> = BTreeMap::new();
    let mut table = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [name, "partitioned", ..] => {
                table = name.to_owned();
                tables.entry(table.clone()).or_default();
            }
            [name, of, ref null @ ..] => {
                let (_, of) = TYPES
                    .iter()
                    .find(|(stored, _)| *stored == of)
                    .with_context(|| format!("{GOLDEN}: the type {of} is unknown here"))?;
                let mark = if null == ["null"] { "?" } else { "" };
                tables
                    .entry(table.clone())
                    .or_default()
                    .push((name.to_owned(), format!("{of}{mark}")));
            }
            _ => {}
        }
    }
    Ok(tables)
}

/// By the heading of a table: its line, and the columns of the first list below it whose head says `Column`.
fn page(text: &str) -> BTreeMap<String, (usize, Columns)> {
    let mut tables: BTreeMap<String, (usize, Columns)> = BTreeMap::new();
    let mut table = None;
    let mut is_list = false;
    for line in lines(text) {
        if let Some((level, text)) = heading(&line) {
            table = (level == 2).then_some(text);
            is_list = false;
            if let Some(table) = &table {
                tables.insert(table.clone(), (line.number, Columns::new()));
            }
            continue;
        }
        let cells: Vec<&str> = line.text.split('|').map(str::trim).collect();
        is_list = match cells[..] {
            ["", "Column", "Type", ..] => true,
            ["", _, _, ..] => is_list,
            _ => false,
        };
        let (Some(table), true, ["", name, of, ..]) = (&table, is_list, &cells[..]) else {
            continue;
        };
        if let [name] = spans(name).0[..] {
            tables
                .entry(table.clone())
                .or_default()
                .1
                .push((name.to_owned(), (*of).to_owned()));
        }
    }
    tables
}
