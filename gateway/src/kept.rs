//! What outlives the process of a connector's series: which they are, what each said last, and which are bad.
//!
//! One file for each connector, sealed as a whole (names and what was said are nobody's business), replaced as a whole and
//! synced before it counts. It may be lost or old: then a reading that was stored is stored once more, and a series is known
//! again once it speaks; nothing is left out because of it. A file that cannot be read is put aside by the next one.
//!
//! Format, version 1, little-endian: magic 8 · version 4 · nonce 12 · sealed (AES-256-GCM over magic, version and the
//! connector's name): rules 4, each a text; series 4, each rule 4 · device · tag · flags 1 (1 said, 2 said has a time, 4 bad) ·
//! time of what was said 8 · its digest 16 · time since when it is bad 8. A text is its length 4 and its bytes; what a
//! flag denies is left out.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use forebay_schemas::{DeviceId, TagName, Timestamp, path_segment};
use ring::rand::SecureRandom;

use crate::{
    sealed::{Format, SealedError, SealedFile},
    series::Kept,
};

const FORMAT: Format = Format {
    magic: b"FBSERIES",
    version: 1,
    oldest: 1,
};
const SAID: u8 = 1;
const SAID_HAS_TIME: u8 = 2;
const BAD: u8 = 4;

/// Where what outlives the process is kept, and the key that seals it.
#[derive(Clone)]
pub struct SeriesFolder {
    /// The folder; made at the first use.
    pub path: PathBuf,
    /// Seals every file in it.
    pub key: [u8; 32],
    /// For nonces.
    pub random: Arc<dyn SecureRandom + Send + Sync>,
}

/// One series of a connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptSeries {
    /// What brings it, in words that last.
    pub(crate) brings: Arc<str>,
    pub(crate) device: DeviceId,
    pub(crate) tag: TagName,
    pub(crate) kept: Kept,
}

/// One connector's file.
#[derive(Clone)]
pub(crate) struct SeriesFile(SealedFile);

impl SeriesFolder {
    /// The file of a connector; none where the key is none.
    pub(crate) fn file(&self, connector: &str) -> Option<SeriesFile> {
        let path = self.path.join(path_segment(connector));
        self.sealed(path, FORMAT, connector).map(SeriesFile)
    }

    /// A file of a connector in the folder.
    pub(crate) fn sealed(
        &self,
        path: PathBuf,
        format: Format,
        connector: &str,
    ) -> Option<SealedFile> {
        SealedFile::new(path, format, connector, (&self.key, self.random.clone()))
    }
}

impl SeriesFile {
    /// What the last process left; nothing where there is no file.
    pub(crate) fn load(&self) -> Result<Vec<KeptSeries>, SealedError> {
        match self.0.load()? {
            Some(content) => decode(&content).ok_or_else(|| self.0.damaged()),
            None => Ok(Vec::new()),
        }
    }

    /// Replaces the file; answers its length. Blocks until it is durable.
    pub(crate) fn save(&self, series: Vec<KeptSeries>) -> Result<usize, SealedError> {
        let content = encode(&series);
        // There may be 100,000 of them: their room is free before the bytes are sealed.
        drop(series);
        self.0.save(content)
    }
}

fn encode(series: &[KeptSeries]) -> Vec<u8> {
    let mut rules: Vec<&str> = Vec::new();
    let mut places: HashMap<&str, u32> = HashMap::new();
    for one in series {
        places.entry(&one.brings).or_insert_with(|| {
            rules.push(&one.brings);
            rules.len() as u32 - 1
        });
    }
    let mut out = Vec::with_capacity(bytes_max(&rules, series));
    out.extend((rules.len() as u32).to_le_bytes());
    rules.iter().for_each(|brings| text(&mut out, brings));
    out.extend((series.len() as u32).to_le_bytes());
    for KeptSeries {
        brings,
        device,
        tag,
        kept,
    } in series
    {
        out.extend(
            places
                .get(&**brings)
                .copied()
                .unwrap_or_default()
                .to_le_bytes(),
        );
        text(&mut out, device.as_str());
        text(&mut out, tag.as_str());
        let said = kept
            .said
            .map_or(0, |(time, _)| SAID | time.map_or(0, |_| SAID_HAS_TIME));
        out.push(said | kept.bad.map_or(0, |_| BAD));
        if let Some((time, digest)) = kept.said {
            time.iter()
                .for_each(|time| out.extend(time.nanos().to_le_bytes()));
            out.extend(digest);
        }
        kept.bad
            .iter()
            .for_each(|bad| out.extend(bad.nanos().to_le_bytes()));
    }
    out
}

/// What these take, if each series has said something at a time of its own, and is bad.
fn bytes_max(rules: &[&str], series: &[KeptSeries]) -> usize {
    let of_text = |text: &str| 4 + text.len();
    let of_rules: usize = rules.iter().map(|brings| of_text(brings)).sum();
    let names = |one: &KeptSeries| of_text(one.device.as_str()) + of_text(one.tag.as_str());
    let of_names: usize = series.iter().map(names).sum();
    4 + of_rules + 4 + of_names + series.len() * (4 + 1 + 8 + 16 + 8)
}

pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn decode(bytes: &[u8]) -> Option<Vec<KeptSeries>> {
    let mut fields = Fields(bytes);
    let rules = fields.number()?;
    let rules: Vec<Arc<str>> = (0..rules)
        .map(|_| fields.text().map(Arc::from))
        .collect::<Option<_>>()?;
    let count = fields.number()?;
    let series = (0..count)
        .map(|_| fields.series(&rules))
        .collect::<Option<_>>()?;
    fields.0.is_empty().then_some(series)
}

/// What is left to be read.
pub(crate) struct Fields<'b>(pub(crate) &'b [u8]);

impl Fields<'_> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    pub(crate) fn number(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn time(&mut self) -> Option<Timestamp> {
        self.array()
            .map(|bytes| Timestamp::from_nanos(i64::from_le_bytes(bytes)))
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let length = self.number()? as usize;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn series(&mut self, rules: &[Arc<str>]) -> Option<KeptSeries> {
        let brings = rules.get(self.number()? as usize)?.clone();
        let device = DeviceId::new(&self.text()?).ok()?;
        let tag = TagName::new(&self.text()?).ok()?;
        let [flags] = self.array::<1>()?;
        let said = if flags & SAID != 0 {
            let time = if flags & SAID_HAS_TIME != 0 {
                Some(self.time()?)
            } else {
                None
            };
            Some((time, self.array()?))
        } else {
            None
        };
        let bad = if flags & BAD != 0 {
            Some(self.time()?)
        } else {
            None
        };
        Some(KeptSeries {
            brings,
            device,
            tag,
            kept: Kept { said, bad },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use ring::rand::SystemRandom;

    use super::*;

    fn folder(path: &Path, key: u8) -> SeriesFolder {
        SeriesFolder {
            path: path.join("series"),
            key: [key; 32],
            random: Arc::new(SystemRandom::new()),
        }
    }

    fn series() -> Vec<KeptSeries> {
        let at = Timestamp::from_nanos;
        let kept = [
            Kept {
                said: Some((Some(at(-1)), [7; 16])),
                bad: None,
            },
            Kept {
                said: Some((None, [8; 16])),
                bad: Some(at(3)),
            },
            Kept {
                said: None,
                bad: None,
            },
        ];
        let one = |(i, kept): (usize, Kept)| KeptSeries {
            brings: format!("rule {}", i % 2).into(),
            device: DeviceId::new(&format!("gerät-{i}")).unwrap(),
            tag: TagName::new("canary").unwrap(),
            kept,
        };
        kept.into_iter().enumerate().map(one).collect()
    }

    #[test]
    fn what_was_saved_is_loaded_and_nothing_of_it_is_legible() {
        let place = tempfile::tempdir().unwrap();
        let file = folder(place.path(), 1).file("a/b").unwrap();
        assert_eq!(file.load().unwrap(), []);
        file.save(series()[..1].to_vec()).unwrap();
        file.save(series()).unwrap();
        assert_eq!(file.load().unwrap(), series());
        let bytes = fs::read(&file.0.path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
        assert_eq!(
            fs::read_dir(place.path().join("series")).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn a_file_of_another_key_connector_or_version_and_a_damaged_one_are_told() {
        let place = tempfile::tempdir().unwrap();
        let file = folder(place.path(), 1).file("a").unwrap();
        file.save(series()).unwrap();
        let load = |folder: SeriesFolder| folder.file("a").unwrap().load().unwrap_err().to_string();
        assert!(load(folder(place.path(), 2)).ends_with("is damaged, or sealed by another key"));
        let good = fs::read(&file.0.path).unwrap();
        fs::write(place.path().join("series/b"), &good).unwrap();
        assert!(
            folder(place.path(), 1).file("b").unwrap().load().is_err(),
            "another connector's"
        );
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&file.0.path, &bad).unwrap();
            assert!(file.load().is_err(), "byte {at}");
            fs::write(&file.0.path, &good[..at]).unwrap();
            assert!(file.load().is_err(), "cut at {at}");
        }
        let mut newer = good;
        newer[8] = 2;
        fs::write(&file.0.path, &newer).unwrap();
        assert!(
            load(folder(place.path(), 1))
                .ends_with("has version 2, newer than 1, the newest this release reads")
        );
    }

    /// A change of these bytes is a change of a stored format.
    #[test]
    fn version_1_keeps_its_bytes() {
        let hex: String = encode(&series())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, include_str!("../golden/series.v1.hex").trim());
        let encoded = encode(&series());
        assert_eq!(decode(&encoded).unwrap(), series());
        let rules = ["rule 0", "rule 1"];
        // The three leave out four fields of 8 bytes and one of 16.
        assert_eq!(encoded.len() + 4 * 8 + 16, bytes_max(&rules, &series()));
    }
}
