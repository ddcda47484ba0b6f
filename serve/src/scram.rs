//! SCRAM-SHA-256 as a server speaks it (RFC 5802, RFC 7677), on verifiers as PostgreSQL keeps them.
//!
//! A verifier holds no password: who reads it cannot sign in with it. For a name that nobody has, a verifier is made up
//! from a secret, so that the exchange does not say which names there are. Channel binding is not offered.

#[cfg(test)]
mod tests;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use datafusion_postgres::pgwire::api::auth::sasl::scram::gen_salted_password;
use ring::{
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
};
use thiserror::Error;

/// The mechanism's name.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";
/// Rounds of PBKDF2 for a password in clear; PostgreSQL's default.
const ITERATIONS: u32 = 4096;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 18;
const HASH_BYTES: usize = 32;

/// What is wrong with an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ScramError {
    /// The client does not speak SCRAM as the RFC has it.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// The proof does not fit.
    #[error("the password is wrong")]
    WrongProof,
    /// No randomness.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// What is kept of a password: salt, rounds, StoredKey and ServerKey (RFC 5802, section 3).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Verifier {
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

/// What tells one verifier from another before the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    iterations: u32,
    salt_bytes: usize,
}

impl Default for Shape {
    /// Of a password in clear.
    fn default() -> Self {
        Self {
            iterations: ITERATIONS,
            salt_bytes: SALT_BYTES,
        }
    }
}

impl Verifier {
    /// Of a password in clear.
    pub(crate) fn of_password(password: &str, random: &SystemRandom) -> Result<Self, ScramError> {
        let mut salt = vec![0; SALT_BYTES];
        random
            .fill(&mut salt)
            .map_err(|_| ScramError::NoRandomness)?;
        Ok(Self::salted(password, salt, ITERATIONS))
    }

    fn salted(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        let salted = gen_salted_password(password, &salt, iterations as usize);
        let client_key = sign(&salted, b"Client Key");
        Self {
            stored_key: hash(&client_key),
            server_key: sign(&salted, b"Server Key"),
            salt,
            iterations,
        }
    }

    /// Of a text as `pg_authid.rolpassword` has it: `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, the three in
    /// base64. `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(MECHANISM)?.strip_prefix('$')?;
        let (head, keys) = rest.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let key = |text: &str| {
            let bytes = STANDARD.decode(text).ok()?;
            (bytes.len() == HASH_BYTES).then_some(bytes)
        };
        Some(Self {
            salt: STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?,
            iterations: iterations.parse().ok().filter(|count| *count > 0)?,
            stored_key: key(stored)?,
            server_key: key(server)?,
        })
    }

    /// What a verifier shows to whoever begins an exchange.
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            iterations: self.iterations,
            salt_bytes: self.salt.len(),
        }
    }

    /// For a name that nobody has: always the same for one name, and no proof fits it. It has the shape of one that
    /// somebody has.
    pub(crate) fn made_up(name: &str, secret: &[u8], shape: Shape) -> Self {
        let mut salt = Vec::new();
        while salt.len() < shape.salt_bytes {
            let part = [name.as_bytes(), b" salt", &salt.len().to_be_bytes()].concat();
            salt.extend(sign(secret, &part));
        }
        let stored_key = sign(secret, &[name.as_bytes(), b" stored"].concat());
        let server_key = sign(secret, &[name.as_bytes(), b" server"].concat());
        salt.truncate(shape.salt_bytes);
        Self {
            salt,
            iterations: shape.iterations,
            stored_key,
            server_key,
        }
    }
}

/// An exchange after the client's first message.
pub(crate) struct Exchange {
    verifier: Verifier,
    client_first_bare: String,
    server_first: String,
    /// The header that the client must repeat.
    gs2_header: String,
    nonce: String,
}

impl Exchange {
    /// Takes the client's first message; [`Exchange::server_first`] is the answer.
    pub(crate) fn begin(
        message: &[u8],
        verifier: Verifier,
        random: &SystemRandom,
    ) -> Result<Self, ScramError> {
        let mut own = [0; NONCE_BYTES];
        random
            .fill(&mut own)
            .map_err(|_| ScramError::NoRandomness)?;
        Self::begin_with(message, verifier, &STANDARD.encode(own))
    }

    fn begin_with(message: &[u8], verifier: Verifier, own: &str) -> Result<Self, ScramError> {
        let malformed = ScramError::Malformed;
        let text = std::str::from_utf8(message).map_err(|_| malformed("no UTF-8"))?;
        let mut parts = text.splitn(3, ',');
        let flag = parts.next().unwrap_or_default();
        let identity = parts.next().ok_or(malformed("no header"))?;
        let bare = parts.next().ok_or(malformed("no name"))?;
        // "y": the client could bind the channel, and rightly believes that this server cannot.
        if !matches!(flag, "n" | "y") {
            return Err(malformed("channel binding is not offered"));
        }
        let mut attributes = bare.split(',');
        let name = attributes.next().unwrap_or_default();
        let nonce = attributes.next().unwrap_or_default();
        if !name.starts_with("n=") {
            return Err(malformed("no name, or an extension that is mandatory"));
        }
        let nonce = nonce.strip_prefix("r=").ok_or(malformed("no nonce"))?;
        if nonce.is_empty() {
            return Err(malformed("an empty nonce"));
        }
        let nonce = format!("{nonce}{own}");
        let salt = STANDARD.encode(&verifier.salt);
        Ok(Self {
            client_first_bare: bare.to_owned(),
            server_first: format!("r={nonce},s={salt},i={}", verifier.iterations),
            gs2_header: format!("{flag},{identity},"),
            nonce,
            verifier,
        })
    }

    /// The server's first message.
    pub(crate) fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Takes the client's final message; gives the server's.
    ///
    /// # Errors
    /// [`ScramError::WrongProof`] for a wrong password.
    pub(crate) fn finish(&self, message: &[u8]) -> Result<String, ScramError> {
        let malformed = ScramError::Malformed;
        let text = std::str::from_utf8(message).map_err(|_| malformed("no UTF-8"))?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(malformed("no proof"))?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|part| part.strip_prefix("c="));
        let nonce = attributes.next().and_then(|part| part.strip_prefix("r="));
        let expected = STANDARD.encode(&self.gs2_header);
        if binding != Some(expected.as_str()) {
            return Err(malformed("the header is not the one of the first message"));
        }
        if nonce != Some(self.nonce.as_str()) {
            return Err(malformed("the nonce is not the one that was sent"));
        }
        let proof = STANDARD
            .decode(proof)
            .map_err(|_| malformed("the proof is no base64"))?;
        let signed = [
            &self.client_first_bare,
            self.server_first.as_str(),
            without_proof,
        ]
        .join(",");
        let signature = sign(&self.verifier.stored_key, signed.as_bytes());
        if proof.len() != signature.len() {
            return Err(ScramError::WrongProof);
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        // What is compared is a hash of what the client sent: how far two hashes agree tells nothing of the key.
        if hash(&client_key) != self.verifier.stored_key {
            return Err(ScramError::WrongProof);
        }
        let answer = sign(&self.verifier.server_key, signed.as_bytes());
        Ok(format!("v={}", STANDARD.encode(answer)))
    }
}

/// HMAC-SHA-256.
pub(crate) fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text).as_ref().to_vec()
}

/// SHA-256.
pub(crate) fn hash(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}
