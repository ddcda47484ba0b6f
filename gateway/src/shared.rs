//! Series that come by two connectors.

use std::collections::{BTreeMap, BTreeSet};

use forebay_connectors::Declared;
use forebay_schemas::{DeviceId, TagName};

use crate::settings::Source;

/// A sentence for each two connectors that declare the same series. It may be meant, so it is no error; yet nobody can tell
/// their readings apart. Series that only messages bring are known to nobody beforehand.
pub fn shared_series(sources: &[Source]) -> Vec<String> {
    let mut owners: BTreeMap<(DeviceId, TagName), &str> = BTreeMap::new();
    let mut shared: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for Source {
        name,
        connector,
        rules,
        filter,
        ..
    } in sources
    {
        for Declared { rule, device, tag } in connector.declared() {
            if !filter.takes(&device, &tag) {
                continue;
            }
            let tag = match rules.get(rule.0) {
                Some(rule) => rule.named(tag),
                None => tag,
            };
            let series = format!("{device}/{tag}");
            let owner = *owners.entry((device, tag)).or_insert(name);
            if owner != name {
                shared.entry((owner, name)).or_default().insert(series);
            }
        }
    }
    let sentence = |((one, other), series): ((&str, &str), BTreeSet<String>)| {
        let (count, first) = (series.len(), series.into_iter().next().unwrap_or_default());
        format!(
            "connectors {one:?} and {other:?} share {count} series, such as {first}: their readings could not be told apart"
        )
    };
    shared.into_iter().map(sentence).collect()
}
