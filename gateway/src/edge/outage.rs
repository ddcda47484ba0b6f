//! A pump that waits for room, and records the times in which its devices were not read.

use std::pin::pin;

use forebay_schemas::{ErrorKind, Lane, wire::Outage};
use forebay_stream::{LogWriter, Receipt, StreamError};
use tokio::{select, time::sleep};
use tracing::warn;

use super::pump::{Pump, RETRY, TICK};
use crate::{
    GatewayError,
    outages::{AT_ONCE, Span},
    series::elapsed,
};

impl Pump {
    /// Waits for an append, for as long as there is no room.
    pub(super) async fn wait_for(
        &mut self,
        append: impl Future<Output = Result<Receipt, StreamError>>,
    ) -> Result<(), StreamError> {
        let (since, skipped) = ((self.run.clock)(), self.status.skipped());
        let mut append = pin!(append);
        let appended = loop {
            select! {
                appended = &mut append => break appended,
                () = sleep(TICK) => {
                    self.status.note_blocked(TICK);
                    self.full.as_mut().into_iter().for_each(|full| full.waits(since, skipped));
                }
            }
        };
        if appended.is_ok()
            && let Some(full) = &mut self.full
        {
            full.stored((self.run.clock)());
        }
        appended.map(drop)
    }

    /// Stores a time in which the connector's devices were not read.
    pub(super) async fn record_outage(&mut self, span: Span) -> Result<(), GatewayError> {
        let run = self.run.clone();
        let devices = self.pipeline.devices();
        let Span { from, to, why } = span;
        let (why, seconds) = (why.as_str(), elapsed(from, to).as_secs());
        warn!(
            connector = &*self.name,
            why,
            seconds,
            devices = devices.len(),
            "devices were not read: recorded in the table `gaps`"
        );
        for (lane, outages) in span.of_devices(&run.site, devices, run.lanes) {
            let failed = |source| GatewayError::Spool {
                lane: lane.0,
                source,
            };
            let writer = run.writer(lane).map_err(failed)?;
            for some in outages.chunks(AT_ONCE) {
                self.append_outages(lane, writer, some)
                    .await
                    .map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn append_outages(
        &mut self,
        lane: Lane,
        writer: &dyn LogWriter,
        some: &[Outage],
    ) -> Result<(), StreamError> {
        while let Err(error) = self.wait_for(writer.append_outages(some.to_vec())).await {
            if error.kind() != ErrorKind::Retry {
                return Err(error);
            }
            warn!(%lane, %error, "append failed, retrying");
            sleep(RETRY).await;
        }
        Ok(())
    }
}
