//! The role that answers queries over the network, on the lake as readers see it.

use std::{sync::Arc, time::Duration};

use forebay_compactor::{HeldBy, WaitingWindow, WindowProgress};
use forebay_serve::{LakeReader, ServeProgress, ServeSettings, WaitingWindows, serve};
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
        windows: Option<Arc<WindowProgress>>,
    ) {
        let progress = self.watch.lake.serve.clone();
        self.add("serve", on_failure, move |stop| {
            let (store, settings, progress) = (store.clone(), settings.clone(), progress.clone());
            let waiting = windows.clone().map(waiting_windows);
            Some(Box::pin(run(store, settings, waiting, progress, stop)))
        });
    }
}

async fn run(
    store: Arc<Store>,
    settings: ServeSettings,
    waiting: Option<WaitingWindows>,
    progress: Arc<ServeProgress>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    if !lake_comes(&store, &stop).await? {
        return Ok(());
    }
    let reader = store.reader().await?;
    let lake = LakeReader {
        tables: reader.tables,
        decrypter: reader.decrypter,
        waiting,
    };
    Ok(serve(settings, lake, clock(), progress, stop, |_| {}).await?)
}

fn waiting_windows(progress: Arc<WindowProgress>) -> WaitingWindows {
    WaitingWindows::new(move || progress.waiting().into_iter().map(shown).collect())
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
