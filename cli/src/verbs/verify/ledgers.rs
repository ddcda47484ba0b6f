//! The ledgers of the gateway whose data folder this is.

use std::{num::NonZeroU32, path::Path};

use forebay_schemas::{
    GatewayId, LaneId,
    ledger::{Behind, LaneLedger},
};
use forebay_stream::local::{SpoolKey, lane_ledger};

use crate::{
    owner,
    service::{SPOOL_SECRET, lanes_to_open},
    store::ReadingStore,
};

/// What each lane of the folder's gateway has received; nothing where no gateway has run in it. A spool that cannot be read is
/// named, and left out.
pub(super) async fn at_hand(data_dir: &Path, store: &ReadingStore) -> anyhow::Result<Vec<LaneLedger>> {
    let Some(gateway) = owner::of(data_dir) else { return Ok(Vec::new()) };
    let gateway = GatewayId::new(&gateway)?;
    let spools = data_dir.join("spool");
    let key = SpoolKey::new(store.derived_key(SPOOL_SECRET).await?);
    let mut found = Vec::new();
    for lane in lanes_to_open(NonZeroU32::MIN, &spools)? {
        // The publisher notes there where it puts epochs; without one, the spool forgets what is committed.
        let behind = match spools.join(format!("{lane}.places")).exists() {
            true => Behind::Stream,
            false => Behind::Lake,
        };
        let id = LaneId { gateway: gateway.clone(), lane };
        match lane_ledger(&spools.join(lane.to_string()), id, &key, behind) {
            Ok(ledger) => found.extend(ledger),
            Err(error) => {
                eprintln!("forebay: the ledger of lane {lane} is not compared: {:#}", anyhow::Error::from(error))
            }
        }
    }
    Ok(found)
}
