//! Lanes that several streams know: each reading counts once, and each that is not there is missed.

use super::*;
use crate::table::state::TakenOver;

const SPOOL: &str = "spool";
const TOPIC: &str = "topic";

/// A closed epoch up to a mark, of which other streams brought so many readings.
fn epoch(epoch: u64, mark: u64, readings_elsewhere: u64) -> EpochMark {
    EpochMark {
        gateway: "gw".into(),
        epoch,
        mark,
        closed: true,
        readings_elsewhere,
        ..EpochMark::default()
    }
}

/// A stream that has forgotten epochs up to one (0: none), of which it brought so many readings.
fn stream(
    name: &str,
    (last, readings): (u64, u64),
    epochs: Vec<EpochMark>,
) -> (String, StreamState) {
    let forgotten = Forgotten {
        gateway: "gw".into(),
        lane: 0,
        epoch: last,
        readings,
        gaps: 0,
    };
    let forgotten = (last > 0).then_some(forgotten).into_iter().collect();
    (
        name.to_owned(),
        StreamState {
            stream: name.into(),
            forgotten,
            ..StreamState::new(0, epochs)
        },
    )
}

/// The table holds as many readings of each epoch as its number says.
fn as_many_as_its_number(epochs: &[u64]) -> Vec<(u64, u64)> {
    epochs
        .iter()
        .flat_map(|epoch| (1..=*epoch).map(|seq| (*epoch, seq)))
        .collect()
}

fn report(
    states: &[(String, StreamState)],
    readings: impl IntoIterator<Item = (u64, u64)>,
) -> Report {
    let mut states = states.to_vec();
    reconcile(&mut states);
    let mut seqs: BTreeMap<EpochKey, SeqSet> = BTreeMap::new();
    for (epoch, seq) in readings {
        seqs.entry(("gw".to_owned(), 0, epoch))
            .or_default()
            .add_range(seq, seq);
    }
    let mut report = Report::default();
    compare(
        seqs,
        Accounts::of(states.into_iter().map(|(_, state)| state)),
        &mut report,
    );
    report
}

/// These are the readings that the states say were taken: with one less it is missed, one more is not accounted for.
fn check(what: &str, states: &[(String, StreamState)], readings: &[(u64, u64)], gaps: u64) {
    let sound = report(states, readings.iter().copied());
    let count = readings.len();
    let line = format!("ok readings={count} files=0 gaps={gaps} doubled=0 missing=0");
    assert_eq!(sound.to_string(), line, "{what}: {:?}", sound.faults);
    for out in readings {
        let less = report(
            states,
            readings.iter().copied().filter(|reading| reading != out),
        );
        assert_eq!(
            (less.missing, less.faults.len()),
            (1, 1),
            "{what}, without {out:?}: {:?}",
            less.faults
        );
        let more = report(states, readings.iter().copied().chain([(out.0, 1_000)]));
        let named: Vec<String> = more.faults.iter().map(Fault::to_string).collect();
        assert_eq!(
            (more.missing, named.len()),
            (0, 1),
            "{what}, one more in {}: {named:?}",
            out.0
        );
        assert!(
            named[0].ends_with("1 readings are accounted for by no state"),
            "{what}: {named:?}"
        );
    }
}

#[test]
fn each_reading_of_a_lane_counts_once_however_many_streams_know_it() {
    let one = [stream(SPOOL, (2, 3), vec![epoch(3, 3, 0)])];
    check("one stream", &one, &as_many_as_its_number(&[1, 2, 3]), 0);

    let marks = vec![
        epoch(2, 2, 0),
        epoch(5, 5, 5),
        epoch(6, 6, 6),
        epoch(7, 7, 0),
        epoch(8, 8, 0),
    ];
    let spool = stream(SPOOL, (4, 1), marks);
    let marks = [6, 9, 10, 11, 12].map(|number| epoch(number, number, 0));
    let topic = stream(TOPIC, (5, 12), marks.to_vec());
    let all: Vec<u64> = (1..=12).collect();
    check(
        "a spool that took its lane back",
        &[spool.clone(), topic.clone()],
        &as_many_as_its_number(&all),
        0,
    );
    check(
        "in another order",
        &[topic, spool],
        &as_many_as_its_number(&all),
        0,
    );

    let spool = stream(
        SPOOL,
        (0, 0),
        vec![
            epoch(4, 4, 0),
            EpochMark {
                closed: false,
                ..epoch(5, 2, 0)
            },
        ],
    );
    let topic = stream(TOPIC, (5, 3), vec![epoch(6, 6, 0)]);
    check(
        "a mark that the topic has gone on with",
        &[spool, topic],
        &as_many_as_its_number(&[4, 5, 6]),
        0,
    );

    let partition = stream(TOPIC, (5, 8), vec![epoch(9, 9, 0)]);
    let other = stream(TOPIC, (8, 12), vec![epoch(7, 7, 0), epoch(10, 10, 0)]);
    check(
        "two partitions",
        &[partition, other],
        &as_many_as_its_number(&[3, 4, 5, 7, 8, 9, 10]),
        0,
    );

    let one = stream("one", (5, 9), vec![epoch(7, 7, 0), epoch(9, 9, 0)]);
    let other = stream("other", (10, 30), vec![epoch(12, 12, 0)]);
    let third = stream("third", (0, 0), vec![epoch(9, 9, 9), epoch(11, 11, 0)]);
    check(
        "copies whose epochs alternate",
        &[one, other, third],
        &as_many_as_its_number(&all),
        0,
    );
}

#[test]
fn a_gap_counts_where_nobody_has_closed_it() {
    let gap = state(5, 0, &[(2, 3)]).gaps.remove(0);
    let of_spool = |epoch_number| {
        let (name, state) = stream(SPOOL, (0, 0), vec![epoch(epoch_number, 5, 0)]);
        (
            name,
            StreamState {
                gaps: vec![Gap {
                    epoch: epoch_number,
                    ..gap.clone()
                }],
                ..state
            },
        )
    };
    let topic = stream(TOPIC, (4, 2), vec![epoch(5, 5, 0)]);
    let all = as_many_as_its_number(&[5]);
    let filled: Vec<(u64, u64)> = (1..=5).map(|seq| (4, seq)).collect();
    check(
        "filled by the topic",
        &[of_spool(4), topic],
        &[all, filled].concat(),
        0,
    );

    // The copy has forgotten a later epoch, and never knew this one.
    let copy = stream("copy", (6, 6), vec![epoch(7, 7, 0)]);
    let left = [(4, 1), (4, 4), (4, 5)].to_vec();
    let of_copy = as_many_as_its_number(&[6, 7]);
    check(
        "open still",
        &[of_spool(4), copy],
        &[left, of_copy].concat(),
        1,
    );
}

/// States of before ADR 0018 count what they took over: the one that knows most counts.
#[test]
fn what_was_counted_twice_before_is_counted_once() {
    let spool = stream(SPOOL, (1, 1), vec![epoch(2, 2, 0), epoch(3, 3, 0)]);
    let mut topic = stream(TOPIC, (2, 3), vec![epoch(3, 3, 0), epoch(4, 4, 0)]);
    topic.1.taken_over = vec![TakenOver {
        gateway: "gw".into(),
        lane: 0,
        from: SPOOL.into(),
        counted_there: false,
    }];
    check(
        "taken over before",
        &[spool, topic],
        &as_many_as_its_number(&[1, 2, 3, 4]),
        0,
    );
}
