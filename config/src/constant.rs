//! Defaults that stand in `const` items.

use std::time::Duration;

use crate::{Bytes, Expanded, FromValue, units};

/// A type whose default can stand in a `const` item.
pub trait FromConstant: FromValue {
    /// What stands there in its place.
    type Constant: Copy + 'static;

    /// The value.
    fn from_constant(constant: Self::Constant) -> Self;

    /// The value as a file would say it: [`FromValue::from_value`] of it is the value again.
    fn written(constant: Self::Constant) -> Expanded;
}

impl FromConstant for String {
    type Constant = &'static str;

    fn from_constant(constant: &'static str) -> Self {
        constant.to_owned()
    }

    fn written(constant: &'static str) -> Expanded {
        Expanded::Text(constant.to_owned())
    }
}

impl FromConstant for Duration {
    type Constant = Self;

    fn from_constant(constant: Self) -> Self {
        constant
    }

    fn written(constant: Self) -> Expanded {
        Expanded::Text(units::duration_text(constant))
    }
}

impl FromConstant for Bytes {
    type Constant = Self;

    fn from_constant(constant: Self) -> Self {
        constant
    }

    fn written(constant: Self) -> Expanded {
        Expanded::Text(units::size_text(constant.0))
    }
}

impl<T: FromConstant> FromConstant for Vec<T> {
    type Constant = &'static [T::Constant];

    fn from_constant(constant: Self::Constant) -> Self {
        constant
            .iter()
            .map(|item| T::from_constant(*item))
            .collect()
    }

    fn written(constant: Self::Constant) -> Expanded {
        Expanded::Array(constant.iter().map(|item| T::written(*item)).collect())
    }
}

macro_rules! constant {
    ($($type:ty, $constant:ident, $written:expr);*) => {$(
        impl FromConstant for $type {
            type Constant = Self;

            fn from_constant(constant: Self) -> Self {
                constant
            }

            fn written($constant: Self) -> Expanded {
                $written
            }
        }
    )*};
}
constant!(
    bool, truth, Expanded::Bool(truth);
    f64, number, Expanded::Float(number);
    u8, integer, Expanded::Integer(integer.into());
    u16, integer, Expanded::Integer(integer.into());
    u32, integer, Expanded::Integer(integer.into());
    u64, integer, Expanded::Integer(integer.into());
    i64, integer, Expanded::Integer(integer.into())
);
