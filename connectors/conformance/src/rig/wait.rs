//! What a test waits for: something in what was kept, the state of the link, the next parcel.

use std::time::Duration;

use forebay_connectors::{LinkChange, Parcel, Sample};
use forebay_schemas::{Quality, Value};
use tokio::time::Instant;

use super::{
    Rig,
    gateway::{Kept, Receipts, State, links_of},
    samples_of,
};
use crate::PATIENCE;

/// Parcels that are shown where a test has waited in vain.
const SHOWN: usize = 5;

/// What was kept from a place on.
impl Rig {
    /// Waits until what was kept from the `from`th parcel on is enough; `what` names it.
    ///
    /// # Panics
    /// It does not come, or the connector ends before.
    pub async fn until<T>(
        &self,
        what: &str,
        from: usize,
        enough: impl Fn(&[Kept]) -> Option<T>,
    ) -> T {
        let look = |state: &mut State| match enough(&state.kept[from..]) {
            Some(found) => Some(Ok(found)),
            None => state.over.map(Err),
        };
        match self.gateway.wait(PATIENCE, look).await {
            Some(Ok(found)) => found,
            Some(Err(why)) => self.missed(what, why),
            None => self.missed(what, &format!("waited {PATIENCE:?}")),
        }
    }

    /// Waits for so many samples from the `from`th parcel on, and answers all that are there.
    pub async fn samples_since(&self, from: usize, count: usize) -> Vec<Sample> {
        self.until(&format!("{count} samples"), from, |kept| {
            let samples = samples_of(kept);
            (samples.len() >= count).then_some(samples)
        })
        .await
    }

    /// Waits for the first link that came.
    pub async fn up_since(&self, from: usize) {
        self.until("a link that came", from, |kept| {
            links_of(kept)
                .find(|change| change.down.is_none())
                .map(drop)
        })
        .await;
    }

    /// Waits for the first link that went, and answers when and why.
    pub async fn down_since(&self, from: usize) -> (Instant, String) {
        self.until("a link that went", from, |kept| {
            kept.iter().find_map(|Kept { at, parcel }| match parcel {
                Parcel::Link(LinkChange {
                    down: Some(reason), ..
                }) => Some((*at, reason.clone())),
                _ => None,
            })
        })
        .await
    }

    fn missed(&self, what: &str, why: &str) -> ! {
        let state = self.gateway.state();
        let last = &state.kept[state.kept.len().saturating_sub(SHOWN)..];
        panic!(
            "{what} did not come: {why}; {} parcels were kept and {} are held, the last kept: {last:#?}",
            state.kept.len(),
            state.held.len()
        );
    }
}

/// How things stand.
impl Rig {
    /// Waits until the last thing that was said of a link is that it is up.
    pub async fn until_up(&self) {
        self.until("the link", 0, |kept| {
            links_of(kept)
                .next_back()
                .filter(|change| change.down.is_none())
                .map(drop)
        })
        .await;
    }

    /// Waits until the last thing that was said of a link is that it is down, and answers why.
    pub async fn until_down(&self) -> String {
        self.until("the end of the link", 0, |kept| {
            links_of(kept)
                .next_back()
                .and_then(|change| change.down.clone())
        })
        .await
    }

    /// Waits until something waits for its receipt.
    pub async fn until_held(&self) {
        let look = |state: &mut State| {
            if state.held.is_empty() {
                state.over.map(Err)
            } else {
                Some(Ok(()))
            }
        };
        match self.gateway.wait(PATIENCE, look).await {
            Some(Ok(())) => {}
            Some(Err(why)) => self.missed("a delivery", why),
            None => self.missed("a delivery", &format!("waited {PATIENCE:?}")),
        }
    }

    /// Watches the whole time that at most so many deliveries wait for their receipts, and that the connector does not end.
    pub async fn stays_held(&self, deliveries_max: usize, watched: Duration) {
        let look = |state: &mut State| match state.over {
            Some(why) => Some(why.to_owned()),
            None if state.held.len() > deliveries_max => {
                Some(format!("{} deliveries", state.held.len()))
            }
            None => None,
        };
        if let Some(fault) = self.gateway.wait(watched, look).await {
            panic!(
                "at most {deliveries_max} deliveries may wait for their receipts, and they do so: {fault}"
            );
        }
    }
}

/// Parcel by parcel, with [`Receipts::WhenRead`].
impl Rig {
    /// Reads on until `pick` takes a parcel; each is kept and answered as it is read.
    ///
    /// # Panics
    /// None is taken within the time, the connector ends before, or it has given a delivery up.
    pub async fn next<T>(&self, within: Duration, mut pick: impl FnMut(Parcel) -> Option<T>) -> T {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let parcel = match self.gateway.wait(left, read).await {
                Some(Ok(parcel)) => parcel,
                Some(Err(why)) => self.missed("what is waited for", why),
                None => self.missed("what is waited for", &format!("waited {within:?}")),
            };
            if let Some(found) = pick(parcel) {
                return found;
            }
        }
    }

    /// Reads the next samples.
    pub async fn next_samples(&self) -> Vec<Sample> {
        self.next(PATIENCE, |parcel| {
            if let Parcel::Samples(samples) = parcel {
                Some(samples)
            } else {
                None
            }
        })
        .await
    }

    /// Reads the next change of a link.
    pub async fn next_link(&self, within: Duration) -> LinkChange {
        self.next(within, |parcel| {
            if let Parcel::Link(change) = parcel {
                Some(change)
            } else {
                None
            }
        })
        .await
    }

    /// Reads until a good sample of a tag.
    pub async fn next_good(&self, tag: &str) -> Value {
        let is_good =
            |sample: &Sample| sample.tag.as_str() == tag && sample.status.quality == Quality::Good;
        self.next(PATIENCE, |parcel| match parcel {
            Parcel::Samples(samples) => samples
                .into_iter()
                .find(is_good)
                .and_then(|sample| sample.value),
            Parcel::Messages { .. } | Parcel::Events(_) | Parcel::Link(_) => None,
        })
        .await
    }
}

fn read(state: &mut State) -> Option<Result<Parcel, &'static str>> {
    assert_eq!(
        state.receipts,
        Receipts::WhenRead,
        "the rig answers without being read"
    );
    let parcel = state.read();
    assert_eq!(
        state.abandoned, 0,
        "the connector did not wait for its receipt"
    );
    match parcel {
        Some(parcel) => Some(Ok(parcel)),
        None => state.over.map(Err),
    }
}
