//! The reads of a group: as planned, and as the device takes them.
//!
//! A read that is refused for its range, or silent for sure while its unit answers, is halved until the culprit stands
//! alone. A lone read that is silent rests: it would cost a time-out at each poll. One that is refused again and again rests
//! too, not as long: it costs a request. All of it is kept for a while only, as a device may be mended, and a refusal or a
//! loss may have been a passing one.
//!
//! Pure: the time is an argument.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::{exception::Exception, plan::Read};

/// How long a split is kept, and the longest rest of a read that is silent.
pub(super) const SPLIT_KEPT: Duration = Duration::from_secs(600);

/// The first rest of a read that is silent for sure; each further one is twice as long.
const REST_FIRST: Duration = Duration::from_secs(10);

/// The longest rest of a read that is refused.
const REFUSED_REST_MAX: Duration = Duration::from_secs(60);

/// Polls in a row in which a read that has answered before must be silent to be so for sure: a lossy line is no hole.
const SURE: u32 = 3;

/// A read, and how the device has taken it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) read: Read,
    /// The place of the planned read of which it is a part.
    planned: usize,
    /// Whether it was ever answered, were it by an exception.
    answered: bool,
    /// Polls in a row in which it was silent although its unit answered.
    silences: u32,
    /// Polls in a row in which its range was refused.
    refusals: u32,
    /// How it was refused last, while it rests for that.
    refused: Option<Exception>,
    rests_until: Option<Instant>,
}

impl Known {
    fn new(planned: usize, read: Read) -> Self {
        Self {
            read,
            planned,
            answered: false,
            silences: 0,
            refusals: 0,
            refused: None,
            rests_until: None,
        }
    }

    /// The device has refused its range, and it cannot be halved: from the third time in a row on it rests.
    pub(super) fn refuse(&mut self, exception: Exception, now: Instant) {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals >= SURE {
            let doublings = (self.refusals - SURE).min(16);
            let rest = REST_FIRST.saturating_mul(1 << doublings);
            self.rests_until = Some(now + rest.min(REFUSED_REST_MAX));
            self.refused = Some(exception);
        }
    }

    /// The device has given its values.
    pub(super) fn accept(&mut self) {
        self.refusals = 0;
    }

    /// The exception for which it rests.
    pub(super) fn refused(&self) -> Option<Exception> {
        self.refused
    }

    /// The device has answered it; answers whether it was silent for sure before.
    pub(super) fn answers(&mut self) -> bool {
        let was_silent = self.is_silent();
        self.answered = true;
        self.silences = 0;
        self.rests_until = None;
        self.refused = None;
        was_silent
    }

    /// It was silent in a poll although its unit answered.
    pub(super) fn fails(&mut self, now: Instant) {
        self.silences = self.silences.saturating_add(1);
        self.refused = None;
        if !self.answered {
            self.silences = self.silences.max(SURE);
        }
        if self.is_silent() {
            let doublings = (self.silences - SURE).min(16);
            self.rests_until =
                Some(now + REST_FIRST.saturating_mul(1 << doublings).min(SPLIT_KEPT));
        }
    }

    /// Whether it was silent in the last poll that asked it.
    pub(super) fn is_doubted(&self) -> bool {
        self.silences > 0
    }

    /// Whether it is silent for sure: the device does not know it.
    pub(super) fn is_silent(&self) -> bool {
        self.silences >= SURE
    }

    /// Whether it was found silent just now, not again.
    pub(super) fn is_newly_silent(&self) -> bool {
        self.silences == SURE
    }

    /// Its halves, to be judged on their own; none for a single place.
    pub(super) fn split(&self) -> Option<[Self; 2]> {
        let (before, behind) = self.read.split()?;
        Some([
            Self::new(self.planned, before),
            Self::new(self.planned, behind),
        ])
    }
}

/// The reads of a group.
#[derive(Debug, Clone)]
pub(super) struct Reads {
    planned: Vec<Read>,
    current: Vec<Known>,
    /// As `planned`: since when a read is in parts.
    split_at: Vec<Option<Instant>>,
}

impl Reads {
    pub(super) fn new(planned: &[Read]) -> Self {
        let mut reads = Self {
            planned: planned.to_vec(),
            current: Vec::new(),
            split_at: Vec::new(),
        };
        reads.restart();
        reads
    }

    /// Forgets all that is known.
    pub(super) fn restart(&mut self) {
        self.current = self
            .planned
            .iter()
            .cloned()
            .enumerate()
            .map(|(place, read)| Known::new(place, read))
            .collect();
        self.split_at = vec![None; self.planned.len()];
    }

    /// The reads of the next poll, those in doubt last; and those that rest.
    pub(super) fn begin(&mut self, now: Instant) -> (VecDeque<Known>, Vec<Known>) {
        self.join(now);
        let rests = |known: &Known| known.rests_until.is_some_and(|until| now < until);
        let (resting, mut due): (Vec<Known>, Vec<Known>) =
            self.current.iter().cloned().partition(rests);
        due.sort_by_key(Known::is_doubted);
        (due.into(), resting)
    }

    /// Remembers how the device took them; answers how many more parts there are now.
    pub(super) fn keep(&mut self, mut known: Vec<Known>, now: Instant) -> usize {
        known.sort_by_key(|known| (known.planned, known.read.first, known.read.count));
        for (place, at) in self.split_at.iter_mut().enumerate() {
            if known.iter().filter(|known| known.planned == place).count() > 1 {
                at.get_or_insert(now);
            }
        }
        let more = known.len().saturating_sub(self.current.len());
        self.current = known;
        more
    }

    /// Makes parts one again after a while, unless one of them is silent: that one is asked on its own.
    fn join(&mut self, now: Instant) {
        for (place, (read, at)) in self.planned.iter().zip(&mut self.split_at).enumerate() {
            let is_old = at.is_some_and(|at| now.duration_since(at) >= SPLIT_KEPT);
            let has_silent = self
                .current
                .iter()
                .any(|known| known.planned == place && known.is_silent());
            if is_old && !has_silent {
                *at = None;
                self.current.retain(|known| known.planned != place);
                self.current.push(Known::new(place, read.clone()));
            }
        }
        self.current.sort_by_key(|known| known.planned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Point, Register};

    fn whole() -> Read {
        let points = [0, 1, 2, 3].map(|first| Point {
            tag: usize::from(first),
            first,
            count: 1,
            each: 1,
        });
        Read::of(Register::Holding, points.to_vec())
    }

    fn due(reads: &mut Reads, now: Instant) -> Vec<(u16, u16)> {
        reads
            .begin(now)
            .0
            .iter()
            .map(|known| (known.read.first, known.read.count))
            .collect()
    }

    fn halved(reads: &mut Reads, now: Instant) -> Vec<Known> {
        let (due, _) = reads.begin(now);
        let halves = due.front().and_then(Known::split).unwrap().to_vec();
        assert_eq!(reads.keep(halves.clone(), now), 1);
        halves
    }

    #[tokio::test(start_paused = true)]
    async fn a_split_is_kept_for_a_while_or_until_the_link_is_new() {
        let mut reads = Reads::new(&[whole()]);
        let start = Instant::now();
        assert_eq!(due(&mut reads, start), [(0, 4)]);
        halved(&mut reads, start);
        assert_eq!(due(&mut reads, start + SPLIT_KEPT / 2), [(0, 2), (2, 2)]);
        assert_eq!(due(&mut reads, start + SPLIT_KEPT), [(0, 4)]);
        halved(&mut reads, start + SPLIT_KEPT);
        reads.restart();
        assert_eq!(due(&mut reads, start + SPLIT_KEPT), [(0, 4)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_read_rests_longer_and_longer_and_is_never_forgotten() {
        let mut reads = Reads::new(&[whole()]);
        let mut now = Instant::now();
        let mut halves = halved(&mut reads, now);
        let mut rests = Vec::new();
        for _ in 0..9 {
            halves[0].answers();
            halves[1].fails(now);
            reads.keep(halves.clone(), now);
            assert_eq!(due(&mut reads, now), [(0, 2)]);
            let asked_at = halves[1].rests_until.unwrap();
            rests.push(asked_at.duration_since(now).as_secs());
            now = asked_at;
            assert_eq!(
                due(&mut reads, now),
                [(0, 2), (2, 2)],
                "what is in doubt comes last"
            );
        }
        assert_eq!(rests, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert!(halves[1].answers(), "a device that was mended is seen");
        reads.keep(halves, now);
        assert_eq!(
            due(&mut reads, now),
            [(0, 4)],
            "its parts are old: they are one again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_is_refused_rests_from_the_third_time_on_and_at_most_a_minute() {
        let mut known = Known::new(0, whole());
        let now = Instant::now();
        let mut rests = Vec::new();
        for _ in 0..7 {
            known.answers();
            known.refuse(Exception(2), now);
            rests.push(
                known
                    .rests_until
                    .map(|until| until.duration_since(now).as_secs()),
            );
        }
        assert_eq!(
            rests,
            [None, None, Some(10), Some(20), Some(40), Some(60), Some(60)]
        );
        known.accept();
        known.answers();
        known.refuse(Exception(2), now);
        assert_eq!((known.rests_until, known.refused()), (None, None));
    }

    #[test]
    fn a_read_that_has_answered_is_not_silent_for_one_loss_or_two() {
        let mut known = Known::new(0, whole());
        known.answers();
        let now = Instant::now();
        for sure in [false, false, true] {
            known.fails(now);
            assert_eq!(
                (known.is_silent(), known.rests_until.is_some()),
                (sure, sure)
            );
        }
        assert!(known.is_newly_silent());
    }
}
