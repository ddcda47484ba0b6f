//! Notifications in the order of their sequence numbers, each once.
//!
//! Several publish requests are under way at a time and their answers may be seen in any order; values must not be.
//! Sequence numbers count from 1 and, past the largest, from 1 again (Part 4, 5.13.1.1). Pure; what to do about a number
//! that never comes is the caller's.

use std::collections::BTreeMap;

/// Puts notifications back in order; how many it may hold is the caller's to bound.
#[derive(Debug)]
pub(crate) struct Order<T> {
    next: u32,
    held: BTreeMap<u32, T>,
}

impl<T> Order<T> {
    /// Of a new subscription.
    pub(crate) fn new() -> Self {
        Self {
            next: 1,
            held: BTreeMap::new(),
        }
    }

    /// Of a subscription whose notifications before this number were taken.
    pub(crate) fn from(next: u32) -> Self {
        Self {
            next,
            held: BTreeMap::new(),
        }
    }

    /// The number that comes next.
    pub(crate) fn expected(&self) -> u32 {
        self.next
    }

    /// Whether a notification was taken before.
    pub(crate) fn is_taken(&self, sequence: u32) -> bool {
        sequence.wrapping_sub(self.next) > u32::MAX / 2
    }

    /// The next in order, if it is here, without taking it.
    pub(crate) fn first(&self) -> Option<&T> {
        self.held.get(&self.next)
    }

    /// Takes a notification in; one that has been taken before is dropped.
    pub(crate) fn offer(&mut self, sequence: u32, notification: T) {
        if sequence != 0 && !self.is_taken(sequence) {
            self.held.entry(sequence).or_insert(notification);
        }
    }

    /// The next in order, if it is here.
    pub(crate) fn pop(&mut self) -> Option<(u32, T)> {
        let found = self.held.remove_entry(&self.next)?;
        self.next = if self.next == u32::MAX {
            1
        } else {
            self.next + 1
        };
        Some(found)
    }

    /// Notifications that wait for an earlier one.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// The number that others wait for.
    pub(crate) fn missing(&self) -> Option<u32> {
        (!self.held.is_empty() && !self.held.contains_key(&self.next)).then_some(self.next)
    }

    /// Goes on with the first that is here; for servers whose numbers do not begin at 1 or count keep-alives.
    pub(crate) fn skip(&mut self) {
        if let Some(first) = self.held.keys().next() {
            self.next = *first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(order: &mut Order<char>) -> String {
        std::iter::from_fn(|| order.pop()).map(|(_, c)| c).collect()
    }

    #[test]
    fn answers_in_any_order_come_out_in_sequence_each_once() {
        let mut order = Order::new();
        order.offer(2, 'b');
        assert_eq!((order.pop(), order.missing()), (None, Some(1)));
        order.offer(1, 'a');
        order.offer(2, 'x');
        assert_eq!((drain(&mut order).as_str(), order.missing()), ("ab", None));
        order.offer(1, 'a');
        order.offer(0, '0');
        assert_eq!((drain(&mut order).as_str(), order.missing()), ("", None));
    }

    #[test]
    fn numbers_start_again_at_one_and_can_be_skipped() {
        let mut order = Order {
            next: u32::MAX,
            held: BTreeMap::new(),
        };
        order.offer(u32::MAX, 'y');
        order.offer(1, 'z');
        assert_eq!(drain(&mut order), "yz");
        order.offer(5, 'e');
        order.skip();
        assert_eq!(drain(&mut order), "e");
    }
}
