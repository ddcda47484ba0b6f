//! What is shown behind each step, to who looks there.

use std::sync::Arc;

use super::steps::{at, number, pipeline, sample};
use crate::{Closeness, Fate, Pipeline, Stage, Tap, Tapped, steps::Trace};

/// What passes while samples of one series go through, a second each: `table.step value`, and what became of it.
async fn seen(pipeline: &mut Pipeline, series: &str, values: &[f64]) -> Vec<String> {
    let tap = Tap::default();
    let mut onlooker = tap.watch(Closeness {
        raw: false,
        steps: true,
    });
    let connector: Arc<str> = "a".into();
    pipeline.set_trace(Some(Trace::new(tap.clone(), connector)));
    for (second, value) in values.iter().enumerate() {
        pipeline.samples(vec![sample(series, number(*value))], at(second as f64));
    }
    pipeline.set_trace(None);
    drop(tap);
    let mut seen = Vec::new();
    while let Ok(tapped) = onlooker.next().await {
        let Tapped::Value(value) = &*tapped else {
            panic!("{tapped:?}");
        };
        let Stage::Step(place) = value.stage else {
            panic!("{tapped:?}");
        };
        let number = value.value.as_ref().and_then(|value| value.as_f64());
        let number = number.map_or("-".to_owned(), |number| number.to_string());
        let fate = match value.fate {
            Fate::GoesOn => "",
            Fate::LeftOut => " left out",
            Fate::Held => " held",
        };
        seen.push(format!("{}.{} {number}{fate}", place.table, place.step));
    }
    seen
}

#[tokio::test]
async fn values_are_shown_behind_each_step_of_each_table() {
    const TAG: &str =
        "scale = 10\nunit = \"W\"\nto_unit = \"kW\"\nkeep = [0, 1000]\ninvalid = [-1]";
    const STEPS: &str = "[[step]]\ntags = [\"p/*\"]\nclamp = [0, 2]\nfilter = \"value != 1\"\n\
                         [[step]]\ntags = [\"p/*\"]\nderive = \"double\"\nexpression = \"value * 2\"\n\
                         [[step]]\ntags = [\"p/t\"]\ndeadband = 0.5";
    let (mut pipeline, _) = pipeline(TAG, STEPS);
    assert_eq!(
        seen(&mut pipeline, "p/t", &[50.0, 100.0]).await,
        [
            // 50 × 10 W
            "0.scale 500",
            "0.unit 500",
            "0.to_unit 0.5",
            "0.keep 0.5",
            "1.clamp 0.5",
            "1.filter 0.5",
            "2.derive 0.5",
            "2.expression 1",
            "3.deadband 0.5",
            // 1 kW is filtered out by the first table.
            "0.scale 1000",
            "0.unit 1000",
            "0.to_unit 1",
            "0.keep 1",
            "1.clamp 1",
            "1.filter 1 left out",
        ]
    );
    assert_eq!(
        seen(&mut pipeline, "p/t", &[60.0, 500_000.0, -1.0]).await,
        [
            "0.scale 600",
            "0.unit 600",
            "0.to_unit 0.6",
            "0.keep 0.6",
            "1.clamp 0.6",
            "1.filter 0.6",
            "2.derive 0.6",
            "2.expression 1.2",
            "3.deadband 0.6 left out",
            "0.scale 5000000",
            "0.unit 5000000",
            "0.to_unit 5000",
            "0.keep 5000 left out",
            "0.invalid -",
            "0.unit -",
            "0.to_unit -",
            "1.filter -",
            "2.derive -",
            "2.expression -",
            "3.deadband -",
        ]
    );
}

#[tokio::test]
async fn what_a_window_holds_back_and_sends_is_shown() {
    const STEPS: &str = "[[step]]\ntags = [\"p/t\"]\nwindow = \"2s\"\naggregate = [\"mean\"]\n\
                         [[step]]\ntags = [\"p/t.mean\"]\nrename = \"m\"";
    let (mut pipeline, _) = pipeline("", STEPS);
    assert_eq!(
        seen(&mut pipeline, "p/t", &[1.0, 3.0, 5.0]).await,
        [
            "1.window 1 held",
            "1.window 3 held",
            "1.window 5 held",
            "1.window 2",
            "2.rename 2"
        ]
    );
}
