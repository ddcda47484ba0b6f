//! Names of sites, devices, tags and gateways: any UTF-8 without control characters.
//!
//! A name is data. Before it enters a path or a topic it is percent-encoded by `path_segment`, which is
//! injective and never yields `.`, `..` or an empty segment.

use std::{fmt, sync::Arc};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

use crate::EVENTS_TAG;

/// Longest name, in bytes of UTF-8.
const NAME_BYTES_MAX: usize = 512;

/// Everything but unreserved characters (RFC 3986, section 2.3); a dot is encoded too, so that `..` cannot arise.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidName {
    /// Nothing there.
    #[error("a {what} name must not be empty")]
    Empty {
        /// The kind of name.
        what: &'static str,
    },
    /// Longer than 512 bytes.
    #[error("a {what} name has {bytes} bytes, more than {NAME_BYTES_MAX}")]
    TooLong {
        /// The kind of name.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// A control character (Unicode category Cc).
    #[error("the {what} name {name:?} has a control character at byte {at}")]
    Control {
        /// The kind of name.
        what: &'static str,
        /// The text.
        name: String,
        /// Byte offset of the character.
        at: usize,
    },
}

/// Any text percent-encoded for one segment of a path or topic.
pub fn path_segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

fn check(what: &'static str, text: &str) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty { what });
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(InvalidName::TooLong {
            what,
            bytes: text.len(),
        });
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(InvalidName::Control {
            what,
            name: text.to_owned(),
            at,
        }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks that the text is non-empty, at most 512 bytes and free of control characters.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                check($what, text)?;
                Ok(Self(text.into()))
            }

            /// The name as its user wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name percent-encoded for one segment of a path or topic.
            pub fn path_segment(&self) -> String {
                path_segment(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A place with devices and at least one gateway.
    SiteId, "site"
);
name!(
    /// A device, unique within its site.
    DeviceId, "device"
);
name!(
    /// One measured point of a device.
    TagName, "tag"
);
name!(
    /// A gateway, unique within the fleet.
    GatewayId, "gateway"
);

impl TagName {
    /// The tag under which events travel.
    pub fn of_events() -> Self {
        Self(EVENTS_TAG.into())
    }

    /// Whether events travel under it.
    pub fn is_of_events(&self) -> bool {
        self.as_str() == EVENTS_TAG
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_the_border() {
        assert!(SiteId::new("Werk Süd / Halle 3").is_ok());
        assert_eq!(SiteId::new(""), Err(InvalidName::Empty { what: "site" }));
        assert!(matches!(
            TagName::new("a\nb"),
            Err(InvalidName::Control { at: 1, .. })
        ));
        assert!(matches!(
            TagName::new(&"x".repeat(513)),
            Err(InvalidName::TooLong { bytes: 513, .. })
        ));
    }

    #[test]
    fn path_segments_cannot_climb() {
        for (name, segment) in [
            ("..", "%2E%2E"),
            ("a/b", "a%2Fb"),
            ("boiler-1", "boiler-1"),
            ("ü", "%C3%BC"),
        ] {
            assert_eq!(DeviceId::new(name).unwrap().path_segment(), segment);
        }
    }
}
