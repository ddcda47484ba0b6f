//! Globs over one name: `*` stands for any characters, `?` for one, `[a-c]` for one of several.

use globset::{Error, GlobSet, GlobSetBuilder};

/// Which names are meant; all where there is no pattern.
#[derive(Debug, Clone, Default)]
pub(super) struct NamePattern {
    patterns: Vec<String>,
    set: Option<GlobSet>,
}

impl NamePattern {
    /// # Errors
    /// A pattern that is none.
    pub(super) fn new(patterns: Vec<String>) -> Result<Self, Error> {
        if patterns.is_empty() {
            return Ok(Self::default());
        }
        let mut builder = GlobSetBuilder::new();
        for pattern in &patterns {
            builder.add(globset::Glob::new(pattern)?);
        }
        let set = Some(builder.build()?);
        Ok(Self { patterns, set })
    }

    pub(super) fn fits(&self, name: &str) -> bool {
        self.set.as_ref().is_none_or(|set| set.is_match(name))
    }

    /// As the configuration has it.
    pub(super) fn shown(&self) -> String {
        self.patterns.join(", ")
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}
