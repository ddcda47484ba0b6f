//! Which column of a query plays which part in a chart.

use arrow::datatypes::DataType;
use datafusion::{common::Column, dataframe::DataFrame, logical_expr::Expr};
use forebay_config::{Describe, nearest};

use crate::{keys, section::Form};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    Time,
    Number,
    Bool,
    Text,
}

/// A column of a query.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
    pub(crate) column: Expr,
}

/// The parts that columns can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    X,
    Y,
    Lo,
    Hi,
    Value,
    Series,
    Facet,
    Limit,
    Mark,
}

pub(crate) const PARTS: [Part; 9] = [
    Part::X,
    Part::Y,
    Part::Lo,
    Part::Hi,
    Part::Value,
    Part::Series,
    Part::Facet,
    Part::Limit,
    Part::Mark,
];

/// The numbers of the columns that play the parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cast {
    columns: [Option<usize>; PARTS.len()],
}

/// A key, and what is wrong with it.
pub(crate) struct Unfit {
    pub(crate) key: &'static dyn Describe,
    pub(crate) why: String,
}

impl ColumnKind {
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Self::Time,
            DataType::Boolean => Self::Bool,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                Self::Text
            }
            DataType::Dictionary(_, value) => return Self::of(value),
            number if number.is_numeric() => Self::Number,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Time => "times",
            Self::Number => "numbers",
            Self::Bool => "true and false",
            Self::Text => "texts",
        }
    }
}

impl Part {
    /// The key that names its column.
    pub(crate) fn key(self) -> &'static forebay_config::Optional<String> {
        match self {
            Self::X => &keys::X,
            Self::Y => &keys::Y,
            Self::Lo => &keys::LO,
            Self::Hi => &keys::HI,
            Self::Value => &keys::VALUE,
            Self::Series => &keys::SERIES,
            Self::Facet => &keys::FACET,
            Self::Limit => &keys::LIMIT,
            Self::Mark => &keys::MARK,
        }
    }
}

impl Cast {
    pub(crate) fn of(&self, part: Part) -> Option<usize> {
        self.columns[part as usize]
    }
}

/// A query's columns.
///
/// # Errors
/// When one holds neither times nor numbers nor texts.
pub(crate) fn fields(query: &DataFrame) -> Result<Vec<Field>, Unfit> {
    let field = |(qualifier, field): (Option<&_>, &std::sync::Arc<arrow::datatypes::Field>)| {
        let name = field.name().clone();
        let kind = ColumnKind::of(field.data_type()).ok_or_else(|| Unfit {
            key: &keys::SQL,
            why: format!(
                "column {name:?} holds {}, which no report can show: cast it to a text or leave it out",
                field.data_type()
            ),
        })?;
        let column = Expr::Column(Column::from((qualifier, field)));
        Ok(Field { name, kind, column })
    };
    query.schema().iter().map(field).collect()
}

/// Finds the columns of a chart's parts: those that the section names, else those of the part's own name.
///
/// # Errors
/// When a column is missing or holds something else.
pub(crate) fn cast(form: Form, named: &[(Part, String)], fields: &[Field]) -> Result<Cast, Unfit> {
    let mut cast = Cast::default();
    for (part, need, kinds) in form.parts() {
        let key = part.key();
        let given = named.iter().find(|(other, _)| other == part);
        let name = given.map_or(key.name(), |(_, name)| name.as_str());
        match fields.iter().position(|field| field.name == name) {
            Some(found) => {
                let kind = fields[found].kind;
                if !kinds.contains(&kind) {
                    let wanted: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                    let why = format!(
                        "column {name:?} holds {}, {} are expected",
                        kind.name(),
                        wanted.join(" or ")
                    );
                    return Err(Unfit { key, why });
                }
                cast.columns[*part as usize] = Some(found);
            }
            None if given.is_none() && *need == Need::Optional => {}
            None => {
                return Err(Unfit {
                    key,
                    why: missing(name, given.is_some(), fields),
                });
            }
        }
    }
    Ok(cast)
}

/// Whether a chart can do without a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    Optional,
}

fn missing(name: &str, is_named: bool, fields: &[Field]) -> String {
    let all: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let near = nearest(name, all.iter().copied());
    let has = all.join(", ");
    if is_named {
        format!("the query has no column {name:?}{near}; it has {has}")
    } else {
        format!("missing, and the query has no column {name:?} either; it has {has}")
    }
}
