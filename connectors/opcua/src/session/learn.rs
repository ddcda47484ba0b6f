//! What a server says of its data types: structures by the encodings of their values, enumerations by their variables.
//!
//! From an encoding its data type is found (HasEncoding, backwards), from that its definition; types in it are read the
//! same way, a level at a time, so that a server is asked a few times for a few levels. A type without a definition is
//! what its supertype is. Kept here: at most [`TYPES_MAX`] types, whatever the server says.

use std::{collections::HashMap, sync::Arc};

use opcua::types::{
    AttributeId, BrowseDescription, BrowseDirection, BrowseResultMaskFlags, DataValue,
    EnumDefinition, EnumValueType, Identifier, NodeId, ReadValueId, ReferenceDescription,
    ReferenceTypeId, StructureDefinition, StructureField, StructureType, Variant,
};

use super::{Session, services::Limits};
use crate::{
    error::OpcuaError,
    types::{Enumeration, Field, FieldKind, INT32, Structure, StructureKind, Types, VARIANT},
};

/// Types of one server.
const TYPES_MAX: usize = 1000;
/// Supertypes above a type.
const LEVELS_MAX: usize = 32;

/// A data type as the server describes it.
enum Known {
    Structure(StructureDefinition),
    Enumeration(Arc<Enumeration>),
    /// Nothing of its own.
    Subtype,
}

/// The data types that were read.
#[derive(Default)]
struct Dictionary {
    known: HashMap<NodeId, Known>,
    supertypes: HashMap<NodeId, NodeId>,
}

impl Session {
    /// What the server says of the structures with these encodings.
    pub(crate) async fn learn_structures(
        self,
        encodings: Vec<NodeId>,
        limits: Limits,
    ) -> Result<Types, OpcuaError> {
        let wanted: Vec<BrowseDescription> = encodings
            .iter()
            .map(|id| references(id, ReferenceTypeId::HasEncoding, BrowseDirection::Inverse))
            .collect();
        let found = self.browse(&wanted, limits.browse, 1).await?;
        let described: Vec<(NodeId, NodeId)> = encodings
            .iter()
            .zip(found)
            .filter_map(|(id, found)| Some((id.clone(), first(found)?)))
            .collect();
        let mut dictionary = Dictionary::default();
        let types = described.iter().map(|(_, data_type)| data_type.clone());
        self.read_types(types.collect(), &mut dictionary, limits)
            .await?;
        let mut types = dictionary.types();
        for (id, data_type) in described {
            if let Some(structure) = types.structures.get(&data_type).cloned() {
                types.structures.insert(id, structure);
            }
        }
        types.asked.extend(encodings);
        Ok(types)
    }

    /// The names of the enumerations of these variables, for those that have any.
    pub(crate) async fn learn_names(
        &self,
        variables: &[(u32, NodeId)],
        limits: Limits,
    ) -> Result<Vec<(u32, Arc<Enumeration>)>, OpcuaError> {
        let mut names = Vec::new();
        // A variable of a multi-state type names its own states.
        let ids: Vec<NodeId> = variables.iter().map(|(_, id)| id.clone()).collect();
        let own = self.states(&ids, limits).await?;
        let attribute = |id: &NodeId| ReadValueId::new(id.clone(), AttributeId::DataType);
        let wanted: Vec<ReadValueId> = ids.iter().map(attribute).collect();
        let data_types = self.read_attributes(&wanted, limits.read).await?;
        let data_types: Vec<Option<NodeId>> = data_types.into_iter().map(node).collect();
        let mut dictionary = Dictionary::default();
        let mut distinct: Vec<NodeId> = Vec::new();
        for id in data_types.iter().flatten() {
            if builtin(id).is_none() && !distinct.contains(id) {
                distinct.push(id.clone());
            }
        }
        self.read_types(distinct.clone(), &mut dictionary, limits)
            .await?;
        let of_types = self.states(&distinct, limits).await?;
        for (((handle, _), own), data_type) in variables.iter().zip(own).zip(data_types) {
            let described = data_type.and_then(|id| {
                dictionary.enumeration(&id).or_else(|| {
                    let place = distinct.iter().position(|known| known == &id)?;
                    of_types.get(place)?.clone()
                })
            });
            names.extend(own.or(described).map(|known| (*handle, known)));
        }
        Ok(names)
    }

    /// The names in the properties EnumStrings or EnumValues of nodes.
    async fn states(
        &self,
        nodes: &[NodeId],
        limits: Limits,
    ) -> Result<Vec<Option<Arc<Enumeration>>>, OpcuaError> {
        let wanted: Vec<BrowseDescription> = nodes
            .iter()
            .map(|id| references(id, ReferenceTypeId::HasProperty, BrowseDirection::Forward))
            .collect();
        let found = self.browse(&wanted, limits.browse, 100).await?;
        let mut places = Vec::new();
        let mut values = Vec::new();
        for (place, properties) in found.into_iter().enumerate() {
            let named = |property: &ReferenceDescription| {
                ["EnumStrings", "EnumValues"].contains(&property.browse_name.name.as_ref())
            };
            if let Some(property) = properties.into_iter().find(named) {
                places.push(place);
                values.push(ReadValueId::new(
                    property.node_id.node_id,
                    AttributeId::Value,
                ));
            }
        }
        let mut names = vec![None; nodes.len()];
        let values = self.read_attributes(&values, limits.read).await?;
        for (place, value) in places.into_iter().zip(values) {
            if let Some(name) = names.get_mut(place) {
                *name = states(&value).map(Arc::new);
            }
        }
        Ok(names)
    }

    /// Reads data types and those that they are made of.
    async fn read_types(
        &self,
        mut wanted: Vec<NodeId>,
        dictionary: &mut Dictionary,
        limits: Limits,
    ) -> Result<(), OpcuaError> {
        while !wanted.is_empty() && dictionary.known.len() < TYPES_MAX {
            wanted.truncate(TYPES_MAX - dictionary.known.len());
            let definitions: Vec<ReadValueId> = wanted
                .iter()
                .map(|id| ReadValueId::new(id.clone(), AttributeId::DataTypeDefinition))
                .collect();
            let definitions = self.read_attributes(&definitions, limits.read).await?;
            let above: Vec<BrowseDescription> = wanted
                .iter()
                .map(|id| references(id, ReferenceTypeId::HasSubtype, BrowseDirection::Inverse))
                .collect();
            let above = self.browse(&above, limits.browse, 1).await?;
            let mut next: Vec<NodeId> = Vec::new();
            for ((id, definition), above) in wanted.into_iter().zip(definitions).zip(above) {
                let known = described(definition);
                if let Known::Structure(structure) = &known {
                    next.extend(fields(structure).map(|field| field.data_type.clone()));
                }
                if let Some(above) = first(above) {
                    // What a definition says needs no supertype.
                    if matches!(known, Known::Subtype) {
                        next.push(above.clone());
                    }
                    dictionary.supertypes.insert(id.clone(), above);
                }
                dictionary.known.insert(id, known);
            }
            next.retain(|id| builtin(id).is_none() && !dictionary.known.contains_key(id));
            next.sort_unstable_by_key(ToString::to_string);
            next.dedup();
            wanted = next;
        }
        Ok(())
    }
}

impl Dictionary {
    fn types(&self) -> Types {
        let mut types = Types::default();
        for (id, known) in &self.known {
            match known {
                Known::Structure(definition) => {
                    if let Some(structure) = self.structure(id, definition) {
                        types.structures.insert(id.clone(), Arc::new(structure));
                    }
                }
                Known::Enumeration(enumeration) => {
                    types.enumerations.insert(id.clone(), enumeration.clone());
                }
                Known::Subtype => {}
            }
        }
        types
    }

    fn enumeration(&self, id: &NodeId) -> Option<Arc<Enumeration>> {
        let mut id = id;
        for _ in 0..LEVELS_MAX {
            match self.known.get(id)? {
                Known::Enumeration(names) => return Some(names.clone()),
                Known::Structure(_) => return None,
                Known::Subtype => id = self.supertypes.get(id)?,
            }
        }
        None
    }

    /// None where a part of it is not known: then no value of it can be decoded.
    fn structure(&self, id: &NodeId, definition: &StructureDefinition) -> Option<Structure> {
        let kind = match definition.structure_type {
            StructureType::Structure => StructureKind::Plain,
            StructureType::StructureWithOptionalFields => StructureKind::Optional,
            StructureType::Union => StructureKind::Union,
            // Their fields are structures that name themselves, which the library does not decode.
            StructureType::StructureWithSubtypedValues | StructureType::UnionWithSubtypedValues => {
                return None;
            }
        };
        let field = |field: &StructureField| {
            Some(Field {
                name: field.name.as_ref().into(),
                kind: self.kind(&field.data_type)?,
                // -1 is a scalar; 0 and below -1 leave it open, which a structure must not.
                rank: usize::try_from(field.value_rank).unwrap_or(0),
                is_optional: field.is_optional,
            })
        };
        Some(Structure {
            name: id.to_string(),
            kind,
            fields: fields(definition).map(field).collect::<Option<_>>()?,
        })
    }

    fn kind(&self, id: &NodeId) -> Option<FieldKind> {
        let mut id = id;
        for _ in 0..LEVELS_MAX {
            if let Some(number) = builtin(id) {
                return Some(FieldKind::Builtin(number));
            }
            match self.known.get(id)? {
                Known::Structure(_) => return Some(FieldKind::Structure(id.clone())),
                Known::Enumeration(_) => return Some(FieldKind::Enumeration(id.clone())),
                Known::Subtype => id = self.supertypes.get(id)?,
            }
        }
        None
    }
}

/// The number of the built-in type that a type of the standard is encoded as.
fn builtin(id: &NodeId) -> Option<u8> {
    let Identifier::Numeric(number) = id.identifier else {
        return None;
    };
    match number {
        _ if id.namespace != 0 => None,
        // Number, Integer, UInteger: any of their subtypes, with its own number before it.
        26..=28 => Some(VARIANT),
        // Enumeration.
        29 => Some(INT32),
        1..=25 => u8::try_from(number).ok(),
        _ => None,
    }
}

fn fields(definition: &StructureDefinition) -> impl Iterator<Item = &StructureField> {
    definition.fields.iter().flatten()
}

fn described(definition: DataValue) -> Known {
    let Some(Variant::ExtensionObject(object)) = definition.value else {
        return Known::Subtype;
    };
    if let Some(structure) = object.inner_as::<StructureDefinition>() {
        return Known::Structure(structure.clone());
    }
    let Some(enumeration) = object.inner_as::<EnumDefinition>() else {
        return Known::Subtype;
    };
    let name = |field: &opcua::types::EnumField| {
        let name = [field.name.as_ref(), field.display_name.text.as_ref()];
        let name = name.into_iter().find(|name| !name.is_empty())?;
        Some((field.value, Arc::from(name)))
    };
    let fields = enumeration.fields.iter().flatten();
    Known::Enumeration(Arc::new(Enumeration(fields.filter_map(name).collect())))
}

/// The names in a value of EnumStrings (by place) or EnumValues (by number).
fn states(value: &DataValue) -> Option<Enumeration> {
    let Some(Variant::Array(array)) = &value.value else {
        return None;
    };
    let name = |(place, value): (i64, &Variant)| match value {
        Variant::LocalizedText(text) => Some((place, Arc::from(text.text.as_ref()))),
        Variant::ExtensionObject(object) => {
            let known = object.inner_as::<EnumValueType>()?;
            Some((known.value, Arc::from(known.display_name.text.as_ref())))
        }
        _ => None,
    };
    Some(Enumeration(
        (0..).zip(&array.values).filter_map(name).collect(),
    ))
}

fn node(value: DataValue) -> Option<NodeId> {
    match value.value {
        Some(Variant::NodeId(id)) => Some(*id),
        _ => None,
    }
}

fn first(references: Vec<ReferenceDescription>) -> Option<NodeId> {
    Some(references.into_iter().next()?.node_id.node_id)
}

pub(super) fn references(
    node: &NodeId,
    kind: ReferenceTypeId,
    direction: BrowseDirection,
) -> BrowseDescription {
    BrowseDescription {
        node_id: node.clone(),
        browse_direction: direction,
        reference_type_id: kind.into(),
        include_subtypes: false,
        node_class_mask: 0,
        result_mask: BrowseResultMaskFlags::BrowseName.bits(),
    }
}
