//! The answer to OpenSecureChannel, proven and taken apart before the library sees it (OPC 10000-6, 6.7.2 to 6.7.4).
//!
//! The library reads a single certificate there, and takes whichever the answer shows, or none. Here the first certificate of the
//! sender's chain has to be the one that was accepted, and the signature has to be its own; then the library gets the bare answer.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use opcua::{
    core::comms::security_header::AsymmetricSecurityHeader,
    crypto::{KeySize, PrivateKey, PublicKey, SecurityPolicy, X509},
    types::{DecodingOptions, SimpleBinaryDecodable, SimpleBinaryEncodable},
};

use crate::{error::OpcuaError, pki::first_certificate};

/// Type, size and channel of a chunk.
const HEAD_BYTES: usize = 12;
/// Blocks of our key that an answer may take: four to six are usual.
const BLOCKS_MAX: usize = 16;

/// Who may answer, and for whom.
pub(crate) struct Opening {
    policy: SecurityPolicy,
    /// The accepted certificate and its key.
    server: Vec<u8>,
    server_key: PublicKey,
    own_thumbprint: Vec<u8>,
    own_key: PrivateKey,
    refusal: Mutex<Option<String>>,
}

impl Opening {
    /// For the server with this certificate.
    pub(crate) fn new(
        policy: SecurityPolicy,
        server: &X509,
        own: &X509,
        own_key: PrivateKey,
    ) -> Result<Arc<Self>, OpcuaError> {
        let step = "open the secure channel";
        let server_key = server
            .public_key()
            .map_err(|error| OpcuaError::service(step, &error))?;
        Ok(Arc::new(Self {
            policy,
            server: server.as_byte_string().as_ref().to_vec(),
            server_key,
            own_thumbprint: own.thumbprint().value().to_vec(),
            own_key,
            refusal: Mutex::new(None),
        }))
    }

    /// Why an answer was refused: the library does not pass it on.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The chunk of an answer as it would be without security.
    pub(super) fn bare(&self, chunk: &[u8]) -> io::Result<Vec<u8>> {
        self.prove(chunk).map_err(|why| {
            let told = why.to_string();
            *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
            io::Error::new(io::ErrorKind::InvalidData, why)
        })
    }

    fn prove(&self, chunk: &[u8]) -> Result<Vec<u8>, String> {
        let (header, sealed) = header_of(chunk).map_err(|why| format!("its answer {why}"))?;
        let policy = SecurityPolicy::from_uri(header.security_policy_uri.as_ref());
        if policy != self.policy {
            // The library's name of a policy that it does not know is a panic.
            return Err(format!(
                "its answer has security {:?} in place of {}",
                header.security_policy_uri.as_ref(),
                self.policy
            ));
        }
        let sender = header.sender_certificate.as_ref();
        if first_certificate(sender).ok() != Some(self.server.as_slice()) {
            return Err("its answer shows another certificate than its endpoint".to_owned());
        }
        if header.receiver_certificate_thumbprint.as_ref() != self.own_thumbprint {
            return Err("its answer is meant for another client's certificate".to_owned());
        }
        let covered = &chunk[..chunk.len() - sealed.len()];
        // The library takes whole blocks only, and each costs an operation with our private key.
        let block = self.own_key.size();
        let is_whole = !sealed.is_empty() && sealed.len().is_multiple_of(block);
        if !is_whole || sealed.len() > BLOCKS_MAX * block {
            return Err(format!("its answer has {} encrypted bytes", sealed.len()));
        }
        let mut plain = vec![0; sealed.len()];
        let length = self
            .policy
            .asymmetric_decrypt(&self.own_key, sealed, &mut plain)
            .map_err(|error| format!("decrypting its answer failed: {error}"))?;
        plain.truncate(length);
        let signature_at = length
            .checked_sub(self.server_key.size())
            .ok_or("its answer has no signature")?;
        let signature = plain.split_off(signature_at);
        let signed = [covered, plain.as_slice()].concat();
        self.policy
            .asymmetric_verify_signature(&self.server_key, &signed, &signature)
            .map_err(|_| "the signature of its answer is wrong")?;
        let body =
            without_padding(&plain, self.own_key.size()).ok_or("its answer has a wrong padding")?;
        Ok(rebuilt(covered, body))
    }
}

/// The security header of an answer, and what stands behind it; else what is wrong with the answer.
fn header_of(chunk: &[u8]) -> Result<(AsymmetricSecurityHeader, &[u8]), String> {
    let mut rest = chunk.get(HEAD_BYTES..).ok_or("is cut off")?;
    let header = AsymmetricSecurityHeader::decode(&mut rest, &DecodingOptions::default())
        .map_err(|error| format!("cannot be read: {error}"))?;
    Ok((header, rest))
}

/// An answer on a channel without security; one with security is refused: the library would look for a key that there is not.
pub(super) fn without_security(chunk: Vec<u8>) -> io::Result<Vec<u8>> {
    let refused = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let (header, _) =
        header_of(&chunk).map_err(|why| refused(format!("the server's answer {why}")))?;
    let uri = header.security_policy_uri.as_ref();
    if SecurityPolicy::from_uri(uri) != SecurityPolicy::None {
        return Err(refused(format!(
            "the server answers with security {uri:?} where none was asked for"
        )));
    }
    Ok(chunk)
}

/// Keys of more than 2,048 bits have a second byte for the padding's length (OPC 10000-6, 6.7.2.5).
fn without_padding(plain: &[u8], key_bytes: usize) -> Option<&[u8]> {
    let mut plain = plain;
    let mut high = 0;
    if key_bytes > 256 {
        let (byte, before) = plain.split_last()?;
        high = usize::from(*byte) << 8;
        plain = before;
    }
    let low = *plain.last()?;
    let body_bytes = plain.len().checked_sub(high + usize::from(low) + 1)?;
    let (body, padding) = plain.split_at(body_bytes);
    padding.iter().all(|byte| *byte == low).then_some(body)
}

/// The same answer under a header without security.
fn rebuilt(covered: &[u8], body: &[u8]) -> Vec<u8> {
    let header = AsymmetricSecurityHeader::none().encode_to_vec();
    let size = HEAD_BYTES + header.len() + body.len();
    let mut chunk = Vec::with_capacity(size);
    chunk.extend_from_slice(&covered[..4]);
    chunk.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
    chunk.extend_from_slice(&covered[8..HEAD_BYTES]);
    chunk.extend_from_slice(&header);
    chunk.extend_from_slice(body);
    chunk
}

#[cfg(test)]
mod tests;
