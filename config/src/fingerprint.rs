//! Whether two tables say the same: a hash over their values, `${…}` replaced.

use std::hash::{Hash as _, Hasher};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{Document, expand::Expanded};

pub(crate) fn of_table(document: &Document<'_>, table: &DeTable<'_>, hasher: &mut impl Hasher) {
    table.len().hash(hasher);
    for (name, value) in table.iter() {
        name.get_ref().hash(hasher);
        of_value(document, value, hasher);
    }
}

pub(crate) fn of_value(
    document: &Document<'_>,
    value: &Spanned<DeValue<'_>>,
    hasher: &mut impl Hasher,
) {
    match value.get_ref() {
        DeValue::Table(table) => of_table(document, table, hasher),
        DeValue::Array(array) => {
            array.len().hash(hasher);
            array
                .iter()
                .for_each(|item| of_value(document, item, hasher));
        }
        // What cannot be read is an error where it is read.
        _ => Expanded::of(document, value)
            .map(|expanded| expanded.toml())
            .hash(hasher),
    }
}
