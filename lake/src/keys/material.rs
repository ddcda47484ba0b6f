//! Key material of parquet-mr's key-tools, "PKMT1", kept inside the file: what stands in a file's key metadata.
//!
//! Field names and order are a stored format (parquet-mr, `KeyMaterial` and `KeyMetadata`). Only double wrapping is
//! written and read: single wrapping would ask the provider once per column, from a synchronous reader.

use serde::{Deserialize, Serialize};

use super::{KeyError, KeyUse, MasterKeyId, WrappedKek};

const TYPE: &str = "PKMT1";
/// The key management service: ours has one only, and parquet-mr calls it so.
const KMS: &str = "DEFAULT";

/// One data key, wrapped, and all that is needed to unwrap it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyMaterial {
    /// What the key is for.
    pub key_use: KeyUse,
    /// The data key, wrapped under the key-encryption key.
    pub wrapped_dek: String,
    /// The key-encryption key.
    pub kek: WrappedKek,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMaterial {
    key_material_type: String,
    internal_storage: bool,
    is_footer_key: bool,
    #[serde(
        rename = "kmsInstanceID",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    kms_instance_id: Option<String>,
    #[serde(
        rename = "kmsInstanceURL",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    kms_instance_url: Option<String>,
    #[serde(rename = "masterKeyID")]
    master_key_id: MasterKeyId,
    #[serde(rename = "wrappedDEK")]
    wrapped_dek: String,
    double_wrapping: bool,
    #[serde(rename = "keyEncryptionKeyID", default)]
    kek_id: String,
    #[serde(rename = "wrappedKEK", default)]
    wrapped_kek: String,
}

/// The type alone, so that unknown material is told apart from damaged material.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawType {
    key_material_type: String,
}

impl KeyMaterial {
    /// The bytes for a file's key metadata.
    ///
    /// # Errors
    /// None in practice: text always becomes JSON.
    pub fn encode(&self) -> Result<Vec<u8>, KeyError> {
        let kms = (self.key_use == KeyUse::Footer).then(|| KMS.to_owned());
        let raw = RawMaterial {
            key_material_type: TYPE.to_owned(),
            internal_storage: true,
            is_footer_key: self.key_use == KeyUse::Footer,
            kms_instance_id: kms.clone(),
            kms_instance_url: kms,
            master_key_id: self.kek.master.clone(),
            wrapped_dek: self.wrapped_dek.clone(),
            double_wrapping: true,
            kek_id: self.kek.kek_id.clone(),
            wrapped_kek: self.kek.wrapped.clone(),
        };
        serde_json::to_vec(&raw).map_err(|error| material(error.to_string()))
    }

    /// The material in a file's key metadata.
    ///
    /// # Errors
    /// [`KeyError::Material`] for anything but internally stored, doubly wrapped PKMT1 of the default KMS.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyError> {
        let parsed = |error: serde_json::Error| material(error.to_string());
        let found = serde_json::from_slice::<RawType>(bytes)
            .map_err(parsed)?
            .key_material_type;
        if found != TYPE {
            return Err(material(format!("type {found:?}, not {TYPE}")));
        }
        let raw: RawMaterial = serde_json::from_slice(bytes).map_err(parsed)?;
        if !raw.internal_storage {
            return Err(material("it is stored outside the file".to_owned()));
        }
        if !raw.double_wrapping {
            return Err(material("it is wrapped once, not twice".to_owned()));
        }
        let kms = raw.is_footer_key.then_some(KMS);
        if raw.kms_instance_id.as_deref() != kms || raw.kms_instance_url.as_deref() != kms {
            return Err(material(
                "it names another key management service".to_owned(),
            ));
        }
        Ok(Self {
            key_use: if raw.is_footer_key {
                KeyUse::Footer
            } else {
                KeyUse::Column
            },
            wrapped_dek: raw.wrapped_dek,
            kek: WrappedKek {
                master: raw.master_key_id,
                kek_id: raw.kek_id,
                wrapped: raw.wrapped_kek,
            },
        })
    }
}

fn material(reason: String) -> KeyError {
    KeyError::Material { reason }
}

#[cfg(test)]
mod tests {
    use forebay_schemas::ErrorKind;

    use super::*;

    fn example(key_use: KeyUse) -> KeyMaterial {
        KeyMaterial {
            key_use,
            wrapped_dek: "ZGVr".to_owned(),
            kek: WrappedKek {
                master: MasterKeyId::new("forebay.table.v1"),
                kek_id: "AAECAwQFBgcICQoLDA0ODw==".to_owned(),
                wrapped: "a2Vr".to_owned(),
            },
        }
    }

    #[test]
    fn is_a_stored_format() {
        let text: Vec<String> = [KeyUse::Footer, KeyUse::Column]
            .map(|key_use| String::from_utf8(example(key_use).encode().unwrap()).unwrap())
            .into();
        assert_eq!(text.join("\n") + "\n", include_str!("golden/material.json"));
        for (line, key_use) in text.iter().zip([KeyUse::Footer, KeyUse::Column]) {
            assert_eq!(
                KeyMaterial::decode(line.as_bytes()).unwrap(),
                example(key_use)
            );
        }
    }

    /// Written by PyArrow 26.0.1 with double wrapping and internal storage.
    #[test]
    fn reads_what_pyarrow_writes() {
        let read = KeyMaterial::decode(include_bytes!("golden/material.pyarrow.json")).unwrap();
        assert_eq!(
            (read.key_use, read.kek.master.as_str()),
            (KeyUse::Footer, "f")
        );
        assert_eq!(
            read.encode().unwrap(),
            include_str!("golden/material.pyarrow.json")
                .trim()
                .as_bytes()
        );
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let good = String::from_utf8(example(KeyUse::Footer).encode().unwrap()).unwrap();
        let cases = [
            ("PKMT1", "PKMT2", "type \"PKMT2\""),
            (
                "\"internalStorage\":true",
                "\"internalStorage\":false",
                "outside the file",
            ),
            (
                "\"doubleWrapping\":true",
                "\"doubleWrapping\":false",
                "wrapped once",
            ),
            ("\"DEFAULT\"", "\"OTHER\"", "another key management service"),
            ("\"wrappedDEK\":\"ZGVr\",", "", "wrappedDEK"),
            ("}", "", "EOF"),
        ];
        for (from, to, reason) in cases {
            let error = KeyMaterial::decode(good.replace(from, to).as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
