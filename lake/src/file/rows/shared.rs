//! Values that many rows share, each with its number.

use std::{collections::HashMap, hash::Hash, sync::Arc};

#[derive(Debug)]
pub(super) struct Shared<T> {
    numbers: HashMap<Arc<T>, u32>,
    values: Vec<Arc<T>>,
}

impl<T: Clone + Eq + Hash> Shared<T> {
    /// The number of a value; quick if it is that of the newest.
    pub(super) fn number(&mut self, value: &T) -> u32 {
        let newest = self.values.len().checked_sub(1).map(|newest| newest as u32);
        if let Some(number) = self
            .guessed(newest, |newest| newest == value)
            .or_else(|| self.numbers.get(value).copied())
        {
            return number;
        }
        let (number, value) = (self.values.len() as u32, Arc::new(value.clone()));
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }

    /// The number that is guessed, if its value is the one that is wanted.
    pub(super) fn guessed(
        &self,
        guess: Option<u32>,
        is_it: impl FnOnce(&T) -> bool,
    ) -> Option<u32> {
        guess.filter(|guess| is_it(self.get(*guess)))
    }

    pub(super) fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            values: Vec::new(),
        }
    }
}
