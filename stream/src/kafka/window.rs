//! What has been handed to the producer and not yet been forgotten by the spool.
//!
//! Pure. Acknowledgements may come in any order, since epochs may be in different partitions; only the acknowledged head may
//! be forgotten. Bounded in records and bytes.

use std::collections::VecDeque;

use forebay_schemas::Epoch;

use super::course::Course;
use crate::Offset;

/// Most records under way.
pub(super) const RECORDS_MAX: usize = 1024;

/// One record under way.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) bytes: u64,
    pub(super) readings: u64,
    /// The epoch that it ends.
    pub(super) ends: Option<Epoch>,
    /// For the last record of an entry of the spool: where to go on after it.
    pub(super) passed: Option<Passed>,
}

/// A place up to which everything has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Passed {
    pub(super) next: Offset,
    pub(super) course: Course,
}

/// What acknowledgements of the oldest records allow.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Readings in the records that are under way no more.
    pub(super) readings: u64,
    /// The epochs that they ended.
    pub(super) ended: Vec<Epoch>,
    /// How far they passed.
    pub(super) passed: Option<Passed>,
}

/// Records under way, oldest first.
#[derive(Debug)]
pub(super) struct Window {
    under_way: VecDeque<(Sent, bool)>,
    first: usize,
    bytes: u64,
    bytes_max: u64,
}

impl Window {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            under_way: VecDeque::new(),
            first: 0,
            bytes: 0,
            bytes_max,
        }
    }

    /// Whether another record of this size may go; one may always.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let few = self.under_way.len() < RECORDS_MAX
            && self.bytes.saturating_add(bytes) <= self.bytes_max;
        few || self.under_way.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The number under which the next record goes.
    pub(super) fn next_number(&self) -> usize {
        self.first.wrapping_add(self.under_way.len())
    }

    pub(super) fn sent(&mut self, sent: Sent) {
        self.bytes += sent.bytes;
        self.under_way.push_back((sent, false));
    }

    /// Notes an acknowledgement, and answers what the acknowledged head allows.
    pub(super) fn acknowledged(&mut self, number: usize) -> Head {
        if let Some((_, acknowledged)) = self.under_way.get_mut(number.wrapping_sub(self.first)) {
            *acknowledged = true;
        }
        let mut head = Head::default();
        while let Some((sent, true)) = self.under_way.front() {
            head.readings += sent.readings;
            head.ended.extend(sent.ends);
            head.passed = sent.passed.or(head.passed);
            self.bytes -= sent.bytes;
            self.under_way.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(bytes: u64, next: Option<u64>) -> Sent {
        let passed = next.map(|next| Passed {
            next: Offset(next),
            course: Course::default(),
        });
        Sent {
            bytes,
            readings: 7,
            ends: next.map(Epoch),
            passed,
        }
    }

    #[test]
    fn only_the_acknowledged_head_is_passed() {
        let mut window = Window::new(100);
        for record in [
            sent(10, None),
            sent(10, Some(1)),
            sent(10, Some(2)),
            sent(10, Some(3)),
        ] {
            window.sent(record);
        }
        let passed = |head: Head| head.passed.map(|passed| passed.next.0);
        assert_eq!(
            passed(window.acknowledged(1)),
            None,
            "the first half is not there yet"
        );
        assert_eq!(passed(window.acknowledged(3)), None);
        let head = window.acknowledged(0);
        assert_eq!(
            (head.readings, &head.ended),
            (14, &vec![Epoch(1)]),
            "the first two records"
        );
        assert_eq!(passed(head), Some(1));
        assert_eq!(passed(window.acknowledged(2)), Some(3));
        assert!(window.is_empty());
        assert_eq!(window.next_number(), 4);
    }

    #[test]
    fn room_is_bounded_but_one_may_always_go() {
        let mut window = Window::new(100);
        assert!(window.has_room(1000));
        window.sent(sent(60, None));
        assert!(window.has_room(40) && !window.has_room(41));
    }
}
