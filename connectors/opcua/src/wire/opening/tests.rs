use opcua::{
    core::comms::security_header::AsymmetricSecurityHeader,
    crypto::X509Data,
    types::{ByteString, UAString},
};

use super::*;

fn pair(bits: u32) -> (X509, PrivateKey) {
    let data = X509Data {
        key_size: bits,
        ..X509Data::sample_cert()
    };
    X509::cert_and_pkey(&data).unwrap()
}

/// An answer as a server makes it.
struct Answer<'a> {
    policy: SecurityPolicy,
    shown: Vec<u8>,
    key: &'a PrivateKey,
    client: &'a X509,
    padding: Option<u8>,
}

const BODY: &[u8] = b"sequence header and answer";

impl Answer<'_> {
    fn chunk(&self) -> Vec<u8> {
        let header = AsymmetricSecurityHeader {
            security_policy_uri: UAString::from(self.policy.to_uri()),
            sender_certificate: ByteString::from(&self.shown),
            receiver_certificate_thumbprint: self.client.thumbprint().as_byte_string(),
        };
        let client_key = self.client.public_key().unwrap();
        let mut plain = BODY.to_vec();
        let two_bytes = client_key.size() > 256;
        let signature_bytes = self.key.size();
        // To whole blocks.
        let block = self.policy.asymmetric_padding_info(&client_key).block_size;
        let written = plain.len() + signature_bytes + 1 + usize::from(two_bytes);
        let length = (block - written % block) % block;
        let low = self.padding.unwrap_or(length as u8);
        plain.extend(vec![low; length + 1]);
        if two_bytes {
            plain.push((length >> 8) as u8);
        }
        let plain_bytes = plain.len() + signature_bytes;
        let sealed_bytes = self
            .policy
            .calculate_cipher_text_size(plain_bytes, &client_key);
        let header = header.encode_to_vec();
        let size = (HEAD_BYTES + header.len() + sealed_bytes) as u32;
        let mut signed = b"OPNF".to_vec();
        signed.extend(size.to_le_bytes());
        signed.extend(7_u32.to_le_bytes());
        signed.extend(&header);
        let covered = signed.len();
        signed.extend(&plain);
        let mut signature = vec![0; signature_bytes];
        self.policy
            .asymmetric_sign(self.key, &signed, &mut signature)
            .unwrap();
        plain.extend(signature);
        let mut sealed = vec![0; sealed_bytes];
        self.policy
            .asymmetric_encrypt(&client_key, &plain, &mut sealed)
            .unwrap();
        signed.truncate(covered);
        signed.extend(sealed);
        signed
    }
}

fn der(cert: &X509) -> Vec<u8> {
    cert.to_der().unwrap()
}

#[test]
fn a_chain_is_taken_off_and_the_answer_comes_out_bare() {
    let (server, server_key) = pair(2048);
    let (client, client_key) = pair(2048);
    // Their padding has two bytes for its length.
    let (wide, wide_key) = pair(3072);
    let chain = [der(&server), der(&client)].concat();
    for policy in [
        SecurityPolicy::Basic256Sha256,
        SecurityPolicy::Aes128Sha256RsaOaep,
        SecurityPolicy::Aes256Sha256RsaPss,
    ] {
        for (client, client_key) in [(&client, &client_key), (&wide, &wide_key)] {
            let opening = Opening::new(policy, &server, client, client_key.clone()).unwrap();
            let good = Answer {
                policy,
                shown: chain.clone(),
                key: &server_key,
                client,
                padding: None,
            };
            let bare = opening.bare(&good.chunk()).unwrap();
            let size = u32::from_le_bytes(bare[4..8].try_into().unwrap());
            let head = (&bare[..4], size as usize);
            assert_eq!(head, (b"OPNF".as_slice(), bare.len()));
            assert_eq!(bare[8..12], 7_u32.to_le_bytes());
            assert!(bare.ends_with(BODY));
            let single = Answer {
                shown: der(&server),
                ..good
            };
            assert_eq!(opening.bare(&single.chunk()).unwrap(), bare);
        }
    }
}

#[test]
fn nobody_but_the_accepted_server_opens_a_channel() {
    let (server, server_key) = pair(2048);
    let (other, other_key) = pair(2048);
    let (client, client_key) = pair(2048);
    let policy = SecurityPolicy::Basic256Sha256;
    let opening = Opening::new(policy, &server, &client, client_key).unwrap();
    let good = || Answer {
        policy,
        shown: der(&server),
        key: &server_key,
        client: &client,
        padding: None,
    };
    let changed = |change: &dyn Fn(&mut Answer<'_>)| {
        let mut answer = good();
        change(&mut answer);
        answer.chunk()
    };
    let mut bent = good().chunk();
    *bent.last_mut().unwrap() ^= 1;
    let mut cut = good().chunk();
    cut.pop();
    let mut endless = good().chunk();
    endless.extend(vec![0; BLOCKS_MAX * 256]);
    let mut unknown = good().chunk();
    let uri = policy.to_uri().as_bytes();
    let at = unknown
        .windows(uri.len())
        .position(|bytes| bytes == uri)
        .unwrap();
    unknown[at + uri.len() - 1] = b'9';
    let none = AsymmetricSecurityHeader::none().encode_to_vec();
    let bare = [b"OPNF".as_slice(), &[0; 8], &none, BODY].concat();
    let another = "another certificate";
    for (chunk, words) in [
        (
            Answer {
                key: &other_key,
                ..good()
            }
            .chunk(),
            "the signature of its answer is wrong",
        ),
        (
            Answer {
                shown: der(&other),
                key: &other_key,
                ..good()
            }
            .chunk(),
            another,
        ),
        (changed(&|answer| answer.shown.truncate(2)), another),
        (
            Answer {
                client: &other,
                ..good()
            }
            .chunk(),
            "another client's",
        ),
        (
            changed(&|answer| answer.policy = SecurityPolicy::Aes256Sha256RsaPss),
            "in place of",
        ),
        (
            changed(&|answer| answer.padding = Some(255)),
            "a wrong padding",
        ),
        (bent, "its answer"),
        (cut, "encrypted bytes"),
        (endless, "encrypted bytes"),
        (unknown, "in place of"),
        (bare, "in place of"),
        (b"OPNF".to_vec(), "cut off"),
        (good().chunk()[..40].to_vec(), "cannot be read"),
    ] {
        let why = opening.bare(&chunk).unwrap_err().to_string();
        assert!(why.contains(words), "{words} in {why}");
        assert_eq!(opening.refusal().as_deref(), Some(why.as_str()));
    }
}

#[test]
fn a_channel_without_security_takes_no_answer_with_security() {
    let (server, server_key) = pair(2048);
    let (client, _) = pair(2048);
    let none = AsymmetricSecurityHeader::none().encode_to_vec();
    let bare = [b"OPNF".as_slice(), &[0; 8], &none, BODY].concat();
    assert_eq!(without_security(bare.clone()).unwrap(), bare);
    let secured = Answer {
        policy: SecurityPolicy::Basic256Sha256,
        shown: der(&server),
        key: &server_key,
        client: &client,
        padding: None,
    };
    let refused = without_security(secured.chunk()).unwrap_err().to_string();
    assert!(refused.contains("where none was asked for"), "{refused}");
    let refused = without_security(bare[..11].to_vec()).unwrap_err();
    assert_eq!(refused.to_string(), "the server's answer is cut off");
}
