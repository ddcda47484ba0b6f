//! Alertmanager, by version 2 of its API: `POST /api/v2/alerts`.
//!
//! An alert is over there at its `endsAt`. While it fires, each delivery moves that on; so repetitions keep it alive, and what
//! nobody repeats any more, because the gateway is gone, ends. `alertname` is the rule's name, as Prometheus has it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use forebay_schemas::Timestamp;
use serde_json::json;

use super::{SendError, http::Target, webhook::bearer};
use crate::{
    Delivery, Sender,
    instant::{plus, rfc3339},
};

/// An Alertmanager.
#[derive(Debug, Clone)]
pub(crate) struct Alertmanager {
    /// Its URL with the path of the API.
    pub(crate) target: Target,
    pub(crate) token_file: Option<PathBuf>,
    /// How long an alert lives without another delivery.
    pub(crate) alive_for: Duration,
}

impl Alertmanager {
    pub(super) async fn send(
        &self,
        delivery: &Delivery,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<String, SendError> {
        let ends_at = delivery
            .ends_at
            .unwrap_or_else(|| plus(now, self.alive_for));
        let alerts = json!([{
            "labels": labels(delivery, sender),
            "annotations": { "summary": delivery.summary, "delivery_id": delivery.id },
            "startsAt": rfc3339(delivery.starts_at),
            "endsAt": rfc3339(ends_at),
        }]);
        let headers: Vec<_> = bearer(self.token_file.as_ref())
            .await?
            .into_iter()
            .collect();
        self.target
            .post(&headers, alerts.to_string().into_bytes())
            .await
    }
}

/// What names the alert there. The severity is in it, because routes there match it: an alert that becomes worse is another one
/// there, and the first ends with its `endsAt`.
fn labels(delivery: &Delivery, sender: &Sender) -> BTreeMap<String, String> {
    let mut labels = delivery.labels.clone();
    let site = sender.site.as_str().to_owned();
    labels.entry("site".to_owned()).or_insert(site);
    labels.insert("alertname".to_owned(), delivery.rule.clone());
    labels.insert("alert_id".to_owned(), delivery.alert_id.clone());
    labels.insert("gateway".to_owned(), sender.gateway.as_str().to_owned());
    labels.insert("severity".to_owned(), delivery.severity.name().to_owned());
    labels
}
