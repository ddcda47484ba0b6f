use std::path::Path;

use forebay_config::Document;

use super::*;

fn read(text: &str) -> Result<RetentionSettings, String> {
    let text = format!("[retention]\n{text}");
    let document = Document::new(Path::new("f.toml"), &text, &|_| None);
    let settings = document.read(|root| {
        let mut table = root.table(&RETENTION)?;
        let settings = RetentionSettings::read(&mut table);
        table.finish();
        settings
    });
    settings.map_err(|errors| errors.to_string())
}

const EXAMPLE: &str = "readings = \"400d\"\nreadings_1m = \"730d\"\n\
    [[retention.rule]]\nsites = [\"north\", \"south-*\"]\ntags = [\"vib_*\"]\nkeep = \"30d\"\n\
    [[retention.rule]]\ndevices = [\"scale\"]\nkeep = \"3650d\"\n";

#[test]
fn the_first_rule_that_fits_says_how_long_a_series_is_kept() {
    let settings = read(EXAMPLE).unwrap();
    // 2023-11-14T22:13:20Z.
    let now = Timestamp::from_micros(1_700_000_000_000_000).unwrap();
    let midnight = 1_699_920_000_000_000;
    let check = |table: &Table, site: &str, device: &str, tag: &str, days: Option<i64>| {
        let site = SiteId::new(site).unwrap();
        let rules = settings.rules_of(table, &site, now);
        let rule = rules.iter().find(|rule| (rule.fits)(device, tag));
        let before = rule.and_then(|rule| rule.before);
        let kept = before.map(|before| (midnight - before) / DAY);
        assert_eq!(kept, days, "{site} {device} {tag}");
    };
    check(&READINGS, "north", "pump", "vib_x", Some(30));
    check(&READINGS, "south-2", "scale", "vib_x", Some(30));
    check(&READINGS, "west", "pump", "vib_x", Some(400));
    check(&READINGS, "north", "scale", "mass", Some(3_650));
    check(&READINGS, "north", "pump", "temp", Some(400));
    check(&READINGS_1M, "north", "pump", "vib_x", Some(730));
    check(&READINGS_1H, "north", "pump", "vib_x", None);
}

#[test]
fn events_are_kept_as_long_as_they_are_asked_to_be_and_what_is_held_stays() {
    // 2023-11-14T22:13:20Z.
    let now = Timestamp::from_micros(1_700_000_000_000_000).unwrap();
    let midnight = 1_699_920_000_000_000;
    assert_eq!(event_expiry(&read(EXAMPLE).unwrap(), &[], now), None);
    let settings = read("events = \"400d\"").unwrap();
    assert!(settings.deletes());
    let before = midnight - 400 * DAY;
    let hold = |from: i64, to: i64| Hold {
        site: None,
        from,
        to,
        why: "a back-fill".into(),
    };
    let holds = [
        hold(before - DAY, midnight),
        hold(before, midnight),
        hold(before - DAY, before - DAY),
    ];
    let held = HeldEvents {
        site: None,
        from: before - DAY,
        to: before,
    };
    let expected = EventExpiry {
        rule: "events, 400d".into(),
        before,
        held: vec![held],
    };
    assert_eq!(event_expiry(&settings, &holds, now), Some(expected));
    // The event that a run is for is at the run's due time.
    let due = before - HOUR;
    let of_run = event_expiry(&settings, &[hold(due - DAY, due)], now).unwrap();
    assert!((of_run.held[0].from..of_run.held[0].to).contains(&due));
    assert_eq!(of_run.held[0].to, due + 1);
}

#[test]
fn limits_are_whole_hours_and_for_long_times_whole_days() {
    let now = Timestamp::from_micros(100 * DAY + 13 * HOUR + 7).unwrap();
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    assert_eq!(limit(hours(1), now), 100 * DAY + 12 * HOUR);
    assert_eq!(limit(hours(239), now), 90 * DAY + 14 * HOUR);
    assert_eq!(limit(hours(240), now), 90 * DAY);
    assert!(limit(Duration::MAX, now) < 0);
}

#[test]
fn nothing_is_deleted_by_default_and_what_is_wrong_is_named() {
    let settings = read("").unwrap();
    assert_eq!(settings, RetentionSettings::default());
    assert!(!settings.deletes());
    assert!(read(EXAMPLE).unwrap().deletes());
    for (text, message) in [
        (
            "readings = \"59m\"",
            "f.toml:2:12: retention.readings: at least \"1h\" is expected",
        ),
        (
            "events = \"0s\"",
            "f.toml:2:10: retention.events: at least \"1h\" is expected",
        ),
        ("readigs = \"1d\"", "did you mean \"readings\"?"),
        ("[[retention.rule]]\ntags = [\"a\"]", "keep"),
        (
            "[[retention.rule]]\nkeep = \"0s\"",
            "keep: at least \"1h\" is expected",
        ),
        (
            "[[retention.rule]]\nkeep = \"1d\"\ntags = [\"[a\"]",
            "tags: error parsing glob",
        ),
    ] {
        let errors = read(text).unwrap_err();
        assert!(errors.contains(message), "{errors}");
    }
}
