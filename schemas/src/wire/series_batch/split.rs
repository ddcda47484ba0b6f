//! Parts of a batch, by position.

use std::{ops::Range, slice};

use super::{SeriesBatch, SeriesBlock};
use crate::{Seq, ValueType};

impl SeriesBatch {
    /// The readings at these positions as a batch of their own; empty where there are none.
    pub fn slice(&self, positions: Range<usize>) -> Self {
        let mut part = self.part(&positions);
        self.fill(slice::from_ref(&positions), slice::from_mut(&mut part));
        part
    }

    /// The readings at each of these ranges of positions as batches of their own. The ranges must
    /// ascend and not overlap.
    pub fn split(&self, ranges: &[Range<usize>]) -> Vec<Self> {
        let mut parts: Vec<Self> = ranges.iter().map(|range| self.part(range)).collect();
        self.fill(ranges, &mut parts);
        parts
    }

    /// A batch for these positions, yet without readings.
    fn part(&self, range: &Range<usize>) -> Self {
        let first_seq = Seq(self.first_seq.0.saturating_add(range.start as u64));
        Self::with_capacity(
            self.lane.clone(),
            self.epoch,
            self.nonce,
            first_seq,
            range.len().min(self.len()),
        )
    }

    /// Puts each reading into the part whose range holds its position.
    fn fill(&self, ranges: &[Range<usize>], parts: &mut [Self]) {
        for (head, block) in self.blocks.iter().zip(self.blocks()) {
            let mut row = 0;
            while let Some(position) = block.positions.get(row).map(|position| *position as usize) {
                // The first range that does not end before the reading: the one that holds it, or
                // the next.
                let number = ranges.partition_point(|range| range.end <= position);
                let Some(range) = ranges.get(number) else {
                    break;
                };
                let from = row
                    + block.positions[row..]
                        .partition_point(|position| (*position as usize) < range.start);
                let to = row
                    + block.positions[row..]
                        .partition_point(|position| (*position as usize) < range.end);
                parts[number].take(self, &block, from..to, range.start as u32);
                parts[number].end_block(head.shared.clone());
                row = to;
            }
        }
    }

    /// Takes these rows of a block of the whole; positions count from `first` on.
    fn take(&mut self, whole: &Self, block: &SeriesBlock<'_>, rows: Range<usize>, first: u32) {
        self.columns.positions.extend(
            block.positions[rows.clone()]
                .iter()
                .map(|position| position - first),
        );
        self.columns
            .event_times
            .extend_from_slice(&block.event_times[rows.clone()]);
        self.columns
            .observed_times
            .extend_from_slice(&block.observed_times[rows.clone()]);
        for same in block.statuses[rows.clone()].chunk_by(|one, next| one == next) {
            let number = self.status_number(whole.statuses[same[0] as usize].clone());
            self.columns
                .statuses
                .resize(self.columns.statuses.len() + same.len(), number);
        }
        for value in &block.values[rows] {
            let value = match block.value_type {
                Some(ValueType::Text) => {
                    self.texts.push(whole.texts[*value as usize].clone());
                    (self.texts.len() - 1) as u64
                }
                Some(ValueType::Bytes) => {
                    self.byte_strings
                        .push(whole.byte_strings[*value as usize].clone());
                    (self.byte_strings.len() - 1) as u64
                }
                _ => *value,
            };
            self.columns.values.push(value);
        }
    }
}
