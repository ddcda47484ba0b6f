//! How large a function's value can become, from the sizes of its arguments.

/// What a value's size follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// All arguments, one after the other.
    Sum,
    /// All but the first, with the first between them.
    Separated,
    /// The first, with each of the second replaced by the third.
    Replaced,
    /// The first, with what fits a pattern replaced by the third, which may quote what was found.
    PatternReplaced,
    /// The groups of a pattern, each as long as the text.
    PatternMatched,
    /// The text, each of its characters twice, within quotes.
    Quoted,
    /// A format, of which each letter stands for a part of a time.
    TimeFormatted,
    /// The elements of a list, with a text between them, and another in place of nulls.
    ElementsJoined,
    /// A list, with elements replaced by the third argument.
    ElementsReplaced,
    /// A list of the parts of a text.
    Split,
}

/// The functions, by the name that the engine has for them.
const GROWING: [(&str, Growth); 22] = [
    ("||", Growth::Sum),
    ("concat", Growth::Sum),
    ("overlay", Growth::Sum),
    ("make_array", Growth::Sum),
    ("array_append", Growth::Sum),
    ("array_prepend", Growth::Sum),
    ("array_concat", Growth::Sum),
    ("array_union", Growth::Sum),
    ("arrays_zip", Growth::Sum),
    ("struct", Growth::Sum),
    ("named_struct", Growth::Sum),
    ("concat_ws", Growth::Separated),
    ("replace", Growth::Replaced),
    ("regexp_replace", Growth::PatternReplaced),
    ("regexp_match", Growth::PatternMatched),
    ("quote_ident", Growth::Quoted),
    ("to_char", Growth::TimeFormatted),
    ("array_to_string", Growth::ElementsJoined),
    ("array_replace", Growth::ElementsReplaced),
    ("array_replace_n", Growth::ElementsReplaced),
    ("array_replace_all", Growth::ElementsReplaced),
    ("string_to_array", Growth::Split),
];

/// What an element takes beside its text: its place in the list.
const ELEMENT_BYTES: usize = 4;
/// The longest text of a part of a time, for a letter of the format.
const TIME_PART_BYTES: usize = 32;

impl Growth {
    /// Of a function; `None` for one whose values stay as small as its arguments.
    pub(super) fn of(name: &str) -> Option<Self> {
        let found = GROWING.iter().find(|(known, _)| *known == name);
        found.map(|(_, growth)| *growth)
    }

    /// The most bytes that the value can have.
    pub(super) fn bytes_max(self, sizes: &[usize]) -> usize {
        let at = |place: usize| sizes.get(place).copied().unwrap_or(0);
        let sum = sizes.iter().fold(0_usize, |sum, size| {
            sum.saturating_add(*size).saturating_add(ELEMENT_BYTES)
        });
        let text = at(0);
        let elements = text / ELEMENT_BYTES + 1;
        match self {
            Self::Sum => sum,
            Self::Separated => sum.saturating_add(text.saturating_mul(sizes.len())),
            Self::Replaced => {
                let found = text / at(1).max(1) + 1;
                found.saturating_mul(at(2)).saturating_add(text)
            }
            Self::PatternReplaced => {
                // Without flags only the first is replaced.
                let found = if sizes.len() > 3 { text + 1 } else { 1 };
                let quoted = text.saturating_mul(at(2) / 2 + 1);
                found.saturating_mul(at(2)).saturating_add(quoted)
            }
            Self::PatternMatched => text.saturating_mul(at(1) / 2 + 1),
            Self::Quoted => text.saturating_mul(2).saturating_add(2),
            Self::TimeFormatted => at(1).saturating_mul(TIME_PART_BYTES),
            Self::ElementsJoined => {
                let between = at(1).saturating_add(at(2));
                elements.saturating_mul(between).saturating_add(text)
            }
            Self::ElementsReplaced => elements.saturating_mul(at(2)).saturating_add(text),
            Self::Split => (text + 1).saturating_mul(ELEMENT_BYTES + 1),
        }
    }
}
