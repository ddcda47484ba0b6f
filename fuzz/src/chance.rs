//! Seeded damage.

/// Bytes that decoders take for lengths, ends, signs and escapes.
const TELLING: [&[u8]; 12] = [
    &[0x00],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0xff; 4],
    &[0xff; 8],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0; 8],
    b"\\\"",
    b"\n",
    b"9999999999999999999",
];

/// The longest stretch that is copied or cut out.
const STRETCH_MAX: usize = 32;

/// A stream of numbers (SplitMix64, Steele and others 2014).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to and without `bound`; 0 where that is nothing.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// An input with one to five damages; `other` lends stretches. It is at most `bytes_max` long.
    pub(crate) fn damage(&mut self, input: &[u8], other: &[u8], bytes_max: usize) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(5) {
            self.damage_once(&mut bytes, other);
        }
        bytes.truncate(bytes_max);
        bytes
    }

    fn damage_once(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len());
        let stretch = 1 + self.below(STRETCH_MAX);
        let to = (at + stretch).min(bytes.len());
        match self.below(9) {
            0 => self.change(bytes, at, |byte, chance| *byte = chance.next() as u8),
            1 => self.change(bytes, at, |byte, chance| *byte ^= 1 << chance.below(8)),
            2 => self.change(bytes, at, |byte, chance| {
                let step = chance.below(3) as u8;
                *byte = byte.wrapping_add(step).wrapping_sub(1);
            }),
            3 => drop(bytes.drain(at..to)),
            4 => bytes.truncate(at),
            5 => {
                let again = bytes[at..to].to_vec();
                insert(bytes, at, &again);
            }
            6 => {
                let telling = TELLING[self.below(TELLING.len())];
                insert(bytes, at, telling);
            }
            7 => {
                let telling = TELLING[self.below(TELLING.len())];
                let to = (at + telling.len()).min(bytes.len());
                bytes.splice(at..to, telling.iter().copied()).for_each(drop);
            }
            _ => {
                let from = self.below(other.len());
                let to = (from + stretch).min(other.len());
                insert(bytes, at, &other[from..to]);
            }
        }
    }

    fn change(&mut self, bytes: &mut [u8], at: usize, change: impl Fn(&mut u8, &mut Self)) {
        if let Some(byte) = bytes.get_mut(at) {
            change(byte, self);
        }
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, stretch: &[u8]) {
    bytes.splice(at..at, stretch.iter().copied()).for_each(drop);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_the_same_for_a_seed_and_bounded() {
        let damaged = |seed| {
            let mut chance = Chance::new(seed);
            (0..1_000)
                .map(|_| chance.damage(b"a valid input", b"another", 40))
                .collect::<Vec<_>>()
        };
        assert_eq!(damaged(1), damaged(1));
        assert_ne!(damaged(1), damaged(2));
        assert!(damaged(1).iter().all(|bytes| bytes.len() <= 40));
        let mut chance = Chance::new(1);
        let grown = (0..1_000).filter(|_| !chance.damage(b"", b"", 40).is_empty());
        assert!(grown.count() > 100, "nothing can be damaged as well");
    }
}
