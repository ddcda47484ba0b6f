//! JSON and raw bodies to samples, by the paths of their rules (`connectors/payload`).

use forebay_connectors::Sample;
use forebay_payload::{Decoded, Fault, Format as PayloadFormat, Payload};
use forebay_schemas::TagName;

use crate::{
    refusal::Refusal,
    route::{Captured, Format, Rule},
};

/// The samples of a body; a fault refuses it as a whole. A field that is null, or of another type than its rule asks for,
/// is a bad sample beside good ones.
pub(crate) fn samples(
    body: &[u8],
    rule: &Rule,
    captured: &Captured,
) -> Result<Vec<Sample>, Refusal> {
    let format = match rule.format {
        Format::Raw => PayloadFormat::Raw,
        _ => PayloadFormat::Json,
    };
    let refused = |Fault(reason)| Refusal::bad(reason);
    let payload = Payload::parse(format, body).map_err(refused)?;
    let mut samples = Vec::new();
    for outcome in rule.selection.decode(&payload) {
        let decoded = outcome.map_err(refused)?;
        samples.push(sample(decoded, rule, captured)?);
    }
    Ok(samples)
}

fn sample(decoded: Decoded, rule: &Rule, captured: &Captured) -> Result<Sample, Refusal> {
    let own = captured.tag.as_ref().or(rule.tag.as_ref());
    let name = match (own, decoded.field) {
        (Some(tag), None) => tag.as_str().to_owned(),
        (Some(tag), Some(field)) => format!("{tag}.{field}"),
        (None, Some(field)) => field,
        (None, None) => {
            let reason =
                "the value is not an object, and neither the path nor the rule names the tag";
            return Err(Refusal::bad(reason));
        }
    };
    let tag = TagName::new(&name).map_err(|error| Refusal::bad(format!("in the body: {error}")))?;
    let content = (decoded.value, decoded.status);
    rule.sample(captured.device.clone(), tag, decoded.time, content)
}
