//! What a server says of its own data types, and how values of them are taken apart.
//!
//! The library hands over a structure that it does not know as bytes with the id of their encoding. Here the bytes are
//! decoded by the structure's definition (Part 3, 8.48; Part 6, 5.2.6 to 5.2.8), which `session::learn` reads from the
//! server. Structures of the standard, which the library does know, are encoded again and go the same way. Pure.
//!
//! Kept here: nothing is read beyond the body's end; a structure in a structure goes down at most
//! [`DEPTH_MAX`] levels, an array has at most [`LEAVES_MAX`] elements, and a value has at most as many parts as its [`Budget`]
//! allows, whatever the bytes and the definitions say.

use std::{
    collections::{HashMap, HashSet},
    io::{Cursor, Read},
    sync::Arc,
};

use forebay_schemas::{Status, Value};
use opcua::types::{
    BinaryDecodable, ByteStringBody, Context, ContextOwned, DataValue, Error, ExtensionObject,
    NodeId, Variant,
};

use crate::tree::{Budget, DEPTH_MAX, LEAVES_MAX, Tree, unsupported};

/// A structure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Structure {
    pub(crate) name: String,
    pub(crate) kind: StructureKind,
    pub(crate) fields: Vec<Field>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StructureKind {
    /// All fields, one after the other.
    Plain,
    /// A mask of 32 bits says which optional fields are there.
    Optional,
    /// A number says which one field is there.
    Union,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: Arc<str>,
    pub(crate) kind: FieldKind,
    /// Dimensions; none of a scalar.
    pub(crate) rank: usize,
    pub(crate) is_optional: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FieldKind {
    /// A built-in type, by its number (Part 6, table 1).
    Builtin(u8),
    /// An Int32 with names.
    Enumeration(NodeId),
    /// A structure without an id of its own.
    Structure(NodeId),
}

/// Names of an enumeration's numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Enumeration(pub(crate) HashMap<i64, Arc<str>>);

impl Enumeration {
    pub(crate) fn name(&self, number: i64) -> Option<Arc<str>> {
        self.0.get(&number).cloned()
    }
}

/// What is known of a server's types. Ids are those of one session: a server may number its namespaces differently.
#[derive(Default)]
pub(crate) struct Types {
    /// By data type and by encoding.
    pub(crate) structures: HashMap<NodeId, Arc<Structure>>,
    /// By data type.
    pub(crate) enumerations: HashMap<NodeId, Arc<Enumeration>>,
    /// Encodings that the server was asked for.
    pub(crate) asked: HashSet<NodeId>,
    context: ContextOwned,
}

/// The bytes of a structure, and what is left to read of them.
struct Body<'b> {
    bytes: Cursor<&'b [u8]>,
    context: &'b Context<'b>,
    budget: &'b mut Budget,
}

impl Types {
    /// Takes in what was learned.
    pub(crate) fn merge(&mut self, learned: Self) {
        self.structures.extend(learned.structures);
        self.enumerations.extend(learned.enumerations);
        self.asked.extend(learned.asked);
    }

    /// The encodings of a value that nothing is known of yet and that the server has not been asked for.
    pub(crate) fn lacking(&self, data: &DataValue, lacking: &mut Vec<NodeId>) {
        let mut look = |value: &Variant| {
            let value = match value {
                Variant::Variant(inner) => inner,
                other => other,
            };
            if let Variant::ExtensionObject(object) = value
                && let Some(id) = encoding(object)
                && standard(&id).is_none()
                && !self.structures.contains_key(&id)
                && !self.asked.contains(&id)
                && !lacking.contains(&id)
            {
                lacking.push(id);
            }
        };
        match &data.value {
            Some(Variant::Array(array)) => array.values.iter().for_each(look),
            Some(scalar) => look(scalar),
            None => {}
        }
    }

    /// The tree of a structure.
    pub(crate) fn open(&self, object: &ExtensionObject, depth: usize, budget: &mut Budget) -> Tree {
        let context = self.context.context();
        let Some(id) = encoding(object) else {
            return Tree::Leaf(Err(Status::bad(None, "the server sent no value")));
        };
        let mut bytes = Vec::new();
        if let Some(body) = object.inner_as::<ByteStringBody>() {
            bytes.extend_from_slice(body.raw_body().as_ref());
        } else if let Some(body) = &object.body
            && let Err(error) = body.encode_binary(&mut bytes, &context)
        {
            return failed(&id.to_string(), &error);
        }
        if id == NodeId::new(0, DECIMAL) {
            return decimal(&bytes);
        }
        let known = self.structures.get(&id).cloned();
        let Some(structure) = known.or_else(|| standard(&id)) else {
            return Tree::Leaf(Err(unsupported(&format!(
                "structure with encoding {id}, which the server does not describe"
            ))));
        };
        budget.grow(bytes.len());
        let mut body = Body {
            bytes: Cursor::new(bytes.as_slice()),
            context: &context,
            budget,
        };
        let tree = self.structure(&structure, &mut body, depth);
        let left = body.bytes.get_ref().len() as u64 - body.bytes.position();
        match tree {
            Ok(_) if left > 0 => failed(
                &structure.name,
                &Error::decoding(format!("{left} bytes are left over")),
            ),
            Ok(tree) => tree,
            Err(error) => failed(&structure.name, &error),
        }
    }

    fn structure(
        &self,
        structure: &Structure,
        body: &mut Body<'_>,
        depth: usize,
    ) -> Result<Tree, Error> {
        if depth > DEPTH_MAX {
            return Err(Error::decoding("too many levels of structures"));
        }
        // A definition may have far more fields than a value.
        let mut fields = Vec::new();
        let mut take = |field: &Field, body: &mut Body<'_>| {
            let tree = self.field(field, body, depth)?;
            fields.push((field.name.clone(), tree));
            Ok::<(), Error>(())
        };
        match structure.kind {
            StructureKind::Plain => {
                for field in &structure.fields {
                    take(field, body)?;
                }
            }
            StructureKind::Optional => {
                let mut mask = u32::decode(&mut body.bytes, body.context)?;
                for field in &structure.fields {
                    if field.is_optional {
                        let is_there = mask & 1 == 1;
                        mask >>= 1;
                        if !is_there {
                            continue;
                        }
                    }
                    take(field, body)?;
                }
            }
            StructureKind::Union => {
                let chosen = u32::decode(&mut body.bytes, body.context)? as usize;
                // 0 stands for no field.
                if let Some(place) = chosen.checked_sub(1) {
                    let field = structure
                        .fields
                        .get(place)
                        .ok_or_else(|| Error::decoding(format!("it has no field {chosen}")))?;
                    take(field, body)?;
                }
            }
        }
        Ok(Tree::Fields(fields))
    }

    fn field(&self, field: &Field, body: &mut Body<'_>, depth: usize) -> Result<Tree, Error> {
        if field.rank == 0 {
            return self.scalar(&field.kind, body, depth);
        }
        let dimensions = dimensions(field.rank, &mut body.bytes, body.context)?;
        let count = dimensions
            .iter()
            .try_fold(1_usize, |count, length| count.checked_mul(*length))
            .filter(|count| *count <= LEAVES_MAX)
            .ok_or_else(|| {
                Error::decoding(format!(
                    "field {} has more than {LEAVES_MAX} elements",
                    field.name
                ))
            })?;
        let mut elements = Vec::new();
        for _ in 0..count {
            let begun = body.bytes.position();
            elements.push(self.scalar(&field.kind, body, depth)?);
            // Elements that take no bytes would let a few bytes stand for any number of them.
            if body.bytes.position() == begun {
                return Err(Error::decoding(format!(
                    "field {} has empty elements",
                    field.name
                )));
            }
        }
        Ok(Tree::Array(dimensions, elements))
    }

    fn scalar(&self, kind: &FieldKind, body: &mut Body<'_>, depth: usize) -> Result<Tree, Error> {
        // Fields without a byte of their own would let definitions stand for any number of them.
        if !body.budget.take() {
            return Err(Error::decoding("it has too many parts"));
        }
        match kind {
            // A field of any type is a Variant of its own.
            FieldKind::Builtin(VARIANT) => {
                let value = Variant::decode(&mut body.bytes, body.context)?;
                Ok(Tree::of(&value, self, depth + 1, body.budget))
            }
            FieldKind::Builtin(number) => {
                // A Variant is its type's number and then the value as it lies in a structure.
                let kind = [*number];
                let mut one = kind.as_slice().chain(&mut body.bytes);
                let value = Variant::decode(&mut one, body.context)?;
                Ok(Tree::of(&value, self, depth + 1, body.budget))
            }
            FieldKind::Enumeration(id) => {
                let number = i64::from(i32::decode(&mut body.bytes, body.context)?);
                let tree = Tree::Leaf(Ok(Value::I64(number)));
                Ok(match self.enumerations.get(id) {
                    Some(known) => tree.named(&|number| known.name(number)),
                    None => tree,
                })
            }
            FieldKind::Structure(id) => {
                let structure = self
                    .structures
                    .get(id)
                    .ok_or_else(|| Error::decoding(format!("the server does not describe {id}")))?;
                self.structure(structure, body, depth + 1)
            }
        }
    }
}

/// BaseDataType.
pub(crate) const VARIANT: u8 = 24;

/// The data type Decimal, whose values name the type itself (Part 6, 5.1.10).
const DECIMAL: u32 = 50;

/// A structure's encoding and name, and the name and type of each field.
type StandardStructure = (u32, &'static str, &'static [(&'static str, u8)]);

/// Structures of the standard that variables have (Part 8), by their encodings: many servers do not describe them.
const STANDARD: &[StandardStructure] = &[
    (886, "Range", &[("Low", DOUBLE), ("High", DOUBLE)]),
    (
        889,
        "EUInformation",
        &[
            ("NamespaceUri", STRING),
            ("UnitId", INT32),
            ("DisplayName", LOCALIZED_TEXT),
            ("Description", LOCALIZED_TEXT),
        ],
    ),
    (
        8917,
        "TimeZoneDataType",
        &[("Offset", INT16), ("DaylightSavingInOffset", BOOLEAN)],
    ),
    (12_090, "XVType", &[("X", DOUBLE), ("Value", FLOAT)]),
    (
        12_181,
        "ComplexNumberType",
        &[("Real", FLOAT), ("Imaginary", FLOAT)],
    ),
    (
        12_182,
        "DoubleComplexNumberType",
        &[("Real", DOUBLE), ("Imaginary", DOUBLE)],
    ),
];

const BOOLEAN: u8 = 1;
const INT16: u8 = 4;
pub(crate) const INT32: u8 = 6;
const FLOAT: u8 = 10;
const DOUBLE: u8 = 11;
const STRING: u8 = 12;
const LOCALIZED_TEXT: u8 = 21;

fn standard(id: &NodeId) -> Option<Arc<Structure>> {
    let number = id.as_u32().filter(|_| id.namespace == 0)?;
    let (_, name, fields) = STANDARD.iter().find(|(known, ..)| *known == number)?;
    let field = |(name, number): &(&str, u8)| Field {
        name: (*name).into(),
        kind: FieldKind::Builtin(*number),
        rank: 0,
        is_optional: false,
    };
    Some(Arc::new(Structure {
        name: (*name).to_owned(),
        kind: StructureKind::Plain,
        fields: fields.iter().map(field).collect(),
    }))
}

/// The lengths of an array in a structure: one, or a list of them where it has several dimensions.
fn dimensions(
    rank: usize,
    bytes: &mut Cursor<&[u8]>,
    context: &Context<'_>,
) -> Result<Vec<usize>, Error> {
    // A null array has the length -1.
    let length = |length: i32| usize::try_from(length).unwrap_or(0);
    let first = i32::decode(bytes, context)?;
    if rank == 1 {
        return Ok(vec![length(first)]);
    }
    if length(first) != rank {
        return Err(Error::decoding(format!(
            "array of {first} dimensions, {rank} are expected"
        )));
    }
    (0..rank)
        .map(|_| i32::decode(bytes, context).map(length))
        .collect()
}

/// Two bytes of scale and a whole number, the least significant byte first (Part 6, 5.1.10).
fn decimal(bytes: &[u8]) -> Tree {
    let [low, high, digits @ ..] = bytes else {
        return Tree::Leaf(Err(unsupported("Decimal of fewer than two bytes")));
    };
    if digits.len() > 16 {
        return Tree::Leaf(Err(unsupported("Decimal of more than 16 bytes")));
    }
    let scale = i16::from_le_bytes([*low, *high]);
    let fill = match digits.last() {
        Some(top) if top & 0x80 != 0 => 0xFF,
        _ => 0,
    };
    let mut whole = [fill; 16];
    whole[..digits.len()].copy_from_slice(digits);
    let text = format!("{}e{}", i128::from_le_bytes(whole), -i32::from(scale));
    match text.parse::<f64>() {
        Ok(number) => Tree::Leaf(forebay_connectors::finite(number, number.to_bits())),
        Err(_) => Tree::Leaf(Err(unsupported("Decimal"))),
    }
}

/// The id of a structure's encoding; none where there is no structure.
fn encoding(object: &ExtensionObject) -> Option<NodeId> {
    match object.inner_as::<ByteStringBody>() {
        Some(body) => Some(body.encoding_id().clone()),
        None => object
            .body
            .as_ref()
            .map(|body| body.binary_type_id().node_id),
    }
}

fn failed(what: &str, error: &Error) -> Tree {
    let why = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
    Tree::Leaf(Err(Status::bad(
        None,
        format!("decoding structure {what} failed: {why}"),
    )))
}
