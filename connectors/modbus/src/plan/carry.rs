//! Several periods in one table: tags of a longer period that are read along with those of a shorter one.
//!
//! A read of the shorter period may carry a tag whose period is a multiple of it, so that both are due at once; its value is
//! handed over only when it is due. The number of reads of the shorter period stays the least that its own tags need, since a
//! further one would never pay: it costs more polls than the one read of the longer period that it could replace. Among all
//! sets of that many reads the one is taken that leaves the longer period the fewest.
//!
//! Pure. The search goes over pairs (tags of the shorter period that are covered, those of the longer one): each step opens a
//! read at the first tag that is not covered, and takes along all that it reaches.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    time::Duration,
};

use super::{Limits, Point, Read, Register, plan};

/// How many tags of the shorter and of the longer period are covered, in the order of their addresses.
type Covered = (usize, usize);

/// Reads of the shorter and of the longer period.
type Cost = (u32, u32);

/// The reads of each period.
pub(super) fn plan_periods(
    register: Register,
    mut periods: BTreeMap<Duration, Vec<Point>>,
    limits: &Limits,
) -> Vec<(Duration, Vec<Read>)> {
    let mut planned = Vec::new();
    while let Some((every, mut fast)) = periods.pop_first() {
        for (slower, slow) in &mut periods {
            let Some(each) = multiple(*slower, every) else {
                continue;
            };
            let carried = carried(register, &mut fast, slow, limits);
            fast.extend(carried.into_iter().map(|point| Point { each, ..point }));
        }
        periods.retain(|_, points| !points.is_empty());
        planned.push((every, plan(register, fast, limits)));
    }
    planned
}

/// How many times a period is the other; none where it is no multiple.
fn multiple(longer: Duration, shorter: Duration) -> Option<u32> {
    let (longer, shorter) = (longer.as_nanos(), shorter.as_nanos().max(1));
    u32::try_from(longer / shorter)
        .ok()
        .filter(|_| longer.is_multiple_of(shorter))
}

/// Takes out of `slow` what reads of `fast` can carry.
fn carried(
    register: Register,
    fast: &mut [Point],
    slow: &mut Vec<Point>,
    limits: &Limits,
) -> Vec<Point> {
    sort(fast);
    sort(slow);
    let windows = search(register, fast, slow, limits);
    let mut is_carried = vec![false; slow.len()];
    for window in windows.iter().filter(|window| window.is_fast) {
        for place in &window.slow {
            if let Some(carried) = is_carried.get_mut(*place) {
                *carried = true;
            }
        }
    }
    let mut places = is_carried.iter();
    slow.extract_if(.., |_| places.next() == Some(&true))
        .collect()
}

fn sort(points: &mut [Point]) {
    points.sort_by_key(|point| (point.first, point.count, point.tag));
}

/// One read.
#[derive(Debug, Clone, Default)]
struct Window {
    is_fast: bool,
    /// How many tags of the shorter period it covers.
    fast: usize,
    /// The places of the tags of the longer period that it covers.
    slow: Vec<usize>,
}

/// The tags of one search.
struct Search<'s> {
    register: Register,
    fast: &'s [Point],
    slow: &'s [Point],
    limits: &'s Limits,
}

/// The cheapest reads that cover all points.
fn search(register: Register, fast: &[Point], slow: &[Point], limits: &Limits) -> Vec<Window> {
    let search = Search {
        register,
        fast,
        slow,
        limits,
    };
    let end = (fast.len(), slow.len());
    let mut best: HashMap<Covered, (Cost, Option<(Covered, Window)>)> = HashMap::new();
    best.insert((0, 0), ((0, 0), None));
    // Each step covers more, so that a state is final once it is the least advanced.
    let mut queue = BinaryHeap::from([Reverse((0, (0, 0)))]);
    while let Some(Reverse((_, state))) = queue.pop() {
        let Some(&((fast_reads, slow_reads), _)) = best.get(&state) else {
            continue;
        };
        for (next, window) in search.steps(state) {
            let cost = if window.is_fast {
                (fast_reads + 1, slow_reads)
            } else {
                (fast_reads, slow_reads + 1)
            };
            let known = best.get(&next).map(|(cost, _)| *cost);
            if known.is_none() {
                queue.push(Reverse((next.0 + next.1, next)));
            }
            if known.is_none_or(|known| cost < known) {
                best.insert(next, (cost, Some((state, window))));
            }
        }
    }
    let mut windows = Vec::new();
    let mut state = end;
    while let Some((_, Some((before, window)))) = best.remove(&state) {
        windows.push(window);
        state = before;
    }
    windows.reverse();
    windows
}

impl Search<'_> {
    /// The reads that may cover the first point that is not covered.
    fn steps(&self, (fast, slow): Covered) -> Vec<(Covered, Window)> {
        let next_fast = self.fast.get(fast).map(|point| point.first);
        let next_slow = self.slow.get(slow).map(|point| point.first);
        let (carries, alone) = match (next_fast, next_slow) {
            (None, None) => (None, None),
            (None, Some(first)) => (None, Some(first)),
            (Some(first), None) => (Some(first), None),
            (Some(fast), Some(slow)) if fast <= slow => (Some(fast), None),
            (Some(_), Some(slow)) => (Some(slow), Some(slow)),
        };
        let carrying = carries.map(|first| self.window(first, fast, slow));
        let carrying = carrying.filter(|(_, window)| window.fast > 0);
        // Where no read of the shorter period reaches back to it, or perhaps even where one does.
        let alone = alone.map(|first| self.window_alone(first, (fast, slow)));
        carrying.into_iter().chain(alone).collect()
    }

    /// A read of the longer period from an address on.
    fn window_alone(&self, first: u16, (fast, slow): Covered) -> (Covered, Window) {
        let mut window = Window::default();
        let mut end = u32::from(first);
        let points = self.slow.iter().enumerate().skip(slow);
        for (place, point) in points {
            if !self.limits.joins(self.register, first, end, point) {
                break;
            }
            end = end.max(point.end());
            window.slow.push(place);
        }
        ((fast, slow + window.slow.len()), window)
    }

    /// A read of the shorter period from an address on, with all that it reaches of both.
    fn window(&self, first: u16, fast: usize, slow: usize) -> (Covered, Window) {
        let mut window = Window {
            is_fast: true,
            ..Window::default()
        };
        let mut end = u32::from(first);
        let (mut next_fast, mut next_slow) = (fast, slow);
        let (mut fast_ended, mut slow_ended) = (false, false);
        loop {
            let candidate_fast = self.fast.get(next_fast).filter(|_| !fast_ended);
            let candidate_slow = self.slow.get(next_slow).filter(|_| !slow_ended);
            let (point, is_fast) = match (candidate_fast, candidate_slow) {
                (Some(fast), Some(slow)) if slow.first < fast.first => (slow, false),
                (Some(fast), _) => (fast, true),
                (None, Some(slow)) => (slow, false),
                (None, None) => break,
            };
            if !self.limits.joins(self.register, first, end, point) {
                fast_ended |= is_fast;
                slow_ended |= !is_fast;
                continue;
            }
            end = end.max(point.end());
            if is_fast {
                window.fast += 1;
                next_fast += 1;
            } else {
                window.slow.push(next_slow);
                next_slow += 1;
            }
        }
        ((next_fast, next_slow), window)
    }
}

#[cfg(test)]
mod tests;
