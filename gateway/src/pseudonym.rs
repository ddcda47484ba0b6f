//! Names of devices that leave the gateway as pseudonyms: HMAC-SHA-256 (RFC 2104) of the name under a key of the user's.
//!
//! A pseudonym is the same wherever the same key is used, so that series stay series; without the key nobody can tell
//! whose it is, nor try names out. Series files and logs on the gateway keep the device's own name.

use std::{fmt, sync::Arc};

use forebay_schemas::{DeviceId, Reading};
use globset::GlobSet;
use ring::hmac;

/// Characters of a pseudonym behind its prefix: 128 bits.
const HEX_CHARS: usize = 32;
/// Least bytes of a key.
pub(crate) const KEY_BYTES_MIN: usize = 32;

/// Which devices have pseudonyms; none by default.
#[derive(Clone, Default)]
pub(crate) struct Pseudonyms(Arc<[Pseudonym]>);

/// Devices and the key for their names.
#[derive(Clone)]
pub(crate) struct Pseudonym {
    pub(crate) devices: GlobSet,
    pub(crate) key: hmac::Key,
}

impl Pseudonyms {
    pub(crate) fn new(all: Vec<Pseudonym>) -> Self {
        Self(all.into())
    }

    /// What a device is called outside of the gateway.
    pub(crate) fn of(&self, device: &DeviceId) -> DeviceId {
        let found = self
            .0
            .iter()
            .find(|one| one.devices.is_match(device.as_str()));
        let Some(Pseudonym { key, .. }) = found else {
            return device.clone();
        };
        let tag = hmac::sign(key, device.as_str().as_bytes());
        let hex: String = tag
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        DeviceId::new(&format!("p-{}", &hex[..HEX_CHARS])).unwrap_or_else(|_| device.clone())
    }

    /// Names readings so.
    pub(crate) fn name(&self, readings: &mut [Reading]) {
        if self.0.is_empty() {
            return;
        }
        for reading in readings {
            reading.series.device = self.of(&reading.series.device);
        }
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pseudonyms({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::globs;

    /// The expected name was computed by Python's hmac module.
    #[test]
    fn a_pseudonym_is_the_same_everywhere_and_only_of_the_devices_meant() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef0123456789abcdef");
        let devices = globs(&["truck-*".to_owned()]).unwrap();
        let pseudonyms = Pseudonyms::new(vec![Pseudonym { devices, key }]);
        let of = |name: &str| {
            let device = DeviceId::new(name).unwrap();
            pseudonyms.of(&device).as_str().to_owned()
        };
        assert_eq!(of("truck-17"), "p-7c1e2bd963cff5b4357e6823a5c8ea22");
        assert_ne!(of("truck-17"), of("truck-18"));
        assert_eq!(of("depot"), "depot");
    }
}
