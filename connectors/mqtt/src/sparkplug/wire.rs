//! The wire format of Protocol Buffers on borrowed bytes, as far as Sparkplug needs it: fields of a message, one after another.
//!
//! Nothing is copied and nothing is allocated: a length is believed only as far as bytes are there for it.

/// A field's value as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum WireValue<'p> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'p [u8]),
    Fixed32(u32),
}

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// The fields of a message. Ends after the first that is malformed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'p>(&'p [u8]);

impl<'p> Fields<'p> {
    pub(super) fn of(message: &'p [u8]) -> Self {
        Self(message)
    }

    fn read(&mut self) -> Option<(u32, WireValue<'p>)> {
        let key = varint(&mut self.0)?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0)?;
        let value = match key & 7 {
            0 => WireValue::Varint(varint(&mut self.0)?),
            1 => WireValue::Fixed64(u64::from_le_bytes(*self.chunk()?)),
            2 => {
                let length = usize::try_from(varint(&mut self.0)?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                WireValue::Bytes(bytes)
            }
            5 => WireValue::Fixed32(u32::from_le_bytes(*self.chunk()?)),
            // Groups went out of use before Sparkplug.
            _ => return None,
        };
        Some((number, value))
    }

    fn chunk<const N: usize>(&mut self) -> Option<&'p [u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(chunk)
    }
}

impl<'p> Iterator for Fields<'p> {
    type Item = Result<(u32, WireValue<'p>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

impl<'p> WireValue<'p> {
    pub(super) fn text(self) -> Option<&'p str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn bytes(self) -> Option<&'p [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Varint(number) => Some(number),
            _ => None,
        }
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A message under construction.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn varint(mut self, number: u32, value: u64) -> Self {
        self.push(u64::from(number) << 3);
        self.push(value);
        self
    }

    pub(super) fn bytes(mut self, number: u32, bytes: &[u8]) -> Self {
        self.push(u64::from(number) << 3 | 2);
        self.push(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn push(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
