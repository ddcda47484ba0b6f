//! Bytes as people read them.

use std::fmt::Write as _;

/// Two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // A string takes what it is given.
        write!(text, "{byte:02x}").ok();
    }
    text
}
