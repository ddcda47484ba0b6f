//! One poll of one group: all its reads, one delivery.
//!
//! A read whose range is refused is halved at once and stays so, until the link is set up anew or `SPLIT_KEPT` has
//! passed: the refusal may have been a passing one, and many small reads are dear.

use std::{collections::VecDeque, time::Duration};

use forebay_connectors::Sample;
use forebay_schemas::Status;
use tokio::time::Instant;

use super::{End, Poller, Trouble, links::bad};
use crate::{
    client::Data,
    config::Tag,
    exception::Exception,
    plan::{Point, Read},
    value::Decoded,
};

/// How long a split is kept.
const SPLIT_KEPT: Duration = Duration::from_secs(600);

/// The reads of a group: as planned, and as the device takes them.
#[derive(Debug, Clone)]
pub(super) struct Reads {
    planned: Vec<Read>,
    current: Vec<Read>,
    split_at: Option<Instant>,
}

impl Reads {
    pub(super) fn new(planned: &[Read]) -> Self {
        Self { planned: planned.to_vec(), current: planned.to_vec(), split_at: None }
    }

    /// Forgets all splits.
    pub(super) fn restart(&mut self) {
        if self.split_at.take().is_some() {
            self.current.clone_from(&self.planned);
        }
    }

    /// The reads of the next poll.
    fn begin(&mut self, now: Instant) -> VecDeque<Read> {
        if self.split_at.is_some_and(|at| now.duration_since(at) >= SPLIT_KEPT) {
            self.restart();
        }
        self.current.iter().cloned().collect()
    }

    /// Remembers what the device takes.
    fn split(&mut self, reads: Vec<Read>, now: Instant) {
        self.current = reads;
        self.split_at.get_or_insert(now);
    }
}

impl Poller<'_> {
    /// Polls a group, hands over what it gave, and tells if its unit does not answer.
    pub(super) async fn poll(&mut self, place: usize) -> Result<(), End> {
        let settings = self.settings;
        let Some(group) = settings.groups.get(place) else { return Ok(()) };
        let Some(unit) = settings.units.iter().position(|unit| unit.id == group.unit) else { return Ok(()) };
        let now = Instant::now();
        if self.links.rests(unit, now) {
            return Ok(());
        }
        let Some(queue) = self.reads.get_mut(place).map(|reads| reads.begin(now)) else { return Ok(()) };
        let planned = queue.len();
        let (mut samples, mut kept) = (Vec::new(), Vec::new());
        let done = self.read_all(unit, queue, &mut samples, &mut kept).await;
        if kept.len() > planned
            && let Some(reads) = self.reads.get_mut(place)
        {
            tracing::info!(server = %settings.server, unit = %group.unit, reads = kept.len(), "reads were split");
            reads.split(kept, now);
        }
        if done.is_ok() || !samples.is_empty() {
            self.links.unit_answers(unit).await?;
        }
        self.links.deliver(samples).await?;
        match done {
            Ok(()) => Ok(()),
            Err(trouble) => self.blame(unit, trouble).await,
        }
    }

    /// Reads until done or in trouble; `kept` is then the reads to go on with.
    async fn read_all(
        &mut self,
        unit: usize,
        mut queue: VecDeque<Read>,
        samples: &mut Vec<Sample>,
        kept: &mut Vec<Read>,
    ) -> Result<(), Trouble> {
        while let Some(read) = queue.pop_front() {
            let asked = self.ask(unit, &read).await;
            let trouble = match asked {
                Ok(Ok(data)) => {
                    samples.extend(each(&self.settings.tags, &read, |tag, point| decoded(tag, &read, point, &data)));
                    None
                }
                Ok(Err(exception)) if exception.is_of_the_gateway() => Some(Trouble::Unit(exception.to_string())),
                Ok(Err(exception)) => {
                    if exception.is_of_the_range()
                        && let Some((before, behind)) = read.split()
                    {
                        queue.push_front(behind);
                        queue.push_front(before);
                        continue;
                    }
                    samples.extend(each(&self.settings.tags, &read, |tag, _| refused(tag, exception)));
                    None
                }
                Err(trouble) => Some(trouble),
            };
            kept.push(read);
            if let Some(trouble) = trouble {
                kept.extend(queue);
                return Err(trouble);
            }
        }
        Ok(())
    }
}

/// A sample for each tag of a read.
fn each<'s>(
    tags: &'s [Tag],
    read: &'s Read,
    value: impl Fn(&Tag, &Point) -> Decoded + 's,
) -> impl Iterator<Item = Sample> + 's {
    read.points.iter().filter_map(move |point| {
        let tag = tags.get(point.tag)?;
        let Decoded { value, status } = value(tag, point);
        Some(Sample { value, ..bad(point.tag, tag, status) })
    })
}

fn refused(tag: &Tag, exception: Exception) -> Decoded {
    let mut reason = exception.to_string();
    if exception.is_of_the_range()
        && let Some(address) = tag.register.offset_of_number(tag.address)
    {
        reason += &format!("; addresses count from 0: what manuals number {} has the address {address}", tag.address);
    }
    Decoded { value: None, status: Status::bad(Some(i64::from(exception.0)), reason) }
}

/// The value of a point in the reply to its read.
fn decoded(tag: &Tag, read: &Read, point: &Point, data: &Data) -> Decoded {
    let from = usize::from(point.first - read.first);
    let found = match data {
        Data::Words(words) => words.get(from..from + usize::from(point.count)).map(|words| tag.layout.decode(words)),
        Data::Bits(bits) => bits.get(from).map(|bit| Decoded::bit(*bit)),
    };
    found.unwrap_or_else(|| Decoded::bad("the reply does not reach to this tag"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Register;

    #[tokio::test(start_paused = true)]
    async fn a_split_is_kept_for_a_while_or_until_the_link_is_new() {
        let points = [0, 1, 2, 3].map(|first| Point { tag: usize::from(first), first, count: 1 });
        let whole = Read::of(Register::Holding, points.to_vec());
        let (before, behind) = whole.split().unwrap();
        let halves = vec![before, behind];
        let mut reads = Reads::new(std::slice::from_ref(&whole));
        let start = Instant::now();
        assert_eq!(reads.begin(start), std::slice::from_ref(&whole));
        reads.split(halves.clone(), start);
        assert_eq!(reads.begin(start + SPLIT_KEPT / 2), halves);
        assert_eq!(reads.begin(start + SPLIT_KEPT), std::slice::from_ref(&whole));
        reads.split(halves, start + SPLIT_KEPT);
        reads.restart();
        assert_eq!(reads.begin(start + SPLIT_KEPT), [whole]);
    }
}
