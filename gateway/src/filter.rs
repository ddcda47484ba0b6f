//! Which series of a connector are taken: globs over `device/tag`.

use forebay_schemas::{DeviceId, TagName};
use globset::{Error, GlobBuilder, GlobSet, GlobSetBuilder};

/// Which series are taken; all by default. `*` stays within a device's or tag's name, `**` does not.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include: Option<GlobSet>,
    exclude: Option<GlobSet>,
}

impl Filter {
    /// Takes what any of `include` matches, or everything if that is empty, and none of `exclude`.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, Error> {
        Ok(Self {
            include: set(include)?,
            exclude: set(exclude)?,
        })
    }

    /// Whether a series is taken.
    pub fn takes(&self, device: &DeviceId, tag: &TagName) -> bool {
        if self.include.is_none() && self.exclude.is_none() {
            return true;
        }
        let name = format!("{device}/{tag}");
        self.include.as_ref().is_none_or(|set| set.is_match(&name))
            && !self.exclude.as_ref().is_some_and(|set| set.is_match(&name))
    }
}

fn set(patterns: &[String]) -> Result<Option<GlobSet>, Error> {
    if patterns.is_empty() {
        return Ok(None);
    }
    globs(patterns).map(Some)
}

/// What any of these patterns matches.
pub(crate) fn globs(patterns: &[String]) -> Result<GlobSet, Error> {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        builder.add(GlobBuilder::new(pattern).literal_separator(true).build()?);
    }
    builder.build()
}
