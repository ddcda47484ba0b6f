//! What every connector must do.
//!
//! The cases run one after the other against one device; each has a connector of its own name.

mod configured;
mod link;
mod receipt;

use std::time::Duration;

use forebay_connectors::{LinkChange, Parcel, RuleId, Sample};
use forebay_schemas::{Quality, Status, Value};
use tokio::time::Instant;

use crate::{Kept, Link, Memory, Receipts, Rig, Subject, samples_of};

/// Deliveries that a connector may have under way while no receipt comes.
const DELIVERIES_MAX: usize = 4;
/// Numbers that the device says while no receipt comes.
const WITHHELD_NUMBERS: usize = 20;
/// How long a connector is watched that must not go on without its receipt.
const WATCHED: Duration = Duration::from_millis(500);

/// Runs every case, without those of a lost link where the device makes the link. The device may be away afterwards. The time of each case goes to the test's output.
///
/// # Panics
/// The connector does not do as it must.
pub async fn suite<S: Subject>(subject: S) {
    let mut bench = Bench { subject, said: 0 };
    configured::its_series_are_declared(&bench.subject);
    configured::an_unknown_key_is_named(&bench.subject);
    timed(
        "values are delivered beside a bad point",
        values_are_delivered_beside_a_bad_point(&mut bench),
    )
    .await;
    timed(
        "a withheld receipt is awaited",
        receipt::a_withheld_receipt_is_awaited(&mut bench),
    )
    .await;
    timed(
        "what was not acknowledged comes again",
        receipt::what_was_not_acknowledged_comes_again(&mut bench),
    )
    .await;
    timed(
        "a closed outlet is an end",
        receipt::a_closed_outlet_is_an_end(&mut bench),
    )
    .await;
    timed(
        "a stop awaits the receipt under way",
        receipt::a_stop_awaits_the_receipt_under_way(&mut bench),
    )
    .await;
    if bench.subject.link() == Link::Listens {
        return;
    }
    timed(
        "a lost link is reported and made again",
        link::a_lost_link_is_reported_and_made_again(&mut bench),
    )
    .await;
    timed(
        "a stop is quick while the device is away",
        link::a_stop_is_quick_while_the_device_is_away(&mut bench),
    )
    .await;
}

async fn timed(case: &str, run: impl Future<Output = ()>) {
    println!("conformance: {case}");
    let begun = Instant::now();
    run.await;
    println!("conformance: {case}: {:?}", begun.elapsed());
}

/// The subject, and the last number that its device has said.
struct Bench<S> {
    subject: S,
    said: u32,
}

impl<S: Subject> Bench<S> {
    fn start(&self, name: &str, receipts: Receipts) -> Rig {
        Rig::start(
            self.subject.kind(),
            &self.subject.configuration(name),
            receipts,
        )
    }

    /// A connector whose link is up, and a gateway that gives receipts.
    async fn linked(&self, name: &str) -> Rig {
        let rig = self.start(name, Receipts::Given);
        rig.until_up().await;
        rig
    }

    /// The device says the next number.
    async fn say(&mut self) -> Value {
        self.said += 1;
        self.subject.say(self.said).await;
        self.subject.value(self.said)
    }

    async fn say_times(&mut self, times: usize) -> Vec<Value> {
        let mut values = Vec::new();
        for _ in 0..times {
            values.push(self.say().await);
        }
        values
    }

    /// The device says the next number, and it is kept.
    async fn say_and_hear(&mut self, rig: &Rig) -> Sample {
        let from = rig.count();
        let value = self.say().await;
        self.heard(rig, from, &value).await
    }

    /// Waits for a value of the good point.
    async fn heard(&self, rig: &Rig, from: usize, value: &Value) -> Sample {
        let tag = self.subject.good().tag;
        let is_it =
            |sample: &Sample| sample.tag.as_str() == tag && sample.value.as_ref() == Some(value);
        rig.until(&format!("{tag} = {value:?}"), from, |kept| {
            samples_of(kept).into_iter().find(is_it)
        })
        .await
    }

    /// The values among the samples of the good point.
    fn values(&self, samples: &[Sample]) -> Vec<Value> {
        let tag = self.subject.good().tag;
        samples
            .iter()
            .filter(|sample| sample.tag.as_str() == tag)
            .filter_map(|sample| sample.value.clone())
            .collect()
    }
}

/// The link is reported first; values come with their names, their rule and a good status, each once unless it is polled; the bad
/// point is bad with a reason and takes nothing from the good one.
async fn values_are_delivered_beside_a_bad_point<S: Subject>(bench: &mut Bench<S>) {
    let rig = bench.linked("delivers").await;
    let first = rig
        .until("the first parcel", 0, |kept| {
            kept.first().map(|Kept { parcel, .. }| parcel.clone())
        })
        .await;
    assert_eq!(
        first,
        Parcel::Link(LinkChange {
            device: None,
            down: None
        }),
        "a link is reported before its samples"
    );
    if let Some(bad) = bench.subject.bad() {
        bench.subject.say_bad().await;
        let is_it = |sample: &Sample| {
            sample.tag.as_str() == bad.point.tag && sample.status.quality == Quality::Bad
        };
        let what = format!("a bad sample of {}", bad.point.tag);
        let sample = rig
            .until(&what, 0, |kept| samples_of(kept).into_iter().find(is_it))
            .await;
        assert_eq!(sample.device.as_str(), bad.point.device);
        let reason = sample.status.reason.unwrap_or_default();
        assert!(
            reason.contains(bad.reason),
            "{:?} is not in {reason:?}",
            bad.reason
        );
    }
    let mut values = Vec::new();
    for _ in 0..3 {
        let sample = bench.say_and_hear(&rig).await;
        assert_eq!(
            (sample.rule, sample.device.as_str()),
            (RuleId(0), bench.subject.good().device)
        );
        values.extend(sample.value);
    }
    let samples = rig.stop().await;
    for sample in samples
        .iter()
        .filter(|sample| sample.tag.as_str() == bench.subject.good().tag)
    {
        assert_eq!(
            sample.status,
            Status::GOOD,
            "the good point is not good: {sample:?}"
        );
    }
    let mut kept = bench.values(&samples);
    // Some devices give the value from before the start as well, and polled ones give each value with every poll.
    kept.retain(|value| values.contains(value));
    if bench.subject.memory() == Memory::Latest {
        kept.dedup();
    }
    assert_eq!(kept, values);
}
