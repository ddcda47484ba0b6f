//! What the log says of bad readings: one by name and reason, the others of the next minute as a number, so that a
//! device that sends rubbish does not fill the log.

use forebay_runtime::RateLimit;
use forebay_schemas::{Quality, Reading, Status};

/// One line of the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Device and tag.
    pub(crate) series: String,
    pub(crate) status: Status,
    /// How many more there were since the last line.
    pub(crate) others: u64,
}

/// One connector's.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    limit: RateLimit,
    first: Option<(String, Status)>,
    others: u64,
}

impl Complaints {
    /// Answers whether the reading is bad.
    pub(crate) fn note(&mut self, reading: &Reading) -> bool {
        let is_bad = reading.status.quality == Quality::Bad;
        match &self.first {
            Some(_) if is_bad => self.others += 1,
            None if is_bad => {
                let series = format!("{}/{}", reading.series.device, reading.series.tag);
                self.first = Some((series, reading.status.clone()));
            }
            _ => {}
        }
        is_bad
    }

    /// The line to be logged now.
    pub(crate) fn take(&mut self) -> Option<Complaint> {
        self.first.as_ref()?;
        // What the limit counts is how often it was asked; how many readings were bad is counted here.
        self.limit.admit()?;
        let (series, status) = self.first.take()?;
        Some(Complaint {
            series,
            status,
            others: std::mem::take(&mut self.others),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_schemas::{DeviceId, Series, SiteId, TagName, Timestamp, Value};
    use tokio::time::advance;

    use super::*;

    fn reading(tag: &str, value: Option<Value>, status: Status) -> Reading {
        let series = Series {
            site: SiteId::new("s").unwrap(),
            device: DeviceId::new("pump").unwrap(),
            tag: TagName::new(tag).unwrap(),
        };
        let at = Timestamp::from_nanos(0);
        Reading {
            series,
            event_time: at,
            observed_time: at,
            value,
            unit: None,
            status,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_is_named_and_the_others_are_counted() {
        // A payload that cannot be read is kept as the value.
        let bad = |tag: &str, why: &str| {
            reading(tag, Some(Value::Bytes(vec![0xff])), Status::bad(None, why))
        };
        let complaint = |series: &str, reason: &str, others| {
            Some(Complaint {
                series: series.to_owned(),
                status: Status::bad(None, reason),
                others,
            })
        };
        let mut complaints = Complaints::default();
        assert!(!complaints.note(&reading("heat", Some(Value::F64(1.0)), Status::GOOD)));
        assert_eq!(complaints.take(), None);
        assert!(complaints.note(&bad("heat", "not JSON")));
        assert_eq!(complaints.take(), complaint("pump/heat", "not JSON", 0));
        assert!(
            complaints.note(&bad("flow", "empty")) && complaints.note(&bad("heat", "not JSON"))
        );
        advance(Duration::from_secs(59)).await;
        assert_eq!(complaints.take(), None, "quiet for a minute");
        advance(Duration::from_secs(1)).await;
        assert_eq!(complaints.take(), complaint("pump/flow", "empty", 1));
        advance(Duration::from_secs(839)).await;
        assert_eq!(complaints.take(), None);
    }
}
