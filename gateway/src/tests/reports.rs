//! How devices do, as `forebay devices` shows it.

use forebay_connectors::Sample;
use forebay_schemas::Value;

use super::steps::{at, pipeline, sample};
use crate::Pipeline;

#[test]
fn devices_show_what_the_clock_and_the_steps_make_of_a_reading() {
    let steps = "[[step]]\ntags = [\"*/ratio\"]\nexpression = \"1 / value\"";
    let (mut pipeline, _) = pipeline("", steps);
    let shown = |pipeline: &Pipeline| -> Vec<String> {
        let not_good = pipeline.report("c").remove(0).not_good;
        let tags = not_good.iter();
        tags.map(|tag| format!("{} {:?}", tag.tag, tag.status.quality))
            .collect()
    };
    let timed = |series, value, ahead: f64| Sample {
        event_time: Some(at(ahead)),
        ..sample(series, Some(Value::F64(value)))
    };
    let wrong = vec![timed("d/ratio", 0.0, 0.0), timed("d/t", 1.0, 90_000.0)];
    pipeline.samples(wrong, at(0.0));
    assert_eq!(shown(&pipeline), ["ratio Bad", "t Uncertain"]);
    let right = vec![timed("d/ratio", 2.0, 1.0), timed("d/t", 1.0, 1.0)];
    pipeline.samples(right, at(1.0));
    assert_eq!(shown(&pipeline), [""; 0]);
}
