//! `kind = "sql"`: a query over the lake whose rows become `scores` or `predictions`.
//!
//! `query` (or `query_file`) is one SELECT over `readings`, `windows`, `scores`, `predictions` and `alerts`, cut off at the
//! instant that the run was due. `{window_start}`, `{window_end}`, `{site}` and `{now}` in it become literals: timestamps,
//! and a text; `{now}` is when the run was due. Its columns must be those of the table that `into` names, but `job` and
//! `run_id`, which are filled in. Queries that keep to what Spark runs too (no `date_bin`, no `arrow_cast`, timestamps
//! compared with timestamps) can move there unchanged.

mod columns;
mod parameters;

use std::{
    path::PathBuf,
    pin::pin,
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use datafusion::{
    dataframe::DataFrame, execution::context::SQLOptions, prelude::SessionContext,
    sql::parser::DFParser,
};
use forebay_config::{Choice, Describe, Optional, Table, TableKeys};
use forebay_jobs::{Job, JobError, JobKind, Outcome, Results, RunContext, keys::SCHEDULE};
use forebay_schemas::table::{PREDICTIONS, SCORES};

pub use parameters::{Parameters, timestamp};

/// More rows than this are a query gone wrong: they would be held in memory.
const ROWS_MAX: usize = 1_000_000;

/// The keys of the kind; whether there is a schedule decides which parameters a query has.
const SQL: TableKeys = TableKeys::many(
    "job",
    "Runs a SQL query over the lake and stores its rows as scores or predictions.",
    &[&INTO, &QUERY, &QUERY_FILE, &SCHEDULE],
);

const INTO: Choice<Into> = Choice::new(
    "into",
    &[("scores", Into::Scores), ("predictions", Into::Predictions)],
    "The table that the query's rows go to; their columns must be that table's but for job and run_id, which are filled in.",
)
.required();

const QUERY: Optional<String> = Optional::new(
    "query",
    "One SELECT over readings, windows, scores, predictions and alerts. {site}, {window_start} and {window_end} in it stand for \
     the window that closed, {now} for the time at which the run was due. A job has query or query_file.",
);

const QUERY_FILE: Optional<PathBuf> = Optional::new("query_file", "A file that holds the query.");

/// Where a query's rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Into {
    Scores,
    Predictions,
}

impl Into {
    fn table(self) -> &'static forebay_schemas::table::Table {
        match self {
            Self::Scores => &SCORES,
            Self::Predictions => &PREDICTIONS,
        }
    }
}

/// A query and where its rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlJob {
    query: String,
    into: Into,
}

/// `kind = "sql"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqlKind;

impl JobKind for SqlKind {
    fn name(&self) -> &'static str {
        "sql"
    }

    fn keys(&self) -> &'static TableKeys {
        &SQL
    }

    fn configure(&self, table: &mut Table<'_>) -> Option<Box<dyn Job>> {
        let into = table.read(&INTO);
        if !table.has(&INTO) {
            table.problem(
                &INTO,
                "into is missing, \"scores\" or \"predictions\" is expected",
            );
        }
        let query = query(table, into);
        Some(Box::new(SqlJob {
            query: query?,
            into: into?,
        }))
    }
}

fn query(table: &mut Table<'_>, into: Option<Into>) -> Option<String> {
    let inline = table.read(&QUERY);
    let file = table.read(&QUERY_FILE);
    let (key, query): (&dyn Describe, String) = match (inline, file) {
        (Some(_), Some(_)) => {
            table.problem(&QUERY_FILE, "a job has a query or a query_file, not both");
            return None;
        }
        (Some(query), None) => (&QUERY, query),
        (None, Some(path)) => match std::fs::read_to_string(&path) {
            Ok(query) => (&QUERY_FILE, query),
            Err(error) => {
                table.problem(
                    &QUERY_FILE,
                    format!("cannot read {}: {error}", path.display()),
                );
                return None;
            }
        },
        (None, None) if table.has(&QUERY) || table.has(&QUERY_FILE) => return None,
        (None, None) => {
            table.problem(
                &QUERY,
                "query is missing, a SELECT in quotes is expected, or query_file",
            );
            return None;
        }
    };
    match check(&query, into, !table.has(&SCHEDULE)) {
        Ok(()) => Some(query),
        Err(why) => {
            table.problem(key, why);
            None
        }
    }
}

/// One statement that can be parsed and planned over the lake's tables, and gives the columns that are needed.
fn check(query: &str, into: Option<Into>, has_window: bool) -> Result<(), String> {
    let parameters = Parameters::example(has_window);
    // What braces mean to SQL says nothing of a mistyped name.
    let mistyped = |why| parameters.mistyped(query).unwrap_or(why);
    let planned = plan_without_rows(&parameters.fill(query)?).map_err(mistyped)?;
    match (into, planned) {
        (Some(into), Some(planned)) => columns::fit(&planned, into.table())
            .map(drop)
            .map_err(|error| error.to_string()),
        _ => Ok(()),
    }
}

/// Plans one SELECT, its parameters filled in, over the tables that jobs see and without a lake; `None` where planning
/// would have to wait.
///
/// # Errors
/// In words for a person.
pub fn plan_without_rows(query: &str) -> Result<Option<DataFrame>, String> {
    let statements = DFParser::parse_sql(query).map_err(|error| error.to_string())?;
    if statements.len() != 1 {
        return Err(format!(
            "{} statements, one SELECT is expected",
            statements.len()
        ));
    }
    let session = forebay_jobs::empty_session().map_err(|error| error.to_string())?;
    // Tables in memory are there at once, so that planning over them never waits.
    match pin!(planned(&session, query)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(planned) => planned.map(Some).map_err(|error| error.to_string()),
        Poll::Pending => Ok(None),
    }
}

/// Plans a query that only reads.
///
/// # Errors
/// Of kind `Reject`, when it does not fit the lake.
pub async fn planned(session: &SessionContext, query: &str) -> Result<DataFrame, JobError> {
    let reading_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let planned = session.sql_with_options(query, reading_only).await;
    // A query that cannot be planned today cannot be planned tomorrow.
    planned.map_err(|error| JobError::reject(format!("the query does not fit the lake: {error}")))
}

#[async_trait]
impl Job for SqlJob {
    async fn run(&self, context: &RunContext) -> Result<Outcome, JobError> {
        let query = Parameters::of(context)
            .fill(&self.query)
            .map_err(JobError::reject)?;
        let session = context.session().await?;
        let rows = columns::select(
            planned(&session, &query).await?,
            self.into.table(),
            ROWS_MAX,
        )
        .await?;
        let results = match self.into {
            Into::Scores => Results {
                scores: columns::scores(rows)?,
                ..Results::default()
            },
            Into::Predictions => Results {
                predictions: columns::predictions(rows)?,
                ..Results::default()
            },
        };
        Ok(Outcome {
            results,
            note: None,
        })
    }
}

#[cfg(test)]
mod tests;
