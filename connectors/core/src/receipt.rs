//! What a connector needs to have kept of messages that its device may send again (E1).

/// A session at a server that sends again what was not acknowledged: a digest of whatever identifies it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

/// What tells a message from all others that its session may send again; at most 64 KiB less 16 bytes. Known to its connector
/// alone, and stable between releases.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub Vec<u8>);

/// How much of a message is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extent {
    /// All: when it comes again it is to be acknowledged and not handed over.
    Whole,
    /// A part: when it comes again it is to be handed over again under its token, and the gateway takes what is missing.
    Part,
}

/// A message that an earlier process made durable and whose receipt was open when it ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Restored {
    /// The message.
    pub token: Token,
    /// How much of it is there.
    pub extent: Extent,
}
