use std::path::Path;

use forebay_config::Document;

use super::*;

const TAG: &str = "[[connector.tag]]\nname = \"force\"\nnode = \"ns=2;s=Press.Force\"\n";

/// Reads as the gateway does: one table, its tags, then whatever nobody asked for.
fn read(connector: &str, tags: &str) -> Result<Settings, String> {
    read_in("f.toml", connector, tags)
}

fn read_in(file: &str, connector: &str, tags: &str) -> Result<Settings, String> {
    let text =
        format!("[[connector]]\nname = \"press\"\ndevice = \"press-3\"\n{connector}\n{tags}");
    let document = Document::new(Path::new(file), &text, &|_| None);
    let read = document.read(|root| {
        let mut table = root.tables(&keys::KEYS.connector).remove(0);
        let mut tags = table.tables(&keys::KEYS.tag);
        let settings = Settings::read(&mut table, &mut tags, Path::new("data"));
        tags.into_iter().for_each(Table::finish);
        table.finish();
        settings
    });
    read.map_err(|errors| errors.to_string())
}

#[test]
fn defaults_are_those_of_the_manual() {
    let settings = read("url = \"opc.tcp://127.0.0.1:4841/x\"", TAG).unwrap();
    assert_eq!(
        (settings.policy, settings.mode),
        (SecurityPolicy::None, MessageSecurityMode::None)
    );
    assert_eq!((settings.host(), settings.port()), ("127.0.0.1", 4841));
    assert_eq!(
        (settings.publishing_interval, settings.tags[0].queue_size),
        (Duration::from_millis(500), 100)
    );
    assert_eq!(settings.pki.dir, Path::new("data/pki/opcua/press"));
    assert_eq!(settings.pki.application_uri, "urn:forebay:press");
    assert_eq!(settings.pki.trust, Trust::Pinned);
    assert!(matches!(settings.identity, Identity::Anonymous));
    assert_eq!(settings.tags[0].sampling, Duration::from_millis(500));
}

#[test]
fn everything_can_be_set() {
    let settings = read(
        "url = \"opc.tcp://plc\"\nsecurity = \"Aes256_Sha256_RsaPss\"\nmode = \"sign\"\nuser = \"u\"\npassword = \"p\"\n\
         cert_file = \"c.der\"\nkey_file = \"k.pem\"\npki_dir = \"/var/pki\"\nserver_cert_file = \"s.der\"\n\
         publishing_interval = \"1s\"\nsampling = \"50ms\"\nqueue_size = 7\nsession_timeout = \"2m\"\ntimeout = \"3s\"\n\
         application_uri = \"urn:me\"",
        "[[connector.tag]]\nname = \"a\"\nnode = \"i=1\"\ndevice = \"other\"\nsampling = \"100ms\"\n",
    )
    .unwrap();
    assert_eq!(
        (settings.policy, settings.mode),
        (
            SecurityPolicy::Aes256Sha256RsaPss,
            MessageSecurityMode::Sign
        )
    );
    assert_eq!((settings.host(), settings.port()), ("plc", 4840));
    assert_eq!(settings.pki.trust, Trust::File("s.der".into()));
    assert_eq!(settings.tags[0].target.device.as_str(), "other");
    assert_eq!(settings.tags[0].sampling, Duration::from_millis(100));
    assert!(
        !format!("{settings:?}").contains("\"p\""),
        "the password is not shown"
    );
}

#[test]
fn tags_say_it_for_themselves_or_the_connector_does_for_all() {
    let settings = read(
        "url = \"opc.tcp://localhost\"\nserver_deadband = \"2%\"\ncompound = \"json\"\nhistory = true\n\
         enumeration = \"number_and_text\"\nqueue_size = 7\nhistory_depth = \"90d\"",
        "[[connector.tag]]\nname = \"a\"\nnode = \"i=1\"\n[[connector.tag]]\nname = \"b\"\nnode = \"i=2\"\n\
         server_deadband = 0.5\ncompound = \"split\"\nhistory = false\nenumeration = \"number\"\nqueue_size = 9\n",
    )
    .unwrap();
    let day = Duration::from_secs(86_400);
    assert_eq!(settings.history.depth, 90 * day);
    let [a, b] = &settings.tags[..] else {
        panic!("{settings:?}")
    };
    assert_eq!(a.server_deadband, Some(ServerDeadband::Percent(2.0)));
    assert_eq!(b.server_deadband, Some(ServerDeadband::Absolute(0.5)));
    assert_eq!(
        (a.target.compound, b.target.compound),
        (Compound::Json, Compound::Split)
    );
    assert_eq!((a.queue_size, b.queue_size), (7, 9));
    assert_eq!((a.has_history, b.has_history), (true, false));
    assert_eq!(a.target.enumeration, EnumerationForm::NumberAndText);
    assert_eq!(b.target.enumeration, EnumerationForm::Number);
}

#[test]
fn named_files_lie_beside_the_configuration_and_what_is_written_in_the_data_folder() {
    let url = "url = \"opc.tcp://localhost\"";
    let pki = read_in("etc/f.toml", url, TAG).unwrap().pki;
    assert_eq!(pki.dir, Path::new("data/pki/opcua/press"));
    let keys = "pki_dir = \"pki\"\ncert_file = \"c.der\"\nkey_file = \"/k.pem\"\nserver_cert_file = \"s.der\"\n\
                user_cert_file = \"u.der\"\nuser_key_file = \"u.pem\"";
    let settings = read_in("etc/f.toml", &format!("{url}\n{keys}"), TAG).unwrap();
    assert_eq!(settings.pki.dir, Path::new("etc/pki"));
    assert_eq!(
        settings.pki.own,
        Some(("etc/c.der".into(), "/k.pem".into()))
    );
    assert_eq!(settings.pki.trust, Trust::File("etc/s.der".into()));
    let Identity::Certificate {
        cert_file,
        key_file,
    } = settings.identity
    else {
        panic!("{:?}", settings.identity)
    };
    assert_eq!(
        (cert_file, key_file),
        ("etc/u.der".into(), "etc/u.pem".into())
    );
}

#[test]
fn security_is_left_out_only_towards_this_machine() {
    for (host, allowed) in [
        ("localhost", true),
        ("127.9.9.9", true),
        ("[::1]", true),
        ("10.0.0.9", false),
        ("plc", false),
    ] {
        let read = read(&format!("url = \"opc.tcp://{host}:4840\""), TAG);
        assert_eq!(read.is_ok(), allowed, "{host}: {read:?}");
    }
    assert!(read("url = \"opc.tcp://plc\"\nsecurity = \"None\"", TAG).is_ok());
    let reverse = "url = \"opc.tcp://plc\"\nreverse_connect = \"opc.tcp://[::1]:4841\"";
    let read = read(reverse, TAG).unwrap();
    assert_eq!(read.reverse_connect.as_deref(), Some("[::1]:4841"));
}

#[test]
fn errors_name_the_key_and_the_fix() {
    let url = "url = \"opc.tcp://localhost\"\n";
    let cases = [
        ("", "url is missing"),
        (
            "url = \"http://plc:4840\"",
            "http:// is not spoken here; \"opc.tcp://10.0.0.9:4840\" is expected",
        ),
        (
            "url = \"opc.tcp://u:p@plc\"\nsecurity = \"None\"",
            "set user and password",
        ),
        (
            "url = \"opc.tcp://:4840\"\nsecurity = \"None\"",
            "is expected",
        ),
        (
            "url = \"opc.tcp://plc\"",
            "connector.security: is missing, and plc is another machine",
        ),
        (
            &format!("{url}reverse_connect = \"opc.tcp://0.0.0.0:4841\""),
            "is missing, and another machine may connect to reverse_connect",
        ),
        (
            &format!("{url}reverse_connect = \"opc.tcp://0.0.0.0\""),
            "no address with a port to listen on",
        ),
        (
            &format!("{url}reverse_connect = \"0.0.0.0:4841\""),
            "no address with a port to listen on",
        ),
        (
            &format!("{url}security = \"Basic256Sha25\""),
            "did you mean \"Basic256Sha256\"?",
        ),
        (
            &format!("{url}mode = \"sign\""),
            "connector.mode: has no meaning without security",
        ),
        (
            &format!("{url}security = \"Basic256Sha256\"\nmode = \"both\""),
            "not one of \"sign\", \"sign_and_encrypt\"",
        ),
        (
            &format!("{url}user = \"u\""),
            "connector.user: password is missing beside it",
        ),
        (
            &format!("{url}password = \"p\""),
            "connector.password: user is missing beside it",
        ),
        (
            &format!("{url}cert_file = \"c.der\""),
            "key_file is missing beside it",
        ),
        (
            &format!(
                "{url}user = \"u\"\npassword = \"p\"\nuser_cert_file = \"c\"\nuser_key_file = \"k\""
            ),
            "one identity",
        ),
        (
            &format!("{url}trust_any = true\nserver_cert_file = \"s.der\""),
            "contradicts",
        ),
        (&format!("{url}trust = \"all\""), "not one of \"pinned\""),
        (&format!("{url}queue_size = 0"), "at least 1"),
        (&format!("{url}acquisition = \"ask\""), "\"subscribe\""),
        (
            &format!("{url}acquisition = \"poll\"\nhistory = true"),
            "cannot fill gaps from history",
        ),
        (&format!("{url}server_deadband = \"0%\""), "above 0"),
        (&format!("{url}server_deadband = \"101%\""), "at most 100%"),
        (&format!("{url}server_deadband = -1"), "above 0"),
        (&format!("{url}history_span = \"1ms\""), "out of range"),
        (&format!("{url}history_pause = \"2h\""), "out of range"),
        (
            &format!("{url}publishing_interval = \"1ms\""),
            "from \"10ms\" to \"1h\"",
        ),
        (&format!("{url}publishing = \"1s\""), "unknown key"),
    ];
    for (connector, expected) in cases {
        let errors = read(connector, TAG).unwrap_err();
        assert!(errors.contains(expected), "{connector}\n{errors}");
    }
    let cases = [
        ("", "nothing to read"),
        ("[[connector.tag]]\nnode = \"i=1\"\n", "name is missing"),
        ("[[connector.tag]]\nname = \"a\"\n", "node is missing"),
        (
            "[[connector.tag]]\nname = \"a\"\nnode = \"Press.Force\"\n",
            "is not a node id",
        ),
        (
            &format!("{TAG}{TAG}"),
            "force of press-3 is read by another tag already",
        ),
    ];
    for (tags, expected) in cases {
        let errors = read(url, tags).unwrap_err();
        assert!(errors.contains(expected), "{tags}\n{errors}");
    }
}

#[test]
fn events_are_read_with_their_filter_and_need_no_tags() {
    let url = "url = \"opc.tcp://127.0.0.1\"\n";
    let inline = format!(
        "{url}event = [{{}}, {{ node = \"ns=2;s=Hall\", device = \"hall\", severity_min = 500, type = \"i=2915\" }}]"
    );
    let settings = read(&inline, "").unwrap();
    let shown: Vec<_> = settings
        .events
        .iter()
        .map(|event| {
            let device = event.device.as_str();
            (event.node.as_str(), device, event.severity_min)
        })
        .collect();
    assert_eq!(
        shown,
        [("i=2253", "press-3", 1), ("ns=2;s=Hall", "hall", 500)]
    );
    let types = settings
        .events
        .iter()
        .map(|event| event.event_type.is_some());
    assert!(types.eq([false, true]));
    let cases = [
        ("event = []", "nothing to read"),
        (
            "event = [{ severity_min = 0 }]",
            "0 is out of range: from 1 to 1000",
        ),
        ("event = [{ severity_min = 1001 }]", "from 1 to 1000"),
        ("event = [{ node = \"hall\" }]", "is not a node id"),
        ("event = [{ type = \"alarm\" }]", "is not a node id"),
        ("event = [{ severity = 7 }]", "unknown key"),
        (
            "acquisition = \"poll\"\nevent = [{}]",
            "\"poll\" cannot hear events",
        ),
    ];
    for (keys, problem) in cases {
        let errors = read(&format!("{url}{keys}"), "").unwrap_err();
        assert!(errors.contains(problem), "{keys}: {errors}");
        assert_eq!(
            errors.matches("nothing to read").count(),
            usize::from(problem == "nothing to read"),
            "{errors}"
        );
    }
}
