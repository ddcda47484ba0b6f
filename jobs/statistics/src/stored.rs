//! Models as bytes, so that a model that was trained once is used again bit by bit.
//!
//! The format: little-endian numbers one after the other, a count before each list, one byte before each choice. Who keeps
//! bytes puts a version of the whole before them and sees to it that they are what was written; here a text that is cut short
//! or is followed by more is no model. Golden bytes of each model stand beside its tests.

use crate::Matrix;

/// What can be kept.
pub trait Stored: Sized {
    /// Appends it.
    fn write(&self, out: &mut Vec<u8>);

    /// Takes it from the front; `None` where that holds something else.
    fn read(from: &mut &[u8]) -> Option<Self>;
}

/// The bytes of a value.
pub fn to_bytes(value: &impl Stored) -> Vec<u8> {
    let mut out = Vec::new();
    value.write(&mut out);
    out
}

/// The value of these bytes, all of them.
pub fn from_bytes<T: Stored>(mut bytes: &[u8]) -> Option<T> {
    let value = T::read(&mut bytes)?;
    bytes.is_empty().then_some(value)
}

impl Stored for u8 {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let (first, rest) = from.split_first()?;
        *from = rest;
        Some(*first)
    }
}

impl Stored for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let (first, rest) = from.split_first_chunk()?;
        *from = rest;
        Some(Self::from_le_bytes(*first))
    }
}

impl Stored for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        self.cast_unsigned().write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        u64::read(from).map(u64::cast_signed)
    }
}

impl Stored for usize {
    fn write(&self, out: &mut Vec<u8>) {
        (*self as u64).write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Self::try_from(u64::read(from)?).ok()
    }
}

impl Stored for f64 {
    fn write(&self, out: &mut Vec<u8>) {
        self.to_bits().write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        u64::read(from).map(Self::from_bits)
    }
}

impl Stored for String {
    fn write(&self, out: &mut Vec<u8>) {
        self.len().write(out);
        out.extend(self.as_bytes());
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let length = usize::read(from)?;
        let (text, rest) = from.split_at_checked(length)?;
        *from = rest;
        Self::from_utf8(text.to_vec()).ok()
    }
}

impl<T: Stored> Stored for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.len().write(out);
        self.iter().for_each(|one| one.write(out));
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let length = usize::read(from)?;
        // Each takes a byte at least, so that a wrong count reserves nothing.
        if length > from.len() {
            return None;
        }
        (0..length).map(|_| T::read(from)).collect()
    }
}

impl<A: Stored, B: Stored> Stored for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Some((A::read(from)?, B::read(from)?))
    }
}

impl Stored for Matrix {
    fn write(&self, out: &mut Vec<u8>) {
        self.columns().write(out);
        self.rows().write(out);
        self.iter().flatten().for_each(|value| value.write(out));
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let columns = usize::read(from)?;
        let rows = usize::read(from)?;
        if columns.checked_mul(rows)? > from.len() {
            return None;
        }
        let mut matrix = Self::new(columns);
        for _ in 0..rows {
            let row: Option<Vec<f64>> = (0..columns).map(|_| f64::read(from)).collect();
            matrix.push(&row?);
        }
        Some(matrix)
    }
}

/// A structure is its fields, one after the other.
macro_rules! stored_fields {
    ($name:ty { $($field:ident),+ $(,)? }) => {
        impl $crate::stored::Stored for $name {
            fn write(&self, out: &mut Vec<u8>) {
                $($crate::stored::Stored::write(&self.$field, out);)+
            }

            fn read(from: &mut &[u8]) -> Option<Self> {
                $(let $field = $crate::stored::Stored::read(from)?;)+
                Some(Self { $($field),+ })
            }
        }
    };
}
pub(crate) use stored_fields;

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// As two hexadecimal digits a byte.
    pub(crate) fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Checks that a value comes back from its bytes, and from no part of them.
    pub(crate) fn comes_back<T: Stored + PartialEq + std::fmt::Debug>(value: &T) {
        let bytes = to_bytes(value);
        assert_eq!(from_bytes::<T>(&bytes).as_ref(), Some(value));
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            assert_eq!(from_bytes::<T>(&bytes[..cut]), None, "cut at {cut}");
        }
        let more = [bytes.as_slice(), &[0]].concat();
        assert_eq!(from_bytes::<T>(&more), None, "a byte more");
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::comes_back, *};

    #[test]
    fn values_come_back_and_a_wrong_count_reserves_nothing() {
        comes_back(&vec![(1_u64, "flow".to_owned()), (u64::MAX, String::new())]);
        comes_back(&vec![-0.0, f64::MIN_POSITIVE, f64::INFINITY]);
        comes_back(&Matrix::from_rows(&[[1.0, 2.0], [3.0, 4.0]]));
        comes_back(&(-7_i64, 3_usize));
        let nan: f64 = from_bytes(&to_bytes(&f64::NAN)).unwrap();
        assert!(nan.is_nan());
        let count = to_bytes(&u64::MAX);
        assert_eq!(from_bytes::<Vec<f64>>(&count), None);
        let huge = to_bytes(&(u64::MAX / 2, 3_u64));
        assert_eq!(from_bytes::<Matrix>(&huge), None);
    }
}
