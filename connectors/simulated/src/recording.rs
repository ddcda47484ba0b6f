//! The recorded data inside the program.
//!
//! A file holds a head line and rows `time,value`, gzip'd; what was selected is told beside it in `SOURCE.txt`.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::PlantError;

/// One file of `data/`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recording {
    file: &'static str,
    bytes: &'static [u8],
}

macro_rules! recording {
    ($file:literal) => {
        Recording {
            file: $file,
            bytes: include_bytes!(concat!("../data/", $file)),
        }
    };
}

/// A sample every 5 minutes, a labelled failure in the last fifth.
pub(crate) const MACHINE_FAILURE: Recording = recording!("nab/machine_failure.csv.gz");
/// As many samples of the same machine in good health.
pub(crate) const MACHINE_HEALTHY: Recording = recording!("nab/machine_healthy.csv.gz");
/// A sample every hour.
pub(crate) const AMBIENT: Recording = recording!("nab/ambient.csv.gz");
/// A sample every 5 minutes.
pub(crate) const CPU: Recording = recording!("nab/cpu.csv.gz");
/// Six weeks of quarter hours, in UTC from a Monday's midnight on.
pub(crate) const FEEDER_287: Recording = recording!("openstef/feeder_287.csv.gz");
/// A week of the same.
pub(crate) const HAL: Recording = recording!("openstef/HAL.csv.gz");

/// A recorded signal, for whoever needs real values at length.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// What it tells of its machine.
    pub name: &'static str,
    /// UCUM code.
    pub unit: &'static str,
    /// The values, in order; never none.
    pub values: Vec<f64>,
}

/// A signal of each kind that was recorded.
///
/// # Errors
/// The shipped data is damaged.
pub fn signals() -> Result<[Signal; 4], PlantError> {
    let signal =
        |name, unit, of: Recording| of.values().map(|values| Signal { name, unit, values });
    Ok([
        signal("temperature", "Cel", MACHINE_HEALTHY)?,
        signal("ambient", "Cel", AMBIENT)?,
        signal("utilisation", "%", CPU)?,
        signal("load", "MW", FEEDER_287)?,
    ])
}

impl Recording {
    /// The values, in order; never none.
    pub(crate) fn values(self) -> Result<Vec<f64>, PlantError> {
        let text = self.text()?;
        let values: Result<Vec<f64>, PlantError> =
            text.lines().skip(1).map(|row| self.value(row)).collect();
        match values? {
            values if values.is_empty() => Err(self.broken("it has no rows".into())),
            values => Ok(values),
        }
    }

    /// The file as it was recorded.
    pub(crate) fn text(self) -> Result<String, PlantError> {
        let mut text = String::new();
        GzDecoder::new(self.bytes)
            .read_to_string(&mut text)
            .map_err(|error| self.broken(error.to_string()))?;
        Ok(text)
    }

    fn value(self, row: &str) -> Result<f64, PlantError> {
        let (_, value) = row
            .split_once(',')
            .ok_or_else(|| self.broken(format!("{row:?} has no comma")))?;
        value
            .parse()
            .map_err(|error| self.broken(format!("{row:?}: {error}")))
    }

    fn broken(self, reason: String) -> PlantError {
        PlantError::Data {
            file: self.file,
            reason,
        }
    }
}

/// The sample at a place of a replay without end: after the last one comes the first.
pub(crate) fn replayed<T: Copy + Default>(samples: &[T], place: u64) -> T {
    let length = samples.len().max(1) as u64;
    samples
        .get((place % length) as usize)
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_named() {
        for bytes in [&b"no gzip"[..], &MACHINE_HEALTHY.bytes[..4000]] {
            let error = Recording {
                file: "x.csv.gz",
                bytes,
            }
            .values()
            .unwrap_err();
            assert!(error.to_string().contains("x.csv.gz"), "{error}");
            assert_eq!(error.kind(), forebay_schemas::ErrorKind::Corrupt);
        }
    }

    #[test]
    fn a_replay_begins_again_after_its_end() {
        let places: Vec<u8> = (0..5).map(|place| replayed(&[7, 8], place)).collect();
        assert_eq!(places, [7, 8, 7, 8, 7]);
    }
}
