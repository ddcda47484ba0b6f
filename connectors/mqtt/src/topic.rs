//! Topic filters (MQTT 5.0, section 4.7) and the topic templates of rules.
//!
//! A template is a filter whose levels may hold a placeholder: `site/{device}/cell/{tag}`. A placeholder may have text on
//! both sides within its level, and matches as `+` does. Names that come out of a topic are not checked here.

use thiserror::Error;

/// The longest topic or filter, in bytes (a UTF-8 string of MQTT has a length of 16 bits).
const FILTER_BYTES_MAX: usize = 65_535;

/// Why a text is no topic filter or no template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum TopicError {
    #[error("a topic must not be empty")]
    Empty,
    #[error("the topic has {0} bytes, more than 65535")]
    TooLong(usize),
    #[error("a topic must not hold the character U+0000")]
    Nul,
    #[error("`#` must stand alone in the last level, found {0:?}")]
    Hash(String),
    #[error("`+` must stand alone in its level, found {0:?}")]
    Plus(String),
    #[error(
        "unknown placeholder {{{0}}}: {{device}} and {{tag}} are known, `+` matches any one level"
    )]
    Unknown(String),
    #[error("the level {0:?} must hold one placeholder at most, written {{device}} or {{tag}}")]
    Braces(String),
    #[error("{{{0}}} must not stand twice in a template")]
    Twice(&'static str),
}

/// Checks a topic filter as it goes into a SUBSCRIBE.
pub(crate) fn check_filter(filter: &str) -> Result<(), TopicError> {
    if filter.is_empty() {
        return Err(TopicError::Empty);
    }
    if filter.len() > FILTER_BYTES_MAX {
        return Err(TopicError::TooLong(filter.len()));
    }
    if filter.contains('\0') {
        return Err(TopicError::Nul);
    }
    let last = filter.split('/').count() - 1;
    for (i, level) in filter.split('/').enumerate() {
        if level.contains('#') && (level != "#" || i != last) {
            return Err(TopicError::Hash(level.to_owned()));
        }
        if level.contains('+') && level != "+" {
            return Err(TopicError::Plus(level.to_owned()));
        }
    }
    Ok(())
}

/// Whether some topic matches both filters.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    let (a, b) = (unshared(a), unshared(b));
    let wild = |filter: &str| filter.starts_with(['+', '#']);
    if (a.starts_with('$') && wild(b)) || (b.starts_with('$') && wild(a)) {
        return false;
    }
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(x), Some(y)) if x == y || x == "+" || y == "+" => {}
            _ => return false,
        }
    }
}

/// Whether every topic that matches `inner` matches `outer`.
pub(crate) fn covers(outer: &str, inner: &str) -> bool {
    if inner.starts_with('$') && outer.starts_with(['+', '#']) {
        return false;
    }
    let (mut outer, mut inner) = (outer.split('/'), inner.split('/'));
    loop {
        match (outer.next(), inner.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(x), Some(y)) if x == y => {}
            _ => return false,
        }
    }
}

/// The filter inside a shared subscription `$share/group/filter`.
fn unshared(filter: &str) -> &str {
    filter
        .strip_prefix("$share/")
        .and_then(|rest| rest.split_once('/'))
        .map_or(filter, |(_, filter)| filter)
}

/// What a template takes out of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    Device,
    Tag,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Literal(String),
    One,
    Rest,
    Capture {
        before: String,
        what: Placeholder,
        after: String,
    },
}

/// A topic template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    text: String,
    levels: Vec<Level>,
}

/// What a topic has at the places of the placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Captured<'t> {
    pub(crate) device: Option<&'t str>,
    pub(crate) tag: Option<&'t str>,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, TopicError> {
        let levels = text.split('/').map(level).collect::<Result<Vec<_>, _>>()?;
        let template = Self {
            text: text.to_owned(),
            levels,
        };
        check_filter(&template.filter())?;
        for (what, name) in [(Placeholder::Device, "device"), (Placeholder::Tag, "tag")] {
            if template.count(what) > 1 {
                return Err(TopicError::Twice(name));
            }
        }
        Ok(template)
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the names that it takes out of a topic tell which topic it is.
    pub(crate) fn is_one_topic(&self) -> bool {
        !self
            .levels
            .iter()
            .any(|level| matches!(level, Level::One | Level::Rest))
    }

    /// The filter that matches the same topics or more.
    pub(crate) fn filter(&self) -> String {
        let levels: Vec<&str> = self
            .levels
            .iter()
            .map(|level| match level {
                Level::Literal(text) => text.as_str(),
                Level::One | Level::Capture { .. } => "+",
                Level::Rest => "#",
            })
            .collect();
        levels.join("/")
    }

    pub(crate) fn has_device(&self) -> bool {
        self.count(Placeholder::Device) > 0
    }

    pub(crate) fn has_tag(&self) -> bool {
        self.count(Placeholder::Tag) > 0
    }

    fn count(&self, wanted: Placeholder) -> usize {
        let is_wanted =
            |level: &&Level| matches!(level, Level::Capture { what, .. } if *what == wanted);
        self.levels.iter().filter(is_wanted).count()
    }

    /// What the placeholders stand for in a topic; none where the topic does not match.
    pub(crate) fn captures<'t>(&self, topic: &'t str) -> Option<Captured<'t>> {
        // Wildcards do not match the broker's own topics (MQTT 5.0, section 4.7.2).
        if topic.starts_with('$') && !matches!(self.levels.first(), Some(Level::Literal(_))) {
            return None;
        }
        let mut captured = Captured::default();
        let mut levels = topic.split('/');
        for level in &self.levels {
            if *level == Level::Rest {
                return Some(captured);
            }
            let found = levels.next()?;
            match level {
                Level::Literal(text) if text != found => return None,
                Level::Literal(_) | Level::One | Level::Rest => {}
                Level::Capture {
                    before,
                    what,
                    after,
                } => {
                    let inside = found
                        .strip_prefix(before.as_str())?
                        .strip_suffix(after.as_str())?;
                    match what {
                        Placeholder::Device => captured.device = Some(inside),
                        Placeholder::Tag => captured.tag = Some(inside),
                    }
                }
            }
        }
        levels.next().is_none().then_some(captured)
    }
}

fn level(text: &str) -> Result<Level, TopicError> {
    let Some((before, rest)) = text.split_once('{') else {
        return match text {
            "+" => Ok(Level::One),
            "#" => Ok(Level::Rest),
            _ if text.contains('}') => Err(TopicError::Braces(text.to_owned())),
            _ => Ok(Level::Literal(text.to_owned())),
        };
    };
    let (name, after) = rest
        .split_once('}')
        .ok_or_else(|| TopicError::Braces(text.to_owned()))?;
    if [before, after]
        .iter()
        .any(|part| part.contains(['{', '}', '+', '#']))
    {
        return Err(TopicError::Braces(text.to_owned()));
    }
    let what = match name {
        "device" => Placeholder::Device,
        "tag" => Placeholder::Tag,
        other => return Err(TopicError::Unknown(other.to_owned())),
    };
    Ok(Level::Capture {
        before: before.to_owned(),
        what,
        after: after.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn captures(template: &str, topic: &str) -> Option<(String, String)> {
        let found = Template::parse(template)
            .unwrap()
            .captures(topic)
            .map(|c| (c.device, c.tag))?;
        Some((
            found.0.unwrap_or("-").to_owned(),
            found.1.unwrap_or("-").to_owned(),
        ))
    }

    #[test]
    fn templates_take_names_out_of_topics() {
        let table = [
            (
                "site/{device}/cell/{tag}",
                "site/rack-1/cell/7",
                Some(("rack-1", "7")),
            ),
            ("site/{device}/cell/{tag}", "site/rack-1/cell/7/v", None),
            ("site/{device}/cell/{tag}", "site/rack-1/cell", None),
            ("site/{device}/cell/{tag}", "site//cell/7", Some(("", "7"))),
            ("+/{tag}", "a/b", Some(("-", "b"))),
            ("a/#", "a", Some(("-", "-"))),
            ("a/{device}/#", "a/b/c/d", Some(("b", "-"))),
            ("a/{device}/#", "a", None),
            (
                "line-{device}-x/{tag}.json",
                "line-7-x/temp.json",
                Some(("7", "temp")),
            ),
            ("line-{device}-x/t", "line-x/t", None),
            ("{device}{x", "a", None),
            ("#", "$SYS/broker/load", None),
            ("{tag}/load", "$SYS/load", None),
            ("$SYS/{tag}", "$SYS/load", Some(("-", "load"))),
            ("ü/{tag}", "ü/ö", Some(("-", "ö"))),
        ];
        for (template, topic, expected) in table {
            if template == "{device}{x" {
                assert!(Template::parse(template).is_err());
                continue;
            }
            let expected = expected.map(|(device, tag)| (device.to_owned(), tag.to_owned()));
            assert_eq!(captures(template, topic), expected, "{template} on {topic}");
        }
    }

    #[test]
    fn wrong_templates_say_what_is_wrong() {
        let table = [
            ("", "a topic must not be empty"),
            (
                "a/#/b",
                "`#` must stand alone in the last level, found \"#\"",
            ),
            ("a+/b", "`+` must stand alone in its level, found \"a+\""),
            (
                "a/{site}",
                "unknown placeholder {site}: {device} and {tag} are known, `+` matches any one level",
            ),
            (
                "a/{tag",
                "the level \"{tag\" must hold one placeholder at most, written {device} or {tag}",
            ),
            (
                "a/{tag}{device}",
                "the level \"{tag}{device}\" must hold one placeholder at most, written {device} or {tag}",
            ),
            ("{tag}/{tag}", "{tag} must not stand twice in a template"),
            ("a\0", "a topic must not hold the character U+0000"),
        ];
        for (template, expected) in table {
            assert_eq!(
                Template::parse(template).unwrap_err().to_string(),
                expected,
                "{template}"
            );
        }
    }

    #[test]
    fn filters_overlap_where_a_topic_matches_both() {
        let table = [
            ("a/b", "a/b", true),
            ("a/+", "+/b", true),
            ("a/#", "a", true),
            ("a/+", "a/b/c", false),
            ("a/b", "a/c", false),
            ("#", "x/y", true),
            ("#", "$SYS/x", false),
            ("$share/g/a/+", "a/b", true),
        ];
        for (a, b, expected) in table {
            assert_eq!(
                (overlap(a, b), overlap(b, a)),
                (expected, expected),
                "{a} and {b}"
            );
        }
    }

    #[test]
    fn a_filter_covers_another_where_it_matches_all_its_topics() {
        let table = [
            ("a/#", "a/b", true),
            ("a/#", "a/+/c/#", true),
            ("a/+", "a/#", false),
            ("a/b", "a/+", false),
            ("+/b", "a/b", true),
            ("#", "$SYS/a", false),
            ("a/#", "a", true),
        ];
        for (outer, inner, expected) in table {
            assert_eq!(covers(outer, inner), expected, "{outer} over {inner}");
        }
    }

    proptest! {
        #[test]
        fn what_is_put_in_comes_out(device in "[^/{}+#$\0]{1,9}", tag in "[^/{}+#\0]{1,9}") {
            let template = Template::parse("site/{device}/x-{tag}").unwrap();
            let topic = format!("site/{device}/x-{tag}");
            let captured = template.captures(&topic).unwrap();
            prop_assert_eq!(captured, Captured { device: Some(&device), tag: Some(&tag) });
            prop_assert!(overlap(&template.filter(), &topic));
        }

        #[test]
        fn any_text_is_a_template_or_an_error(text in ".{0,40}", topic in ".{0,40}") {
            if let Ok(template) = Template::parse(&text) {
                let matched = template.captures(&topic).is_some();
                prop_assert!(!matched || overlap(&template.filter(), &topic) || topic.contains(['+', '#']));
            }
        }
    }
}
