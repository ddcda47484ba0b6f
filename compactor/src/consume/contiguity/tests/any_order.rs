//! Records in any order, repeated and cut off, with restarts between: each seq comes out once.

use proptest::prelude::*;

use super::*;

/// Ways to deliver epochs 7 and 8, `count` readings each: cut into batches, repeated, out of order,
/// cut off and begun again.
fn deliveries(count: u64) -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let cut = (7..=8_u64, 1..=count, 0..6_u64)
        .prop_map(move |(e, first, more)| (e, first, (first + more).min(count)));
    proptest::collection::vec(cut, 0..60)
}

proptest! {
    #[test]
    fn each_seq_comes_out_once_whatever_comes_in(
        mut sent in deliveries(30),
        restarts in proptest::collection::vec(0..80_usize, 0..4),
        held_bytes_max in prop_oneof![Just(1_usize), Just(2_000), Just(1 << 20)],
    ) {
        // In the end everything has been sent once more, in order.
        let in_order = |epoch| (1..=30).step_by(7).map(move |f: u64| (epoch, f, (f + 6).min(30)));
        sent.extend([7, 8].into_iter().flat_map(in_order));
        let sent = sent.iter().map(|(epoch, first, last)| batch(*epoch, *first, *last));
        let mut log: Vec<Entry> = sent.collect();
        log.extend([end(7, 30), end(8, 30)]);
        let mut p = Partition::new(Rules { held_bytes_max, ..rules() });
        let mut from = 0;
        let mut seconds = 0;
        // A rewind happens only where progress was made; many more rounds than that would be a
        // defect.
        for round in 0..500 {
            for (offset, entry) in log.iter().enumerate().skip(from) {
                p.take_at(offset as u64, entry.clone(), seconds);
                if round == 0 && restarts.contains(&offset) {
                    p.restart();
                    let next = p.contiguity.next_offset().0 as usize;
                    for (again, entry) in log.iter().enumerate().take(offset + 1).skip(next) {
                        p.take_at(again as u64, entry.clone(), seconds);
                    }
                }
            }
            seconds += 61;
            match p.tick(seconds) {
                Some(read_from) => {
                    from = read_from as usize;
                    p.contiguity.opened(Offset(read_from));
                }
                None if !p.contiguity.is_waiting() => break,
                None => from = log.len(),
            }
        }
        prop_assert!(!p.contiguity.is_waiting());
        prop_assert_eq!(p.seqs_of(7), upto(30));
        prop_assert_eq!(p.seqs_of(8), upto(30));
        prop_assert_eq!(p.gaps(), Vec::<String>::new());
        prop_assert!(p.quarantine.is_empty());
        prop_assert_eq!(p.commit().next_offset, log.len() as u64);
        prop_assert!(p.state.epochs.iter().all(|epoch| epoch.closed && epoch.mark == 30));
    }
}
