//! `forebay query "SQL"`: one statement, reading only.

use std::{io::Write as _, process::ExitCode};

use anyhow::anyhow;
use arrow::{array::RecordBatch, csv, datatypes::SchemaRef, json, util::pretty};
use clap::ValueEnum;
use datafusion::{error::DataFusionError, execution::context::SQLOptions, physical_plan::collect};
use forebay_lake::ScanCost;
use parquet::arrow::ArrowWriter;

use crate::{config::Config, out, place::Place, store::Store};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The statement. Tables: readings, gaps, windows, quarantine, alerts, predictions, scores, job_runs.
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
    /// RFC 4180 with a header; null is empty, times are RFC 3339 in UTC with µs.
    Csv,
    /// A file, in clear.
    Parquet,
}

pub(crate) async fn run(place: &Place, args: Args) -> anyhow::Result<ExitCode> {
    let reader = Store::of(&Config::load(place)?)?.reader().await?;
    let context = forebay_lake::session(&reader.tables, &reader.decrypter).await?;
    let reading_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let rows = context.sql_with_options(&args.sql, reading_only).await.map_err(planning)?;
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
fn planning(error: DataFusionError) -> anyhow::Error {
    match error.find_root() {
        DataFusionError::SQL(parser, _) => anyhow!("{parser}"),
        _ => error.into(),
    }
}

fn rendered(format: Format, schema: SchemaRef, batches: &[RecordBatch]) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    match format {
        Format::Table if batches.is_empty() => {
            writeln!(out, "{}", pretty::pretty_format_batches(&[RecordBatch::new_empty(schema)])?)?;
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
            let mut writer =
                builder.with_timestamp_tz_format(TIME.into()).with_timestamp_format(TIME.into()).build(&mut out);
            if batches.is_empty() {
                writer.write(&RecordBatch::new_empty(schema))?;
            }
            for batch in batches {
                writer.write(batch)?;
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
