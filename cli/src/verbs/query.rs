//! `forebay query "SQL"`: one statement, reading only.

use std::{io::Write as _, process::ExitCode, sync::Arc};

use anyhow::anyhow;
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    csv,
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
    json,
    util::{
        display::{ArrayFormatter, FormatOptions},
        pretty,
    },
};
use clap::ValueEnum;
use datafusion::{error::DataFusionError, execution::context::SQLOptions, physical_plan::collect};
use forebay_lake::{ScanCost, quoting_hint};
use parquet::arrow::ArrowWriter;

use crate::{config::Reading, out, place::Place, store::Store};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The statement. Tables: readings, gaps, windows, quarantine, alerts, predictions, scores, job_runs,
    /// events, models, backtests.
    sql: String,
    /// How to print the rows.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Say on stderr how many data files were opened and how much was read of them; EXPLAIN ANALYZE says more.
    #[arg(long)]
    stats: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One object a line.
    Json,
    /// RFC 4180 with a header; null is empty, times are RFC 3339 with µs, in UTC unless the query puts them into another zone.
    Csv,
    /// A file, in clear.
    Parquet,
}

pub(crate) async fn run(place: &Place, args: Args) -> anyhow::Result<ExitCode> {
    let reader = Store::for_reading(&Reading::load(place)?).reader().await?;
    let context = forebay_lake::session(&reader.tables, &reader.decrypter).await?;
    let reading_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let rows = context
        .sql_with_options(&args.sql, reading_only)
        .await
        .map_err(|error| planning(error, &args.sql))?;
    let schema: SchemaRef = rows.schema().inner().clone();
    let plan = rows.create_physical_plan().await?;
    let batches: Vec<RecordBatch> = collect(plan.clone(), context.task_ctx()).await?;
    out::print(rendered(args.format, schema, &batches)?)?;
    if args.stats {
        let ScanCost { files, bytes } = ScanCost::of(plan.as_ref());
        eprintln!("{files} data files opened, {bytes} bytes of their columns read");
    }
    Ok(ExitCode::SUCCESS)
}

/// DataFusion's own message shows the parser's as a debugger would, beside the parser's own.
fn planning(error: DataFusionError, sql: &str) -> anyhow::Error {
    match error.find_root() {
        DataFusionError::SQL(parser, _) => match quoting_hint(sql) {
            Some(hint) => anyhow!("{parser}; {hint}"),
            None => anyhow!("{parser}"),
        },
        _ => error.into(),
    }
}

/// The rows with times of zones other than UTC as text that names their offset: the writer has one form for all.
fn with_offsets(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    const TIME: &str = "%Y-%m-%dT%H:%M:%S%.6f%:z";
    let options = FormatOptions::default().with_timestamp_tz_format(Some(TIME));
    let mut fields: Vec<Field> = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let is_elsewhere =
            matches!(field.data_type(), DataType::Timestamp(_, Some(zone)) if !is_utc(zone));
        if !is_elsewhere {
            fields.push(field.as_ref().clone());
            columns.push(column.clone());
            continue;
        }
        let shown = ArrayFormatter::try_new(column.as_ref(), &options)?;
        let text = |row| {
            column
                .is_valid(row)
                .then(|| shown.value(row).try_to_string())
                .transpose()
        };
        let texts = (0..column.len())
            .map(text)
            .collect::<Result<StringArray, _>>()?;
        fields.push(Field::new(field.name(), DataType::Utf8, true));
        columns.push(Arc::new(texts));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "Z" | "+00:00")
}

fn rendered(format: Format, schema: SchemaRef, batches: &[RecordBatch]) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    match format {
        Format::Table if batches.is_empty() => {
            writeln!(
                out,
                "{}",
                pretty::pretty_format_batches(&[RecordBatch::new_empty(schema)])?
            )?;
        }
        Format::Table => writeln!(out, "{}", pretty::pretty_format_batches(batches)?)?,
        Format::Json => {
            let mut writer = json::LineDelimitedWriter::new(&mut out);
            writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
            writer.finish()?;
        }
        Format::Csv => {
            const TIME: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";
            let builder = csv::WriterBuilder::new().with_header(true);
            let mut writer = builder
                .with_timestamp_tz_format(TIME.into())
                .with_timestamp_format(TIME.into())
                .build(&mut out);
            if batches.is_empty() {
                writer.write(&RecordBatch::new_empty(schema))?;
            }
            for batch in batches {
                writer.write(&with_offsets(batch)?)?;
            }
        }
        Format::Parquet => {
            let mut writer = ArrowWriter::try_new(&mut out, schema, None)?;
            for batch in batches {
                writer.write(batch)?;
            }
            writer.close()?;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;

    use super::*;

    #[test]
    fn times_of_another_zone_name_their_offset() {
        // Both sides of a change of clocks, and none.
        let micros = vec![
            Some(1_761_393_600_000_000),
            Some(1_761_480_000_000_001),
            None,
        ];
        for (zone, expected) in [
            (
                "UTC",
                ["2025-10-25T12:00:00.000000Z", "2025-10-26T12:00:00.000001Z"],
            ),
            (
                "+00:00",
                ["2025-10-25T12:00:00.000000Z", "2025-10-26T12:00:00.000001Z"],
            ),
            (
                "Europe/Amsterdam",
                [
                    "2025-10-25T14:00:00.000000+02:00",
                    "2025-10-26T13:00:00.000001+01:00",
                ],
            ),
            (
                "-09:30",
                [
                    "2025-10-25T02:30:00.000000-09:30",
                    "2025-10-26T02:30:00.000001-09:30",
                ],
            ),
        ] {
            let times = TimestampMicrosecondArray::from(micros.clone()).with_timezone(zone);
            let rows = RecordBatch::try_from_iter_with_nullable([
                ("at", Arc::new(times) as ArrayRef, true),
                (
                    "name",
                    Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef,
                    false,
                ),
            ]);
            let rows = rows.unwrap();
            let csv =
                String::from_utf8(rendered(Format::Csv, rows.schema(), &[rows]).unwrap()).unwrap();
            assert_eq!(
                csv,
                format!("at,name\n{},a\n{},b\n,c\n", expected[0], expected[1]),
                "{zone}"
            );
        }
    }
}
