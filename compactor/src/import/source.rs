//! A CSV file as records, and what a first reading of it tells.

use std::{
    fs::File,
    io::{self, BufReader, Read},
};

use csv::ByteRecord;
use flate2::read::MultiGzDecoder;
use ring::digest;

use super::{DeviceSource, ImportError, ImportSpec, cell::ColumnKind};

/// The columns that an import reads, by their place in the file.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) time: usize,
    pub(super) device: Option<usize>,
    /// Place, name and kind of each tag's column.
    pub(super) tags: Vec<(usize, String, ColumnKind)>,
    pub(super) width: usize,
}

/// What a first reading of the file tells.
pub(super) struct Survey {
    pub(super) layout: Layout,
    /// SHA-256 of the bytes as they lie on disk.
    pub(super) digest: Vec<u8>,
}

/// Bytes on their way through, digested.
struct Digesting<R> {
    inner: R,
    context: digest::Context,
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.context.update(&buffer[..count]);
        Ok(count)
    }
}

fn open(spec: &ImportSpec) -> Result<BufReader<File>, ImportError> {
    File::open(&spec.file).map(BufReader::new).map_err(|source| ImportError::Open { file: spec.file.clone(), source })
}

fn reader<'a>(spec: &ImportSpec, bytes: impl Read + 'a) -> csv::Reader<Box<dyn Read + 'a>> {
    let gzip = spec.file.extension().is_some_and(|extension| extension == "gz");
    let bytes: Box<dyn Read + 'a> = if gzip { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
    csv::ReaderBuilder::new().delimiter(spec.separator).flexible(true).from_reader(bytes)
}

/// The records from the first row on.
pub(super) fn records(spec: &ImportSpec) -> Result<csv::Reader<Box<dyn Read>>, ImportError> {
    Ok(reader(spec, open(spec)?))
}

/// Reads the file once: digest, columns, and what their cells agree on.
pub(super) fn survey(spec: &ImportSpec) -> Result<Survey, ImportError> {
    let read = |source| ImportError::Read { file: spec.file.clone(), source };
    let mut bytes = Digesting { inner: open(spec)?, context: digest::Context::new(&digest::SHA256) };
    let layout = {
        let mut reader = reader(spec, &mut bytes);
        let header = reader.byte_headers().map_err(read)?.clone();
        let mut layout = layout(spec, &header)?;
        let mut record = ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(read)? {
            for (at, _, kind) in &mut layout.tags {
                match record.get(*at).map(std::str::from_utf8) {
                    Some(Ok(cell)) if !cell.is_empty() => *kind = kind.widen(cell),
                    _ => {}
                }
            }
        }
        layout
    };
    // What a decoder left unread behind its end belongs to the identity too.
    io::copy(&mut bytes, &mut io::sink()).map_err(|source| ImportError::Open { file: spec.file.clone(), source })?;
    Ok(Survey { layout, digest: bytes.context.finish().as_ref().to_vec() })
}

/// The names of columns, and what separates them if it is not what was said.
fn listed(names: &[String]) -> String {
    match names {
        [only] => match [";", "\t", "|", ","].into_iter().find(|separator| only.contains(separator)) {
            Some(separator) => format!("{only}: --separator {separator:?} reads it as more than one"),
            None => only.clone(),
        },
        _ => names.join(", "),
    }
}

fn layout(spec: &ImportSpec, header: &ByteRecord) -> Result<Layout, ImportError> {
    let names = header.iter().enumerate().map(|(at, name)| match std::str::from_utf8(name) {
        Ok(name) => Ok(name.trim().to_owned()),
        Err(_) => Err(ImportError::Encoding { file: spec.file.clone(), column: at + 1 }),
    });
    let names = names.collect::<Result<Vec<String>, _>>()?;
    let find = |column: &str| {
        names.iter().position(|name| name == column).ok_or_else(|| ImportError::Column {
            column: column.to_owned(),
            file: spec.file.clone(),
            columns: listed(&names),
        })
    };
    let time = find(&spec.time_column)?;
    let device = match &spec.device {
        DeviceSource::Fixed(_) => None,
        DeviceSource::Column(column) => Some(find(column)?),
    };
    let tags: Vec<usize> = match &spec.tags {
        Some(tags) => tags.iter().map(|tag| find(tag)).collect::<Result<_, _>>()?,
        None => (0..names.len()).filter(|at| *at != time && Some(*at) != device).collect(),
    };
    let tags: Vec<_> = tags.into_iter().map(|at| (at, names[at].clone(), ColumnKind::default())).collect();
    if tags.is_empty() {
        return Err(ImportError::NoTags { file: spec.file.clone() });
    }
    Ok(Layout { time, device, tags, width: names.len() })
}
