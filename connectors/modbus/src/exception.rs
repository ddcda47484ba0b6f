//! Exception codes by the names of the standard (Modbus Application Protocol V1.1b3, section 7).

use std::fmt;

/// The code of an exception reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exception(pub(crate) u8);

impl Exception {
    /// Whether a smaller request could succeed: the address range (2) or its length (3) was refused.
    pub(crate) fn is_of_the_range(self) -> bool {
        matches!(self.0, 2 | 3)
    }

    /// Whether it was a gateway that answered, because its device did not.
    pub(crate) fn is_of_the_gateway(self) -> bool {
        matches!(self.0, 10 | 11)
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            1 => "illegal function",
            2 => "illegal data address",
            3 => "illegal data value",
            4 => "server device failure",
            5 => "acknowledge",
            6 => "server device busy",
            7 => "negative acknowledge",
            8 => "memory parity error",
            10 => "gateway path unavailable",
            11 => "gateway target device failed to respond",
            _ => "exception unknown to the standard",
        };
        write!(f, "{name} ({})", self.0)
    }
}
