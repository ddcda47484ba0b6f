//! Frames: how a request is written, and what the bytes on the line are.
//!
//! Pure.

use super::Answer;

/// Address, function, byte count or code, checksum.
const FRAME_BYTES_MIN: usize = 5;
const EXCEPTION: u8 = 0x80;

/// What is asked of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) unit: u8,
    /// 1 to 4.
    pub(crate) function: u8,
    pub(crate) first: u16,
    pub(crate) count: u16,
}

/// What the first bytes on the line are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scan {
    /// Not to be said yet.
    More,
    /// So many bytes are of no use; what they are, where that is known.
    Skip(usize, Option<String>),
    Reply(Answer),
}

impl Form {
    /// The frame that asks for it.
    pub(super) fn request(self) -> [u8; 8] {
        let [first_high, first_low] = self.first.to_be_bytes();
        let [count_high, count_low] = self.count.to_be_bytes();
        let body = [
            self.unit,
            self.function,
            first_high,
            first_low,
            count_high,
            count_low,
        ];
        let [check_low, check_high] = checksum(&body).to_le_bytes();
        let [a, b, c, d, e, f] = body;
        [a, b, c, d, e, f, check_low, check_high]
    }

    /// Data bytes of its reply.
    pub(super) fn data_bytes(self) -> usize {
        match self.function {
            1 | 2 => usize::from(self.count).div_ceil(8),
            _ => usize::from(self.count) * 2,
        }
    }

    /// Whether a reply to one could be taken for a reply to the other.
    pub(super) fn is_alike(self, other: Self) -> bool {
        (self.unit, self.function, self.data_bytes())
            == (other.unit, other.function, other.data_bytes())
    }
}

/// What the bytes begin with. A frame with a wrong checksum is none: the next byte may begin one.
pub(super) fn scan(bytes: &[u8], form: Form, request: &[u8]) -> Scan {
    if bytes.starts_with(request) {
        return Scan::Skip(request.len(), Some("the echo of the request".to_owned()));
    }
    if request.starts_with(bytes) {
        return Scan::More;
    }
    let &[unit, function, third, ..] = bytes else {
        return Scan::More;
    };
    let len = match function {
        1..=4 => FRAME_BYTES_MIN + usize::from(third),
        // Any function may be refused.
        EXCEPTION.. => FRAME_BYTES_MIN,
        _ => return Scan::Skip(1, None),
    };
    let Some(frame) = bytes.get(..len) else {
        // A frame that cannot be the reply, or an echo: bytes behind it are not waited for where one can be seen already.
        return later_reply(bytes, form).unwrap_or(Scan::More);
    };
    let (body, check) = frame.split_at(len - 2);
    if checksum(body).to_le_bytes() != check {
        return Scan::Skip(1, None);
    }
    if unit != form.unit {
        return Scan::Skip(len, Some(format!("a reply of unit {unit}")));
    }
    match function {
        _ if function == form.function && usize::from(third) == form.data_bytes() => {
            Scan::Reply(Answer::Data(body.get(3..).unwrap_or_default().to_vec()))
        }
        _ if function == form.function | EXCEPTION => Scan::Reply(Answer::Exception(third)),
        _ if function == form.function => {
            let due = form.data_bytes();
            Scan::Skip(
                len,
                Some(format!("a reply of {third} bytes, {due} are due")),
            )
        }
        _ => Scan::Skip(
            len,
            Some(format!("a reply to function {}", function & !EXCEPTION)),
        ),
    }
}

/// Noise may look like the head of a long frame: the reply behind it ends the wait for the rest of it.
fn later_reply(bytes: &[u8], form: Form) -> Option<Scan> {
    let len = FRAME_BYTES_MIN + form.data_bytes();
    let data = u8::try_from(form.data_bytes()).ok()?;
    let found = bytes.windows(len).skip(1).position(|frame| {
        frame.starts_with(&[form.unit, form.function, data]) && is_whole(frame)
    })?;
    Some(Scan::Skip(found + 1, None))
}

fn is_whole(frame: &[u8]) -> bool {
    let (body, check) = frame.split_at(frame.len().saturating_sub(2));
    checksum(body).to_le_bytes() == check
}

/// CRC-16 with the polynomial 0xA001, reflected, from 0xFFFF (Modbus over Serial Line V1.02, 6.2.2).
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| {
            if sum & 1 == 1 {
                sum >> 1 ^ 0xa001
            } else {
                sum >> 1
            }
        })
    })
}
