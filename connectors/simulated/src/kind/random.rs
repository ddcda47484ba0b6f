//! Seeded chance: SplitMix64 (Steele, Lea, Flood 2014), the same on every machine. Not for secrets.

/// A stream of numbers.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// The stream of a seed and a place: streams of different places have nothing in common.
    pub(super) fn new(seed: u64, place: usize) -> Self {
        let mut stream = Self(seed ^ (place as u64).wrapping_mul(0xa076_1d64_78bd_642f));
        stream.next();
        stream
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Even, from 0 up to and without 1.
    pub(super) fn even(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Normal, mean 0 and deviation 1 (Box and Muller 1958).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.even()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.even()).cos()
    }

    /// Exponential with mean 1: the time between events that do not know of each other.
    pub(super) fn exponential(&mut self) -> f64 {
        -(1.0 - self.even()).ln()
    }
}
