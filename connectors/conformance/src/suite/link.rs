//! A link that is lost is reported in time, and made again without end.

use forebay_connectors::{LinkChange, Parcel};
use tokio::time::Instant;

use super::Bench;
use crate::{ENDED_WITHIN, Kept, LOSS_REPORTED_WITHIN, Loss, Subject};

/// Whether the device ends or freezes, the loss is reported in time, for the whole connector and with a reason; once the device is
/// back the link is reported again and values come.
pub(super) async fn a_lost_link_is_reported_and_made_again<S: Subject>(bench: &mut Bench<S>) {
    let rig = bench.linked("links").await;
    bench.say_and_hear(&rig).await;
    for loss in [Loss::Gone, Loss::Silent] {
        let from = rig.count();
        let lost_at = Instant::now();
        bench.subject.take_away(loss).await;
        let (reported_at, change) = rig.until("the lost link", from, first_change).await;
        let took = reported_at - lost_at;
        assert!(
            took < LOSS_REPORTED_WITHIN,
            "{loss:?} was reported after {took:?} only: {change:?}"
        );
        let LinkChange {
            device: None,
            down: Some(reason),
        } = change
        else {
            panic!("{loss:?} is a lost link of the whole connector, and {change:?} was reported");
        };
        let expected = bench.subject.reasons(loss);
        let is_named = expected.iter().any(|expected| reason.contains(expected));
        assert!(is_named, "{loss:?}: none of {expected:?} is in {reason:?}");
        println!("conformance: {loss:?} was reported after {took:?}: {reason}");
        let from = rig.count();
        bench.subject.bring_back(loss).await;
        rig.up_since(from).await;
        bench.say_and_hear(&rig).await;
    }
    rig.stop().await;
}

/// A device that is away holds up no stop.
pub(super) async fn a_stop_is_quick_while_the_device_is_away<S: Subject>(bench: &mut Bench<S>) {
    let rig = bench.linked("away").await;
    bench.subject.take_away(Loss::Gone).await;
    rig.until_down().await;
    let stopped_at = Instant::now();
    rig.stop().await;
    assert!(
        stopped_at.elapsed() < ENDED_WITHIN,
        "the stop took {:?}",
        stopped_at.elapsed()
    );
}

fn first_change(kept: &[Kept]) -> Option<(Instant, LinkChange)> {
    kept.iter().find_map(|Kept { at, parcel }| match parcel {
        Parcel::Link(change) => Some((*at, change.clone())),
        Parcel::Samples(_) | Parcel::Messages { .. } | Parcel::Events(_) => None,
    })
}
