//! What a connector's tests lend the suite: a foreign device, and words for it.

use async_trait::async_trait;
use forebay_connectors::ConnectorKind;
use forebay_schemas::Value;

/// A point of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The device, as its samples name it.
    pub device: &'static str,
    /// The tag, as its samples name it.
    pub tag: &'static str,
}

/// A point that cannot be read: its address does not exist, or what it says cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPoint {
    /// The point.
    pub point: Point,
    /// A part of the reason that its samples give.
    pub reason: &'static str,
}

/// How a link is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The device ends: its connections are closed, and nobody listens.
    Gone,
    /// The device is frozen: its connections stay open, and nothing is answered.
    Silent,
}

/// What a device does with values while a connector takes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It has the latest value only.
    Latest,
    /// It queues values as long as the link is up.
    Queue,
    /// It keeps values in a session, also while the link is down, and sends again what was not acknowledged.
    Session,
}

/// Which side makes the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The connector: it knows when the link is lost.
    Dialled,
    /// The device, whenever it has something to say: nobody can tell a link that is lost from a device that is silent.
    Listens,
}

/// A connector under test, and the device that it reads: a peer that is not ours. Its good point is served by the first
/// `[[connector.tag]]`.
#[async_trait]
pub trait Subject: Send {
    /// The kind under test.
    fn kind(&self) -> &dyn ConnectorKind;

    /// A `forebay.toml` with one connector of this name that reads the good point, and the bad one if there is one. Connectors of two
    /// names share no session.
    fn configuration(&self, name: &str) -> String;

    /// What the device does with values while the connector takes none.
    fn memory(&self) -> Memory;

    /// Which side makes the link.
    fn link(&self) -> Link {
        Link::Dialled
    }

    /// The series that are known before the device has answered, in the order of their rules.
    fn declared(&self) -> Vec<Point>;

    /// The point that [`Subject::say`] is about.
    fn good(&self) -> Point;

    /// A point that cannot be read; none where the protocol has no such.
    fn bad(&self) -> Option<BadPoint>;

    /// The good point's value is this number from now on. The device has it when this comes back.
    async fn say(&mut self, number: u32);

    /// The bad point speaks up, where it does not do so unasked.
    async fn say_bad(&mut self) {}

    /// A number as its sample has it.
    fn value(&self, number: u32) -> Value;

    /// Parts of reasons that the connector may give for a loss.
    fn reasons(&self, loss: Loss) -> Vec<String>;

    /// Takes the device away.
    async fn take_away(&mut self, loss: Loss);

    /// Brings the device back that was taken away like this, under the same address.
    async fn bring_back(&mut self, loss: Loss);
}
