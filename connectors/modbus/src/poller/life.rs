//! Who is to blame for silence?
//!
//! One lost reply is nobody's: the unit is asked for a sign of life over a fresh connection, by a read that does not share
//! the registers of the one that was lost, where there is such a one. If it is silent too, another unit that was up is
//! asked: if that one answers, the silent unit is down alone; if not, the whole link is. A server of a single unit is asked
//! once more instead, as far as its end is still reported in time.

use std::{collections::VecDeque, time::Duration};

use tokio::time::{Instant, sleep};

use super::{End, Poller, Trouble};
use crate::{bus::Claim, keys, plan::Read};

/// Silences after which a server that was just connected to is taken for dead.
const PROBED_MAX: usize = 3;

/// Within this time of its last answer a server's end is to be reported, if it is asked often enough.
const TOLD_WITHIN: Duration = Duration::from_millis(4500);

/// The reads that may serve as a unit's sign of life: what answered last comes first, what was silent last comes last.
#[derive(Debug, Clone)]
pub(super) struct Signs(VecDeque<Read>);

impl Signs {
    pub(super) fn new(reads: &[Read]) -> Self {
        Self(reads.iter().cloned().collect())
    }

    /// Takes out the best one that lies outside of a read, or else the best.
    fn take(&mut self, outside: Option<&Read>) -> Option<Read> {
        let is_outside = |sign: &Read| !outside.is_some_and(|read| read.overlaps(sign));
        let place = self.0.iter().position(is_outside).unwrap_or(0);
        self.0.remove(place)
    }
}

impl Poller<'_> {
    /// A connection over which a unit has answered; the unit, unless it was a gateway that answered for it.
    pub(super) async fn establish(&mut self) -> Result<Option<usize>, End> {
        self.links.trying()?;
        let mut reason = String::new();
        // Where other connectors are served on the same bus, it is the unit that is dead: its probes have a budget.
        let is_others = self.bus.is_shared_and_alive(Instant::now());
        let mut claim = None;
        if is_others && self.links.was_lost() {
            claim = Some(self.claim().await?);
        }
        let probed_max = if is_others { 1 } else { PROBED_MAX };
        for _ in 0..probed_max {
            let unit = self.probe_next % self.settings.units.len().max(1);
            let began = Instant::now();
            let asked = self.ask_sign(unit, None).await;
            let silent = matches!(asked, Err(Trouble::Silent(_))).then(|| began.elapsed());
            match (claim.take(), silent) {
                (Some(claim), silent) => self.bus.settle(claim, silent, Instant::now()),
                (None, Some(silent)) => self.bus.note_silence(silent, Instant::now()),
                (None, None) => {}
            }
            match asked {
                Ok(()) => return Ok(Some(unit)),
                Err(Trouble::Unit(_)) => return Ok(None),
                Err(Trouble::End(end)) => return Err(end),
                Err(Trouble::Silent(why)) => reason = why,
            }
            self.probe_next = unit + 1;
        }
        Err(End::Lost(reason))
    }

    /// Rests until the bus has time for a unit that is known not to answer.
    async fn claim(&self) -> Result<Claim, End> {
        loop {
            let rest = match self.bus.claim(self.settings.timeout, Instant::now()) {
                Ok(claim) => return Ok(claim),
                Err(rest) => rest,
            };
            let rested = self.stop.run_until_cancelled(sleep(rest)).await;
            rested.ok_or(End::Stopped)?;
        }
    }

    /// Asks a unit that is not polled often enough to tell its end in time.
    pub(super) async fn probe(&mut self, unit: usize) -> Result<(), End> {
        if self.links.is_down(unit) {
            return self.retry(unit).await.map(|_| ());
        }
        let trouble = match self.ask_sign(unit, None).await {
            Ok(()) => return self.links.unit_answers(unit).await,
            Err(Trouble::Silent(reason)) => match self.sign_of_life(unit, None, reason).await {
                Ok(()) => return self.links.unit_answers(unit).await,
                Err(trouble) => trouble,
            },
            Err(trouble) => trouble,
        };
        self.blame(unit, trouble).await
    }

    /// Asks a unit that is down once more, if it is its turn; answers whether it is up now.
    ///
    /// One request: that the others are up is known from their own polls.
    pub(super) async fn retry(&mut self, unit: usize) -> Result<bool, End> {
        let now = Instant::now();
        if self.links.rests(unit, now) || !self.links.is_due_first(unit) {
            return Ok(false);
        }
        let Ok(claim) = self.bus.claim(self.settings.timeout, now) else {
            return Ok(false);
        };
        let asked = self.ask_sign(unit, None).await;
        let silent = matches!(asked, Err(Trouble::Silent(_))).then(|| now.elapsed());
        self.bus.settle(claim, silent, Instant::now());
        let Err(trouble) = asked else {
            self.links.unit_answers(unit).await?;
            return Ok(true);
        };
        self.blame(unit, trouble).await.map(|()| false)
    }

    /// Tells who is down.
    pub(super) async fn blame(&mut self, unit: usize, trouble: Trouble) -> Result<(), End> {
        match trouble {
            Trouble::End(end) => Err(end),
            Trouble::Unit(reason) | Trouble::Silent(reason) => {
                self.links.unit_fails(unit, &reason, (self.uniform)()).await
            }
        }
    }

    /// After a read was silent: whether its unit lives. Else who does not.
    pub(super) async fn sign_of_life(
        &mut self,
        unit: usize,
        lost: Option<&Read>,
        reason: String,
    ) -> Result<(), Trouble> {
        let witness = self.links.another_up(unit);
        if let Some(witness) = witness
            && !self.has_time_for(2)
        {
            self.ask_witness(witness, &reason).await?;
            return self
                .ask_sign(unit, lost)
                .await
                .map_err(Trouble::of_the_unit);
        }
        match self.ask_sign(unit, lost).await {
            Err(Trouble::Silent(_)) => {}
            other => return other,
        }
        match witness {
            Some(witness) => {
                self.ask_witness(witness, &reason).await?;
                Err(Trouble::Unit(reason))
            }
            None if self.has_time_for(1) => match self.ask_sign(unit, lost).await {
                Err(Trouble::Silent(_)) => Err(Trouble::End(End::Lost(reason))),
                other => other,
            },
            None => Err(Trouble::End(End::Lost(reason))),
        }
    }

    /// Asks a unit that was up while another is silent; the link is lost where it is silent as well.
    async fn ask_witness(&mut self, witness: usize, reason: &str) -> Result<(), Trouble> {
        match self.ask_sign(witness, None).await {
            Ok(()) => Ok(()),
            Err(Trouble::Unit(why) | Trouble::Silent(why)) => {
                Err(Trouble::End(End::Lost(format!("{reason}, {why}"))))
            }
            Err(end) => Err(end),
        }
    }

    /// Asks a unit for anything: an exception is an answer too, unless a gateway gives it in the unit's place.
    async fn ask_sign(&mut self, unit: usize, outside: Option<&Read>) -> Result<(), Trouble> {
        let Some(sign) = self
            .signs
            .get_mut(unit)
            .and_then(|signs| signs.take(outside))
        else {
            return Err(Trouble::Unit("nothing is read from this unit".into()));
        };
        let asked = self.ask(unit, &sign).await;
        let answer = match asked {
            Ok(Err(exception)) if exception.is_of_the_gateway() => {
                Err(Trouble::Unit(exception.to_string()))
            }
            Ok(_) => Ok(()),
            Err(trouble) => Err(trouble),
        };
        if let Some(Signs(reads)) = self.signs.get_mut(unit) {
            match &answer {
                Err(Trouble::Silent(_)) => reads.push_back(sign),
                _ => reads.push_front(sign),
            }
        }
        answer
    }

    /// Whether so many more time-outs leave time to tell of a lost link; always where the configuration asks so rarely that it
    /// is reported later anyway.
    fn has_time_for(&self, timeouts: u32) -> bool {
        let spent = self.heard.map_or(Duration::ZERO, |heard| heard.elapsed());
        self.settings.heartbeat > keys::HEARTBEAT.default()
            || spent + self.settings.timeout * timeouts <= TOLD_WITHIN
    }
}
