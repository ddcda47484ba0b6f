//! What a first reading of a file tells: its columns, what their cells agree on, the order of its rows, its digest.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use csv::ByteRecord;
use forebay_schemas::TagName;

use super::{
    DeviceSource, ImportError, ImportSpec, TagSource,
    cell::{ColumnKind, normal, trimmed},
    clocks::Clocks,
    file::{self, Column, Records},
    time::{self, Time},
};

/// The columns that an import reads, by their place in the file.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) time: usize,
    pub(super) device: Option<usize>,
    pub(super) tags: Tags,
    pub(super) unit: Option<usize>,
    pub(super) quality: Option<usize>,
    /// Columns without a name, which must hold nothing.
    unnamed: Vec<usize>,
    /// Up to the last column with a name: each row has so many fields.
    named: usize,
    /// Fields behind these must hold nothing.
    width: usize,
}

/// Where the tags are.
#[derive(Debug, Clone)]
pub(super) enum Tags {
    /// The wide form.
    Columns(Vec<TagColumn>),
    /// The long form.
    Rows {
        /// The column with the tag's name.
        tag: usize,
        /// The column with the value.
        value: usize,
        /// What the file says of all values, if it has types.
        declared: ColumnKind,
        /// What the cells of each tag agree on.
        kinds: HashMap<String, ColumnKind>,
    },
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
    /// SHA-256 of the text, of what was compressed, not of how; of a Parquet file, of its bytes.
    pub(super) digest: Vec<u8>,
    /// The order of rows around changes of clocks.
    pub(super) clocks: Clocks,
    /// Cells that hold line breaks: how many, and the line of the first.
    pub(super) broken_over: Option<(u64, u64)>,
    /// Rows of the file, those to be skipped among them.
    pub(super) rows: u64,
}

/// Reads the file once: digest, columns, what their cells agree on, and the order of its rows.
pub(super) fn survey(spec: &ImportSpec) -> Result<Survey, ImportError> {
    let mut clocks = Clocks::new(spec.time_zone.clone());
    let read = |records: &mut Records<'_>| read_through(spec, records, &mut clocks);
    let watched = file::watched(spec, read)?;
    let (layout, rows) = watched.told;
    Ok(Survey {
        layout,
        digest: watched.digest,
        clocks,
        broken_over: watched.broken_over,
        rows,
    })
}

/// The layout, and how many rows there are.
fn read_through(
    spec: &ImportSpec,
    records: &mut Records<'_>,
    clocks: &mut Clocks,
) -> Result<(Layout, u64), ImportError> {
    let mut layout = layout(spec, &records.columns()?)?;
    let mut record = ByteRecord::new();
    let mut row = 0;
    while records.read(&mut record)? {
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
    Ok((layout, row))
}

fn learn_order(clocks: &mut Clocks, layout: &Layout, record: &ByteRecord, spec: &ImportSpec) {
    if !clocks.are_changed() || !layout.fits(record) {
        return;
    }
    let time =
        text(record, layout.time).and_then(|time| time::parse(&time, &spec.time_format).ok());
    if let (Some(order), Some(Time::Local(local))) = (layout.order_of(record), time) {
        clocks.learn(&order, local);
    }
}

/// A cell without the blanks around it; `None` where it is not UTF-8.
fn text(record: &ByteRecord, at: usize) -> Option<Cow<'_, str>> {
    std::str::from_utf8(record.get(at).unwrap_or_default())
        .ok()
        .map(trimmed)
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

    /// Whose rows have an order of their own: a device's, and in the long form a device's tag's. `None` where that is not UTF-8.
    pub(super) fn order_of<'a>(&self, record: &'a ByteRecord) -> Option<Cow<'a, str>> {
        let device = match self.device {
            Some(at) => text(record, at)?,
            None => Cow::Borrowed(""),
        };
        Some(match self.tags {
            Tags::Columns(_) => device,
            Tags::Rows { tag, .. } => Cow::Owned(format!("{device}\u{1f}{}", text(record, tag)?)),
        })
    }

    fn learn(&mut self, record: &ByteRecord, spec: &ImportSpec) {
        let cell_of = |at: usize| {
            let cell = text(record, at)?;
            let says_something = !cell.is_empty() && !spec.nulls.iter().any(|null| *null == cell);
            says_something.then_some(cell)
        };
        let widen = |kind: &mut ColumnKind, cell: &str| {
            if let Ok(normal) = normal(cell, spec.decimal) {
                *kind = kind.widen(&normal);
            }
        };
        match &mut self.tags {
            Tags::Columns(columns) => {
                for TagColumn { at, kind, .. } in columns {
                    if let Some(cell) = cell_of(*at) {
                        widen(kind, &cell);
                    }
                }
            }
            Tags::Rows {
                tag,
                value,
                declared,
                kinds,
            } => {
                let (Some(tag), Some(cell)) = (cell_of(*tag), cell_of(*value)) else {
                    return;
                };
                match kinds.get_mut(tag.as_ref()) {
                    Some(kind) => widen(kind, &cell),
                    None => widen(kinds.entry(tag.into_owned()).or_insert(*declared), &cell),
                }
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

fn layout(spec: &ImportSpec, columns: &[Column]) -> Result<Layout, ImportError> {
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        places.entry(name).or_default().push(at);
    }
    let find = |column: &str| match places.get(column).map(Vec::as_slice) {
        Some([at]) => columns[*at].check(spec).map(|()| *at),
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
    let optional = |column: Option<&String>| column.map(|column| find(column)).transpose();
    let time = find(&spec.time_column)?;
    let device = match &spec.device {
        DeviceSource::Fixed(_) => None,
        DeviceSource::Column(column) => Some(find(column)?),
    };
    let unit = optional(spec.unit_column.as_ref())?;
    let quality = optional(spec.quality.as_ref().map(|quality| &quality.column))?;
    let taken = [Some(time), device, unit, quality];
    let rest = || (0..names.len()).filter(|at| !taken.contains(&Some(*at)));
    let mut unnamed = Vec::new();
    let tags = match &spec.tags {
        TagSource::Rows { tag, value } => {
            let (tag, value) = (find(tag)?, find(value)?);
            let declared = columns[value].kind;
            let kinds = HashMap::new();
            Tags::Rows {
                tag,
                value,
                declared,
                kinds,
            }
        }
        TagSource::Columns(Some(tags)) => {
            Tags::Columns(tag_columns(spec, columns, asked_for(tags, find)?)?)
        }
        TagSource::Columns(None) => {
            let named: Vec<usize>;
            (named, unnamed) = rest().partition(|at| !names[*at].is_empty());
            let places = named.into_iter().map(|at| find(&names[at]));
            Tags::Columns(tag_columns(
                spec,
                columns,
                places.collect::<Result<_, _>>()?,
            )?)
        }
    };
    let named = names
        .iter()
        .rposition(|name| !name.is_empty())
        .map_or(0, |last| last + 1);
    Ok(Layout {
        time,
        device,
        tags,
        unit,
        quality,
        unnamed,
        named,
        width: names.len(),
    })
}

fn tag_columns(
    spec: &ImportSpec,
    columns: &[Column],
    places: Vec<usize>,
) -> Result<Vec<TagColumn>, ImportError> {
    if places.is_empty() {
        return Err(ImportError::NoTags {
            file: spec.file.clone(),
        });
    }
    let tag = |at: usize| match TagName::new(&columns[at].name) {
        Ok(name) => Ok(TagColumn {
            at,
            name,
            kind: columns[at].kind,
        }),
        Err(source) => Err(ImportError::Tag {
            file: spec.file.clone(),
            column: at + 1,
            source,
        }),
    };
    places.into_iter().map(tag).collect()
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
