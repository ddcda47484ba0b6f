//! How the devices of a pipeline do.

use std::collections::BTreeMap;

use forebay_schemas::{DeviceId, Quality};

use super::Pipeline;
use crate::device_report::{DeviceReport, TagReport};

impl Pipeline {
    /// Each device with its tags that are not good.
    pub(crate) fn report(&self, connector: &str) -> Vec<DeviceReport> {
        let mut reports: BTreeMap<&DeviceId, DeviceReport> = BTreeMap::new();
        for ((device, tag), known) in &self.series {
            let report = reports.entry(device).or_insert_with(|| DeviceReport {
                connector: connector.to_owned(),
                device: device.clone(),
                link: self.link_of(device),
                tags: 0,
                last: None,
                latency_micros: self.status.latency_micros(device),
                not_good: Vec::new(),
            });
            report.tags += 1;
            let Some(at) = known.state.last_sent() else {
                continue;
            };
            let status = known.sent.get();
            report.last = report.last.max(Some(at));
            if status.quality != Quality::Good {
                report.not_good.push(TagReport {
                    tag: tag.clone(),
                    status: status.clone(),
                });
            }
        }
        reports.into_values().collect()
    }

    /// Why a device's link is down; none while it is up.
    fn link_of(&self, device: &DeviceId) -> Option<String> {
        let own = || self.down.get(&Some(device.clone()));
        self.down.get(&None).or_else(own).cloned()
    }
}
