//! The file as records: CSV in any encoding, also compressed, or Parquet.

mod parquet;

use std::{
    fs::File,
    io::{self, BufReader, Read},
};

use csv::ByteRecord;
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::read::MultiGzDecoder;
use ring::digest;

use self::parquet::ParquetRecords;
use super::{
    ImportError, ImportSpec,
    cell::{ColumnKind, trimmed},
    quotes::{Broken, Quotes},
};

/// A column, before it is known what it is for.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// What the file says of its cells, if it has types.
    pub(super) kind: ColumnKind,
    /// Why its cells cannot be read, as its type.
    unreadable: Option<String>,
}

impl Column {
    /// # Errors
    /// Its cells cannot be read.
    pub(super) fn check(&self, spec: &ImportSpec) -> Result<(), ImportError> {
        match &self.unreadable {
            None => Ok(()),
            Some(data_type) => Err(ImportError::ColumnType {
                file: spec.file.clone(),
                column: self.name.clone(),
                data_type: data_type.clone(),
            }),
        }
    }
}

/// Records, one after the other; those to be skipped are among them.
pub(super) enum Records<'a> {
    Csv {
        spec: &'a ImportSpec,
        reader: csv::Reader<Box<dyn Read + 'a>>,
    },
    Parquet(ParquetRecords),
}

/// What a whole reading of a file told.
pub(super) struct Watched<T> {
    pub(super) told: T,
    pub(super) digest: Vec<u8>,
    /// Cells that hold line breaks: how many, and the line of the first.
    pub(super) broken_over: Option<(u64, u64)>,
}

impl<'a> Records<'a> {
    /// From the first row on.
    pub(super) fn open(spec: &'a ImportSpec) -> Result<Self, ImportError> {
        match spec.is_parquet() {
            true => Ok(Self::Parquet(ParquetRecords::open(&spec.file)?)),
            false => Ok(Self::of_text(spec, text(spec)?)),
        }
    }

    fn of_text(spec: &'a ImportSpec, text: Box<dyn Read + 'a>) -> Self {
        let reader = csv::ReaderBuilder::new()
            .delimiter(spec.separator)
            .flexible(true)
            .from_reader(text);
        Self::Csv { spec, reader }
    }

    /// # Errors
    /// The header is not UTF-8.
    pub(super) fn columns(&mut self) -> Result<Vec<Column>, ImportError> {
        let (spec, reader) = match self {
            Self::Parquet(records) => return Ok(records.columns().to_vec()),
            Self::Csv { spec, reader } => (spec, reader),
        };
        let header = reader.byte_headers().map_err(|error| unread(spec, error))?;
        let column = |(at, name): (usize, &[u8])| match std::str::from_utf8(name) {
            Ok(name) => Ok(Column {
                name: trimmed(name).into_owned(),
                kind: ColumnKind::default(),
                unreadable: None,
            }),
            Err(_) => Err(ImportError::Encoding {
                file: spec.file.clone(),
                column: at + 1,
            }),
        };
        header.iter().enumerate().map(column).collect()
    }

    /// The next record; `false` at the end.
    pub(super) fn read(&mut self, record: &mut ByteRecord) -> Result<bool, ImportError> {
        match self {
            Self::Parquet(records) => records.read(record),
            Self::Csv { spec, reader } => reader
                .read_byte_record(record)
                .map_err(|error| unread(spec, error)),
        }
    }
}

fn unread(spec: &ImportSpec, source: csv::Error) -> ImportError {
    ImportError::Read {
        file: spec.file.clone(),
        source,
    }
}

fn unopened(spec: &ImportSpec, source: io::Error) -> ImportError {
    ImportError::Open {
        file: spec.file.clone(),
        source,
    }
}

/// The file's text, decompressed, in UTF-8 if it is in the encoding that was named, or has a byte order mark.
fn text(spec: &ImportSpec) -> Result<Box<dyn Read>, ImportError> {
    let bytes = File::open(&spec.file)
        .map(BufReader::new)
        .map_err(|error| unopened(spec, error))?;
    let gzip = spec
        .file
        .extension()
        .is_some_and(|extension| extension == "gz");
    let bytes: Box<dyn Read> = match gzip {
        true => Box::new(MultiGzDecoder::new(bytes)),
        false => Box::new(bytes),
    };
    let decoded = DecodeReaderBytesBuilder::new()
        .encoding(spec.encoding)
        .utf8_passthru(true)
        .build(bytes);
    Ok(Box::new(decoded))
}

/// Reads a file once, by `read`, and watches what goes by.
pub(super) fn watched<T>(
    spec: &ImportSpec,
    read: impl FnOnce(&mut Records<'_>) -> Result<T, ImportError>,
) -> Result<Watched<T>, ImportError> {
    if spec.is_parquet() {
        return Ok(Watched {
            told: read(&mut Records::open(spec)?)?,
            digest: digest_of_bytes(spec)?,
            broken_over: None,
        });
    }
    let mut text = WatchedText {
        inner: text(spec)?,
        context: digest::Context::new(&digest::SHA256),
        quotes: Quotes::new(spec.separator),
    };
    let told = read(&mut Records::of_text(spec, Box::new(&mut text)));
    if !matches!(told, Err(ImportError::Read { .. })) {
        // A quote that is open explains whatever else is wrong, also in the header.
        io::copy(&mut text, &mut io::sink()).map_err(|error| unopened(spec, error))?;
        text.quotes
            .check()
            .map_err(|broken| broken_quotes(spec, broken))?;
    }
    let broken_over = text.quotes.broken_over();
    Ok(Watched {
        told: told?,
        digest: text.context.finish().as_ref().to_vec(),
        broken_over,
    })
}

fn digest_of_bytes(spec: &ImportSpec) -> Result<Vec<u8>, ImportError> {
    let mut file = File::open(&spec.file).map_err(|error| unopened(spec, error))?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file
            .read(&mut buffer)
            .map_err(|error| unopened(spec, error))?
        {
            0 => return Ok(context.finish().as_ref().to_vec()),
            count => context.update(&buffer[..count]),
        }
    }
}

fn broken_quotes(spec: &ImportSpec, broken: Broken) -> ImportError {
    let file = spec.file.clone();
    match broken {
        Broken::Open { line } => ImportError::OpenQuote { file, line },
        Broken::Stray { line, end } => ImportError::StrayQuote { file, line, end },
    }
}

/// Text on its way to the CSV reader: digested, and its quotes followed.
struct WatchedText<R> {
    inner: R,
    context: digest::Context,
    quotes: Quotes,
}

impl<R: Read> Read for WatchedText<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.context.update(&buffer[..count]);
        self.quotes.feed(&buffer[..count]);
        Ok(count)
    }
}
