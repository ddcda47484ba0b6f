//! A JSON object of plain members, read without a tree: most payloads are one, with a few numbers and texts.
//!
//! Invariant: what is found here is what the tree would say. A payload that needs more than one look (nested values, escapes,
//! exponents, very long numbers, many members) is no [`Flat`] and is read as a tree; so is one that is no JSON.

/// Members beyond which a tree is worth its cost.
const MEMBERS_MAX: usize = 8;
/// Numbers without an exponent that are no longer are in the range of doubles.
const NUMBER_BYTES_MAX: usize = 32;

/// A value that is neither an object nor an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain<'p> {
    Null,
    Truth(bool),
    /// Its digits, as written.
    Number(&'p str),
    Text(&'p str),
}

/// The members of a payload, in their order.
#[derive(Debug)]
pub(crate) struct Flat<'p> {
    members: [(&'p str, Plain<'p>); MEMBERS_MAX],
    count: usize,
}

impl<'p> Flat<'p> {
    /// The members of a JSON text; `None` where the tree has to be asked.
    pub(crate) fn of(text: &'p str) -> Option<Self> {
        let mut flat = Self {
            members: [("", Plain::Null); MEMBERS_MAX],
            count: 0,
        };
        let mut scanner = Scanner { text, at: 0 };
        scanner.token(b'{')?;
        if scanner.token(b'}').is_none() {
            loop {
                scanner.token(b'"')?;
                let name = scanner.text()?;
                scanner.token(b':')?;
                *flat.members.get_mut(flat.count)? = (name, scanner.value()?);
                flat.count += 1;
                if scanner.token(b',').is_none() {
                    break;
                }
            }
            scanner.token(b'}')?;
        }
        scanner.is_at_end().then_some(flat)
    }

    /// The member of that name; the last of several.
    pub(crate) fn get(&self, name: &str) -> Option<Plain<'p>> {
        let mut members = self.members[..self.count].iter().rev();
        members.find(|(of, _)| *of == name).map(|(_, value)| *value)
    }
}

/// A place in a JSON text.
struct Scanner<'p> {
    text: &'p str,
    at: usize,
}

impl<'p> Scanner<'p> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Goes behind a character that comes next, after space.
    fn token(&mut self, expected: u8) -> Option<()> {
        self.skip_space();
        (self.peek()? == expected).then(|| self.at += 1)
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.text.len()
    }

    /// The text that goes on from here to its quotation mark.
    fn text(&mut self) -> Option<&'p str> {
        let from = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                // An escape, or a character that no JSON text may hold.
                b'\\' | 0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
        let text = &self.text[from..self.at];
        self.at += 1;
        Some(text)
    }

    fn value(&mut self) -> Option<Plain<'p>> {
        self.skip_space();
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.text().map(Plain::Text)
            }
            b't' => self.word("true", Plain::Truth(true)),
            b'f' => self.word("false", Plain::Truth(false)),
            b'n' => self.word("null", Plain::Null),
            _ => self.number().map(Plain::Number),
        }
    }

    fn word(&mut self, word: &str, value: Plain<'p>) -> Option<Plain<'p>> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    /// A number without an exponent (RFC 8259, section 6).
    fn number(&mut self) -> Option<&'p str> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading = self.peek()?;
        let whole_digits = self.digits()?;
        if leading == b'0' && whole_digits > 1 {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let number = &self.text[from..self.at];
        let goes_on = matches!(self.peek(), Some(b'e' | b'E'));
        // An integer of zero has no sign, and serde_json keeps it.
        (!goes_on && number.len() <= NUMBER_BYTES_MAX && number != "-0").then_some(number)
    }

    /// Goes behind the digits that come next, at least one, and counts them.
    fn digits(&mut self) -> Option<usize> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Some(self.at - from).filter(|count| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    fn is_same(plain: Plain<'_>, json: &Json) -> bool {
        match (plain, json) {
            (Plain::Null, Json::Null) => true,
            (Plain::Truth(truth), Json::Bool(other)) => truth == *other,
            (Plain::Text(text), Json::String(other)) => text == other,
            (Plain::Number(digits), Json::Number(_)) => {
                serde_json::from_str::<Json>(digits).is_ok_and(|number| number == *json)
            }
            _ => false,
        }
    }

    /// Whether it was flat, and then whether the tree says the same.
    fn check(payload: &str) -> Option<bool> {
        let flat = Flat::of(payload)?;
        let Ok(Json::Object(tree)) = serde_json::from_str(payload) else {
            return Some(false);
        };
        let agrees =
            |(name, json): (&String, &Json)| flat.get(name).is_some_and(|p| is_same(p, json));
        let names = flat.members[..flat.count].iter();
        Some(names.clone().all(|(name, _)| tree.contains_key(*name)) && tree.iter().all(agrees))
    }

    #[test]
    fn plain_members_are_read_and_the_rest_is_left_to_the_tree() {
        let flat = [
            "{}",
            " { } ",
            r#"{"v":21.5,"ts":1700000000000}"#,
            "{\"a\" : -0.0 ,\r\n\t\"b\":true,\"ü\":\"°C\", \"\":null,\"a\":0}",
            r#"{"big":18446744073709551616,"v":18446744073709551615}"#,
        ];
        for payload in flat {
            assert_eq!(check(payload), Some(true), "{payload}");
        }
        let left = [
            "",
            "1",
            "{",
            r#"{"v":1"#,
            r#"{"v":1}}"#,
            r#"{"v":1,}"#,
            r#"{"v":01}"#,
            r#"{"v":1.}"#,
            r#"{"v":.5}"#,
            r#"{"v":+1}"#,
            r#"{"v":-0}"#,
            r#"{"v":1e3}"#,
            r#"{"v":1e999}"#,
            r#"{"v":truex}"#,
            r#"{"v":nul}"#,
            r#"{"v":[1]}"#,
            r#"{"v":{}}"#,
            r#"{"v":"a\n"}"#,
            "{\"v\":\"a\nb\"}",
            "{\"v\":\u{a0}1}",
            r#"{v:1}"#,
            r#"{"v":123456789012345678901234567890123}"#,
        ];
        for payload in left {
            assert_eq!(check(payload), None, "{payload}");
        }
        let many = |count| {
            let members: Vec<String> = (0..count).map(|n| format!("\"m{n}\":{n}")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert_eq!(check(&many(MEMBERS_MAX)), Some(true));
        assert_eq!(check(&many(MEMBERS_MAX + 1)), None);
    }

    proptest! {
        #[test]
        fn what_is_flat_is_what_the_tree_says(payload in r#"(\{|\}|,|:|"|\[|v|"v"|"ts"|true|null|-|0|1|25|\.|e| |\\|\n|°){0,14}"#) {
            prop_assert_ne!(check(&payload), Some(false), "{}", payload);
        }

        #[test]
        fn members_in_any_order_are_what_the_tree_says(
            members in prop::collection::vec((r#""[a-c]""#, r#"-?[0-9]{1,3}(\.[0-9]{1,2})?|true|null|"[a-z ]{0,4}"|\[1\]|1e2"#), 0..6),
        ) {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            let payload = format!("{{{}}}", members.join(", "));
            prop_assert_ne!(check(&payload), Some(false), "{}", payload);
        }
    }
}
