//! One poll of one group: its reads that are due, one delivery.
//!
//! A read that is lost is asked once more; one that stays silent while its unit answers makes its own tags bad and keeps
//! no other read from its turn. Silence is dear: a poll waits for few of them, and what it then left out goes first in the
//! next one.

use std::collections::{BTreeSet, VecDeque};

use forebay_connectors::Sample;
use forebay_schemas::Status;
use tokio::time::Instant;

use super::{End, Poller, Trouble, links::bad, reads::Known};
use crate::{
    client::Data,
    config::Tag,
    exception::Exception,
    plan::{Group, Point, Read},
    value::Decoded,
};

/// Silences in a poll after which no further read is asked in it.
const SILENCES_MAX: u32 = 3;

/// A poll under way.
#[derive(Debug)]
struct Cycle {
    /// To be asked yet.
    queue: VecDeque<Known>,
    /// Done with in this poll, one way or the other.
    kept: Vec<Known>,
    samples: Vec<Sample>,
    silences: u32,
    /// Whether any read was answered.
    answered: bool,
    /// Tags whose values are read along and not due yet.
    early: BTreeSet<usize>,
}

/// What came of a read.
#[derive(Debug)]
enum Reply {
    Data(Data),
    Refused(Exception),
    /// Nothing, although the unit answers.
    Nothing,
}

impl Poller<'_> {
    /// Polls a group, hands over what it gave, and tells if its unit does not answer.
    pub(super) async fn poll(&mut self, place: usize) -> Result<(), End> {
        let settings = self.settings;
        let Some(group) = settings.groups.get(place) else {
            return Ok(());
        };
        let Some(unit) = settings.units.iter().position(|unit| unit.id == group.unit) else {
            return Ok(());
        };
        if self.links.is_down(unit) && !self.retry(unit).await? {
            return Ok(());
        }
        let now = Instant::now();
        let Some((queue, resting)) = self.reads.get_mut(place).map(|reads| reads.begin(now)) else {
            return Ok(());
        };
        let early = self.carried.early(group, now);
        let samples = resting
            .iter()
            .flat_map(|known| self.resting(unit, known, &early))
            .collect();
        let mut cycle = Cycle {
            queue,
            kept: resting,
            samples,
            silences: 0,
            answered: false,
            early,
        };
        if cycle.queue.is_empty() {
            // Nothing is asked: the unit's end would pass unseen.
            self.hand_over(group, cycle.samples, now).await?;
            return self.probe(unit).await;
        }
        let done = self.read_all(unit, &mut cycle).await;
        cycle.kept.extend(cycle.queue);
        if let Some(reads) = self.reads.get_mut(place)
            && reads.keep(cycle.kept, Instant::now()) > 0
        {
            let (connector, server) = (&settings.name, &settings.endpoint);
            tracing::info!(connector, %server, unit = %group.unit, "reads were split");
        }
        if done.is_ok() || cycle.answered {
            self.links.unit_answers(unit).await?;
        }
        self.hand_over(group, cycle.samples, now).await?;
        self.is_useful |= done.is_ok() && cycle.answered;
        match done {
            Ok(()) => Ok(()),
            Err(trouble) => self.blame(unit, trouble).await,
        }
    }

    async fn hand_over(
        &mut self,
        group: &Group,
        samples: Vec<Sample>,
        now: Instant,
    ) -> Result<(), End> {
        let tags = &self.settings.tags;
        self.carried.hand_over(&samples, tags, group.every, now);
        self.links.deliver_begun(samples, now).await
    }

    /// Reads until done or in trouble; what is left in the queue was not asked.
    async fn read_all(&mut self, unit: usize, cycle: &mut Cycle) -> Result<(), Trouble> {
        let settings = self.settings;
        while cycle.silences < SILENCES_MAX
            && let Some(mut known) = cycle.queue.pop_front()
        {
            let reply = match self.read_one(unit, &known, cycle).await {
                Ok(reply) => reply,
                Err(trouble) => {
                    cycle.kept.push(known);
                    return Err(trouble);
                }
            };
            if matches!(reply, Reply::Nothing) {
                known.fails(Instant::now());
                let halves = if known.is_silent() {
                    known.split()
                } else {
                    None
                };
                if let Some(halves) = halves {
                    cycle.queue.extend(halves);
                    continue;
                }
                if known.is_newly_silent() {
                    let (connector, server) = (&settings.name, &settings.endpoint);
                    tracing::warn!(connector, %server, read = %known.read, "unit answers but not this read, retrying it now and then");
                }
                let silent = self.silent(unit, &known, &cycle.early);
                cycle.samples.extend(silent);
                cycle.kept.push(known);
                continue;
            }
            cycle.answered = true;
            if known.answers() {
                let (connector, server) = (&settings.name, &settings.endpoint);
                tracing::info!(connector, %server, read = %known.read, "silent read recovered");
            }
            match reply {
                Reply::Data(data) => {
                    known.accept();
                    let read = &known.read;
                    let due = due(&settings.tags, read, &cycle.early);
                    let values: Vec<_> = due
                        .map(|(tag, point)| sample(tag, point, decoded(tag, read, point, &data)))
                        .collect();
                    self.links.show_raw(unit, read, &data, &values);
                    cycle.samples.extend(values);
                }
                Reply::Refused(exception) => {
                    if exception.is_of_the_range()
                        && let Some([before, behind]) = known.split()
                    {
                        cycle.queue.push_front(behind);
                        cycle.queue.push_front(before);
                        continue;
                    }
                    if exception.is_of_the_range() {
                        known.refuse(exception, Instant::now());
                    }
                    let due = due(&settings.tags, &known.read, &cycle.early);
                    let refusals =
                        due.map(|(tag, point)| sample(tag, point, refused(tag, exception)));
                    cycle.samples.extend(refusals);
                }
                Reply::Nothing => {}
            }
            cycle.kept.push(known);
        }
        Ok(())
    }

    /// Asks once, or twice where the first reply is lost and the unit shows that it lives.
    async fn read_one(
        &mut self,
        unit: usize,
        known: &Known,
        cycle: &mut Cycle,
    ) -> Result<Reply, Trouble> {
        let attempts = if known.is_doubted() { 1 } else { 2 };
        for attempt in 1..=attempts {
            match self.ask(unit, &known.read).await {
                Ok(Ok(data)) => return Ok(Reply::Data(data)),
                Ok(Err(exception)) if exception.is_of_the_gateway() => {
                    return Err(Trouble::Unit(exception.to_string()));
                }
                Ok(Err(exception)) => return Ok(Reply::Refused(exception)),
                Err(Trouble::Silent(reason)) => {
                    cycle.silences += 1;
                    // Of a read in doubt no answer was expected, and the reads before it have shown life.
                    if attempt == 1 && !(known.is_doubted() && cycle.answered) {
                        self.sign_of_life(unit, Some(&known.read), reason).await?;
                    }
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(Reply::Nothing)
    }

    /// A bad sample for each tag of a read that is not asked in this poll.
    fn resting(&self, unit: usize, known: &Known, early: &BTreeSet<usize>) -> Vec<Sample> {
        let Some(exception) = known.refused() else {
            return self.silent(unit, known, early);
        };
        due(&self.settings.tags, &known.read, early)
            .map(|(tag, point)| sample(tag, point, refused(tag, exception)))
            .collect()
    }

    /// A bad sample for each tag of a read that its unit does not answer.
    fn silent(&self, unit: usize, known: &Known, early: &BTreeSet<usize>) -> Vec<Sample> {
        let (read, timeout) = (&known.read, self.settings.timeout);
        let unit = self
            .settings
            .units
            .get(unit)
            .map_or_else(String::new, |unit| unit.id.to_string());
        let mut reason = format!(
            "no answer to {read} within {timeout:?}, although unit {unit} answers other reads"
        );
        if known.is_silent() {
            reason += ": the device may not have it; it is tried again within 10 minutes";
        }
        due(&self.settings.tags, read, early)
            .map(|(tag, point)| sample(tag, point, Decoded::bad(reason.clone())))
            .collect()
    }
}

/// The tags of a read that are due.
fn due<'s>(
    tags: &'s [Tag],
    read: &'s Read,
    early: &'s BTreeSet<usize>,
) -> impl Iterator<Item = (&'s Tag, &'s Point)> {
    let points = read.points.iter();
    let points = points.filter(|point| !early.contains(&point.tag));
    points.filter_map(|point| Some((tags.get(point.tag)?, point)))
}

fn sample(tag: &Tag, point: &Point, decoded: Decoded) -> Sample {
    let Decoded { value, status } = decoded;
    let scaled = |value| match tag.scaling {
        Some(scaling) => scaling.apply(value),
        None => value,
    };
    Sample {
        value: value.map(scaled),
        unit: tag.ucum.clone(),
        ..bad(point.tag, tag, status)
    }
}

fn refused(tag: &Tag, exception: Exception) -> Decoded {
    let mut reason = exception.to_string();
    if exception.is_of_the_range()
        && let Some(address) = tag.register.offset_of_number(tag.address)
    {
        reason += &format!(
            "; addresses count from 0: what manuals number {} has the address {address}",
            tag.address
        );
    }
    Decoded {
        value: None,
        status: Status::bad(Some(i64::from(exception.0)), reason),
    }
}

/// The value of a point in the reply to its read.
fn decoded(tag: &Tag, read: &Read, point: &Point, data: &Data) -> Decoded {
    let from = usize::from(point.first - read.first);
    let found = match data {
        Data::Words(words) => words
            .get(from..from + usize::from(point.count))
            .map(|words| tag.layout.decode(words)),
        Data::Bits(bits) => bits.get(from).map(|bit| Decoded::bit(*bit)),
    };
    found.unwrap_or_else(|| Decoded::bad("the reply does not reach to this tag"))
}
