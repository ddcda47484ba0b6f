//! From an address to a session's token: endpoints, secure channel, login.
//!
//! Session and login are made here and not by the library, which takes a server's certificate for one alone where a server shows
//! the chain behind it. Signatures are over the server's own certificate, the chain's first (OPC 10000-4, 5.7.2 and 5.7.3).

use std::{sync::Arc, time::Duration};

use opcua::{
    client::{AsyncSecureChannel, ClientConfig, SessionBuilder, transport::StreamConnector},
    core::ResponseMessage,
    crypto::{
        CertificateStore, SecurityPolicy, X509, create_signature_data, random,
        verify_signature_data,
    },
    sync::RwLock,
    types::{
        ActivateSessionRequest, ApplicationDescription, ApplicationType, ByteString,
        CreateSessionRequest, CreateSessionResponse, DateTime, EndpointDescription, Error,
        GetEndpointsRequest, NodeId, RequestHeader, ResponseHeader, SignatureData, StatusCode,
    },
};
use tokio::{task::JoinSet, time};

use super::{
    CLOSE_LIMIT, Carrier, Store,
    identity::{Asked, User},
    within,
};
use crate::{
    dial::Dial,
    endpoint,
    error::OpcuaError,
    pki::first_certificate,
    settings::{Identity, Settings},
    wire::{self, Opening},
};

const NONCE_BYTES: usize = 32;
const OPEN: &str = "open the secure channel";
const CREATE: &str = "create the session";

/// Asks for the endpoints over a channel without security, as the specification has it.
pub(super) async fn discover(
    settings: &Settings,
    config: &ClientConfig,
    dial: &Dial,
    patience: Duration,
) -> Result<Vec<EndpointDescription>, OpcuaError> {
    let endpoint = EndpointDescription::from(settings.url.as_str());
    let store = Arc::new(RwLock::new(CertificateStore::new(&settings.pki.dir)));
    dial.await_server(patience).await?;
    let (channel, mut carrier) = connect(settings, config, &endpoint, &store, dial).await?;
    let request = GetEndpointsRequest {
        request_header: header(&channel, settings.timeout, NodeId::null()),
        endpoint_url: settings.url.as_str().into(),
        locale_ids: None,
        profile_uris: None,
    };
    let step = "ask for the endpoints";
    let answer = within(
        step,
        settings.timeout,
        channel.send(request, settings.timeout),
    );
    let answer = tokio::select! {
        answer = answer => answer?,
        ended = carrier.ended() => return Err(ended),
    };
    channel.close_channel().await;
    if time::timeout(CLOSE_LIMIT, carrier.ended()).await.is_err() {
        tracing::debug!("timed out closing the discovery channel");
    }
    match answer {
        ResponseMessage::GetEndpoints(answer) => Ok(answer.endpoints.unwrap_or_default()),
        other => Err(unexpected(step, &other)),
    }
}

pub(super) async fn connect(
    settings: &Settings,
    config: &ClientConfig,
    endpoint: &EndpointDescription,
    store: &Store,
    dial: &Dial,
) -> Result<(Arc<AsyncSecureChannel>, Carrier), OpcuaError> {
    let channel = SessionBuilder::new(config)
        .connect_to_endpoint_directly(endpoint.clone())
        .and_then(|builder| builder.build_channel(store.clone()))
        .map_err(|error| OpcuaError::service(OPEN, &error))?;
    let opening = opening(endpoint, store)?;
    let guard = opening.clone();
    let dial = dial.clone();
    let connector = StreamConnector::new(
        move |url, decoding| wire::plug(dial.clone(), guard.clone(), url, decoding),
        endpoint.endpoint_url.to_string(),
    );
    // A task of its own: what the library makes of a hostile answer ends this link at most, and not the gateway.
    let limit = settings.timeout;
    let mut task = JoinSet::new();
    task.spawn(async move {
        let connected = within(OPEN, limit, channel.connect_no_retry(&connector)).await;
        (channel, connected)
    });
    let (channel, connected) = match task.join_next().await {
        Some(Ok(opened)) => opened,
        Some(Err(error)) => return Err(OpcuaError::Ended(error.to_string())),
        None => return Err(OpcuaError::Ended(OPEN.to_owned())),
    };
    let events =
        connected.map_err(
            |error| match opening.and_then(|opening| opening.refusal()) {
                Some(why) => OpcuaError::Unproven(why),
                None => error,
            },
        )?;
    let mut carrier = JoinSet::new();
    carrier.spawn(wire::carry(events));
    Ok((Arc::new(channel), Carrier(carrier)))
}

/// What the server's answer has to prove; nothing without security.
fn opening(
    endpoint: &EndpointDescription,
    store: &Store,
) -> Result<Option<Arc<Opening>>, OpcuaError> {
    let policy = policy_of(endpoint);
    if policy == SecurityPolicy::None {
        return Ok(None);
    }
    let server = server_certificate(endpoint)?;
    let store = store.read();
    let own = store.read_own_cert().map_err(OpcuaError::BadCertificate)?;
    let key = store.read_own_pkey().map_err(OpcuaError::BadCertificate)?;
    Opening::new(policy, &server, &own, key).map(Some)
}

fn policy_of(endpoint: &EndpointDescription) -> SecurityPolicy {
    SecurityPolicy::from_uri(endpoint.security_policy_uri.as_ref())
}

fn server_certificate(endpoint: &EndpointDescription) -> Result<X509, OpcuaError> {
    X509::from_byte_string(&endpoint.server_certificate)
        .map_err(|error| OpcuaError::BadCertificate(error.to_string()))
}

fn header(channel: &AsyncSecureChannel, limit: Duration, token: NodeId) -> RequestHeader {
    RequestHeader {
        timeout_hint: u32::try_from(limit.as_millis()).unwrap_or(u32::MAX),
        ..RequestHeader::new(&token, &DateTime::now(), channel.request_handle())
    }
}

/// A session that nobody has logged in to yet.
struct Created {
    token: NodeId,
    nonce: ByteString,
}

/// Makes a session and logs in.
pub(super) async fn log_in(
    settings: &Settings,
    channel: &AsyncSecureChannel,
    endpoint: &EndpointDescription,
    store: &Store,
    user: User<'_>,
) -> Result<NodeId, OpcuaError> {
    let created = create(settings, channel, endpoint, store).await?;
    let step = "log in";
    let failed = |error: Error| OpcuaError::service(step, &error);
    let policy = policy_of(endpoint);
    // Without security the certificate is still what a password is encrypted with.
    let server = server_certificate(endpoint).ok();
    let client_signature = match (policy, &server) {
        (SecurityPolicy::None, _) | (_, None) => SignatureData::null(),
        (_, Some(server)) => {
            let key = store
                .read()
                .read_own_pkey()
                .map_err(|what| OpcuaError::Pki {
                    path: store.read().own_private_key_path(),
                    what,
                })?;
            create_signature_data(&key, policy, &server.as_byte_string(), &created.nonce)
                .map_err(failed)?
        }
    };
    let asked = Asked {
        policy,
        mode: endpoint.security_mode,
        endpoint,
        server,
        nonce: &created.nonce,
    };
    let (user_identity_token, user_token_signature) = user.token(&asked).map_err(failed)?;
    let request = ActivateSessionRequest {
        request_header: header(channel, settings.timeout, created.token.clone()),
        client_signature,
        client_software_certificates: None,
        locale_ids: None,
        user_identity_token,
        user_token_signature,
    };
    let answer = within(
        step,
        settings.timeout,
        channel.send(request, settings.timeout),
    )
    .await?;
    let done = match answer {
        ResponseMessage::ActivateSession(answer) => good(step, &answer.response_header),
        other => Err(unexpected(step, &other)),
    };
    done.map_err(|error| refusal(settings, error))?;
    channel.set_auth_token(created.token.clone());
    Ok(created.token)
}

async fn create(
    settings: &Settings,
    channel: &AsyncSecureChannel,
    endpoint: &EndpointDescription,
    store: &Store,
) -> Result<Created, OpcuaError> {
    let own = match policy_of(endpoint) {
        SecurityPolicy::None => None,
        _ => Some(
            store
                .read()
                .read_own_cert()
                .map_err(OpcuaError::BadCertificate)?,
        ),
    };
    let nonce = random::byte_string(NONCE_BYTES);
    let request = CreateSessionRequest {
        request_header: header(channel, settings.timeout, NodeId::null()),
        client_description: ApplicationDescription {
            application_uri: settings.pki.application_uri.as_str().into(),
            product_uri: "urn:forebay".into(),
            application_name: "Forebay".into(),
            application_type: ApplicationType::Client,
            ..ApplicationDescription::default()
        },
        endpoint_url: endpoint.endpoint_url.clone(),
        session_name: format!("forebay {}", settings.name).into(),
        client_nonce: nonce.clone(),
        client_certificate: own.as_ref().map(X509::as_byte_string).unwrap_or_default(),
        requested_session_timeout: settings.session_timeout.as_secs_f64() * 1000.0,
        ..CreateSessionRequest::default()
    };
    let answer = within(
        CREATE,
        settings.timeout,
        channel.send(request, settings.timeout),
    )
    .await?;
    let created = match answer {
        ResponseMessage::CreateSession(created) => created,
        other => return Err(unexpected(CREATE, &other)),
    };
    good(CREATE, &created.response_header)?;
    if let Some(own) = own {
        prove(endpoint, &created, &own, &nonce)?;
    }
    endpoint::confirm(settings, endpoint, created.server_endpoints.as_deref())?;
    Ok(Created {
        token: created.authentication_token,
        nonce: created.server_nonce,
    })
}

/// Whether the session is with the server whose certificate was accepted.
fn prove(
    endpoint: &EndpointDescription,
    created: &CreateSessionResponse,
    own: &X509,
    nonce: &ByteString,
) -> Result<(), OpcuaError> {
    let shown = first_certificate(created.server_certificate.as_ref()).ok();
    if shown != Some(endpoint.server_certificate.as_ref()) {
        let why = "its session shows another certificate than its endpoint".to_owned();
        return Err(OpcuaError::Unproven(why));
    }
    let server = server_certificate(endpoint)?;
    let policy = policy_of(endpoint);
    verify_signature_data(
        &created.server_signature,
        policy,
        &server,
        own,
        nonce.as_ref(),
    )
    .map_err(|_| OpcuaError::Unproven("the signature of its session is wrong".to_owned()))
}

fn good(step: &'static str, header: &ResponseHeader) -> Result<(), OpcuaError> {
    match header.service_result {
        status if status.is_bad() => Err(OpcuaError::Service {
            step,
            status,
            detail: String::new(),
        }),
        _ => Ok(()),
    }
}

fn unexpected(step: &'static str, answer: &ResponseMessage) -> OpcuaError {
    match answer {
        ResponseMessage::ServiceFault(fault) => OpcuaError::Service {
            step,
            status: fault.response_header.service_result,
            detail: String::new(),
        },
        _ => OpcuaError::Ended("the server answered another question than was asked".to_owned()),
    }
}

/// Tells a refused identity from other failures.
fn refusal(settings: &Settings, error: OpcuaError) -> OpcuaError {
    let OpcuaError::Service { status, .. } = &error else {
        return error;
    };
    let refused = [
        StatusCode::BadUserAccessDenied,
        StatusCode::BadIdentityTokenRejected,
        StatusCode::BadIdentityTokenInvalid,
        StatusCode::BadUserSignatureInvalid,
    ];
    if !refused.contains(status) {
        return error;
    }
    let (who, fix) = match &settings.identity {
        Identity::Anonymous => (
            "an anonymous user".to_owned(),
            "whether it wants user and password, or user_cert_file",
        ),
        Identity::Password { user, .. } => (format!("user {user:?}"), "user and password"),
        Identity::Certificate { cert_file, .. } => (
            format!("the user certificate {}", cert_file.display()),
            "whether the server trusts it",
        ),
    };
    OpcuaError::Refused {
        who,
        status: *status,
        fix,
    }
}
