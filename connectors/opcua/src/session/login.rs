//! From an address to a session's token: endpoints, secure channel, identity, login.

use std::sync::Arc;

use opcua::{
    client::{
        AsyncSecureChannel, ClientConfig, IdentityToken, SessionBuilder, UARequest,
        services::{ActivateSession, CreateSession},
        transport::StreamConnector,
    },
    core::ResponseMessage,
    crypto::{CertificateStore, SecurityPolicy},
    sync::RwLock,
    types::{
        ApplicationDescription, ApplicationType, DateTime, EndpointDescription,
        GetEndpointsRequest, NodeId, RequestHeader, StatusCode,
    },
};
use tokio::{task::JoinSet, time};

use super::{CLOSE_LIMIT, Carrier, LOG_ID, Store, blocking, within};
use crate::{
    endpoint,
    error::OpcuaError,
    settings::{Identity, Settings},
    wire,
};

/// Asks for the endpoints over a channel without security, as the specification has it.
pub(super) async fn discover(
    settings: &Settings,
    config: &ClientConfig,
) -> Result<Vec<EndpointDescription>, OpcuaError> {
    let endpoint = EndpointDescription::from(settings.url.as_str());
    let store = Arc::new(RwLock::new(CertificateStore::new(&settings.pki.dir)));
    let (channel, mut carrier) = connect(settings, config, &endpoint, &store).await?;
    let request = GetEndpointsRequest {
        request_header: RequestHeader::new(
            &NodeId::null(),
            &DateTime::now(),
            channel.request_handle(),
        ),
        endpoint_url: settings.url.as_str().into(),
        locale_ids: None,
        profile_uris: None,
    };
    let answer = within(
        "ask for the endpoints",
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
        ResponseMessage::ServiceFault(fault) => Err(OpcuaError::Service {
            step: "ask for the endpoints",
            status: fault.response_header.service_result,
            detail: String::new(),
        }),
        _ => Err(OpcuaError::Ended(
            "the server answered another question than was asked".to_owned(),
        )),
    }
}

pub(super) async fn connect(
    settings: &Settings,
    config: &ClientConfig,
    endpoint: &EndpointDescription,
    store: &Store,
) -> Result<(Arc<AsyncSecureChannel>, Carrier), OpcuaError> {
    let step = "open the secure channel";
    let channel = SessionBuilder::new(config)
        .connect_to_endpoint_directly(endpoint.clone())
        .and_then(|builder| builder.build_channel(store.clone()))
        .map_err(|error| OpcuaError::service(step, &error))?;
    let (host, port) = (settings.host().to_owned(), settings.port());
    let connector = StreamConnector::new(
        move |url, decoding| wire::plug(host.clone(), port, url, decoding),
        endpoint.endpoint_url.to_string(),
    );
    let events = within(step, settings.timeout, channel.connect_no_retry(&connector)).await?;
    let mut carrier = JoinSet::new();
    carrier.spawn(wire::carry(events));
    Ok((Arc::new(channel), Carrier(carrier)))
}

pub(super) async fn identity(settings: &Settings) -> Result<IdentityToken, OpcuaError> {
    Ok(match &settings.identity {
        Identity::Anonymous => IdentityToken::Anonymous,
        Identity::Password { user, password } => {
            IdentityToken::new_user_name(user.clone(), password.expose())
        }
        Identity::Certificate {
            cert_file,
            key_file,
        } => {
            let (cert_file, key_file) = (cert_file.clone(), key_file.clone());
            blocking(move || {
                IdentityToken::new_x509_path(&cert_file, &key_file).map_err(|error| OpcuaError::Pki {
                    path: cert_file,
                    what: format!("{error}: user_cert_file in .der or .pem and user_key_file in .pem are expected"),
                })
            })
            .await?
        }
    })
}

pub(super) async fn log_in(
    settings: &Settings,
    channel: &AsyncSecureChannel,
    endpoint: &EndpointDescription,
    store: &Store,
    identity: IdentityToken,
) -> Result<NodeId, OpcuaError> {
    let limit = settings.timeout;
    let client = ApplicationDescription {
        application_uri: settings.pki.application_uri.as_str().into(),
        product_uri: "urn:forebay".into(),
        application_name: "Forebay".into(),
        application_type: ApplicationType::Client,
        ..ApplicationDescription::default()
    };
    let mut create = CreateSession::new_manual(
        store,
        endpoint,
        LOG_ID,
        limit,
        NodeId::null(),
        channel.request_handle(),
    )
    .client_description(client)
    .endpoint_url(endpoint.endpoint_url.clone())
    .session_name(format!("forebay {}", settings.name))
    .session_timeout(settings.session_timeout.as_secs_f64() * 1000.0);
    if settings.policy != SecurityPolicy::None {
        create = create.client_cert_from_store(store);
    }
    let created = within("create the session", limit, create.send(channel)).await?;
    endpoint::confirm(settings, endpoint, created.server_endpoints.as_deref())?;
    let token = created.authentication_token;
    let mut activate = ActivateSession::new_manual(
        endpoint.clone(),
        LOG_ID,
        limit,
        token.clone(),
        channel.request_handle(),
    )
    .identity_token(identity);
    if settings.policy != SecurityPolicy::None {
        let key = store
            .read()
            .read_own_pkey()
            .map_err(|what| OpcuaError::Pki {
                path: store.read().own_private_key_path(),
                what,
            })?;
        activate = activate.private_key(key);
    }
    match within("log in", limit, activate.send(channel)).await {
        Ok(_) => Ok(token),
        Err(error) => Err(refusal(settings, error)),
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
