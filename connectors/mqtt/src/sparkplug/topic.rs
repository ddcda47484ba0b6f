//! Topics of Sparkplug B (Sparkplug 3.0.0, chapter 4): `spBv1.0/GROUP/TYPE/NODE[/DEVICE]` and `spBv1.0/STATE/HOST`.

/// The first level of every topic.
pub(crate) const NAMESPACE: &str = "spBv1.0";

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageKind {
    Birth,
    Death,
    Data,
}

/// Which topic a message came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SparkplugTopic<'t> {
    /// Of a node, or of one of its devices.
    Edge {
        kind: MessageKind,
        group: &'t str,
        node: &'t str,
        device: Option<&'t str>,
    },
    /// A host's state.
    State { host: &'t str },
    /// A command of some host, or something else: not for readings.
    Other,
}

impl<'t> SparkplugTopic<'t> {
    pub(super) fn of(topic: &'t str) -> Self {
        let levels: Vec<&str> = topic.split('/').collect();
        let named = |kind, group, node, device| Self::Edge {
            kind,
            group,
            node,
            device,
        };
        match *levels.as_slice() {
            [NAMESPACE, "STATE", host] => Self::State { host },
            [NAMESPACE, group, kind, node] => match kind {
                "NBIRTH" => named(MessageKind::Birth, group, node, None),
                "NDEATH" => named(MessageKind::Death, group, node, None),
                "NDATA" => named(MessageKind::Data, group, node, None),
                _ => Self::Other,
            },
            [NAMESPACE, group, kind, node, device] => match kind {
                "DBIRTH" => named(MessageKind::Birth, group, node, Some(device)),
                "DDEATH" => named(MessageKind::Death, group, node, Some(device)),
                "DDATA" => named(MessageKind::Data, group, node, Some(device)),
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// Where a host says whether it is there.
pub(crate) fn state_topic(host_id: &str) -> String {
    format!("{NAMESPACE}/STATE/{host_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_say_whose_message_it_is() {
        let edge = |kind, device| SparkplugTopic::Edge {
            kind,
            group: "g",
            node: "n",
            device,
        };
        let table = [
            ("spBv1.0/g/NBIRTH/n", edge(MessageKind::Birth, None)),
            (
                "spBv1.0/g/DDATA/n/d 1",
                edge(MessageKind::Data, Some("d 1")),
            ),
            ("spBv1.0/g/DDEATH/n/d", edge(MessageKind::Death, Some("d"))),
            (
                "spBv1.0/STATE/scada",
                SparkplugTopic::State { host: "scada" },
            ),
            ("spBv1.0/g/NCMD/n", SparkplugTopic::Other),
            ("spBv1.0/g/NDATA/n/d", SparkplugTopic::Other),
            ("spBv1.0/g/DDATA/n", SparkplugTopic::Other),
            ("STATE/scada", SparkplugTopic::Other),
        ];
        for (topic, expected) in table {
            assert_eq!(SparkplugTopic::of(topic), expected, "{topic}");
        }
    }
}
