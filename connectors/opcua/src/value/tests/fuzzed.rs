//! Kept values as they come over the wire (Part 6, 5.2.2.17) and damaged ones: samples, or no value with a reason.

use std::io::Cursor;

use forebay_fuzz::{corpus, fuzz};
use opcua::types::{BinaryDecodable as _, ContextOwned};

use super::*;

#[test]
fn fuzz_values() {
    let types = types();
    let targets = [
        target(),
        Target {
            compound: Compound::Json,
            ..target()
        },
    ];
    let names = Enumeration([(0, "off".into()), (2, "running".into())].into());
    let context = ContextOwned::default();
    fuzz(corpus!("values"), move |bytes| {
        let Ok(data) = DataValue::decode(&mut Cursor::new(bytes), &context.context()) else {
            return Vec::new();
        };
        let mut lacking = Vec::new();
        types.lacking(&data, &mut lacking);
        let mut kinds = Vec::new();
        for target in &targets {
            match super::super::item_value(target, &data, &types, Some(&names)) {
                ItemValue::Parts(_, samples) => {
                    let kind = |sample: &Sample| {
                        format!("{:?}", sample.value.as_ref().map(Value::value_type))
                    };
                    kinds.extend(samples.iter().take(10).map(kind));
                }
                ItemValue::Missing(status) => {
                    let reason = status.reason.unwrap_or_default();
                    kinds.push(
                        reason
                            .chars()
                            .filter(|c| c.is_alphabetic())
                            .take(30)
                            .collect(),
                    );
                }
            }
        }
        kinds
    });
}
