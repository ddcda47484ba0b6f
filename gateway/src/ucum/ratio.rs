//! Exact numbers: fractions of whole numbers, as long as they fit.

/// A fraction in its lowest terms, its denominator above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ratio {
    over: i128,
    under: i128,
}

impl Ratio {
    pub(super) const ONE: Self = Self { over: 1, under: 1 };
    pub(super) const ZERO: Self = Self { over: 0, under: 1 };

    /// None where `under` is 0.
    pub(super) fn new(over: i128, under: i128) -> Option<Self> {
        let divisor = i128::try_from(divisor(over.unsigned_abs(), under.unsigned_abs())).ok()?;
        if divisor == 0 || under == 0 {
            return None;
        }
        let sign = under.signum();
        Some(Self {
            over: over / divisor * sign,
            under: under / divisor * sign,
        })
    }

    /// The decimal that a number is written as.
    pub(super) fn of(number: f64) -> Option<Self> {
        let written = format!("{number:e}");
        let (digits, exponent) = written.split_once('e')?;
        let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
        let mantissa: i128 = format!("{whole}{places}").parse().ok()?;
        let exponent = exponent.parse::<i32>().ok()? - i32::try_from(places.len()).ok()?;
        let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
        if exponent < 0 {
            Self::new(mantissa, power)
        } else {
            Self::new(mantissa.checked_mul(power)?, 1)
        }
    }

    pub(super) fn times(self, other: Self) -> Option<Self> {
        // Shortened before the product, which then fits more often.
        let left = Self::new(self.over, other.under)?;
        let right = Self::new(other.over, self.under)?;
        Self::new(
            left.over.checked_mul(right.over)?,
            left.under.checked_mul(right.under)?,
        )
    }

    pub(super) fn inverse(self) -> Option<Self> {
        Self::new(self.under, self.over)
    }

    pub(super) fn minus(self, other: Self) -> Option<Self> {
        let left = self.over.checked_mul(other.under)?;
        let right = other.over.checked_mul(self.under)?;
        Self::new(
            left.checked_sub(right)?,
            self.under.checked_mul(other.under)?,
        )
    }

    pub(super) fn power(self, exponent: i8) -> Option<Self> {
        let base = if exponent < 0 { self.inverse()? } else { self };
        let exponent = u32::from(exponent.unsigned_abs());
        Self::new(
            base.over.checked_pow(exponent)?,
            base.under.checked_pow(exponent)?,
        )
    }

    /// Two fractions as whole numbers that doubles hold, over a common one: left, right, common.
    pub(super) fn in_doubles(left: Self, right: Self) -> Option<(f64, f64, f64)> {
        let common = left.under
            / i128::try_from(divisor(
                left.under.unsigned_abs(),
                right.under.unsigned_abs(),
            ))
            .ok()?;
        let common = common.checked_mul(right.under)?;
        let whole = |one: Self| one.over.checked_mul(common / one.under);
        let double = |number: i128| (number.abs() <= DOUBLE_WHOLE_MAX).then_some(number as f64);
        Some((
            double(whole(left)?)?,
            double(whole(right)?)?,
            double(common)?,
        ))
    }
}

/// Doubles hold every whole number up to this one.
const DOUBLE_WHOLE_MAX: i128 = 1 << 53;

fn divisor(mut left: u128, mut right: u128) -> u128 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}
