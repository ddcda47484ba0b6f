use std::path::Path;

use forebay_config::Document;
use opcua::types::ByteString;

use super::*;

fn settings(keys: &str) -> Settings {
    let text = format!(
        "[[connector]]\nname = \"n\"\ndevice = \"d\"\nurl = \"opc.tcp://10.0.0.9:4841/mine\"\n{keys}\n[[connector.tag]]\nname = \"t\"\nnode = \"i=1\""
    );
    let document = Document::new(Path::new("f.toml"), &text, &|_| None);
    let read = document.read(|root| {
        let mut connector = root.tables(&crate::keys::KEYS.connector).remove(0);
        let mut tags = connector.tables(&crate::keys::KEYS.tag);
        Settings::read(&mut connector, &mut tags, Path::new("data"))
    });
    read.unwrap_or_else(|errors| panic!("{errors}"))
}

fn token(id: &str, kind: UserTokenType, policy: &str) -> UserTokenPolicy {
    UserTokenPolicy {
        policy_id: id.into(),
        token_type: kind,
        security_policy_uri: policy.into(),
        ..UserTokenPolicy::default()
    }
}

fn endpoint(
    policy: SecurityPolicy,
    mode: MessageSecurityMode,
    tokens: &[UserTokenPolicy],
) -> EndpointDescription {
    EndpointDescription {
        endpoint_url: "opc.tcp://plc-internal:4840/theirs".into(),
        security_policy_uri: policy.to_uri().into(),
        security_mode: mode,
        server_certificate: ByteString::from(b"certificate"),
        user_identity_tokens: Some(tokens.to_vec()),
        transport_profile_uri: "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary"
            .into(),
        ..EndpointDescription::default()
    }
}

const SECURED: &str = "security = \"Basic256Sha256\"";
const USER: &str = "user = \"u\"\npassword = \"p\"";

fn none() -> &'static str {
    SecurityPolicy::None.to_uri()
}

fn basic() -> &'static str {
    SecurityPolicy::Basic256Sha256.to_uri()
}

fn chosen(
    keys: &str,
    mode: MessageSecurityMode,
    tokens: &[UserTokenPolicy],
) -> Result<(String, String), String> {
    let settings = settings(keys);
    let found = choose(&settings, &[endpoint(settings.policy, mode, tokens)])
        .map_err(|error| error.to_string())?;
    let token = found.user_identity_tokens.unwrap().remove(0);
    Ok((
        token.policy_id.to_string(),
        token.security_policy_uri.to_string(),
    ))
}

#[test]
fn the_encrypted_token_goes_first_and_an_empty_policy_is_the_channels() {
    let encrypt = MessageSecurityMode::SignAndEncrypt;
    let tokens = [
        token("clear", UserTokenType::UserName, none()),
        token("channel", UserTokenType::UserName, ""),
        token("anyone", UserTokenType::Anonymous, ""),
        token(
            "strange",
            UserTokenType::UserName,
            "urn:some-policy-of-the-future",
        ),
    ];
    let secured_user = format!("{SECURED}\n{USER}");
    assert_eq!(
        chosen(&secured_user, encrypt, &tokens),
        Ok(("channel".into(), basic().into()))
    );
    assert_eq!(
        chosen(&secured_user, encrypt, &tokens[..1]),
        Ok(("clear".into(), none().into()))
    );
    assert_eq!(
        chosen(SECURED, encrypt, &tokens),
        Ok(("anyone".into(), basic().into()))
    );
    let error = chosen(&secured_user, encrypt, &tokens[2..]).unwrap_err();
    assert!(error.contains("takes no user name and password"), "{error}");
    assert!(
        error.ends_with("it takes anonymous users, user names with passwords"),
        "{error}"
    );
}

#[test]
fn a_password_is_not_sent_readable_over_a_signed_channel() {
    let keys = format!("{SECURED}\nmode = \"sign\"\n{USER}");
    let error = chosen(
        &keys,
        MessageSecurityMode::Sign,
        &[token("clear", UserTokenType::UserName, none())],
    );
    assert!(
        error
            .unwrap_err()
            .contains("set mode = \"sign_and_encrypt\"")
    );
}

#[test]
fn a_token_that_wants_encryption_needs_a_server_certificate() {
    let settings = settings(&format!("security = \"None\"\n{USER}"));
    let tokens = [token("encrypted", UserTokenType::UserName, basic())];
    let mut offered = endpoint(SecurityPolicy::None, MessageSecurityMode::None, &tokens);
    assert!(choose(&settings, std::slice::from_ref(&offered)).is_ok());
    offered.server_certificate = ByteString::null();
    assert!(matches!(
        choose(&settings, &[offered]),
        Err(OpcuaError::NoIdentity { .. })
    ));
}

#[test]
fn host_and_port_are_ours_and_the_path_is_the_servers() {
    let settings = settings(SECURED);
    let tokens = [token("anyone", UserTokenType::Anonymous, "")];
    let offered = endpoint(settings.policy, settings.mode, &tokens);
    let mut https = offered.clone();
    https.transport_profile_uri =
        "http://opcfoundation.org/UA-Profile/Transport/https-uabinary".into();
    https.security_level = 200;
    let found = choose(&settings, &[https, offered]).unwrap();
    assert_eq!(
        found.endpoint_url.as_ref(),
        "opc.tcp://10.0.0.9:4841/theirs"
    );
}

#[test]
fn other_tokens_over_the_secure_channel_are_a_warning_of_tampering() {
    let settings = settings(&format!("{SECURED}\n{USER}"));
    let honest = endpoint(
        settings.policy,
        settings.mode,
        &[token("user", UserTokenType::UserName, basic())],
    );
    let forged = endpoint(
        settings.policy,
        settings.mode,
        &[token("user", UserTokenType::UserName, none())],
    );
    let from_honest = choose(&settings, std::slice::from_ref(&honest)).unwrap();
    let from_forged = choose(&settings, std::slice::from_ref(&forged)).unwrap();
    assert!(confirm(&settings, &from_honest, Some(std::slice::from_ref(&honest))).is_ok());
    let mut bare = honest.clone();
    bare.server_certificate = ByteString::null();
    assert!(confirm(&settings, &from_honest, Some(&[bare])).is_ok());
    let caught = confirm(&settings, &from_forged, Some(&[honest]));
    assert!(matches!(caught, Err(OpcuaError::Tampered)), "{caught:?}");
    assert!(
        confirm(&settings, &from_honest, None).is_ok(),
        "some servers tell nothing"
    );
}
