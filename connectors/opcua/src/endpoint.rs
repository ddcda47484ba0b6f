//! The choice among a server's endpoints and user tokens. Pure.
//!
//! Kept here: a password is never sent readable over a channel that is only signed, and the token that a server offers
//! with encryption goes before one without.

use opcua::{
    crypto::SecurityPolicy,
    types::{EndpointDescription, MessageSecurityMode, UserTokenPolicy, UserTokenType},
};
use url::Url;

use crate::{
    error::OpcuaError,
    settings::{Identity, Settings, policy_name},
};

/// The endpoint to use, reachable under the configured host and port, with exactly one user token.
pub(crate) fn choose(
    settings: &Settings,
    offered: &[EndpointDescription],
) -> Result<EndpointDescription, OpcuaError> {
    let fits = |endpoint: &&EndpointDescription| {
        endpoint.security_mode == settings.mode
            && SecurityPolicy::from_uri(endpoint.security_policy_uri.as_ref()) == settings.policy
            && is_binary_tcp(endpoint)
    };
    let mut endpoint = offered
        .iter()
        .filter(fits)
        .max_by_key(|endpoint| endpoint.security_level)
        .cloned()
        .ok_or_else(|| OpcuaError::NoEndpoint {
            wanted: security(settings.policy, settings.mode),
            offered: list(offered),
        })?;
    let token = token(settings, &endpoint)?;
    endpoint.endpoint_url = reachable_url(settings, endpoint.endpoint_url.as_ref()).into();
    endpoint.user_identity_tokens = Some(vec![token]);
    Ok(endpoint)
}

/// Checks that the server tells the same over the secure channel: an attacker may have answered before it.
pub(crate) fn confirm(
    settings: &Settings,
    chosen: &EndpointDescription,
    confirmed: Option<&[EndpointDescription]>,
) -> Result<(), OpcuaError> {
    let secured = settings.mode != MessageSecurityMode::None;
    match confirmed {
        Some(endpoints) if secured && !endpoints.is_empty() => {
            let told: Vec<_> = endpoints
                .iter()
                .map(|one| with_certificate(one, chosen))
                .collect();
            let again = choose(settings, &told).map_err(|_| OpcuaError::Tampered)?;
            (again.user_identity_tokens == chosen.user_identity_tokens)
                .then_some(())
                .ok_or(OpcuaError::Tampered)
        }
        _ => Ok(()),
    }
}

/// A session tells of its endpoints without their certificates (OPC 10000-4, 5.7.2): its own is proven already.
fn with_certificate(
    told: &EndpointDescription,
    chosen: &EndpointDescription,
) -> EndpointDescription {
    let mut told = told.clone();
    if told.server_certificate.is_null_or_empty() {
        told.server_certificate = chosen.server_certificate.clone();
    }
    told
}

/// Servers often name themselves as only they know them: behind a router, by a host name without a record. The path is
/// theirs, the host and the port are ours.
fn reachable_url(settings: &Settings, advertised: &str) -> String {
    let path = Url::parse(advertised)
        .map(|url| url.path().to_owned())
        .unwrap_or_default();
    let host = settings.host();
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    format!("opc.tcp://{host}:{}{path}", settings.port())
}

fn is_binary_tcp(endpoint: &EndpointDescription) -> bool {
    let profile = endpoint.transport_profile_uri.as_ref();
    profile.is_empty() || profile.ends_with("uatcp-uasc-uabinary")
}

fn token(
    settings: &Settings,
    endpoint: &EndpointDescription,
) -> Result<UserTokenPolicy, OpcuaError> {
    let (kind, wanted) = match &settings.identity {
        Identity::Anonymous => (
            UserTokenType::Anonymous,
            "anonymous user: set user and password, or user_cert_file",
        ),
        Identity::Password { .. } => (UserTokenType::UserName, "user name and password"),
        Identity::Certificate { .. } => (UserTokenType::Certificate, "user certificate"),
    };
    let offered = endpoint.user_identity_tokens.as_deref().unwrap_or_default();
    let encrypted = |token: &UserTokenPolicy| policy_of(token, endpoint) != SecurityPolicy::None;
    let has_certificate = !endpoint.server_certificate.is_null_or_empty();
    let usable = |token: &&UserTokenPolicy| {
        let policy = policy_of(token, endpoint);
        token.token_type == kind
            && policy.is_supported()
            && (policy == SecurityPolicy::None || has_certificate)
    };
    let best = offered
        .iter()
        .filter(usable)
        .max_by_key(|token| encrypted(token));
    let mut token = best.cloned().ok_or_else(|| {
        let mut kinds: Vec<&str> = offered
            .iter()
            .map(|token| kind_name(token.token_type))
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        let offered = if kinds.is_empty() {
            "none".to_owned()
        } else {
            kinds.join(", ")
        };
        OpcuaError::NoIdentity { wanted, offered }
    })?;
    if kind == UserTokenType::UserName
        && !encrypted(&token)
        && settings.mode == MessageSecurityMode::Sign
    {
        return Err(OpcuaError::PasswordInClear);
    }
    // An empty policy means the channel's; the library would take it for None when it signs with a user certificate.
    token.security_policy_uri = policy_of(&token, endpoint).to_uri().into();
    Ok(token)
}

fn policy_of(token: &UserTokenPolicy, endpoint: &EndpointDescription) -> SecurityPolicy {
    let own = token.security_policy_uri.as_ref();
    SecurityPolicy::from_uri(if own.is_empty() {
        endpoint.security_policy_uri.as_ref()
    } else {
        own
    })
}

fn kind_name(kind: UserTokenType) -> &'static str {
    match kind {
        UserTokenType::Anonymous => "anonymous users",
        UserTokenType::UserName => "user names with passwords",
        UserTokenType::Certificate => "user certificates",
        _ => "issued tokens",
    }
}

fn security(policy: SecurityPolicy, mode: MessageSecurityMode) -> String {
    let mode = match mode {
        MessageSecurityMode::Sign => " with sign",
        MessageSecurityMode::SignAndEncrypt => " with sign_and_encrypt",
        _ => "",
    };
    format!("{}{mode}", policy_name(policy))
}

fn list(offered: &[EndpointDescription]) -> String {
    let mut names: Vec<String> = offered
        .iter()
        .filter(|endpoint| is_binary_tcp(endpoint))
        .map(|endpoint| {
            let policy = SecurityPolicy::from_uri(endpoint.security_policy_uri.as_ref());
            match policy_name(policy) {
                "unknown" => endpoint.security_policy_uri.to_string(),
                _ => security(policy, endpoint.security_mode),
            }
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests;
