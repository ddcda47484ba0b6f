use std::path::Path;

use forebay_config::Document;

use super::*;

const SECOND: i64 = 1_000_000_000;
/// By the gateway's clock.
const NOW: Timestamp = Timestamp::from_nanos(1_000_000 * SECOND);

fn settings(folder: &Path, more: &str) -> Settings {
    let text = format!(
        "[[connector]]\nname = \"n\"\ndevice = \"d\"\nurl = \"opc.tcp://localhost\"\nhistory = true\n{more}\n\
         [[connector.tag]]\nname = \"a\"\nnode = \"i=1\"\n[[connector.tag]]\nname = \"b\"\nnode = \"i=2\"\n\
         [[connector.tag]]\nname = \"c\"\nnode = \"i=3\"\nhistory = false\n"
    );
    let read = Document::new(Path::new("f.toml"), &text, &|_| None).read(|root| {
        let mut connector = root.tables(&crate::keys::KEYS.connector).remove(0);
        let mut tags = connector.tables(&crate::keys::KEYS.tag);
        Settings::read(&mut connector, &mut tags, folder)
    });
    read.unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * SECOND)
}

fn gap(from: i64, to: i64) -> Gap {
    Gap {
        from: at(from),
        to: at(to),
    }
}

fn gaps(history: &History, handle: u32) -> Vec<Gap> {
    let found = history.plan(Duration::from_secs(1_000_000), 10, Instant::now());
    let of = |plan: Plan| plan.gaps.into_iter().filter(|(known, _)| *known == handle);
    found.into_iter().flat_map(of).map(|(_, gap)| gap).collect()
}

#[test]
fn a_gap_lies_between_the_last_value_before_a_loss_and_the_first_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::new(&settings(folder.path(), ""));
    history.noticed(1, at(10), NOW, Loss::Before);
    assert_eq!(
        gaps(&history, 1),
        [],
        "nothing is asked for before the first value"
    );
    history.noticed(1, at(11), NOW, Loss::None);
    history.noticed(1, at(30), NOW, Loss::Before);
    history.noticed(1, at(31), NOW, Loss::None);
    assert_eq!(gaps(&history, 1), [gap(11, 30)]);
    history.noticed(3, at(1), NOW, Loss::Before);
    history.noticed(3, at(9), NOW, Loss::Before);
    assert_eq!(gaps(&history, 3), [], "a tag without history");
    let mut deep = History::new(&settings(folder.path(), "history_depth = \"10s\""));
    deep.noticed(1, at(30), NOW, Loss::Before);
    assert_eq!(gaps(&deep, 1), [gap(20, 30)]);
}

#[test]
fn gaps_are_read_in_stretches_together_and_shrink_as_they_are_filled() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::new(&settings(folder.path(), ""));
    for (handle, from, to) in [(1, 0, 100), (2, 5, 90)] {
        history.noticed(handle, at(from), NOW, Loss::None);
        history.noticed(handle, at(to), NOW, Loss::Before);
    }
    let span = Duration::from_secs(40);
    let plan = history.plan(span, 10, Instant::now()).unwrap();
    assert_eq!((plan.from, plan.to), (at(0), at(40)));
    assert_eq!(plan.gaps, [(1, gap(0, 100)), (2, gap(5, 90))]);
    assert_eq!(history.plan(span, 1, Instant::now()).unwrap().gaps.len(), 1);
    history.filled(1, Progress::UpTo(tick_before(at(40))), Instant::now());
    history.filled(2, Progress::Alone, Instant::now());
    let plan = history.plan(span, 10, Instant::now()).unwrap();
    assert_eq!(plan.gaps, [(2, gap(5, 90))], "asked for on its own");
    history.filled(2, Progress::Hopeless, Instant::now());
    let plan = history.plan(span, 10, Instant::now()).unwrap();
    assert_eq!((plan.from, plan.gaps.len()), (tick_before(at(40)), 1));
    history.filled(1, Progress::UpTo(tick_before(at(100))), Instant::now());
    assert_eq!(history.plan(span, 10, Instant::now()), None);
}

#[test]
fn only_what_is_durable_is_written_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let mut history = History::load(&settings).unwrap();
    history.noticed(1, at(10), NOW, Loss::Before);
    let fresh = history.fresh();
    history.noticed(1, at(20), NOW, Loss::None);
    history.stored(&fresh);
    history.noticed(1, at(40), NOW, Loss::Before);
    let (path, text) = history.changed().unwrap();
    assert_eq!(history.changed(), None);
    let golden = "forebay-opcua-history 1\nd\ta\ti=1\t10000000000\t20000000000:40000000000\n";
    assert_eq!(text, golden);
    save(&path, &text).unwrap();
    let mut again = History::load(&settings).unwrap();
    again.noticed(1, at(60), NOW, Loss::Before);
    let open = gaps(&again, 1);
    assert_eq!(
        open,
        [gap(10, 60)],
        "what had no receipt is read again, once"
    );
    for broken in [
        "forebay-opcua-history 2\n",
        "forebay-opcua-history 1\nd\ta\n",
    ] {
        fs::write(&path, broken).unwrap();
        let error = History::load(&settings).unwrap_err().to_string();
        assert!(error.contains("remove the file"), "{error}");
    }
}

#[test]
fn gaps_without_number_are_joined() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::new(&settings(folder.path(), ""));
    for n in 0..200 {
        history.noticed(1, at(10 * n), NOW, Loss::Before);
    }
    let found = gaps(&history, 1);
    assert_eq!(found.len(), 1, "one at a time");
    assert_eq!(found[0].from, at(0));
    assert_eq!(history.series[&1].gaps.len(), GAPS_MAX);
}

#[test]
fn a_wrong_time_of_the_source_closes_no_gap_and_a_steady_lead_of_its_clock_opens_none_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let now = NOW.nanos() / SECOND;
    let (hour, day) = (3600, 86_400);
    // Far in the future, so far as no clock is set wrongly, and where one may be.
    for ahead in [70 * 365 * day, 2 * day, hour] {
        let mut history = History::new(&settings);
        let notice = |history: &mut History, seconds: i64, loss: Loss| {
            history.noticed(1, at(seconds), NOW, loss);
            let fresh = history.fresh();
            history.stored(&fresh);
        };
        notice(&mut history, now - 100, Loss::None);
        notice(&mut history, now + ahead, Loss::None);
        notice(&mut history, now - 50, Loss::None);
        notice(&mut history, now - 10, Loss::Before);
        assert_eq!(gaps(&history, 1), [gap(now - 50, now - 10)], "{ahead}");
        let (path, text) = history.changed().unwrap();
        save(&path, &text).unwrap();
        let mut again = History::load(&settings).unwrap();
        notice(&mut again, now - 5, Loss::Before);
        let open = &again.series[&1].gaps;
        let expected = [gap(now - 50, now - 10), gap(now - 10, now - 5)];
        assert_eq!(open, &expected, "{ahead}: after a restart");
        fs::remove_file(&path).unwrap();
    }
    // A loss before such a time is a gap up to the next value.
    let mut history = History::new(&settings);
    history.noticed(1, at(now - 100), NOW, Loss::None);
    history.noticed(1, at(now + 2 * day), NOW, Loss::Before);
    assert_eq!(gaps(&history, 1), []);
    history.noticed(1, at(now - 10), NOW, Loss::None);
    assert_eq!(gaps(&history, 1), [gap(now - 100, now - 10)]);
    let mut ahead = History::new(&settings);
    for seconds in 0..3 {
        ahead.noticed(1, at(now + hour + seconds), NOW, Loss::None);
    }
    ahead.noticed(1, at(now + hour + 60), NOW, Loss::Before);
    assert_eq!(
        gaps(&ahead, 1),
        [gap(now + hour + 2, now + hour + 60)],
        "a clock that is set to local time"
    );
}

#[test]
fn a_gap_that_is_not_filled_now_is_kept_and_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::new(&settings(folder.path(), ""));
    for handle in [1, 2] {
        history.noticed(handle, at(0), NOW, Loss::None);
        history.noticed(handle, at(100), NOW, Loss::Before);
    }
    let start = Instant::now();
    let asked = |history: &History, after: Duration| {
        let plan = history.plan(Duration::from_secs(1000), 10, start + after);
        let gaps = plan.map(|plan| plan.gaps).unwrap_or_default();
        gaps.into_iter()
            .map(|(handle, _)| handle)
            .collect::<Vec<_>>()
    };
    history.filled(1, Progress::Later, start);
    assert!(history.is_waiting(1));
    assert_eq!(asked(&history, Duration::ZERO), [2], "others go on");
    assert_eq!(asked(&history, WAIT_MIN), [1, 2]);
    history.filled(1, Progress::Later, start + WAIT_MIN);
    assert_eq!(asked(&history, 2 * WAIT_MIN), [2], "twice as long");
    assert_eq!(asked(&history, 3 * WAIT_MIN), [1, 2]);
    for _ in 0..100 {
        history.filled(1, Progress::Later, start);
    }
    assert_eq!(asked(&history, WAIT_MAX), [1, 2], "and no longer than this");
    assert_eq!(asked(&history, Duration::ZERO), [2]);
    history.linked();
    assert_eq!(asked(&history, Duration::ZERO), [1, 2], "over a new link");
    assert!(!history.is_waiting(1));
}
