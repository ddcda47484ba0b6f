//! Columns that are filled a stretch of equal rows at a time: numbers, and texts of which each
//! different one is stored once.

use std::{collections::HashMap, iter::repeat_n, sync::Arc};

use arrow::{
    array::{ArrayRef, DictionaryArray, Int32Array, NullBufferBuilder, StringArray},
    datatypes::Int32Type,
    error::ArrowError,
};

/// A column of numbers, some of which are missing.
pub(super) struct Numbers<T> {
    pub(super) values: Vec<T>,
    pub(super) nulls: NullBufferBuilder,
}

impl<T: Copy + Default> Numbers<T> {
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self {
            values: Vec::with_capacity(rows),
            nulls: NullBufferBuilder::new(rows),
        }
    }

    pub(super) fn extend(&mut self, values: impl ExactSizeIterator<Item = T>) {
        self.nulls.append_n_non_nulls(values.len());
        self.values.extend(values);
    }

    pub(super) fn push_same(&mut self, value: Option<T>, rows: usize) {
        match value {
            Some(_) => self.nulls.append_n_non_nulls(rows),
            None => self.nulls.append_n_nulls(rows),
        }
        self.values
            .extend(repeat_n(value.unwrap_or_default(), rows));
    }
}

/// A column of texts, each different one stored once.
pub(crate) struct Texts<'a> {
    keys: Numbers<i32>,
    numbers: HashMap<&'a str, i32>,
    values: Vec<&'a str>,
}

impl<'a> Texts<'a> {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self {
            keys: Numbers::with_capacity(rows),
            numbers: HashMap::new(),
            values: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, text: Option<&'a str>, rows: usize) {
        let key = text.map(|text| self.key(text));
        self.keys.push_same(key, rows);
    }

    fn key(&mut self, text: &'a str) -> i32 {
        let next = self.values.len() as i32;
        if self.values.last() == Some(&text) {
            return next - 1;
        }
        *self.numbers.entry(text).or_insert_with(|| {
            self.values.push(text);
            next
        })
    }

    pub(crate) fn finish(self) -> Result<ArrayRef, ArrowError> {
        let keys = Int32Array::try_new(self.keys.values.into(), self.keys.nulls.build())?;
        let values = StringArray::from(self.values);
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(
            keys,
            Arc::new(values),
        )?))
    }
}
