//! The order in which the bytes of a value come over the wire.

/// For each byte on the wire, its place in the value written big-endian (A is 0). A permutation of at most
/// eight that moves whole registers and swaps the bytes in all of them or in none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order(Vec<u8>);

impl Order {
    /// The standard's order, highest byte first.
    pub(crate) fn big_endian(bytes: usize) -> Self {
        Self((0_u8..).take(bytes).collect())
    }

    /// The order of these letters for a value of so many bytes (2, 4, 6 or 8), or what is wrong with it: registers come in any
    /// order, and the two bytes of each are swapped in all of them or in none.
    pub(crate) fn parse(text: &str, bytes: usize) -> Result<Self, String> {
        let order = Self(
            text.bytes()
                .map(|letter| letter.wrapping_sub(b'A'))
                .collect(),
        );
        let mut sorted = order.0.clone();
        sorted.sort_unstable();
        let what = if !sorted.iter().copied().eq((0_u8..).take(bytes)) {
            let letters: String = ('A'..='H').take(bytes).collect();
            format!("must name each of the {bytes} bytes {letters} once")
        } else if !order.is_of_registers() {
            "is not an order of registers: the two bytes of a register stay together, and are swapped in all of them or in none".to_owned()
        } else {
            return Ok(order);
        };
        let such = match bytes {
            2 => "\"AB\" (high byte first) or \"BA\"",
            4 => {
                "\"ABCD\" (big-endian), \"CDAB\" (low word first), \"BADC\" (bytes swapped) or \"DCBA\""
            }
            6 => "\"ABCDEF\" (big-endian), \"EFCDAB\" (low word first) or \"FEDCBA\"",
            _ => "\"ABCDEFGH\" (big-endian), \"GHEFCDAB\" (low word first) or \"HGFEDCBA\"",
        };
        Err(format!("{text:?} {what}, such as {such}"))
    }

    fn is_of_registers(&self) -> bool {
        let is_swapped = |word: &[u8]| matches!(word, [first, second] if first > second);
        let swapped = self.0.first() > self.0.get(1);
        let mut words = self.0.chunks_exact(2);
        words.all(|word| {
            word.iter()
                .all(|place| word.first().map(|first| first / 2) == Some(place / 2))
                && is_swapped(word) == swapped
        })
    }

    /// The order of these letters for values of 2, 4, 6 or 8 bytes, as many as there are, or what is wrong with it.
    pub(crate) fn parse_any(text: &str) -> Result<Self, String> {
        match text.len() {
            bytes @ (2 | 4 | 6 | 8) => Self::parse(text, bytes),
            _ => Err(format!(
                "{text:?}: 2, 4, 6 or 8 letters are expected, such as \"CDAB\" for the low word first"
            )),
        }
    }

    /// The same for values of so many bytes: words in the same direction, bytes of a word likewise. None where this order
    /// is no such pattern and has another length.
    pub(crate) fn for_bytes(&self, bytes: usize) -> Option<Self> {
        if bytes == self.0.len() {
            return Some(self.clone());
        }
        let patterns = [(false, false), (true, false), (false, true), (true, true)];
        let alike = |(low_first, swapped): &(bool, bool)| {
            Self::of_words(self.0.len(), *low_first, *swapped) == *self
        };
        patterns
            .into_iter()
            .find(alike)
            .map(|(low_first, swapped)| Self::of_words(bytes, low_first, swapped))
    }

    fn of_words(bytes: usize, low_first: bool, swapped: bool) -> Self {
        let Self(mut places) = Self::big_endian(bytes);
        if low_first {
            places.reverse();
        }
        // Reversed as a whole, the bytes within each word are swapped already.
        if low_first != swapped {
            places.chunks_exact_mut(2).for_each(|word| word.swap(0, 1));
        }
        Self(places)
    }

    /// Its letters, as a file has them.
    pub(crate) fn letters(&self) -> String {
        let letter = |place: &u8| char::from(b'A' + place % 8);
        self.0.iter().map(letter).collect()
    }

    /// The number whose bytes came in this order.
    pub(crate) fn number(&self, wire: &[u8]) -> u64 {
        let mut bytes = [0; 8];
        // Right-aligned, so that shorter values are the low bytes.
        let start = bytes.len().saturating_sub(self.0.len());
        for (byte, place) in wire.iter().zip(&self.0) {
            if let Some(slot) = bytes.get_mut(start + usize::from(*place)) {
                *slot = *byte;
            }
        }
        u64::from_be_bytes(bytes)
    }

    /// A longer run of bytes, put right group by group.
    pub(crate) fn arrange_each(&self, wire: &[u8]) -> Vec<u8> {
        let mut bytes = wire.to_vec();
        let size = self.0.len().max(1);
        for (group, came) in bytes.chunks_exact_mut(size).zip(wire.chunks_exact(size)) {
            for (byte, place) in came.iter().zip(&self.0) {
                if let Some(slot) = group.get_mut(usize::from(*place)) {
                    *slot = *byte;
                }
            }
        }
        bytes
    }
}
