//! Which lanes' spools are opened.
//!
//! Invariant: no spool that is there stays closed. A gateway that has fewer lanes than before takes no more readings into the higher
//! ones, but what they hold is acknowledged: it is published, consumed, and their epochs end as any other.

use std::{collections::BTreeSet, fs, io, num::NonZeroU32, path::Path};

use anyhow::Context as _;
use forebay_schemas::Lane;

/// The configured lanes, and those that have a folder below `spools`, in ascending order.
pub(crate) fn to_open(configured: NonZeroU32, spools: &Path) -> anyhow::Result<Vec<Lane>> {
    let mut lanes: BTreeSet<u32> = (0..configured.get()).collect();
    let entries = match fs::read_dir(spools) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(lanes.into_iter().map(Lane).collect());
        }
        Err(error) => return Err(error).with_context(|| format!("list {}", spools.display())),
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", spools.display()))?;
        let lane = entry.file_name().to_str().and_then(lane_of);
        lanes.extend(lane.filter(|_| entry.path().is_dir()));
    }
    Ok(lanes.into_iter().map(Lane).collect())
}

/// The lane whose folder has this name; only the name that it is given.
fn lane_of(name: &str) -> Option<u32> {
    name.parse()
        .ok()
        .filter(|lane: &u32| lane.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_that_were_lowered_are_opened_still() {
        let folder = tempfile::tempdir().unwrap();
        let open = |configured| {
            let lanes = to_open(
                NonZeroU32::new(configured).unwrap(),
                &folder.path().join("spool"),
            )
            .unwrap();
            lanes.into_iter().map(|lane| lane.0).collect::<Vec<_>>()
        };
        assert_eq!(open(2), [0, 1], "there is no folder yet");
        for name in ["0", "1", "2", "3", "7", "old", "04", "-1"] {
            fs::create_dir_all(folder.path().join("spool").join(name)).unwrap();
        }
        fs::write(folder.path().join("spool/9"), "no folder").unwrap();
        assert_eq!(open(1), [0, 1, 2, 3, 7]);
        assert_eq!(open(5), [0, 1, 2, 3, 4, 7]);
    }
}
