use super::*;

#[test]
fn jobs_stand_behind_those_they_wait_for_and_fire_with_them() {
    let text = "
[[job]]
name = \"c\"
kind = \"test\"
after = [\"b\"]

[[job]]
name = \"b\"
kind = \"test\"
after = [\"a\"]
retries = 0
timeout = \"5s\"
on_late = \"ignore\"

[[job]]
name = \"a\"
kind = \"test\"
schedule = \"0 6 * * *\"
timezone = \"Europe/Berlin\"
";
    let jobs = read(text, &Arc::default()).unwrap();
    let names: Vec<(&str, String)> = jobs
        .iter()
        .map(|j| (j.spec.name.as_str(), j.spec.trigger.to_string()))
        .collect();
    let trigger = || "0 6 * * * Europe/Berlin".to_owned();
    assert_eq!(
        names,
        [("a", trigger()), ("b", trigger()), ("c", trigger())]
    );
    let b = &jobs.find("b").unwrap().spec;
    assert_eq!(
        (b.retries, b.timeout, b.on_late),
        (0, Duration::from_secs(5), OnLate::Ignore)
    );
    let a = &jobs.find("a").unwrap().spec;
    assert_eq!(
        (a.retries, a.timeout, a.on_late),
        (3, Duration::from_secs(600), OnLate::Rerun)
    );
}

#[test]
fn errors_come_at_once_each_with_its_place_and_a_way_out() {
    for (text, expected) in [
        (
            "name = \"a b\"\nkind = \"test\"\non = \"window_closed\"",
            "1:17: job.name: ' ' in \"a b\"",
        ),
        (
            "name = \"a\"\nkind = \"tset\"\non = \"window_closed\"",
            "job.kind: \"tset\" is not one of \"test\"; did you mean \"test\"?",
        ),
        (
            "name = \"a\"\non = \"window_closed\"",
            "job: kind is missing",
        ),
        (
            "name = \"a\"\nkind = \"test\"",
            "job.schedule: a job needs schedule",
        ),
        (
            "name = \"a\"\nkind = \"test\"\nschedule = \"0 6 * * *\"\non = \"window_closed\"",
            "job.on: a job has a schedule or an event",
        ),
        (
            "name = \"a\"\nkind = \"test\"\nschedule = \"0 66 * * *\"",
            "job.schedule: \"0 66 * * *\", character 3: \"66\" is no hour",
        ),
        (
            "name = \"a\"\nkind = \"test\"\nschedule = \"0 6 * * *\"\ntimezone = \"Europe/Pariss\"",
            "job.timezone: \"Europe/Pariss\" is no time zone; did you mean \"Europe/Paris\"?",
        ),
        (
            "name = \"a\"\nkind = \"test\"\non = \"window_closed\"\ntimezone = \"UTC\"",
            "job.timezone: only a schedule has a time zone",
        ),
        (
            "name = \"a\"\nkind = \"test\"\non = \"window_closd\"",
            "job.on: \"window_closd\" is not one of \"window_closed\"",
        ),
        (
            "name = \"first\"\nkind = \"test\"\nafter = [\"frist\"]",
            "job.after: there is no job \"frist\"; did you mean \"first\"?",
        ),
        (
            "name = \"a\"\nkind = \"test\"\nafter = [\"a\"]",
            "job.after: jobs wait for each other in a circle: a after a",
        ),
        (
            "name = \"a\"\nkind = \"test\"\non = \"window_closed\"\nengine = \"spark\"",
            "job.engine: \"spark\" is not one of \"embedded\"",
        ),
        (
            "name = \"a\"\nkind = \"test\"\non = \"window_closed\"\ntimeout = \"0s\"",
            "job.timeout: a job needs time",
        ),
        (
            "name = \"a\"\nkind = \"test\"\non = \"window_closed\"\nretrys = 2",
            "job.retrys: unknown key; did you mean \"retries\"?",
        ),
    ] {
        let text = format!("job = [{{ {} }}]", text.replace('\n', ", "));
        let errors = read(&text, &Arc::default())
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(
            errors.contains(expected.trim_start_matches("1:17: ")),
            "{text}\n{errors}"
        );
        assert!(errors.starts_with("forebay.toml:1:"), "{errors}");
    }
}

#[test]
fn circles_and_namesakes_are_named() {
    let text = "
[[job]]
name = \"a\"
kind = \"test\"
after = [\"b\"]

[[job]]
name = \"b\"
kind = \"test\"
after = [\"c\"]

[[job]]
name = \"c\"
kind = \"test\"
after = [\"b\"]

[[job]]
name = \"c\"
kind = \"test\"
on = \"window_closed\"
";
    let errors = read(text, &Arc::default())
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        errors.contains("18:8: job.name: there is another job \"c\""),
        "{errors}"
    );
    let text = text.replace(
        "name = \"c\"\nkind = \"test\"\non",
        "name = \"d\"\nkind = \"test\"\non",
    );
    let errors = read(&text, &Arc::default())
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        errors.contains("job.after: jobs wait for each other in a circle: b after c after b"),
        "{errors}"
    );
}
