//! Signs of life: of the subscription, and of the server's state.

use std::time::Duration;

use opcua::types::{VariableId, Variant};

use super::Pump;
use crate::error::OpcuaError;

/// How often a server is asked what state it is in.
pub(crate) const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How long a server may take to answer what state it is in.
pub(crate) const PROBE_LIMIT: Duration = Duration::from_secs(3);

impl Pump<'_> {
    pub(super) fn probe(&mut self) -> Result<(), OpcuaError> {
        let silence_max = self.granted.keep_alive.saturating_mul(2);
        if !self.publishes.is_empty() && self.heard_at.elapsed() > silence_max {
            return Err(OpcuaError::Timeout {
                step: "wait for a sign of life of the subscription",
                limit: silence_max,
            });
        }
        if self.probes.is_empty() {
            let session = self.session.clone();
            self.probes.spawn(async move {
                let found = session
                    .read(&[VariableId::Server_ServerStatus_State], PROBE_LIMIT)
                    .await?;
                Ok(found.into_iter().next().and_then(|data| data.value))
            });
        }
        Ok(())
    }
}

/// A server that says it has failed or is going down gives no more values.
pub(crate) fn check_state(state: Option<Variant>) -> Result<(), OpcuaError> {
    let down = match state {
        Some(Variant::Int32(1)) => "failed",
        Some(Variant::Int32(4)) => "shutting down",
        // Others still give values, with a status of their own.
        _ => return Ok(()),
    };
    Err(OpcuaError::Ended(format!("the server is {down}")))
}
