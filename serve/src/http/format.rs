//! Rows as JSON, CSV and Arrow IPC, part by part.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::RecordBatch,
    csv,
    datatypes::SchemaRef,
    error::ArrowError,
    json::{self, writer::JsonArray},
};
use datafusion::arrow::ipc::writer::StreamWriter;
use tracing::warn;

use crate::{dialect::names::distinct, error::QueryError};

/// RFC 3339 with µs; a time without a zone has none.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.6f";
const TIME_OF_ZONE: &str = "%Y-%m-%dT%H:%M:%S%.6f%:z";

/// How rows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One array of objects.
    Json,
    /// RFC 4180 with a header; null is empty.
    Csv,
    /// Arrow's IPC stream.
    Arrow,
}

impl Format {
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "arrow" => Some(Self::Arrow),
            _ => None,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// What has been written and not been sent yet.
#[derive(Debug, Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Out {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes one answer.
pub(super) struct Writer {
    out: Out,
    schema: SchemaRef,
    has_new_names: bool,
    kind: Kind,
}

enum Kind {
    Json(Box<json::Writer<Out, JsonArray>>),
    Csv(Box<csv::Writer<Out>>),
    /// None before the beginning.
    Arrow(Option<Box<StreamWriter<Out>>>),
}

impl Writer {
    pub(super) fn new(format: Format, schema: SchemaRef) -> Self {
        let out = Out::default();
        let own = distinct(&schema);
        let has_new_names = !Arc::ptr_eq(&own, &schema);
        let kind = match format {
            Format::Json => {
                let builder = json::WriterBuilder::new().with_explicit_nulls(true);
                Kind::Json(Box::new(builder.build(out.clone())))
            }
            Format::Csv => {
                let builder = csv::WriterBuilder::new()
                    .with_header(true)
                    .with_timestamp_format(TIME.into())
                    .with_timestamp_tz_format(TIME_OF_ZONE.into());
                Kind::Csv(Box::new(builder.build(out.clone())))
            }
            Format::Arrow => Kind::Arrow(None),
        };
        Self {
            out,
            schema: own,
            has_new_names,
            kind,
        }
    }

    /// What comes before the rows.
    pub(super) fn begin(&mut self) -> Result<Vec<u8>, QueryError> {
        let empty = RecordBatch::new_empty(self.schema.clone());
        let begun = match &mut self.kind {
            Kind::Json(_) => Ok(()),
            Kind::Csv(writer) => writer.write(&empty),
            Kind::Arrow(writer) => StreamWriter::try_new(self.out.clone(), &self.schema)
                .map(|begun| *writer = Some(Box::new(begun))),
        };
        self.written(begun)
    }

    /// Some rows.
    pub(super) fn rows(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, QueryError> {
        let renamed;
        let batch = if self.has_new_names {
            renamed = self.renamed(batch)?;
            &renamed
        } else {
            batch
        };
        let written = match &mut self.kind {
            Kind::Json(writer) => writer.write(batch),
            Kind::Csv(writer) => writer.write(batch),
            Kind::Arrow(Some(writer)) => writer.write(batch),
            Kind::Arrow(None) => Ok(()),
        };
        self.written(written)
    }

    /// What comes after them.
    pub(super) fn end(&mut self) -> Result<Vec<u8>, QueryError> {
        let ended = match &mut self.kind {
            Kind::Json(writer) => writer.finish(),
            Kind::Csv(_) => Ok(()),
            Kind::Arrow(Some(writer)) => writer.finish(),
            Kind::Arrow(None) => Ok(()),
        };
        self.written(ended)
    }

    fn renamed(&self, batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
        let renamed = RecordBatch::try_new(self.schema.clone(), batch.columns().to_vec());
        renamed.map_err(|error| {
            warn!(%error, "naming the columns of rows failed");
            QueryError::Internal
        })
    }

    fn written(&self, outcome: Result<(), ArrowError>) -> Result<Vec<u8>, QueryError> {
        match outcome {
            Ok(()) => Ok(self.out.take()),
            Err(error) => {
                warn!(%error, "writing rows failed");
                Err(QueryError::Internal)
            }
        }
    }
}
