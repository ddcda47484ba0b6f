//! Which sites a user sees.

use std::fmt;

/// The sites whose rows a user sees: names, in which `*` stands for any characters, none included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteSet {
    patterns: Vec<String>,
    is_all: bool,
}

impl SiteSet {
    /// Every site that fits one of the patterns.
    pub fn new(patterns: Vec<String>) -> Self {
        let is_all = patterns.iter().any(|pattern| pattern == "*");
        Self { patterns, is_all }
    }

    /// Whether every row is seen, also one that belongs to no site.
    pub fn is_all(&self) -> bool {
        self.is_all
    }

    /// Whether this site's rows are seen.
    pub fn contains(&self, site: &str) -> bool {
        self.is_all || self.patterns.iter().any(|pattern| fits(pattern, site))
    }
}

impl fmt::Display for SiteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.patterns.join(","))
    }
}

/// Whether a text fits a pattern: the part before the first star begins it, the part after the last ends it, and the
/// others come in order between them.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, site, expected) in [
            ("north", "north", true),
            ("north", "north-2", false),
            ("north", "North", false),
            ("south-*", "south-1", true),
            ("south-*", "south-", true),
            ("south-*", "south", false),
            ("*-1", "south-1", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            // The end must not be one character twice.
            ("ab*ba", "aba", false),
            ("*", "", true),
            ("%", "north", false),
            ("Süd*", "Süd 1", true),
        ] {
            let sites = SiteSet::new(vec![pattern.to_owned()]);
            assert_eq!(sites.contains(site), expected, "{pattern} {site}");
        }
    }

    #[test]
    fn only_the_star_alone_is_all() {
        let all = |patterns: &[&str]| {
            SiteSet::new(patterns.iter().map(|p| (*p).to_owned()).collect()).is_all()
        };
        assert!(all(&["north", "*"]));
        assert!(!all(&["**", "north*"]));
    }
}
