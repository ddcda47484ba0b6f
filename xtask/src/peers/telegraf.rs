//! Telegraf with the plugins that the edge is compared on, built by Go's own tool.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::command::run;

const MODULE: &str = "github.com/influxdata/telegraf/cmd/telegraf@v1.37.2";
/// Telegraf's own tags for a build with few plugins.
const TAGS: &str = "custom,inputs.modbus,inputs.mqtt_consumer,inputs.opcua_listener,outputs.kafka,parsers.json,serializers.json";

/// The binary; `None` where there is no Go.
pub(crate) fn telegraf(target: &Path) -> anyhow::Result<Option<PathBuf>> {
    let folder = target.join("peers/telegraf");
    let (binary, stamp) = (folder.join("telegraf"), folder.join("wanted.txt"));
    let wanted = format!("{MODULE} {TAGS}");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(Some(binary));
    }
    if !Command::new("go")
        .arg("version")
        .output()
        .is_ok_and(|version| version.status.success())
    {
        eprintln!("go is not there: Telegraf is left out of the comparison");
        return Ok(None);
    }
    run(Command::new("go")
        .args(["install", "-tags", TAGS, MODULE])
        .env("GOBIN", &folder))?;
    fs::write(&stamp, wanted).context("keep the list of what is built")?;
    Ok(Some(binary))
}
