//! From requests to the gateway: what waits is handed over together, in the order of its arrival, one delivery at a time. Each request
//! is a message of its own there, with a time of its own.
//!
//! It also keeps an eye on who is silent.

use std::{collections::BTreeMap, time::Duration};

use forebay_connectors::{Closed, LinkChange, Outlet, Sample};
use forebay_schemas::DeviceId;
use tokio::{
    select,
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};

/// Requests that may wait to be handed over.
pub(crate) const WAITING_MAX: usize = 256;
/// Samples that one delivery holds, more or less.
const DELIVERY_SAMPLES_MAX: usize = 16_384;
/// How often silence is looked for.
const TICK: Duration = Duration::from_secs(1);
/// Devices whose silence is watched; of more nothing is known.
const DEVICES_MAX: usize = 10_000;

/// The samples of one request.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) samples: Vec<Sample>,
    /// When the request began.
    pub(crate) began: Instant,
    /// Answered once they are durable; dropped where they may not be.
    pub(crate) receipt: oneshot::Sender<()>,
}

/// Hands over until nobody can post any more, or the gateway takes nothing more.
pub(crate) async fn hand_over(
    mut posted: mpsc::Receiver<Posted>,
    outlet: &Outlet,
    silent_after: Option<Duration>,
) -> Result<(), Closed> {
    let mut watch = silent_after.map(Watch::new);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let first = select! {
            posted = posted.recv() => Some(posted),
            _ = ticks.tick(), if watch.is_some() => None,
        };
        let Some(first) = first else {
            let silent = watch.as_mut().map(|watch| watch.silent(Instant::now()));
            for change in silent.unwrap_or_default() {
                outlet.link(change).await?;
            }
            continue;
        };
        let Some(first) = first else { return Ok(()) };
        let mut receipts = vec![first.receipt];
        let began = first.began;
        let mut count = first.samples.len();
        let mut requests = vec![first.samples];
        while count < DELIVERY_SAMPLES_MAX {
            let Ok(next) = posted.try_recv() else { break };
            receipts.push(next.receipt);
            count += next.samples.len();
            requests.push(next.samples);
        }
        requests.retain(|samples| !samples.is_empty());
        let back = watch
            .as_mut()
            .map(|watch| watch.heard(requests.iter().flatten(), Instant::now()));
        for change in back.unwrap_or_default() {
            outlet.link(change).await?;
        }
        if !requests.is_empty() {
            outlet.deliver_each_begun(requests, began).await?;
        }
        for receipt in receipts {
            // A client that went away does not hear of it, and may send again.
            receipt.send(()).ok();
        }
    }
}

/// Who was heard when.
struct Watch {
    silent_after: Duration,
    devices: BTreeMap<DeviceId, Heard>,
}

struct Heard {
    at: Instant,
    is_silent: bool,
}

impl Watch {
    fn new(silent_after: Duration) -> Self {
        Self {
            silent_after,
            devices: BTreeMap::new(),
        }
    }

    /// Devices that were silent and have sent something.
    fn heard<'s>(
        &mut self,
        samples: impl Iterator<Item = &'s Sample>,
        now: Instant,
    ) -> Vec<LinkChange> {
        let mut back = Vec::new();
        for Sample { device, .. } in samples {
            let has_room = self.devices.len() < DEVICES_MAX;
            match self.devices.get_mut(device) {
                Some(heard) => {
                    if std::mem::take(&mut heard.is_silent) {
                        back.push(LinkChange {
                            device: Some(device.clone()),
                            down: None,
                        });
                    }
                    heard.at = now;
                }
                None if has_room => {
                    let heard = Heard {
                        at: now,
                        is_silent: false,
                    };
                    self.devices.insert(device.clone(), heard);
                }
                None => {}
            }
        }
        back
    }

    /// Devices that have become silent.
    fn silent(&mut self, now: Instant) -> Vec<LinkChange> {
        let mut silent = Vec::new();
        for (device, heard) in &mut self.devices {
            if heard.is_silent || now - heard.at < self.silent_after {
                continue;
            }
            heard.is_silent = true;
            silent.push(LinkChange {
                device: Some(device.clone()),
                down: Some(format!("nothing received for {:?}", self.silent_after)),
            });
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use forebay_connectors::{Parcel, RuleId, SampleKind, outlet};
    use forebay_schemas::{Status, TagName, Value};

    use super::*;

    fn sample(number: u64) -> Sample {
        Sample {
            rule: RuleId(0),
            device: DeviceId::new("gate").unwrap(),
            tag: TagName::new("count").unwrap(),
            event_time: None,
            value: Some(Value::U64(number)),
            unit: None,
            status: Status::GOOD,
            kind: SampleKind::Update,
        }
    }

    #[tokio::test]
    async fn requests_that_wait_are_handed_over_together_each_as_a_message_of_its_own() {
        let (outlet, mut deliveries) = outlet(1);
        let (post, posted) = mpsc::channel(WAITING_MAX);
        let mut receipts = Vec::new();
        for samples in [vec![sample(1)], vec![], vec![sample(2), sample(3)]] {
            let (receipt, received) = oneshot::channel();
            let began = Instant::now();
            let request = Posted {
                samples,
                began,
                receipt,
            };
            post.send(request).await.unwrap();
            receipts.push(received);
        }
        drop(post);
        let handed = tokio::spawn(async move { hand_over(posted, &outlet, None).await });
        let delivery = deliveries.recv().await.unwrap();
        let Parcel::Messages { ended, messages } = delivery.parcel else {
            panic!("each is a message");
        };
        assert!(ended.is_empty());
        let samples: Vec<_> = messages.iter().map(|one| one.samples.clone()).collect();
        assert_eq!(samples, [vec![sample(1)], vec![sample(2), sample(3)]]);
        assert!(messages.iter().all(|message| message.token.is_none()));
        assert!(receipts[0].try_recv().is_err(), "nothing is durable yet");
        delivery.receipt.send(()).unwrap();
        for received in receipts {
            received.await.unwrap();
        }
        assert_eq!(handed.await.unwrap(), Ok(()));
    }
}
