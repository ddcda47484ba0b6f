//! What a file may say, and what is wrong with it otherwise.

use std::path::Path;

use forebay_config::Document;

use super::*;
use crate::keys::Kind;

fn read(text: &str) -> Result<AlertSettings, String> {
    let environment = |_: &str| None;
    let document = Document::new(Path::new("f.toml"), text, &environment);
    let read = document.read(AlertSettings::read);
    read.map_err(|errors| errors.to_string())
}

#[test]
fn the_examples_of_the_page_are_sound() {
    let page = include_str!("../../../docs/how-to/alerts.md");
    // What stands behind the fence's first word is for the documents' own tests.
    let blocks = page.split("```toml").skip(1);
    let blocks = blocks.filter_map(|block| Some(block.split_once('\n')?.1));
    let mut kinds = BTreeSet::new();
    let mut subjects = BTreeSet::new();
    for block in blocks {
        let example = block.split("```").next().unwrap();
        let settings = read(example).unwrap();
        kinds.extend(settings.routes.iter().map(Route::kind));
        subjects.extend(settings.rules.iter().map(|rule| rule.subject.name()));
    }
    assert_eq!(kinds.len(), Kind::WORDS.len(), "{kinds:?}");
    assert_eq!(subjects.len(), Subject::WORDS.len(), "{subjects:?}");
}

#[test]
fn defaults_hold_where_nothing_is_said() {
    let settings = read("[[alert]]\nname = \"a\"\non = \"device_silent\"\n").unwrap();
    let rule = &settings.rules[0];
    assert_eq!(rule.limit, Limit::Older(Duration::from_secs(300)));
    assert_eq!((rule.instances_max, rule.severity), (100, None));
    assert_eq!(settings.every, Duration::from_secs(5));
    assert_eq!(settings.warnings(), ["alert \"a\" is sent over no route"]);
    let limit = |on: &str, keys: &str| {
        let text = format!("[[alert]]\nname = \"a\"\non = \"{on}\"\n{keys}");
        read(&text).unwrap().rules[0].limit
    };
    let above = |limit, clear| Limit::Above { limit, clear };
    assert_eq!(limit("disk", ""), above(90.0, 90.0));
    assert_eq!(limit("spool", "clear_below = 10"), above(80.0, 10.0));
    let below = Limit::Below {
        limit: 0.9,
        clear: 0.9,
    };
    assert_eq!(limit("completeness", ""), below);
    assert_eq!(limit("freshness", ""), Limit::Older(STALE_AFTER));
    assert_eq!(limit("job_failed", ""), Limit::Holds);
}

#[test]
fn what_is_wrong_is_named() {
    let alert = |keys: &str| format!("[[alert]]\nname = \"a\"\n{keys}\n");
    let route = |keys: &str| format!("[[route]]\nname = \"r\"\n{keys}\n");
    for (text, expected) in [
        (alert(""), "alert.on: missing; one of device_silent, "),
        (alert("on = \"disc\""), "did you mean \"disk\"?"),
        (
            alert("on = \"disk\"\nbelow = 3"),
            "alert.below: on = \"disk\" has no such limit",
        ),
        (
            alert("on = \"disk\"\nabove = 50\nclear_below = 60"),
            "alert.clear_below: at most above is expected",
        ),
        (
            alert("on = \"completeness\"\nclear_above = 0.5"),
            "alert.clear_above: at least below is expected",
        ),
        (
            alert("on = \"disk\"\ninstances_max = 0"),
            "alert.instances_max: 1 to 10000 is expected",
        ),
        (alert("on = \"disk\"\ndevices = [\"[\"]"), "alert.devices: "),
        (
            alert("on = \"disk\"") + &alert("on = \"spool\""),
            "alert.name: there are two of the name \"a\"",
        ),
        (
            "[alerts]\nevery = \"1ms\"".to_owned(),
            "alerts.every: at least 1s is expected",
        ),
        (
            route("url = \"https://h\""),
            "route.kind: missing; one of webhook, ",
        ),
        (route("kind = \"webhook\""), "route: url is missing"),
        (
            route("kind = \"webhook\"\nurl = \"ftp://h\""),
            "route.url: https://… or http://… is expected",
        ),
        (
            route("kind = \"webhook\"\nurl = \"https://u:p@h\""),
            "route.url: user and password do not stand in the URL",
        ),
        (
            route("kind = \"webhook\"\nurl = \"https://h\"\nrepeat_every = \"1s\""),
            "route.repeat_every: at least 10s is expected",
        ),
        (
            route("kind = \"webhook\"\nurl = \"https://h\"\ntopic = \"t\""),
            "route.topic: unknown key",
        ),
        (
            route("kind = \"smtp\"\nurl = \"smtp://h\"\nfrom = \"f@h\"\nto = [\"nobody\"]"),
            "route.to: \"nobody\" is not an address",
        ),
        (
            route("kind = \"smtp\"\nurl = \"smtp://h\"\nfrom = \"f@h\"\nto = []"),
            "route.to: at least one address is expected",
        ),
        (
            route(
                "kind = \"smtp\"\nurl = \"smtp://h\"\nfrom = \"f@h\"\nto = [\"t@h\"]\nuser = \"u\"\ntls = \"none\"",
            ),
            "route.tls: smtp:// without a user is expected",
        ),
        (
            route("kind = \"mqtt\"\nurl = \"mqtt://h\"\ntopic = \"a/+\""),
            "route.topic: a topic without wildcards is expected",
        ),
    ] {
        let errors = read(&text).err().unwrap_or_default();
        assert!(
            errors.contains(expected),
            "{text}\nsays {errors:?}, not {expected:?}"
        );
    }
}
