//! A CSV file as records, and what a first reading of it tells.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read},
};

use csv::ByteRecord;
use flate2::read::MultiGzDecoder;
use forebay_schemas::TagName;
use ring::digest;

use super::{
    DeviceSource, ImportError, ImportSpec,
    cell::{ColumnKind, normal, trimmed},
    clocks::Clocks,
    quotes::{Broken, Quotes},
    time::{self, Time},
};

/// The columns that an import reads, by their place in the file.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) time: usize,
    pub(super) device: Option<usize>,
    pub(super) tags: Vec<TagColumn>,
    /// Columns without a name, which must hold nothing.
    unnamed: Vec<usize>,
    /// Up to the last column with a name: each row has so many fields.
    named: usize,
    /// Fields behind these must hold nothing.
    width: usize,
}

/// A column that becomes a tag.
#[derive(Debug, Clone)]
pub(super) struct TagColumn {
    pub(super) at: usize,
    pub(super) name: TagName,
    pub(super) kind: ColumnKind,
}

/// What a first reading of the file tells.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) layout: Layout,
    /// SHA-256 of the text: of what was compressed, not of how.
    pub(super) digest: Vec<u8>,
    /// The order of rows around changes of clocks.
    pub(super) clocks: Clocks,
    /// Cells that hold line breaks: how many, and the line of the first.
    pub(super) broken_over: Option<(u64, u64)>,
}

/// Text on its way to the CSV reader: digested, and its quotes followed.
struct Watched<R> {
    inner: R,
    context: digest::Context,
    quotes: Quotes,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.context.update(&buffer[..count]);
        self.quotes.feed(&buffer[..count]);
        Ok(count)
    }
}

/// The file's text, decompressed.
fn open(spec: &ImportSpec) -> Result<Box<dyn Read>, ImportError> {
    let failed = |source| ImportError::Open {
        file: spec.file.clone(),
        source,
    };
    let bytes = File::open(&spec.file).map(BufReader::new).map_err(failed)?;
    let gzip = spec
        .file
        .extension()
        .is_some_and(|extension| extension == "gz");
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(bytes))
    } else {
        Box::new(bytes)
    })
}

fn reader<R: Read>(spec: &ImportSpec, text: R) -> csv::Reader<R> {
    csv::ReaderBuilder::new()
        .delimiter(spec.separator)
        .flexible(true)
        .from_reader(text)
}

/// The records from the first row on; the rows to be skipped are among them.
pub(super) fn records(spec: &ImportSpec) -> Result<csv::Reader<Box<dyn Read>>, ImportError> {
    Ok(reader(spec, open(spec)?))
}

/// Reads the file once: digest, columns, what their cells agree on, and the order of its rows.
pub(super) fn survey(spec: &ImportSpec) -> Result<Survey, ImportError> {
    let mut text = Watched {
        inner: open(spec)?,
        context: digest::Context::new(&digest::SHA256),
        quotes: Quotes::new(spec.separator),
    };
    let mut clocks = Clocks::new(spec.time_zone.clone());
    let layout = read_through(spec, &mut text, &mut clocks);
    if !matches!(layout, Err(ImportError::Read { .. })) {
        // A quote that is open explains whatever else is wrong, also in the header.
        io::copy(&mut text, &mut io::sink()).map_err(|source| ImportError::Open {
            file: spec.file.clone(),
            source,
        })?;
        text.quotes
            .check()
            .map_err(|broken| broken_quotes(spec, broken))?;
    }
    let broken_over = text.quotes.broken_over();
    Ok(Survey {
        layout: layout?,
        digest: text.context.finish().as_ref().to_vec(),
        clocks,
        broken_over,
    })
}

fn read_through(
    spec: &ImportSpec,
    text: impl Read,
    clocks: &mut Clocks,
) -> Result<Layout, ImportError> {
    let read = |source| ImportError::Read {
        file: spec.file.clone(),
        source,
    };
    let mut reader = reader(spec, text);
    let header = reader.byte_headers().map_err(read)?.clone();
    let mut layout = layout(spec, &header)?;
    let mut record = ByteRecord::new();
    let mut row = 0;
    while reader.read_byte_record(&mut record).map_err(read)? {
        row += 1;
        if row <= spec.skip_rows {
            continue;
        }
        if let Some((column, example)) = layout.filled_without_name(&record) {
            return Err(ImportError::UnnamedColumn {
                file: spec.file.clone(),
                column,
                row,
                example,
            });
        }
        layout.learn(&record, spec);
        learn_order(clocks, &layout, &record, spec);
    }
    Ok(layout)
}

fn broken_quotes(spec: &ImportSpec, broken: Broken) -> ImportError {
    let file = spec.file.clone();
    match broken {
        Broken::Open { line } => ImportError::OpenQuote { file, line },
        Broken::Stray { line, end } => ImportError::StrayQuote { file, line, end },
    }
}

fn learn_order(clocks: &mut Clocks, layout: &Layout, record: &ByteRecord, spec: &ImportSpec) {
    if !clocks.are_changed() || !layout.fits(record) {
        return;
    }
    let text = |at: usize| {
        std::str::from_utf8(record.get(at).unwrap_or_default())
            .ok()
            .map(trimmed)
    };
    let device = match layout.device {
        Some(at) => text(at),
        None => Some("".into()),
    };
    let time = text(layout.time).and_then(|time| time::parse(&time, &spec.time_format).ok());
    if let (Some(device), Some(Time::Local(local))) = (device, time) {
        clocks.learn(&device, local);
    }
}

impl Layout {
    /// Whether a record has the fields of a row.
    pub(super) fn fits(&self, record: &ByteRecord) -> bool {
        record.len() >= self.named && record.iter().skip(self.width).all(is_blank)
    }

    /// How many fields a row has.
    pub(super) fn fields(&self) -> usize {
        self.named
    }

    /// The first column without a name in which a row holds something: which, and what.
    fn filled_without_name(&self, record: &ByteRecord) -> Option<(usize, String)> {
        let mut cells = self
            .unnamed
            .iter()
            .filter_map(|at| Some((*at, record.get(*at)?)));
        let (at, cell) = cells.find(|(_, cell)| !is_blank(cell))?;
        Some((at + 1, String::from_utf8_lossy(cell).trim().to_owned()))
    }

    fn learn(&mut self, record: &ByteRecord, spec: &ImportSpec) {
        for TagColumn { at, kind, .. } in &mut self.tags {
            let Some(Ok(cell)) = record.get(*at).map(std::str::from_utf8) else {
                continue;
            };
            let cell = trimmed(cell);
            if let (false, Ok(normal)) = (cell.is_empty(), normal(&cell, spec.decimal)) {
                *kind = kind.widen(&normal);
            }
        }
    }
}

fn is_blank(cell: &[u8]) -> bool {
    cell.trim_ascii().is_empty()
}

/// The names of columns, and what separates them if it is not what was said.
fn listed(names: &[String]) -> String {
    match names {
        [only] => match [";", "\t", "|", ","]
            .into_iter()
            .find(|separator| only.contains(separator))
        {
            Some(separator) => {
                format!("{only}: --separator {separator:?} reads it as more than one")
            }
            None => only.clone(),
        },
        _ => names.join(", "),
    }
}

fn layout(spec: &ImportSpec, header: &ByteRecord) -> Result<Layout, ImportError> {
    let names = header
        .iter()
        .enumerate()
        .map(|(at, name)| match std::str::from_utf8(name) {
            Ok(name) => Ok(trimmed(name).into_owned()),
            Err(_) => Err(ImportError::Encoding {
                file: spec.file.clone(),
                column: at + 1,
            }),
        });
    let names = names.collect::<Result<Vec<String>, _>>()?;
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        places.entry(name).or_default().push(at);
    }
    let find = |column: &str| match places.get(column).map(Vec::as_slice) {
        Some([at]) => Ok(*at),
        Some([first, second, ..]) => Err(ImportError::DoubledColumn {
            column: column.to_owned(),
            file: spec.file.clone(),
            first: first + 1,
            second: second + 1,
        }),
        _ => Err(ImportError::Column {
            column: column.to_owned(),
            file: spec.file.clone(),
            columns: listed(&names),
        }),
    };
    let time = find(&spec.time_column)?;
    let device = match &spec.device {
        DeviceSource::Fixed(_) => None,
        DeviceSource::Column(column) => Some(find(column)?),
    };
    let rest = || (0..names.len()).filter(|at| *at != time && Some(*at) != device);
    let (tags, unnamed): (Vec<usize>, Vec<usize>) = match &spec.tags {
        Some(tags) => (asked_for(tags, find)?, Vec::new()),
        None => {
            let (named, unnamed): (Vec<usize>, Vec<usize>) =
                rest().partition(|at| !names[*at].is_empty());
            (
                named
                    .into_iter()
                    .map(|at| find(&names[at]))
                    .collect::<Result<_, _>>()?,
                unnamed,
            )
        }
    };
    if tags.is_empty() {
        return Err(ImportError::NoTags {
            file: spec.file.clone(),
        });
    }
    let tag = |at: usize| match TagName::new(&names[at]) {
        Ok(name) => Ok(TagColumn {
            at,
            name,
            kind: ColumnKind::default(),
        }),
        Err(source) => Err(ImportError::Tag {
            file: spec.file.clone(),
            column: at + 1,
            source,
        }),
    };
    let named = names
        .iter()
        .rposition(|name| !name.is_empty())
        .map_or(0, |last| last + 1);
    let tags = tags.into_iter().map(tag).collect::<Result<_, _>>()?;
    Ok(Layout {
        time,
        device,
        tags,
        unnamed,
        named,
        width: names.len(),
    })
}

/// The places of the tags that were asked for.
fn asked_for(
    tags: &[String],
    find: impl Fn(&str) -> Result<usize, ImportError>,
) -> Result<Vec<usize>, ImportError> {
    let mut places = Vec::new();
    for tag in tags {
        let at = find(tag.trim())?;
        if places.contains(&at) {
            return Err(ImportError::DoubledTag { tag: tag.clone() });
        }
        places.push(at);
    }
    Ok(places)
}
