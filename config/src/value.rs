//! Types that a value can be read as.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use forebay_schemas::{DeviceId, GatewayId, SiteId, TagName};

use crate::{Shape, expand::Expanded, units};

/// A type that a value can be read as.
pub trait FromValue: Sized {
    /// What a reader expects, with an example.
    const EXPECTED: &'static str;

    /// The value, or what is wrong with it.
    ///
    /// # Errors
    /// A message that says what was found and what was expected.
    fn from_value(value: &Expanded) -> Result<Self, String>;

    /// Which values [`FromValue::from_value`] takes.
    fn shape() -> Shape;

    /// The value where the file lies in this folder: a relative path starts from there.
    #[must_use]
    fn beside(self, folder: &Path) -> Self {
        let _ = folder;
        self
    }
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A text that no log and no error shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret, to be handed on and not to be kept.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

fn mismatch<T: FromValue>(found: &Expanded) -> String {
    format!("{} is expected, found {}", T::EXPECTED, found.what())
}

impl FromValue for String {
    const EXPECTED: &'static str = "a text in quotes";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        match value {
            Expanded::Text(text) => Ok(text.clone()),
            other => Err(mismatch::<Self>(other)),
        }
    }

    fn shape() -> Shape {
        Shape::Text
    }
}

impl FromValue for Secret {
    const EXPECTED: &'static str =
        "a text such as \"${PASSWORD}\" or \"${file:/run/secrets/password}\"";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        match value {
            Expanded::Text(text) => Ok(Self(text.clone())),
            _ => Err(format!("{} is expected", Self::EXPECTED)),
        }
    }

    fn shape() -> Shape {
        Shape::Secret
    }
}

impl FromValue for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        match value {
            Expanded::Text(text) if !text.is_empty() => Ok(Path::new(text).to_owned()),
            other => Err(mismatch::<Self>(other)),
        }
    }

    fn shape() -> Shape {
        Shape::Path
    }

    fn beside(self, folder: &Path) -> Self {
        folder.join(self)
    }
}

impl FromValue for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        match value {
            Expanded::Bool(truth) => Ok(*truth),
            other => Err(mismatch::<Self>(other)),
        }
    }

    fn shape() -> Shape {
        Shape::Boolean
    }
}

impl FromValue for f64 {
    const EXPECTED: &'static str = "a finite number such as 0.1";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        match value {
            Expanded::Integer(integer) => Ok(*integer as f64),
            Expanded::Float(float) if float.is_finite() => Ok(*float),
            other => Err(mismatch::<Self>(other)),
        }
    }

    fn shape() -> Shape {
        Shape::Number
    }
}

macro_rules! integer {
    ($($type:ty, $min:expr, $max:expr, $expected:literal);*) => {$(
        impl FromValue for $type {
            const EXPECTED: &'static str = $expected;

            fn shape() -> Shape {
                Shape::Integer { min: $min, max: $max }
            }

            fn from_value(value: &Expanded) -> Result<Self, String> {
                match value {
                    Expanded::Integer(integer) => {
                        <$type>::try_from(*integer).map_err(|_| mismatch::<Self>(value))
                    }
                    other => Err(mismatch::<Self>(other)),
                }
            }
        }
    )*};
}
integer!(
    u8, Some(0), Some(u8::MAX.into()), "a whole number from 0 to 255";
    u16, Some(0), Some(u16::MAX.into()), "a whole number from 0 to 65535";
    u32, Some(0), Some(u32::MAX.into()), "a whole number from 0 to 4294967295";
    u64, Some(0), None, "a whole number from 0 on";
    i64, None, None, "a whole number"
);

impl FromValue for Duration {
    const EXPECTED: &'static str = "a duration such as \"10s\", \"250ms\" or \"1h30m\"";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        match value {
            Expanded::Text(text) => units::duration(text).ok_or_else(|| mismatch::<Self>(value)),
            other => Err(mismatch::<Self>(other)),
        }
    }

    fn shape() -> Shape {
        Shape::Duration
    }
}

impl FromValue for Bytes {
    const EXPECTED: &'static str = "a size such as \"64KiB\" or \"2GiB\"";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        match value {
            Expanded::Text(text) => units::size(text)
                .map(Self)
                .ok_or_else(|| mismatch::<Self>(value)),
            other => Err(mismatch::<Self>(other)),
        }
    }

    fn shape() -> Shape {
        Shape::Size
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    const EXPECTED: &'static str = "an array [ … ]";

    fn from_value(value: &Expanded) -> Result<Self, String> {
        match value {
            Expanded::Array(items) => items.iter().map(T::from_value).collect(),
            other => Err(mismatch::<Self>(other)),
        }
    }

    fn shape() -> Shape {
        Shape::Array(Box::new(T::shape()))
    }

    fn beside(self, folder: &Path) -> Self {
        self.into_iter().map(|item| item.beside(folder)).collect()
    }
}

macro_rules! name {
    ($($type:ty, $expected:literal);*) => {$(
        impl FromValue for $type {
            const EXPECTED: &'static str = $expected;

            fn shape() -> Shape {
                Shape::Text
            }

            fn from_value(value: &Expanded) -> Result<Self, String> {
                match value {
                    Expanded::Text(text) => <$type>::new(text).map_err(|error| error.to_string()),
                    other => Err(mismatch::<Self>(other)),
                }
            }
        }
    )*};
}
name!(
    SiteId, "the name of a site, in quotes";
    DeviceId, "the name of a device, in quotes";
    TagName, "the name of a tag, in quotes";
    GatewayId, "the name of a gateway, in quotes"
);
