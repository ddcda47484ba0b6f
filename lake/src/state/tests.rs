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
    };
    let mark = |epoch, mark, closed, quarantined| EpochMark {
        gateway: "gw".into(),
        lane: 0,
        epoch,
        mark,
        closed,
        quarantined,
    };
    StreamState {
        gaps: vec![gap(3, 4, "dropped", GapState::Open), gap(101, SEQ_UNKNOWN, "unfinished", GapState::Final)],
        ended_gaps: vec![gap(3, 9, "dropped", GapState::Closed)],
        forgotten: vec![Forgotten { gateway: "gw".into(), lane: 0, epoch: 6, readings: 1_000, gaps: 1 }],
        quarantined: vec![44],
        sites: vec![SiteTimes {
            site: "plant 1".into(),
            held: Some(1_700_000_000_000_001),
            devices: [(
                "pump".to_owned(),
                DeviceTimes { event: 1_700_000_000_000_002, observed: 1_700_000_000_000_003 },
            )]
            .into(),
        }],
        ..StreamState::new(42, vec![mark(7, 100, true, 2), mark(8, 5, false, 0)])
    }
}

#[test]
fn the_layout_is_a_stored_format() {
    let text = serde_json::to_string_pretty(&full()).unwrap();
    assert_eq!(text, include_str!("../../golden/stream_state.v1.json").trim_end());
    assert_eq!(serde_json::from_str::<StreamState>(&text).unwrap(), full());
    let bare = r#"{"format":1,"next_offset":9,"epochs":[]}"#;
    assert_eq!(serde_json::from_str::<StreamState>(bare).unwrap(), StreamState::new(9, Vec::new()));
    assert_eq!(serde_json::to_string(&StreamState::new(9, Vec::new())).unwrap(), bare);
}

fn keeper() -> StateKeeper {
    StateKeeper::new(&SecretKey::new(vec![1; 32]), &SecretKey::new(vec![2; 32])).unwrap()
}

#[tokio::test]
async fn a_state_is_sealed_numbered_and_never_changed() {
    let folder = tempfile::tempdir().unwrap();
    let table = Lake::local(folder.path()).unwrap().table(&READINGS).await.unwrap();
    let (keeper, random): (_, Random) = (keeper(), Arc::new(SystemRandom::new()));
    let app_id = keeper.app_id("spool/gw/1", 0);
    let first = keeper.store(&table, &app_id, None, &full(), &random).await.unwrap();
    let second = keeper.store(&table, &app_id, None, &StreamState::new(1, Vec::new()), &random).await.unwrap();
    assert_eq!((first, second), (1, 2), "a number that is taken is skipped");
    assert_eq!(keeper.load::<StreamState>(&table, &app_id, first).await.unwrap(), full());

    let path = folder.path().join("readings/_forebay/state").join(&app_id).join(format!("{first:020}"));
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(4).any(|part| part == b"pump"), "names lie in clear");
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = keeper.load::<StreamState>(&table, &app_id, first).await.unwrap_err();
    assert!(matches!(&error, LakeError::State { why, .. } if why.contains("damaged")), "{error}");
}

#[tokio::test]
async fn a_state_of_a_later_release_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let table = Lake::local(folder.path()).unwrap().table(&READINGS).await.unwrap();
    let (keeper, random): (_, Random) = (keeper(), Arc::new(SystemRandom::new()));
    let later = serde_json::json!({"format": TABLE_FORMAT_VERSION + 1, "next_offset": "in words"});
    let number = keeper.store(&table, "a", None, &later, &random).await.unwrap();
    let error = keeper.load::<StreamState>(&table, "a", number).await.unwrap_err();
    assert!(matches!(&error, LakeError::State { why, .. } if why.contains("later release")), "{error}");
}

/// Trying again for ever would hide that a person has to act.
#[tokio::test]
async fn a_missing_state_is_corrupt_and_takes_no_other_stream_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let table = Lake::local(folder.path()).unwrap().table(&READINGS).await.unwrap();
    let (keeper, random): (_, Random) = (keeper(), Arc::new(SystemRandom::new()));
    for app_id in ["gone", "there"] {
        let to_state = keeper.store(&table, app_id, None, &full(), &random).await.unwrap();
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
    std::fs::read_dir(gone).unwrap().for_each(|file| std::fs::remove_file(file.unwrap().path()).unwrap());
    let snapshot = table.snapshot().await.unwrap();
    let found = keeper.states_each::<StreamState>(&table, &snapshot).await.unwrap();
    let [gone, there] = found.as_slice() else { panic!("{found:?}") };
    let error = gone.state.as_ref().unwrap_err();
    assert_eq!((gone.app_id.as_str(), error.kind()), ("gone", forebay_schemas::ErrorKind::Corrupt));
    assert!(error.to_string().contains("it is missing"), "{error}");
    assert_eq!((there.app_id.as_str(), there.state.as_ref().unwrap()), ("there", &full()));
}
