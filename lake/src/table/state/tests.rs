use std::sync::Arc;

use forebay_schemas::table::READINGS;
use ring::rand::SystemRandom;

use super::*;
use crate::table::Lake;

/// A state with everything in it.
fn full() -> StreamState {
    let gap = |first, last, why: &str, state| Gap {
        gateway: "gw".into(),
        lane: 0,
        epoch: 7,
        first,
        last,
        why: why.into(),
        opened_at: 1_700_000_000_000_000,
        state,
        extent: None,
    };
    let mark = |epoch, mark, closed, quarantined| EpochMark {
        gateway: "gw".into(),
        lane: 0,
        epoch,
        mark,
        closed,
        quarantined,
        nonce: epoch + 100,
        other_openings: (quarantined > 0).then_some((9, 4)).into_iter().collect(),
        readings_elsewhere: mark / 2,
        gaps_elsewhere: u64::from(closed),
    };
    StreamState {
        gaps: vec![
            gap(3, 4, "dropped", GapState::Open),
            gap(101, SEQ_UNKNOWN, "unfinished", GapState::Final),
        ],
        ended_gaps: vec![gap(3, 9, "dropped", GapState::Closed)],
        forgotten: vec![Forgotten {
            gateway: "gw".into(),
            lane: 0,
            epoch: 6,
            readings: 1_000,
            gaps: 1,
        }],
        stream: "kafka/cluster/topic".into(),
        quarantined: vec![44],
        lost: vec![(40, 42)],
        taken_over: vec![TakenOver {
            gateway: "gw".into(),
            lane: 0,
            from: "ab12".into(),
            counted_there: true,
        }],
        sites: vec![SiteTimes {
            site: "plant 1".into(),
            held: Some(1_700_000_000_000_001),
            held_from_until: Some((1_700_000_000_000_004, 1_700_000_000_000_005)),
            devices: [(
                "pump".to_owned(),
                DeviceTimes {
                    event: 1_700_000_000_000_002,
                    observed: 1_700_000_000_000_003,
                },
            )]
            .into(),
        }],
        times_apart: true,
        ..StreamState::new(42, vec![mark(7, 100, true, 2), mark(8, 5, false, 0)])
    }
}

#[test]
fn the_layout_is_a_stored_format() {
    let text = serde_json::to_string_pretty(&full()).unwrap();
    assert_eq!(
        text,
        include_str!("../../../golden/stream_state.v1.json").trim_end()
    );
    assert_eq!(serde_json::from_str::<StreamState>(&text).unwrap(), full());
    let bare = r#"{"format":1,"next_offset":9,"epochs":[]}"#;
    assert_eq!(
        serde_json::from_str::<StreamState>(bare).unwrap(),
        StreamState::new(9, Vec::new())
    );
    assert_eq!(
        serde_json::to_string(&StreamState::new(9, Vec::new())).unwrap(),
        bare
    );
}

/// A state of before ADR 0018 does not say what other streams' states count.
#[test]
fn a_state_without_counts_of_its_own_is_read() {
    let mut old = full();
    for epoch in &mut old.epochs {
        epoch.readings_elsewhere = 0;
        epoch.gaps_elsewhere = 0;
    }
    old.taken_over[0].counted_there = false;
    let text = include_str!("../../../golden/stream_state.v1.before_0018.json");
    assert_eq!(serde_json::from_str::<StreamState>(text).unwrap(), old);
}

fn keeper() -> StateKeeper {
    StateKeeper::new(&SecretKey::new(vec![1; 32]), &SecretKey::new(vec![2; 32])).unwrap()
}

#[tokio::test]
async fn a_state_is_sealed_numbered_and_never_changed() {
    let folder = tempfile::tempdir().unwrap();
    let table = Lake::local(folder.path())
        .unwrap()
        .table(&READINGS)
        .await
        .unwrap();
    let (keeper, random): (_, Random) = (keeper(), Arc::new(SystemRandom::new()));
    let app_id = keeper.app_id("spool/gw/1", 0);
    let first = keeper
        .store(&table, &app_id, None, &full(), &random)
        .await
        .unwrap();
    let second = keeper
        .store(
            &table,
            &app_id,
            None,
            &StreamState::new(1, Vec::new()),
            &random,
        )
        .await
        .unwrap();
    assert_ne!(first, second, "no attempt meets another's");
    let next = keeper
        .store(
            &table,
            &app_id,
            Some(second),
            &StreamState::new(2, Vec::new()),
            &random,
        )
        .await
        .unwrap();
    assert!(first > 0 && next > second);
    keeper
        .store_times(&table, &app_id, full().sites, &random)
        .await
        .unwrap();
    assert_eq!(
        keeper
            .load::<StreamState>(&table, &app_id, first)
            .await
            .unwrap(),
        full()
    );

    let path = folder
        .path()
        .join("readings/_forebay/state")
        .join(&app_id)
        .join(format!("{first:020}"));
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(
        !bytes.windows(4).any(|part| part == b"pump"),
        "names lie in clear"
    );
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = keeper
        .load::<StreamState>(&table, &app_id, first)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, LakeError::StateLost { why, .. } if why.contains("damaged")),
        "{error}"
    );
}

#[tokio::test]
async fn a_state_of_a_later_release_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let table = Lake::local(folder.path())
        .unwrap()
        .table(&READINGS)
        .await
        .unwrap();
    let (keeper, random): (_, Random) = (keeper(), Arc::new(SystemRandom::new()));
    let later = serde_json::json!({"format": TABLE_FORMAT_VERSION + 1, "next_offset": "in words"});
    let number = keeper
        .store(&table, "a", None, &later, &random)
        .await
        .unwrap();
    let error = keeper
        .load::<StreamState>(&table, "a", number)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, LakeError::State { why, .. } if why.contains("later release")),
        "{error}"
    );
}

#[test]
fn a_held_time_counts_for_as_long_as_its_jump_may_wait() {
    let site = full().sites[0].clone();
    let (event, (from, until)) = (site.held, site.held_from_until.unwrap());
    let counts = [from - 1, from, until - 1, until].map(|now| site.held_at(now).is_some());
    assert_eq!(
        (counts, site.held_at(from)),
        ([false, true, true, false], event)
    );
}

#[tokio::test]
async fn the_times_of_many_devices_lie_apart_and_may_be_lost() {
    let folder = tempfile::tempdir().unwrap();
    let table = Lake::local(folder.path())
        .unwrap()
        .table(&READINGS)
        .await
        .unwrap();
    let (keeper, random): (_, Random) = (keeper(), Arc::new(SystemRandom::new()));
    let mut bare = full();
    bare.sites[0].devices.clear();
    let number = keeper
        .store(&table, "a", None, &bare, &random)
        .await
        .unwrap();
    assert_eq!(
        keeper
            .load::<StreamState>(&table, "a", number)
            .await
            .unwrap(),
        bare,
        "missing, they count as silent"
    );
    for newer in [1, 2] {
        let mut sites = full().sites;
        sites[0].devices.insert(
            "pump".into(),
            DeviceTimes {
                event: newer,
                observed: newer,
            },
        );
        keeper
            .store_times(&table, "a", sites, &random)
            .await
            .unwrap();
        let found = keeper
            .load::<StreamState>(&table, "a", number)
            .await
            .unwrap();
        assert_eq!(
            (found.sites[0].devices["pump"].event, found.sites[0].held),
            (newer, bare.sites[0].held)
        );
    }
    let files = std::fs::read_dir(folder.path().join("readings/_forebay/times"))
        .unwrap()
        .count();
    assert_eq!(files, 1, "it is overwritten");
}

/// Trying again for ever would hide that a person has to act.
#[tokio::test]
async fn a_missing_state_is_corrupt_and_takes_no_other_stream_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let table = Lake::local(folder.path())
        .unwrap()
        .table(&READINGS)
        .await
        .unwrap();
    let (keeper, random): (_, Random) = (keeper(), Arc::new(SystemRandom::new()));
    for app_id in ["gone", "there"] {
        let to_state = keeper
            .store(&table, app_id, None, &full(), &random)
            .await
            .unwrap();
        let attempt = crate::Attempt {
            id: uuid::Builder::from_random_bytes(random_bytes(&random).unwrap()).into_uuid(),
            app_id: app_id.into(),
            from_state: None,
            to_state,
            adds: Vec::new(),
        };
        table.commit(&attempt).await.unwrap();
    }
    let gone = folder.path().join("readings/_forebay/state/gone");
    // With its folder, as in a bucket: nothing but the table's transaction tells of it.
    std::fs::remove_dir_all(gone).unwrap();
    let snapshot = table.snapshot().await.unwrap();
    let found = keeper
        .states_each::<StreamState>(&table, &snapshot)
        .await
        .unwrap();
    let [gone, there] = found.as_slice() else {
        panic!("{found:?}")
    };
    let error = gone.state.as_ref().unwrap_err();
    assert_eq!(
        (gone.app_id.as_str(), error.kind()),
        ("gone", forebay_schemas::ErrorKind::Corrupt)
    );
    assert!(
        error
            .to_string()
            .contains("it is missing: `forebay repair state` rebuilds it"),
        "{error}"
    );
    assert_eq!(
        (there.app_id.as_str(), there.state.as_ref().unwrap()),
        ("there", &full())
    );
}
