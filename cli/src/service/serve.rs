//! The role that answers queries over the network, on the lake as readers see it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use forebay_compactor::{
    DeviceFreshness, HeldBy, PathParts, Progress, WaitingWindow, WindowProgress, fresh_devices,
};
use forebay_serve::{
    DeviceWays, LakeReader, ServeProgress, ServeSettings, WaitingWindows, Way, serve,
};
use tokio::{select, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Service, part::OnFailure};
use crate::{clock::clock, store::Store};

/// Pause before it is asked again whether there is a lake.
const LAKE_PAUSE: Duration = Duration::from_secs(1);

impl Service {
    pub(super) fn add_serve(
        &mut self,
        on_failure: OnFailure,
        store: Arc<Store>,
        settings: ServeSettings,
        compactor: Option<(Arc<WindowProgress>, Arc<Progress>)>,
    ) {
        let progress = self.watch.lake.serve.clone();
        self.add("serve", on_failure, move |stop| {
            let (store, settings, progress) = (store.clone(), settings.clone(), progress.clone());
            let asked = compactor.clone().map(|(windows, consumed)| Asked {
                waiting: waiting_windows(windows.clone()),
                ways: device_ways(windows, consumed),
            });
            Some(Box::pin(run(store, settings, asked, progress, stop)))
        });
    }
}

/// What is asked of the compactor beside it.
struct Asked {
    waiting: WaitingWindows,
    ways: DeviceWays,
}

async fn run(
    store: Arc<Store>,
    settings: ServeSettings,
    asked: Option<Asked>,
    progress: Arc<ServeProgress>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    if !lake_comes(&store, &stop).await? {
        return Ok(());
    }
    let reader = store.reader().await?;
    let (waiting, ways) = asked.map(|asked| (asked.waiting, asked.ways)).unzip();
    let lake = LakeReader {
        tables: reader.tables,
        decrypter: reader.decrypter,
        waiting,
        ways,
    };
    Ok(serve(settings, lake, clock(), progress, stop, |_| {}).await?)
}

fn waiting_windows(progress: Arc<WindowProgress>) -> WaitingWindows {
    WaitingWindows::new(move || progress.waiting().into_iter().map(shown).collect())
}

fn device_ways(windows: Arc<WindowProgress>, consumed: Arc<Progress>) -> DeviceWays {
    DeviceWays::new(move || {
        let devices = fresh_devices(&windows, &consumed);
        devices
            .into_iter()
            .filter_map(way)
            .collect::<HashMap<_, _>>()
    })
}

/// By site and device; none of what this process did not commit.
fn way(device: DeviceFreshness) -> Option<((String, String), Way)> {
    let seconds = |micros: i64| micros as f64 / 1e6;
    let PathParts::Known {
        spool,
        stream,
        commit,
    } = device.parts(device.seen).path
    else {
        return None;
    };
    let way = Way {
        spool: seconds(spool),
        stream: seconds(stream),
        commit: seconds(commit),
    };
    Some(((device.site, device.device), way))
}

fn shown(window: WaitingWindow) -> forebay_serve::WaitingWindow {
    forebay_serve::WaitingWindow {
        held_by: window.held_by.to_string(),
        device: match window.held_by {
            HeldBy::Device(device) => Some(device),
            HeldBy::Jump | HeldBy::Clock => None,
        },
        site: window.site,
        window_start: window.window_start,
        window_end: window.window_end,
        since: window.since,
    }
}

/// Waits for the lake, which another role may be about to make. Not if the stop comes first.
async fn lake_comes(store: &Store, stop: &CancellationToken) -> anyhow::Result<bool> {
    let mut is_first = true;
    while store.lake_there().await?.is_none() {
        if is_first {
            info!("there is no lake yet, waiting for it before queries are answered");
            is_first = false;
        }
        select! {
            () = sleep(LAKE_PAUSE) => {}
            () = stop.cancelled() => return Ok(false),
        }
    }
    Ok(true)
}
