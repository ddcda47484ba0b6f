//! In which partition each epoch of a lane is: chosen when the epoch opens, kept for as long as the epoch is (E2).
//!
//! Kept in a small text file, replaced as a whole and synced. A line of version and topic; a line for each epoch with its
//! partition and whether its end has been acknowledged; a line with the CRC-32C of all before. An ended epoch stays
//! until the spool is past it, so that an end record that is sent again goes where the first went.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use forebay_schemas::{Epoch, LaneId};

use super::course::Known;
use crate::StreamError;

const VERSION: u16 = 1;
const HEAD: &str = "forebay-places";

/// Whether an epoch's end has been acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Ended,
}

/// The partitions of a lane's epochs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    path: PathBuf,
    topic: String,
    epochs: BTreeMap<Epoch, (u32, State)>,
    /// Whether a file was there: if not, it is not known whether an epoch has been sent in part.
    found: bool,
}

impl Places {
    /// What the file says of this topic; nothing if it is of another.
    pub(super) fn load(path: &Path, topic: &str) -> Result<Self, StreamError> {
        let none = Self {
            path: path.to_owned(),
            topic: topic.to_owned(),
            epochs: BTreeMap::new(),
            found: false,
        };
        let text = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(none),
            Err(error) => return Err(StreamError::io("read", path)(error)),
        };
        let damaged = || StreamError::Places {
            path: path.to_owned(),
        };
        let text = String::from_utf8(text).map_err(|_| damaged())?;
        match parse(&text) {
            Parsed::Places(of, epochs) if of == topic => Ok(Self {
                epochs,
                found: true,
                ..none
            }),
            Parsed::Places(..) => Ok(none),
            Parsed::Newer(found) => Err(StreamError::NewerVersion {
                path: path.to_owned(),
                found,
                newest: VERSION,
            }),
            Parsed::Damaged => Err(damaged()),
        }
    }

    /// The partition of an epoch, if one was chosen.
    pub(super) fn get(&self, epoch: Epoch) -> Option<u32> {
        self.epochs.get(&epoch).map(|(partition, _)| *partition)
    }

    /// Keeps the partition chosen for an epoch, and lets go of the ended ones up to `forgotten`, of which the spool holds no
    /// record any more.
    pub(super) fn choose(
        &mut self,
        epoch: Epoch,
        partition: u32,
        forgotten: Option<Epoch>,
    ) -> Result<(), StreamError> {
        let mut epochs = self.epochs.clone();
        epochs.retain(|epoch, (_, state)| *state == State::Open || Some(*epoch) > forgotten);
        epochs.insert(epoch, (partition, State::Open));
        self.write(epochs)
    }

    /// Keeps that the ends of these epochs have been acknowledged.
    pub(super) fn end(&mut self, ended: &[Epoch]) -> Result<(), StreamError> {
        let mut epochs = self.epochs.clone();
        for epoch in ended {
            if let Some((_, state)) = epochs.get_mut(epoch) {
                *state = State::Ended;
            }
        }
        if epochs == self.epochs {
            Ok(())
        } else {
            self.write(epochs)
        }
    }

    fn write(&mut self, epochs: BTreeMap<Epoch, (u32, State)>) -> Result<(), StreamError> {
        put(&self.path, render(&self.topic, &epochs).as_bytes())?;
        (self.epochs, self.found) = (epochs, true);
        Ok(())
    }
}

impl Known for Places {
    fn begun(&self, epoch: Epoch) -> bool {
        !self.found || self.epochs.contains_key(&epoch)
    }

    fn open_before(&self, epoch: Epoch) -> Vec<Epoch> {
        let before = self.epochs.range(..epoch);
        before
            .filter(|(_, (_, state))| *state == State::Open)
            .map(|(epoch, _)| *epoch)
            .collect()
    }
}

/// The partition for an epoch that opens. A gateway's lanes go to neighbouring partitions, so that no partition gets two
/// while another has none; where the first goes follows from the gateway's name.
pub(super) fn choose(lane: &LaneId, partitions: u32) -> u32 {
    let partitions = partitions.max(1);
    let first = crc32c::crc32c(lane.gateway.as_str().as_bytes()) % partitions;
    ((u64::from(first) + u64::from(lane.lane.0)) % u64::from(partitions)) as u32
}

fn render(topic: &str, epochs: &BTreeMap<Epoch, (u32, State)>) -> String {
    let mut text = format!("{HEAD} {VERSION} {topic}\n");
    for (epoch, (partition, state)) in epochs {
        let state = if *state == State::Open {
            "open"
        } else {
            "ended"
        };
        text.push_str(&format!("{epoch} {partition} {state}\n"));
    }
    format!("{text}crc {:08x}\n", crc32c::crc32c(text.as_bytes()))
}

enum Parsed {
    Places(String, BTreeMap<Epoch, (u32, State)>),
    Newer(u16),
    Damaged,
}

fn parse(text: &str) -> Parsed {
    let mut head = text.lines().next().unwrap_or_default().split(' ');
    match (
        head.next(),
        head.next().and_then(|version| version.parse::<u16>().ok()),
    ) {
        (Some(HEAD), Some(VERSION)) => {}
        (Some(HEAD), Some(newer)) if newer > VERSION => return Parsed::Newer(newer),
        _ => return Parsed::Damaged,
    }
    let topic = head.next().unwrap_or_default().to_owned();
    parse_epochs(text).map_or(Parsed::Damaged, |epochs| Parsed::Places(topic, epochs))
}

fn parse_epochs(text: &str) -> Option<BTreeMap<Epoch, (u32, State)>> {
    let at = text.rfind("crc ")?;
    let (content, crc) = text.split_at(at);
    if crc != format!("crc {:08x}\n", crc32c::crc32c(content.as_bytes())) {
        return None;
    }
    let epoch = |line: &str| {
        let mut words = line.split(' ');
        let (epoch, partition) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let state = match words.next()? {
            "open" => State::Open,
            "ended" => State::Ended,
            _ => return None,
        };
        Some((Epoch(epoch), (partition, state)))
    };
    content.lines().skip(1).map(epoch).collect()
}

/// Replaces a file as a whole; once it returns, the new one is durable.
fn put(path: &Path, bytes: &[u8]) -> Result<(), StreamError> {
    // Added to the whole name: files of two lanes may differ in their extensions alone.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary).map_err(StreamError::io("create", &*temporary))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(StreamError::io("write", &*temporary))?;
    fs::rename(&temporary, path).map_err(StreamError::io("rename", &*temporary))?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(StreamError::io("sync", folder))
}

#[cfg(test)]
mod tests {
    use forebay_schemas::{ErrorKind, GatewayId, Lane};

    use super::*;

    #[test]
    fn choices_outlive_the_process() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("places");
        let mut places = Places::load(&path, "t").unwrap();
        assert!(!places.found);
        places.choose(Epoch(5), 3, None).unwrap();
        places.choose(Epoch(6), 1, None).unwrap();
        places.end(&[Epoch(5)]).unwrap();
        let mut again = Places::load(&path, "t").unwrap();
        assert!(again.found);
        assert_eq!(
            (
                again.get(Epoch(5)),
                again.get(Epoch(6)),
                again.get(Epoch(7))
            ),
            (Some(3), Some(1), None)
        );
        assert_eq!(again.open_before(Epoch(7)), [Epoch(6)]);
        again.choose(Epoch(7), 0, Some(Epoch(5))).unwrap();
        let last = Places::load(&path, "t").unwrap();
        assert_eq!(
            (last.get(Epoch(5)), last.get(Epoch(6)), last.get(Epoch(7))),
            (None, Some(1), Some(0))
        );
        assert_eq!(
            Places::load(&path, "other").unwrap().get(Epoch(6)),
            None,
            "another topic, other partitions"
        );
    }

    #[test]
    fn damage_and_later_releases_are_told_and_left_alone() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("places");
        Places::load(&path, "t")
            .unwrap()
            .choose(Epoch(5), 3, None)
            .unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let newer = good.replacen("forebay-places 1", "forebay-places 2", 1);
        for (content, kind) in [
            (good.replace("5 3 open", "5 2 open"), ErrorKind::Corrupt),
            (good[..good.len() - 3].to_owned(), ErrorKind::Corrupt),
            (String::new(), ErrorKind::Corrupt),
            (newer, ErrorKind::Fatal),
        ] {
            fs::write(&path, &content).unwrap();
            assert_eq!(
                Places::load(&path, "t").unwrap_err().kind(),
                kind,
                "{content}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn the_lanes_of_a_gateway_spread_evenly() {
        for (lanes, partitions) in [(8, 4), (4, 4), (8, 3), (3, 8), (1, 1)] {
            let mut taken = vec![0; partitions as usize];
            for lane in 0..lanes {
                let lane = LaneId {
                    gateway: GatewayId::new("g1").unwrap(),
                    lane: Lane(lane),
                };
                taken[choose(&lane, partitions) as usize] += 1;
            }
            let (least, most) = (taken.iter().min().unwrap(), taken.iter().max().unwrap());
            assert!(most - least <= 1, "{lanes} lanes: {taken:?}");
        }
    }

    #[test]
    fn gateways_of_one_lane_spread() {
        let of = |n| LaneId {
            gateway: GatewayId::new(&format!("gw-{n}")).unwrap(),
            lane: Lane(0),
        };
        let chosen: std::collections::BTreeSet<u32> = (0..32).map(|n| choose(&of(n), 4)).collect();
        assert_eq!(chosen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}
