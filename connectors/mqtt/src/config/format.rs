//! Which format the payloads of each rule have, and the descriptors of Protobuf messages.

use std::{fs, path::Path};

use forebay_config::{Describe, Table};
use forebay_payload::{Fault, MessageType};

use crate::{
    decode::PayloadKind,
    keys::{self, PayloadFormat},
};

/// Descriptor sets are small; a larger file is none.
const DESCRIPTOR_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the connector says of its tags' payloads.
pub(super) struct Formats {
    format: PayloadFormat,
    descriptor_file: Option<std::path::PathBuf>,
    message: Option<String>,
}

impl Formats {
    pub(super) fn of_connector(connector: &mut Table<'_>, format: PayloadFormat) -> Self {
        Self {
            format,
            descriptor_file: connector.read(&keys::DESCRIPTOR_FILE),
            message: connector.read(&keys::MESSAGE),
        }
    }

    /// The format of a tag: its own, or the connector's. Notes what is wrong.
    pub(super) fn of_tag(&self, tag: &mut Table<'_>) -> Option<PayloadKind> {
        let own = tag.read(&keys::TAG_FORMAT);
        if own.is_none() && tag.has(&keys::TAG_FORMAT) {
            return None;
        }
        let file = tag.read(&keys::DESCRIPTOR_FILE);
        let message = tag.read(&keys::MESSAGE);
        let format = own.unwrap_or(self.format);
        if let PayloadFormat::Plain(format) = format {
            for key in [&keys::DESCRIPTOR_FILE as &dyn Describe, &keys::MESSAGE] {
                if tag.has(key) {
                    tag.problem(key, "it has no meaning without format = \"protobuf\"");
                    return None;
                }
            }
            return Some(PayloadKind::Plain(format));
        }
        let Some(file) = file.or_else(|| self.descriptor_file.clone()) else {
            tag.problem(
                &keys::DESCRIPTOR_FILE,
                "format = \"protobuf\" needs it, here or in the connector",
            );
            return None;
        };
        let Some(message) = message.or_else(|| self.message.clone()) else {
            tag.problem(
                &keys::MESSAGE,
                "format = \"protobuf\" needs it, here or in the connector",
            );
            return None;
        };
        match message_type(&file, &message) {
            Ok(message_type) => Some(PayloadKind::Protobuf(message_type)),
            Err(Fault(reason)) => {
                let shown = file.display();
                tag.problem(&keys::DESCRIPTOR_FILE, format!("{shown}: {reason}"));
                None
            }
        }
    }
}

fn message_type(file: &Path, message: &str) -> Result<MessageType, Fault> {
    let failed = |error: std::io::Error| Fault(format!("cannot be read: {error}"));
    let bytes = fs::metadata(file).map_err(failed)?.len();
    if bytes > DESCRIPTOR_BYTES_MAX {
        return Err(Fault(format!("{bytes} bytes are too many for descriptors")));
    }
    MessageType::of(&fs::read(file).map_err(failed)?, message)
}
