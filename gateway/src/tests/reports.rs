//! How devices do, as `forebay devices` shows it.

use forebay_connectors::Sample;
use forebay_schemas::{Quality, Status, Value};

use super::steps::{at, pipeline, sample};
use crate::Pipeline;

/// The tags that are not good.
fn shown(pipeline: &Pipeline) -> Vec<String> {
    let not_good = pipeline.report("c").remove(0).not_good;
    let tags = not_good.iter();
    tags.map(|tag| format!("{} {:?}", tag.tag, tag.status.quality))
        .collect()
}

#[test]
fn devices_show_what_the_clock_and_the_steps_make_of_a_reading() {
    let steps = "[[step]]\ntags = [\"*/ratio\"]\nexpression = \"1 / value\"";
    let (mut pipeline, _) = pipeline("", steps);
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

#[test]
fn what_a_table_leaves_out_or_derives_says_nothing_of_what_was_sent() {
    let steps = "[[step]]\ntags = [\"*/t\"]\nderive = \"inverse\"\nexpression = \"1 / value\"\n\
                 [[step]]\ntags = [\"*/t\"]\nfilter = \"value > 0\"\n\
                 [[step]]\ntags = [\"*/w\"]\nwindow = \"10s\"\naggregate = [\"mean\"]";
    let (mut pipeline, _) = pipeline("", steps);
    let doubtful = |series, value| Sample {
        status: Status {
            quality: Quality::Uncertain,
            ..Status::GOOD
        },
        ..sample(series, value)
    };
    let number = |value| Some(Value::F64(value));
    // A sample each second, and what is not good then.
    let table: [(Sample, &[&str]); 6] = [
        (sample("d/t", number(1.0)), &[]),
        // What is derived of it is bad, and it is left out itself.
        (doubtful("d/t", number(0.0)), &[]),
        (doubtful("d/t", number(2.0)), &["t Uncertain"]),
        (sample("d/t", number(-1.0)), &["t Uncertain"]),
        // A window takes all there is of its series.
        (
            doubtful("d/w", number(1.0)),
            &["t Uncertain", "w Uncertain"],
        ),
        (sample("d/w", number(1.0)), &["t Uncertain"]),
    ];
    for (second, (sample, expected)) in table.into_iter().enumerate() {
        pipeline.samples(vec![sample], at(second as f64));
        assert_eq!(shown(&pipeline), expected, "{second}");
    }
}
