//! What can go wrong with keys, and the way out. No message holds a secret, nor a piece of a file that holds one.

use std::{error::Error as StdError, io, path::PathBuf};

use forebay_schemas::ErrorKind;
use thiserror::Error;

use crate::MasterKeyId;

/// Why a key could not be had.
#[derive(Debug, Error)]
pub enum KeyError {
    /// No keyring where one was expected.
    #[error("no keyring at {}: restore it from its backup, for nothing sealed under it opens without it", path.display())]
    NoKeyring {
        /// The keyring's file.
        path: PathBuf,
    },
    /// A new keyring would replace an old one.
    #[error("there is a keyring at {} already: open it instead of creating one", path.display())]
    Exists {
        /// The keyring's file.
        path: PathBuf,
    },
    /// Others than the owner may read the keyring.
    #[error("{} has mode {mode:03o}, so others may read it: run `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// The keyring's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Written by a newer release (E13).
    #[error("{} has version {found}, newer than {supported}: run a release that knows it", path.display())]
    Newer {
        /// The keyring's file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest that this release reads.
        supported: u64,
    },
    /// The keyring is not what we wrote.
    #[error("{} is damaged ({reason}): restore it from its backup", path.display())]
    Damaged {
        /// The keyring's file.
        path: PathBuf,
        /// What is wrong, without the text itself.
        reason: String,
    },
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// The step.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The provider has no such master key.
    #[error(
        "no master key {id} in {keyring}: restore the keyring that has it, or add it if nothing is sealed under it"
    )]
    MissingKey {
        /// The master key, or its name where no version was asked for.
        id: String,
        /// Where it was looked for.
        keyring: String,
    },
    /// The lake has files under a master key that this keyring lost or never had.
    #[error(
        "the lake has files under master key {id}, which {} does not have: this keyring is older than the lake, and a second key \
         of that name would make files that no keyring reads together: restore the newer copy of the keyring", path.display()
    )]
    Older {
        /// The master key.
        id: MasterKeyId,
        /// The keyring's file.
        path: PathBuf,
    },
    /// A wrapped key does not open: another key, or damaged bytes.
    #[error(
        "a key wrapped under {under} does not open: it was wrapped under another key, or is damaged; is this the keyring \
         that the lake was made with?"
    )]
    WrongKey {
        /// The wrapping key's id.
        under: String,
    },
    /// A key that is neither 128 nor 256 bits long.
    #[error("key {id} has {bytes} bytes: only 16 and 32 are keys")]
    KeyLength {
        /// The key's id.
        id: String,
        /// Its length.
        bytes: usize,
    },
    /// A file needs a key-encryption key that was not fetched before.
    #[error(
        "key-encryption key {kek} under {master} was not fetched: prepare the decrypter before reading the file"
    )]
    Unprepared {
        /// The key's id.
        kek: String,
        /// Its master key.
        master: MasterKeyId,
    },
    /// Key metadata in a file that is not key-tools material.
    #[error("a file's key metadata is not key material that this release reads: {reason}")]
    Material {
        /// What is wrong.
        reason: String,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Randomness,
    /// A key management service could not be asked.
    #[error("cannot ask for master key {master}")]
    Unavailable {
        /// The master key.
        master: MasterKeyId,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl KeyError {
    /// What a caller may do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Unavailable { .. } => ErrorKind::Retry,
            Self::Damaged { .. }
            | Self::WrongKey { .. }
            | Self::KeyLength { .. }
            | Self::Material { .. } => ErrorKind::Corrupt,
            Self::NoKeyring { .. }
            | Self::Exists { .. }
            | Self::Exposed { .. }
            | Self::Newer { .. }
            | Self::MissingKey { .. }
            | Self::Older { .. }
            | Self::Unprepared { .. }
            | Self::Randomness => ErrorKind::Fatal,
        }
    }
}
