//! The connector of kind "simulated" as the gateway runs it.

#![expect(clippy::unwrap_used, reason = "what a test cannot set up ends it")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use forebay_connectors::{ConnectorKind, Sample};
use forebay_connectors_conformance::{
    BadPoint, Loss, Memory, Point, Receipts, Rig, Subject, configure, samples_of, suite,
};
use forebay_schemas::{Quality, Value};
use forebay_simulated::SimulatedKind;
use tempfile::TempDir;

fn file(keys: &str, tags: &[&str]) -> String {
    let tags: String = tags
        .iter()
        .map(|tag| format!("[[connector.tag]]\n{tag}\n"))
        .collect();
    format!(
        "[[connector]]\nname = \"sim\"\nkind = \"simulated\"\ndevice = \"pump\"\n{keys}\n{tags}"
    )
}

/// The first samples of a run.
async fn first(text: &str, count: usize) -> Vec<Sample> {
    let rig = Rig::start(&SimulatedKind, text, Receipts::Given);
    let mut samples = rig.samples_since(0, count).await;
    rig.stop().await;
    samples.truncate(count);
    samples
}

fn values(samples: &[Sample]) -> Vec<Option<Value>> {
    samples.iter().map(|sample| sample.value.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_seed_gives_the_same_values_at_every_start() {
    let tags = [
        "name = \"walk\"\nsignal = \"random_walk\"\nnoise = 0.5",
        "name = \"count\"\nsignal = \"counter\"",
        "name = \"mode\"\nsignal = \"states\"\nstates = [\"idle\", \"run\"]\nperiod = \"2s\"\ndevice = \"other\"",
    ];
    let text = file("every = \"1s\"\nseed = 7", &tags);
    let samples = first(&text, 60).await;
    assert_eq!(values(&samples), values(&first(&text, 60).await));
    let other = file("every = \"1s\"\nseed = 8", &tags);
    assert_ne!(values(&samples), values(&first(&other, 60).await));
    assert_eq!(samples[1].value, Some(Value::I64(0)));
    assert_eq!(samples[4].value, Some(Value::I64(1)));
    assert_eq!(samples[5].value, Some(Value::Text("run".into())));
    assert_eq!(samples[5].device.as_str(), "other");
    assert!(samples.iter().all(|sample| sample.event_time.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_fault_changes_nothing_but_its_own_readings() {
    let walk = "name = \"t\"\nsignal = \"random_walk\"";
    let faulty =
        format!("{walk}\nfaults = [\"dropout\"]\nfault_every = \"1s\"\nfault_length = \"200ms\"");
    let right = first(&file("every = \"100ms\"", &[walk]), 200).await;
    let samples = first(&file("every = \"100ms\"", &[&faulty]), 200).await;
    let mut bad = 0;
    for (sample, right) in samples.iter().zip(&right) {
        if sample.status.quality == Quality::Bad {
            bad += 1;
            assert_eq!(sample.status.reason.as_deref(), Some("simulated drop-out"));
        } else {
            assert_eq!(sample, right);
        }
    }
    assert!((10..70).contains(&bad), "{bad}");
}

#[tokio::test(start_paused = true)]
async fn what_a_late_fault_holds_back_is_handed_over_at_a_stop() {
    let tag = "name = \"t\"\nsignal = \"counter\"\nfaults = [\"late\"]\nfault_every = \"1ms\"\nfault_length = \"1h\"";
    let of_another = "name = \"u\"\nsignal = \"counter\"";
    let rig = Rig::start(
        &SimulatedKind,
        &file("every = \"100ms\"", &[tag, of_another]),
        Receipts::Given,
    );
    rig.samples_since(0, 60).await;
    let samples = rig.stop().await;
    let of = |name: &str| -> Vec<Option<Value>> {
        let own = samples.iter().filter(|sample| sample.tag.as_str() == name);
        own.map(|sample| sample.value.clone()).collect()
    };
    assert_eq!(of("t"), of("u"));
}

#[tokio::test(start_paused = true)]
async fn rows_and_signals_come_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant.csv");
    let text =
        "time,heat,mode\n2026-01-31T12:00:00Z,20.5,on\n2026-01-31T12:00:10Z,,off\nnoon,1,2\n";
    fs::write(&path, text).unwrap();
    let keys = format!("file = \"{}\"\nspeed = 5\nrepeat = false", path.display());
    let tags = [
        "name = \"state\"\ncolumn = \"mode\"",
        "name = \"count\"\nsignal = \"counter\"",
        "name = \"heat\"",
    ];
    let samples = first(&file(&keys, &tags), 12).await;
    let of = |name: &str| -> Vec<(Option<Value>, Option<String>)> {
        let own = samples.iter().filter(|sample| sample.tag.as_str() == name);
        own.map(|sample| (sample.value.clone(), sample.status.reason.clone()))
            .collect()
    };
    let text = |text: &str| (Some(Value::Text(text.into())), None);
    let broken = (None, Some("line 4: \"noon\" is not a time".to_owned()));
    assert_eq!(of("state"), [text("on"), text("off"), broken.clone()]);
    let empty = (None, Some("the recording has no value".to_owned()));
    assert_eq!(of("heat"), [(Some(Value::F64(20.5)), None), empty, broken]);
    assert_eq!(of("count").len(), 6);
}

#[tokio::test(start_paused = true)]
async fn signals_that_the_gateway_had_no_room_for_are_skipped_and_rows_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant.csv");
    let rows: String = (0..100).map(|row| format!("{row},{row}\n")).collect();
    fs::write(&path, format!("time,row\n{rows}")).unwrap();
    let keys = format!("file = \"{}\"\nrepeat = false", path.display());
    let tags = ["name = \"row\"", "name = \"wave\"\nsignal = \"sine\""];
    let rig = Rig::start(&SimulatedKind, &file(&keys, &tags), Receipts::Given);
    rig.samples_since(0, 20).await;
    rig.receipts(Receipts::Withheld);
    tokio::time::sleep(std::time::Duration::from_secs(50)).await;
    rig.receipts(Receipts::Given);
    let count = |samples: &[Sample], name: &str| {
        let own = samples.iter().filter(|sample| sample.tag.as_str() == name);
        own.count()
    };
    rig.until("all rows", 0, |kept| {
        (count(&samples_of(kept), "row") == 100).then_some(())
    })
    .await;
    let samples = rig.stop().await;
    let rows = samples.iter().filter(|sample| sample.tag.as_str() == "row");
    let rows: Vec<f64> = rows
        .filter_map(|row| row.value.as_ref()?.as_f64())
        .collect();
    let expected: Vec<f64> = (0..100).map(f64::from).collect();
    assert_eq!(rows, expected);
    assert!((40..65).contains(&count(&samples, "wave")), "{samples:?}");
}

/// A file of one row, which is replayed again and again, and replaced to say something.
struct Rewritten {
    folder: TempDir,
}

impl Rewritten {
    fn path(&self) -> PathBuf {
        self.folder.path().join("a.csv")
    }

    /// Replaces it as a whole, as editors do.
    fn write(&self, text: &str) {
        let aside = self.folder.path().join("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(&aside, self.path()).unwrap();
    }
}

#[async_trait]
impl Subject for Rewritten {
    fn kind(&self) -> &dyn ConnectorKind {
        &SimulatedKind
    }

    fn configuration(&self, name: &str) -> String {
        format!(
            "[[connector]]\nname = \"{name}\"\nkind = \"simulated\"\ndevice = \"d\"\nfile = \"{}\"\nspeed = 20\n\
             [[connector.tag]]\nname = \"good\"\n[[connector.tag]]\nname = \"bad\"\n",
            self.path().display()
        )
    }

    fn memory(&self) -> Memory {
        Memory::Latest
    }

    fn declared(&self) -> Vec<Point> {
        ["good", "bad"]
            .map(|tag| Point { device: "d", tag })
            .to_vec()
    }

    fn good(&self) -> Point {
        Point {
            device: "d",
            tag: "good",
        }
    }

    fn bad(&self) -> Option<BadPoint> {
        Some(BadPoint {
            point: Point {
                device: "d",
                tag: "bad",
            },
            reason: "the recording has no value",
        })
    }

    async fn say(&mut self, number: u32) {
        self.write(&format!("time,good,bad\n0,{number},\n"));
    }

    fn value(&self, number: u32) -> Value {
        Value::F64(f64::from(number))
    }

    fn reasons(&self, loss: Loss) -> Vec<String> {
        vec![match loss {
            Loss::Gone => "a.csv failed: No such file".into(),
            Loss::Silent => "a.csv has no rows".into(),
        }]
    }

    async fn take_away(&mut self, loss: Loss) {
        match loss {
            Loss::Gone => fs::remove_file(self.path()).unwrap(),
            Loss::Silent => self.write("time,good,bad\n"),
        }
    }

    async fn bring_back(&mut self, _: Loss) {
        self.say(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connector_does_what_every_connector_must() {
    let folder = tempfile::tempdir().unwrap();
    let mut subject = Rewritten { folder };
    subject.say(0).await;
    suite(subject).await;
}

#[test]
fn what_is_wrong_with_the_configuration_is_said() {
    let sine = "name = \"t\"\nsignal = \"sine\"";
    let column = "name = \"t\"";
    let csv = "file = \"a.csv\"";
    let table: [(&str, &str, &str); 15] = [
        ("", column, "missing; write a signal here, or a file"),
        (
            "",
            "name = \"t\"\nsignal = \"sinus\"",
            "did you mean \"sine\"?",
        ),
        (
            "",
            &format!("{sine}\ncolumn = \"a\""),
            "leave out one of the two",
        ),
        ("", &format!("{sine}\nlow = 5\nhigh = 1"), "it is below low"),
        ("", &format!("{sine}\nperiod = \"0s\""), "a time above 0"),
        ("", &format!("{sine}\nnoise = -1"), "a number from 0 on"),
        (
            "",
            "name = \"t\"\nsignal = \"states\"",
            "at least one text is expected",
        ),
        (
            "",
            &format!("{sine}\nfaults = [\"spikes\"]"),
            "\"spikes\" is not one of dropout, silence, stuck, spike, drift, late",
        ),
        (
            "",
            &format!("{sine}\nfault_every = \"0s\""),
            "fault_every: a time above 0",
        ),
        (
            "speed = 2",
            sine,
            "speed: it says nothing here: there is no file",
        ),
        ("every = \"0s\"", sine, "a time from 1ms on"),
        (csv, sine, "no tag is a column of it"),
        (
            csv,
            "name = \"t\"\nhigh = 1",
            "it says nothing here: there is no signal",
        ),
        ("file = \"a.csv\"\nspeed = 0", column, "a number above 0"),
        (
            "file = \"a.csv\"\ntimes = \"recorded\"\nrepeat = true",
            column,
            "the same times would come again",
        ),
    ];
    for (keys, tag, expected) in table {
        let Err(errors) = configure(&SimulatedKind, &file(keys, &[tag])) else {
            panic!("{keys} {tag} is taken");
        };
        assert!(
            errors.to_string().contains(expected),
            "{expected}: {errors}"
        );
    }
}

/// The page's examples are read, and run with the file that the page shows.
#[tokio::test(start_paused = true)]
async fn the_examples_of_the_page_run() {
    let page =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/connectors/simulated.md");
    let page = fs::read_to_string(page).unwrap();
    let block = |opening: &str| {
        let (_, block) = page.split_once(opening).unwrap();
        block.split_once("```").unwrap().0
    };
    let of_gateway = |line: &&str| line.starts_with("unit ");
    let example: Vec<&str> = block("```toml\n").lines().collect();
    let example: Vec<&str> = example
        .into_iter()
        .filter(|line| !of_gateway(line))
        .collect();
    let connectors: Vec<String> = example
        .join("\n")
        .split("[[connector]]\n")
        .skip(1)
        .map(|own| format!("[[connector]]\n{own}"))
        .collect();
    let [signals, replay] = connectors.as_slice() else {
        panic!("{connectors:?}");
    };
    let samples = first(signals, 6).await;
    assert_eq!(samples[0].value, Some(Value::F64(40.0)));
    assert_eq!(samples[2].value, Some(Value::Text("idle".into())));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant.csv");
    fs::write(&path, block("```csv\n")).unwrap();
    let replay = replay.replace("plant.csv", &path.display().to_string());
    let samples = first(&replay, 4).await;
    let heat = [Some(Value::F64(20.5)), None, Some(Value::F64(21.0))];
    assert_eq!(values(&samples[..3]), heat);
}
