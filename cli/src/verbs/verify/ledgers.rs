//! The ledgers of the gateway whose data folder this is.

use std::{num::NonZeroU32, path::Path};

use forebay_lake::{LedgerLine, Report};
use forebay_schemas::{
    GatewayId, LaneId,
    ledger::{Behind, LaneLedger},
};
use forebay_stream::{
    StreamError,
    local::{SpoolKey, lane_ledger},
};

use crate::{
    owner,
    service::{SPOOL_SECRET, lanes_to_open},
    store::ReadingStore,
};

/// The lanes of a data folder.
#[derive(Debug, Default)]
pub(super) struct AtHand {
    /// What each has received.
    pub(super) lanes: Vec<LaneLedger>,
    /// Those whose spool cannot be read, and why.
    unreadable: Vec<(LaneId, String)>,
}

impl AtHand {
    /// Says why lanes were not compared although they are here.
    pub(super) fn name_unreadable(&self, report: &mut Report) {
        for (LaneId { gateway, lane }, why) in &self.unreadable {
            let lane = (gateway.as_str().to_owned(), lane.0);
            report.ledgers.retain(|line| *line.lane() != lane);
            report.ledgers.push(LedgerLine::Unreadable {
                lane,
                why: why.clone(),
            });
        }
    }
}

/// What each lane of the folder's gateway has received; nothing where no gateway has run in it.
pub(super) async fn at_hand(data_dir: &Path, store: &ReadingStore) -> anyhow::Result<AtHand> {
    let Some(gateway) = owner::of(data_dir) else {
        return Ok(AtHand::default());
    };
    let gateway = GatewayId::new(&gateway)?;
    let spools = data_dir.join("spool");
    let key = SpoolKey::new(store.derived_key(SPOOL_SECRET).await?);
    let mut found = AtHand::default();
    for lane in lanes_to_open(NonZeroU32::MIN, &spools)? {
        let id = LaneId {
            gateway: gateway.clone(),
            lane,
        };
        match of_lane(&spools, &id, &key) {
            Ok(ledger) => found.lanes.extend(ledger),
            Err(why) => found.unreadable.push((id, why)),
        }
    }
    Ok(found)
}

/// What a lane has received; none where it has no spool.
///
/// # Errors
/// Why its spool cannot be read.
fn of_lane(spools: &Path, lane: &LaneId, key: &SpoolKey) -> Result<Option<LaneLedger>, String> {
    // The publisher notes there where it puts epochs; without one, the spool forgets what is committed.
    let behind = match spools.join(format!("{}.places", lane.lane)).exists() {
        true => Behind::Stream,
        false => Behind::Lake,
    };
    let spool = spools.join(lane.lane.to_string());
    match lane_ledger(&spool, lane.clone(), key, behind) {
        Ok(None) if spool.is_dir() => Err(format!(
            "damaged: the mark of spool {} is damaged or missing",
            spool.display()
        )),
        Ok(ledger) => Ok(ledger),
        Err(error @ StreamError::WrongKey { .. }) => Err(format!("damaged: {error}")),
        Err(error) => Err(format!("{:#}", anyhow::Error::from(error))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use forebay_schemas::Lane;
    use forebay_stream::{
        LogWriter as _,
        local::{Limits, OnFull, Options, Spool},
    };

    use super::*;
    use crate::clock::{now, random};

    fn lane(number: u32) -> LaneId {
        LaneId {
            gateway: GatewayId::new("g1").unwrap(),
            lane: Lane(number),
        }
    }

    fn key(byte: u8) -> SpoolKey {
        SpoolKey::new([byte; 32])
    }

    #[tokio::test]
    async fn a_spool_whose_mark_or_key_does_not_fit_is_damaged_and_not_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let spools = folder.path();
        assert!(
            of_lane(spools, &lane(0), &key(7)).unwrap().is_none(),
            "there is no spool"
        );
        for number in [0, 1] {
            let options = Options {
                path: spools.join(number.to_string()),
                lane: lane(number),
                key: key(7),
                limits: Limits::new(1 << 20, 1 << 14, OnFull::Block).unwrap(),
                now: now().unwrap(),
                random: random(),
            };
            Spool::open(options)
                .await
                .unwrap()
                .writer()
                .close()
                .await
                .unwrap();
        }
        assert!(of_lane(spools, &lane(0), &key(7)).unwrap().is_some());
        fs::write(spools.join("1/mark"), b"rubbish").unwrap();
        let wrong_key = of_lane(spools, &lane(0), &key(8)).unwrap_err();
        assert!(
            wrong_key.starts_with("damaged: ") && wrong_key.contains("sealed with another key"),
            "{wrong_key}"
        );
        let no_mark = of_lane(spools, &lane(1), &key(7)).unwrap_err();
        assert!(
            no_mark.starts_with("damaged: the mark of spool "),
            "{no_mark}"
        );

        let at_hand = AtHand {
            lanes: Vec::new(),
            unreadable: vec![(lane(1), no_mark), (lane(0), wrong_key)],
        };
        let elsewhere = |number| LedgerLine::NotCompared {
            lane: ("g1".to_owned(), number),
        };
        let mut report = Report {
            ledgers: vec![elsewhere(0), elsewhere(2)],
            ..Report::default()
        };
        at_hand.name_unreadable(&mut report);
        let lines: Vec<String> = report.ledgers.iter().map(LedgerLine::to_string).collect();
        assert!(lines[0].starts_with(
            "ledger gateway=g1 lane=2 not compared: the gateway's data folder is not here"
        ));
        assert!(
            lines[1]
                .starts_with("ledger gateway=g1 lane=1 not compared: damaged: the mark of spool "),
            "{lines:?}"
        );
        assert!(
            lines[2].starts_with("ledger gateway=g1 lane=0 not compared: damaged: "),
            "{lines:?}"
        );
    }
}
