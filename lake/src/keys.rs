//! The envelopes in which data keys travel inside files: parquet-mr's key-tools format, so that other engines open them
//! without our code.
//!
//! It decides neither which columns lie under which key, that is `file`'s, nor where master keys live, that is
//! `forebay-keys`.

mod envelope;
mod material;
mod wrapped;

pub use envelope::{DataKey, FileKeys, KeyDecrypter, KeyEncrypter};
pub use forebay_keys::{
    FileKeyring, KEY_BYTES, KeyError, KeyProvider, MasterKeyId, Random, SecretKey, TABLE_KEY,
    random_bytes, site_key_name,
};
pub use material::KeyMaterial;
pub use wrapped::{KeyUse, WrappedKek};
