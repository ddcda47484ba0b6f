//! What every protocol connector is.
//!
//! A [`Connector`] speaks to devices and hands [`Sample`]s to its [`Outlet`]; [`Outlet::deliver`] comes back once they are
//! durable (E1), so whatever a connector acknowledges to its device is safe; so does [`Outlet::deliver_events`]. It reports its links through
//! [`Outlet::link`], and the gateway turns a lost link into readings of bad quality; a connector does not.
//! Scaling, dead-bands and all other steps are the gateway's too: a connector hands over what the device said.
//! Whatever implements the trait passes the suite in `connectors/conformance`.

mod connector;
mod keys;
mod link;
mod number;
mod outlet;
mod receipt;
mod sample;
mod watcher;

pub use connector::{Connector, ConnectorError, ConnectorKind, Context, Declared, Uniform};
pub use keys::{ConnectorKeys, NAME};
pub use link::{IllegalMove, LinkEvent, LinkState};
pub use number::finite;
pub use outlet::{Closed, Delivery, DeviceEvent, LinkChange, Message, Outlet, Parcel, outlet};
pub use receipt::{Extent, Restored, SessionId, Token};
pub use sample::{RuleId, Sample, SampleKind};
pub use watcher::{RAW_BYTES_MAX, Raw, Watcher};
