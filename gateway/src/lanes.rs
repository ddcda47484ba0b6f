//! Which lane a device's readings go to.

use std::num::NonZeroU32;

use forebay_schemas::{DeviceId, Lane, Reading};

/// The lanes of a gateway. A device stays in its lane as long as their number stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes(pub NonZeroU32);

impl Lanes {
    /// The lane of a device: FNV-1a of its name, so that it is the same in every release.
    pub fn of(self, device: &DeviceId) -> Lane {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let hash = device.as_str().bytes().fold(OFFSET, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(PRIME)
        });
        // The remainder is below a u32.
        Lane((hash % u64::from(self.0.get())) as u32)
    }

    /// Readings by lane, each in their order.
    pub fn split(self, readings: Vec<Reading>) -> Vec<(Lane, Vec<Reading>)> {
        if self.0.get() == 1 {
            return if readings.is_empty() {
                Vec::new()
            } else {
                vec![(Lane(0), readings)]
            };
        }
        let mut lanes: Vec<(Lane, Vec<Reading>)> = Vec::new();
        for reading in readings {
            let lane = self.of(&reading.series.device);
            match lanes.iter_mut().find(|(of, _)| *of == lane) {
                Some((_, taken)) => taken.push(reading),
                None => lanes.push((lane, vec![reading])),
            }
        }
        lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected lanes were computed by another program.
    #[test]
    fn a_device_stays_in_its_lane_in_every_release() {
        let lanes = Lanes(NonZeroU32::new(4).unwrap());
        for (device, lane) in [("boiler-1", 2), ("press-3", 0), ("cell-7", 1), ("pump", 3)] {
            assert_eq!(
                lanes.of(&DeviceId::new(device).unwrap()),
                Lane(lane),
                "{device}"
            );
        }
    }
}
