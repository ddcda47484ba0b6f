//! What a connector is before it runs.

use forebay_connectors::Declared;
use forebay_schemas::{DeviceId, TagName};

use crate::{Memory, Point, Subject, configure};

/// The series of the configuration are declared by rule, and a session has the same identity over a restart.
pub(super) fn its_series_are_declared(subject: &impl Subject) {
    let make = || {
        configure(subject.kind(), &subject.configuration("declares"))
            .unwrap_or_else(|error| panic!("{error}"))
    };
    let (connector, again) = (make(), make());
    let declared: Vec<(usize, DeviceId, TagName)> = connector
        .declared()
        .into_iter()
        .map(|Declared { rule, device, tag }| (rule.0, device, tag))
        .collect();
    let expected: Vec<(usize, DeviceId, TagName)> = subject
        .declared()
        .into_iter()
        .enumerate()
        .map(named)
        .collect();
    assert_eq!(declared, expected, "the declared series are others");
    assert_eq!(
        connector.session().is_some(),
        subject.memory() == Memory::Session,
        "a session is said to be kept"
    );
    assert_eq!(
        connector.session(),
        again.session(),
        "a restart makes another session of it"
    );
}

fn named((rule, point): (usize, Point)) -> (usize, DeviceId, TagName) {
    (
        rule,
        DeviceId::new(point.device).unwrap(),
        TagName::new(point.tag).unwrap(),
    )
}

/// A key with a letter too many is refused, by its name and with the name that was meant, in both tables.
pub(super) fn an_unknown_key_is_named(subject: &impl Subject) {
    let text = subject.configuration("misspelt");
    for header in ["[[connector]]", "[[connector.tag]]"] {
        let key = own_key(&text, header);
        let typo = format!("{key}{}", &key[key.len() - 1..]);
        let wrong = text.replacen(header, &format!("{header}\n{typo} = 1"), 1);
        let Err(errors) = configure(subject.kind(), &wrong) else {
            panic!("the unknown key {typo} is taken in silence");
        };
        let shown = errors.to_string();
        let expected = format!("{typo}: unknown key; did you mean {key:?}?");
        assert!(
            shown.contains(&expected),
            "{expected:?} is not in {shown:?}"
        );
        assert_eq!(
            errors.problems.len(),
            1,
            "one key too many is one problem: {shown}"
        );
    }
}

/// The first key of a table that the gateway does not read for all kinds.
fn own_key<'t>(text: &'t str, header: &str) -> &'t str {
    let table = text
        .lines()
        .skip_while(|line| line.trim() != header)
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    let mut keys = table.filter_map(|line| line.split_once('=').map(|(key, _)| key.trim()));
    let common: &[&str] = if header == "[[connector]]" {
        &["name", "kind"]
    } else {
        &[]
    };
    let own = keys.find(|key| !key.is_empty() && !common.contains(key));
    own.unwrap_or_else(|| panic!("{header} has no key of its own in {text}"))
}
