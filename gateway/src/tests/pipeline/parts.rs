//! Tags whose values come under the names of their parts: an array, a structure.

use super::*;

fn link(down: Option<&str>) -> LinkChange {
    LinkChange {
        device: None,
        down: down.map(str::to_owned),
    }
}

fn of_rule(rule: usize, sample: Sample) -> Sample {
    Sample {
        rule: RuleId(rule),
        ..sample
    }
}

/// The tags that a lost link makes bad.
fn bad(pipeline: &mut Pipeline, second: i64) -> Vec<String> {
    let readings = pipeline.link(link(Some("gone")), at(second));
    let tags = readings
        .iter()
        .map(|reading| reading.series.tag.to_string());
    tags.collect()
}

/// The next process, in which the same series are declared.
fn restarted(old: &Pipeline) -> Pipeline {
    let brings = ["pump/flow".into()];
    let (mut new, _) = pipeline(Rule::default(), Filter::default());
    new.restore(old.kept(&brings), &brings);
    new
}

#[test]
fn a_lost_link_makes_the_parts_bad_and_no_series_of_the_whole() {
    let (mut pipeline, _) = pipeline(Rule::default(), Filter::default());
    assert_eq!(bad(&mut pipeline, 0), ["flow", "heat"], "no value has come");
    pipeline.link(link(None), at(1));
    let parts = ["flow[0]", "flow[1]", "heat.axes[0].low"];
    for tag in parts {
        one(&mut pipeline, sample(tag, Value::I64(1)), at(2)).unwrap();
    }
    assert_eq!(bad(&mut pipeline, 3), parts);
    assert_eq!(bad(&mut restarted(&pipeline), 4), parts);
}

#[test]
fn a_tag_that_has_values_stays_beside_its_parts_and_so_does_another_rules() {
    let (mut pipeline, _) = pipeline(Rule::default(), Filter::default());
    let parts = [
        sample("flow", Value::I64(2)),
        sample("flow.text", Value::Text("running".into())),
        of_rule(1, sample("heat.low", Value::I64(1))),
    ];
    for part in parts {
        one(&mut pipeline, part, at(0)).unwrap();
    }
    assert_eq!(
        bad(&mut pipeline, 1),
        ["flow", "flow.text", "heat", "heat.low"]
    );
    pipeline.link(link(None), at(2));
    let failed = Sample {
        status: Status::bad(None, "failed"),
        ..sample("flow", None)
    };
    one(&mut pipeline, failed, at(3)).unwrap();
    one(&mut pipeline, sample("flow[0]", Value::I64(1)), at(4)).unwrap();
    assert_eq!(
        bad(&mut pipeline, 100),
        ["flow.text", "flow[0]", "heat", "heat.low"],
        "it is an array now"
    );
}
