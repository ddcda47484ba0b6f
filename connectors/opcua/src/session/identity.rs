//! Who logs in, as a token for one session (OPC 10000-4, 7.40).

use opcua::{
    crypto::{
        CertificateStore, PrivateKey, SecurityPolicy, X509, create_signature_data,
        legacy_encrypt_secret,
    },
    types::{
        AnonymousIdentityToken, ByteString, EndpointDescription, Error, ExtensionObject,
        MessageSecurityMode, SignatureData, StatusCode, UserNameIdentityToken, UserTokenPolicy,
        X509IdentityToken,
    },
};

use super::blocking;
use crate::{
    error::OpcuaError,
    settings::{Identity, Settings},
};

/// The configured user, with what is in its files.
pub(super) enum User<'a> {
    Anonymous,
    Password { name: &'a str, password: &'a str },
    Certificate(Box<(X509, PrivateKey)>),
}

/// What a token is made for.
pub(super) struct Asked<'a> {
    pub(super) policy: SecurityPolicy,
    pub(super) mode: MessageSecurityMode,
    pub(super) endpoint: &'a EndpointDescription,
    /// The server's certificate alone, without its issuers.
    pub(super) server: Option<X509>,
    pub(super) nonce: &'a ByteString,
}

/// Reads what the identity needs.
pub(super) async fn user(settings: &Settings) -> Result<User<'_>, OpcuaError> {
    Ok(match &settings.identity {
        Identity::Anonymous => User::Anonymous,
        Identity::Password { user, password } => User::Password {
            name: user,
            password: password.expose(),
        },
        Identity::Certificate {
            cert_file,
            key_file,
        } => {
            let (cert_file, key_file) = (cert_file.clone(), key_file.clone());
            let read = blocking(move || {
                let cert = CertificateStore::read_cert(&cert_file);
                let both = cert
                    .and_then(|cert| CertificateStore::read_pkey(&key_file).map(|key| (cert, key)));
                both.map_err(|error| OpcuaError::Pki {
                    path: cert_file,
                    what: format!("{error}: user_cert_file in .der or .pem and user_key_file in .pem are expected"),
                })
            });
            User::Certificate(Box::new(read.await?))
        }
    })
}

impl User<'_> {
    /// The token, and the proof that goes with it.
    pub(super) fn token(
        &self,
        asked: &Asked<'_>,
    ) -> Result<(ExtensionObject, SignatureData), Error> {
        // The endpoint was chosen with exactly one.
        let offered = asked.endpoint.user_identity_tokens.as_deref();
        let offer = offered
            .and_then(<[UserTokenPolicy]>::first)
            .ok_or_else(|| {
                Error::new(
                    StatusCode::BadIdentityTokenRejected,
                    "no kind of user was agreed",
                )
            })?;
        match self {
            Self::Anonymous => {
                let token = AnonymousIdentityToken {
                    policy_id: offer.policy_id.clone(),
                };
                Ok((ExtensionObject::from_message(token), SignatureData::null()))
            }
            Self::Password { name, password } => {
                let policy = SecurityPolicy::from_uri(offer.security_policy_uri.as_ref());
                if policy != SecurityPolicy::None && asked.server.is_none() {
                    let what = "the server's certificate, with which to encrypt the password, cannot be read";
                    return Err(Error::new(StatusCode::BadCertificateInvalid, what));
                }
                let secret = legacy_encrypt_secret(
                    asked.policy,
                    asked.mode,
                    offer,
                    asked.nonce.as_ref(),
                    &asked.server,
                    password.as_bytes(),
                )?;
                let token = UserNameIdentityToken {
                    policy_id: secret.policy,
                    user_name: (*name).into(),
                    password: secret.secret,
                    encryption_algorithm: secret.encryption_algorithm,
                };
                Ok((ExtensionObject::from_message(token), SignatureData::null()))
            }
            Self::Certificate(pair) => {
                let (cert, key) = pair.as_ref();
                let policy = SecurityPolicy::from_uri(offer.security_policy_uri.as_ref());
                let server = asked.server.as_ref().map(X509::as_byte_string);
                let proof =
                    create_signature_data(key, policy, &server.unwrap_or_default(), asked.nonce)?;
                let token = X509IdentityToken {
                    policy_id: offer.policy_id.clone(),
                    certificate_data: cert.as_byte_string(),
                };
                Ok((ExtensionObject::from_message(token), proof))
            }
        }
    }
}
