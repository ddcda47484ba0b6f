//! Nothing goes on and nothing is acknowledged without a receipt.

use std::time::Duration;

use tokio::time::Instant;

use super::{Bench, DELIVERIES_MAX, WATCHED, WITHHELD_NUMBERS};
use crate::{ENDED_WITHIN, Memory, Receipts, Subject};

/// How long a stopped connector is watched that still has no receipt.
const STOP_WATCHED: Duration = Duration::from_millis(300);

/// Whatever the device says meanwhile, a few deliveries wait and the link stays up; with the receipts all goes on, and a device that
/// keeps its values loses and doubles none.
pub(super) async fn a_withheld_receipt_is_awaited<S: Subject>(bench: &mut Bench<S>) {
    let rig = bench.linked("withheld").await;
    bench.say_and_hear(&rig).await;
    rig.receipts(Receipts::Withheld);
    let from = rig.count();
    let changes = rig.links().len();
    let values = bench.say_times(WITHHELD_NUMBERS).await;
    rig.until_held().await;
    rig.stays_held(DELIVERIES_MAX, WATCHED).await;
    assert_eq!(
        rig.links().len(),
        changes,
        "a gateway without room makes no link go"
    );
    rig.receipts(Receipts::Given);
    if let Some(last) = values.last() {
        bench.heard(&rig, from, last).await;
    }
    let kept = bench.values(&rig.stop().await);
    if bench.subject.memory() != Memory::Latest {
        assert!(
            kept.ends_with(&values),
            "{values:?} were said in a row, and {kept:?} were kept"
        );
    }
}

/// A session sends again what a crash left without a receipt and what was said meanwhile, each once and in order; what has a receipt
/// does not come again.
pub(super) async fn what_was_not_acknowledged_comes_again<S: Subject>(bench: &mut Bench<S>) {
    if bench.subject.memory() != Memory::Session {
        return;
    }
    let rig = bench.start("again", Receipts::Withheld);
    rig.until_up().await;
    let mut values = bench.say_times(3).await;
    rig.until_held().await;
    assert_eq!(rig.kill().await, [], "nothing was kept");
    values.extend(bench.say_times(3).await);
    let rig = bench.start("again", Receipts::Given);
    if let Some(last) = values.last() {
        bench.heard(&rig, 0, last).await;
    }
    assert_eq!(
        bench.values(&rig.stop().await),
        values,
        "what has no receipt comes again, once and in order"
    );
    let rig = bench.linked("again").await;
    let next = bench.say_and_hear(&rig).await;
    assert_eq!(
        bench.values(&rig.stop().await),
        [next.value.unwrap()],
        "what was acknowledged does not come again"
    );
}

/// With the next thing that it has to hand over a connector sees that the gateway takes nothing more. That is its end and no error,
/// and nothing is acknowledged.
pub(super) async fn a_closed_outlet_is_an_end<S: Subject>(bench: &mut Bench<S>) {
    let rig = bench.linked("closed").await;
    bench.say_and_hear(&rig).await;
    rig.close();
    let value = bench.say().await;
    rig.ended(ENDED_WITHIN).await;
    if bench.subject.memory() == Memory::Session {
        let rig = bench.start("closed", Receipts::Given);
        bench.heard(&rig, 0, &value).await;
        rig.stop().await;
    }
}

/// A stop does not end a connector before the receipt under way has come; with it the connector ends soon, and a session does not send
/// again what was under way.
pub(super) async fn a_stop_awaits_the_receipt_under_way<S: Subject>(bench: &mut Bench<S>) {
    let rig = bench.linked("drains").await;
    bench.say_and_hear(&rig).await;
    rig.receipts(Receipts::Withheld);
    bench.say().await;
    rig.until_held().await;
    let under_way = rig.held().len();
    let before = rig.count();
    rig.ask_to_stop();
    rig.stays_held(DELIVERIES_MAX, STOP_WATCHED).await;
    let given_at = Instant::now();
    rig.receipts(Receipts::Given);
    assert!(
        rig.count() >= before + under_way,
        "what was under way is kept"
    );
    rig.stop().await;
    assert!(
        given_at.elapsed() < ENDED_WITHIN,
        "the stop took {:?}",
        given_at.elapsed()
    );
    if bench.subject.memory() == Memory::Session {
        let rig = bench.linked("drains").await;
        let next = bench.say_and_hear(&rig).await;
        assert_eq!(
            bench.values(&rig.stop().await),
            [next.value.unwrap()],
            "what was under way is acknowledged"
        );
    }
}
