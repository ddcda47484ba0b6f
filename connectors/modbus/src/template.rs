//! Templates: the map of registers of a kind of device, so that a file need not list it.
//!
//! A template is a TOML file with the keys of tags; it names the maker's manual from which it was written. Some come along in
//! the binary ([`catalogue`]), others lie in a folder of the user's. The tags of a template belong to the connector's device
//! and unit. A tag of the same name in the file changes what it names.
//!
//! A template's scale, offset and unit are applied here, since the gateway reads the tags of the file only.

mod catalogue;

use std::path::{Path, PathBuf};

use forebay_config::{Document, Optional, Required, Table, TableKeys, nearest};

use crate::{
    config::{Given, OFFSET, SCALE, Scaling, TagSource, within},
    keys,
    plan::{Forbidden, Limits},
    value::Order,
};

const MAKER: Required<String> = Required::new("maker", "Who makes the device.");
const MODEL: Required<String> = Required::new("model", "The devices that the template fits.");
const MANUAL: Required<String> = Required::new(
    "manual",
    "The document, with its revision, from which the template was written.",
);
const NOTE: Optional<String> = Optional::new("note", "What a user of the template must know.");
const UNIT: Optional<String> = Optional::new("unit", "Unit of the scaled value, a UCUM code.");

/// The tags of a template: the connector's keys of a tag, and what the gateway does for those of a file.
const TEMPLATE_TAG: TableKeys = TableKeys::many(
    "tag",
    "A value in the device's memory.",
    &[
        &keys::NAME,
        &keys::REGISTER,
        &keys::ADDRESS,
        &keys::TYPE,
        &keys::TAG_ORDER,
        &keys::TAG_EVERY,
        &keys::INVALID,
        &UNIT,
        &SCALE,
        &OFFSET,
    ],
);

/// What a template is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateInfo {
    /// "maker/model", as the key `template` has it.
    pub name: String,
    /// Who makes the device.
    pub maker: String,
    /// The devices that it fits.
    pub model: String,
    /// The document from which it was written.
    pub manual: String,
}

/// The templates that come along, by name.
pub fn templates() -> Vec<TemplateInfo> {
    let names = catalogue::TEMPLATES.iter().map(|(name, _)| *name);
    let found = names.filter_map(|name| Template::find(name, None).ok());
    found.map(|template| template.info).collect()
}

/// A device's map of registers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    pub(crate) info: TemplateInfo,
    /// The order of its tags that name none, as it is written and as it is meant.
    pub(crate) order: Option<(String, Order)>,
    pub(crate) limits: Limits,
    pub(crate) tags: Vec<TagSource>,
}

impl Template {
    /// The template that a connector names; what is wrong is noted.
    pub(crate) fn read(connector: &mut Table<'_>) -> Given<Self> {
        let folder = Given::read(connector, &keys::TEMPLATE_DIR);
        let name = match Given::read(connector, &keys::TEMPLATE) {
            Given::Value(name) => name,
            Given::Wrong => return Given::Wrong,
            Given::Missing => return Given::Missing,
        };
        match Self::find(&name, folder.as_value().map(PathBuf::as_path)) {
            Ok(template) => Given::Value(template),
            Err(message) => {
                connector.problem(&keys::TEMPLATE, message);
                Given::Wrong
            }
        }
    }

    /// The template of a name: the folder's, else one that comes along.
    pub(crate) fn find(name: &str, folder: Option<&Path>) -> Result<Self, String> {
        let is_word = |word: &str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !word.is_empty() && !word.starts_with('.') && word.chars().all(is_plain)
        };
        let is_name = name
            .split_once('/')
            .is_some_and(|(maker, model)| is_word(maker) && is_word(model));
        if !is_name {
            return Err(format!(
                "{name:?}: \"maker/model\" is expected, such as \"eastron/sdm630\""
            ));
        }
        if let Some(folder) = folder {
            let file = folder.join(format!("{name}.toml"));
            match std::fs::read_to_string(&file) {
                Ok(text) => return Self::parse(name, &file, &text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("cannot read {}: {error}", file.display())),
            }
        }
        let known = catalogue::TEMPLATES;
        match known.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(name, Path::new(name), text),
            None => {
                let names = known.iter().map(|(name, _)| *name);
                let near = nearest(name, names.clone());
                let all: Vec<&str> = names.collect();
                let all = all.join(", ");
                Err(format!(
                    "there is no template {name:?}{near}; the templates are {all}"
                ))
            }
        }
    }

    /// A template's text, or all that is wrong with it.
    pub(crate) fn parse(name: &str, file: &Path, text: &str) -> Result<Self, String> {
        let document = Document::new(file, text, &|_| None);
        document
            .read(|root| Self::of_root(name, root))
            .map_err(|errors| format!("the template {name:?} is wrong: {errors}"))
    }

    fn of_root(name: &str, root: &mut Table<'_>) -> Option<Self> {
        let maker = root.read(&MAKER);
        let model = root.read(&MODEL);
        let manual = root.read(&MANUAL);
        root.read(&NOTE);
        let order = root.read(&keys::ORDER);
        let has_order = root.has(&keys::ORDER);
        let order = order.and_then(|text| match Order::parse_any(&text) {
            Ok(order) => Some((text, order)),
            Err(message) => {
                root.problem(&keys::ORDER, message);
                None
            }
        });
        let limits = limits(root);
        let mut tags = Vec::new();
        for mut table in root.tables(&TEMPLATE_TAG) {
            tags.push(tag(&mut table));
            table.finish();
        }
        let is_whole = order.is_some() || !has_order;
        Some(Self {
            info: TemplateInfo {
                name: name.to_owned(),
                maker: maker?,
                model: model?,
                manual: manual?,
            },
            order,
            limits: limits.filter(|_| is_whole)?,
            tags,
        })
    }

    /// Whether a tag of the file changes this one of the template.
    pub(crate) fn tag_named_as(&self, own: &TagSource) -> Option<&TagSource> {
        self.tags.iter().find(|tag| tag.is_of_same_name(own))
    }
}

fn limits(root: &mut Table<'_>) -> Option<Limits> {
    let gap_max = root.read(&keys::MAX_GAP);
    let registers_max = root.read(&keys::MAX_REGISTERS);
    let coils_max = root.read(&keys::MAX_COILS);
    let never = root.read(&keys::NEVER);
    let never = Forbidden::parse(&never)
        .map_err(|message| root.problem(&keys::NEVER, message))
        .ok();
    Some(Limits {
        gap_max: within(root, &keys::MAX_GAP, gap_max, 0..=125)?,
        registers_max: within(root, &keys::MAX_REGISTERS, registers_max, 1..=125)?,
        coils_max: within(root, &keys::MAX_COILS, coils_max, 1..=2000)?,
        never: never?,
    })
}

fn tag(table: &mut Table<'_>) -> TagSource {
    let source = TagSource::read(table);
    let scale = table.read(&SCALE);
    let offset = table.read(&OFFSET);
    let is_scaled = scale.is_some() || offset.is_some();
    let scaling = is_scaled.then(|| Scaling {
        scale: scale.unwrap_or(1.0),
        offset: offset.unwrap_or_default(),
    });
    let unit = table.read(&UNIT);
    source.scaled(scaling, unit.map(Into::into))
}

#[cfg(test)]
mod tests;
