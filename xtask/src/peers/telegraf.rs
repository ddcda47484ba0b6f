//! Telegraf with the plugins that the edge is compared on.

use std::path::{Path, PathBuf};

use super::go::{Program, build};

const TELEGRAF: Program = Program {
    name: "telegraf",
    module: "github.com/influxdata/telegraf/cmd/telegraf@v1.37.2",
    // Telegraf's own tags for a build with few plugins.
    tags: "custom,inputs.mqtt_consumer,outputs.kafka,parsers.json,serializers.json",
};

/// The binary; `None` where there is no Go.
pub(crate) fn telegraf(target: &Path) -> anyhow::Result<Option<PathBuf>> {
    build(target, &TELEGRAF)
}
