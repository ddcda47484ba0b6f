//! When a device's newest reading passed the places on its way.

use super::*;
use crate::consume::Passed;

#[test]
fn what_waits_behind_a_jump_waits_in_the_stream_and_not_in_its_spool() {
    let mut p = Partition::open();
    let published = |published: i64, now: i64| moment(now).of(Some(at(published)));
    let ways = |p: &mut Partition| -> Vec<Passed> {
        let ways = p.contiguity.take_ways().into_iter();
        ways.map(|way| way.passed).collect()
    };
    let passed = |seq: u64, published: i64, consumed: i64| {
        vec![Passed {
            event: event(seq).micros(),
            observed: event(seq).micros(),
            published: at(published).micros(),
            consumed: at(consumed).micros(),
        }]
    };
    p.take_range(0..1, batch(7, 1, 1), published(4, 10));
    assert_eq!(ways(&mut p), passed(1, 4, 10));
    assert_eq!(ways(&mut p), []);
    p.take_range(1..2, batch(7, 3, 3), published(14, 20));
    assert_eq!(ways(&mut p), []);
    p.take_range(2..3, batch(7, 2, 2), published(29, 30));
    assert_eq!(ways(&mut p), passed(3, 14, 30));
    // The other way round: what fills the jump was published later.
    p.take_range(3..4, batch(7, 6, 6), published(40, 41));
    p.take_range(4..5, batch(7, 4, 5), published(42, 43));
    assert_eq!(ways(&mut p), passed(6, 40, 43));
    // Nobody said when it was published.
    p.take_at(5, batch(7, 7, 7), 50);
    assert_eq!(ways(&mut p), passed(7, 50, 50));
}
