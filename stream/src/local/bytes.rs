//! Reading fixed-size little-endian fields off a slice.

/// What is left to read.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    /// The next `N` bytes; `None` if fewer are left.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    /// The next `count` bytes; `None` if fewer are left.
    pub(super) fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head.to_vec())
    }

    /// Goes `count` bytes on; `None` if fewer are left.
    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        let (_, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(())
    }

    /// The next byte.
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// The next two bytes.
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes.
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
