//! A server's variables as tags of a configuration, for a person to review.
//!
//! Read-only, a level of the server's tree at a time, below its folder Objects. The object Server itself is left out:
//! its hundreds of variables say how the server is. Kept here: whatever the server says, at most [`NODES_MAX`] nodes
//! are visited, each once.

mod render;

use std::{
    collections::HashSet,
    io::{self, Write},
};

use forebay_schemas::{Clock, ErrorKind};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use opcua::types::{
    AttributeId, BrowseDescription, BrowseDirection, BrowseResultMaskFlags, DataValue,
    EUInformation, NodeClass, NodeClassMask, NodeId, ObjectId, ReadValueId, ReferenceDescription,
    ReferenceTypeId, Variant,
};
use thiserror::Error;

use self::render::render;
use crate::{
    Server,
    dial::{CALL_PATIENCE, Dial},
    error::OpcuaError,
    session::{self, Limits, Session},
};

/// Nodes that are visited at most.
const NODES_MAX: usize = 200_000;
/// References of one node.
const REFERENCES_MAX: usize = 50_000;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowseOptions {
    /// Patterns over the path below Objects, such as `Press/*` or `**/Temperature`; `*` stays within a name. All variables where
    /// there is none.
    pub globs: Vec<String>,
    /// Levels below Objects.
    pub depth: usize,
    /// Variables that are written at most.
    pub items_max: usize,
}

impl Default for BrowseOptions {
    fn default() -> Self {
        Self {
            globs: Vec::new(),
            depth: 10,
            items_max: 10_000,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Browsed {
    /// Variables that were written.
    pub variables: usize,
    /// Nodes that were looked at.
    pub visited: usize,
    /// Whether a limit ended it before the server had.
    pub is_cut: bool,
}

/// Why a server cannot be browsed.
#[derive(Debug, Error)]
pub enum BrowseError {
    /// A pattern cannot be read.
    #[error("{glob:?} is not a pattern")]
    Glob {
        /// As it was written.
        glob: String,
        /// Why.
        #[source]
        source: globset::Error,
    },
    /// The server is unavailable, refuses us or ended the connection.
    #[error("browsing {url} failed: {reason}")]
    Server {
        /// Its address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The result cannot be written.
    #[error("writing the tags failed")]
    Output(#[from] io::Error),
}

impl BrowseError {
    /// Whether the same call may succeed later.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Glob { .. } => ErrorKind::Reject,
            Self::Server { .. } => ErrorKind::Retry,
            Self::Output(_) => ErrorKind::Fatal,
        }
    }
}

/// A variable that was found.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    /// Names from below Objects.
    path: Vec<String>,
    node: NodeId,
    /// The property EngineeringUnits.
    unit_node: Option<NodeId>,
    unit: String,
    data_type: Option<NodeId>,
    value_rank: i32,
    access: u8,
}

/// A node whose children are to be asked for.
struct Visit {
    path: Vec<String>,
    node: NodeId,
    /// Its place among the variables, if it is one that was taken.
    place: Option<usize>,
}

/// Writes the server's variables as `[[connector.tag]]`s, in the order of its tree, each with a line on what it is.
///
/// # Errors
/// A pattern, the server, or the output.
pub async fn browse(
    server: &Server,
    options: &BrowseOptions,
    clock: Clock,
    out: &mut (dyn Write + Send),
) -> Result<Browsed, BrowseError> {
    let globs = globs(&options.globs)?;
    let settings = &server.0;
    let failed = |error: OpcuaError| BrowseError::Server {
        url: settings.url.to_string(),
        reason: error.to_string(),
    };
    let pki = session::prepare_pki(settings, clock)
        .await
        .map_err(failed)?;
    let dial = Dial::new(settings);
    let open = Session::open(settings, pki, &dial, CALL_PATIENCE);
    let (session, mut carrier, _) = open.await.map_err(failed)?;
    let looked = async {
        let limits = session.limits().await?;
        let namespaces = session.namespaces().await?;
        let mut walk = Walk {
            session: &session,
            limits,
            options,
            globs: &globs,
            found: Vec::new(),
            seen: HashSet::new(),
            is_cut: false,
        };
        walk.run().await?;
        walk.describe().await?;
        Ok((namespaces, walk.found, walk.seen.len(), walk.is_cut))
    };
    let looked = tokio::select! {
        looked = looked => looked,
        ended = carrier.ended() => Err(ended),
    };
    session.close(carrier, None).await;
    let (namespaces, found, visited, is_cut) = looked.map_err(failed)?;
    let browsed = Browsed {
        variables: found.len(),
        visited,
        is_cut,
    };
    out.write_all(render(settings.url.as_str(), &found, &namespaces, browsed).as_bytes())?;
    Ok(browsed)
}

struct Walk<'a> {
    session: &'a Session,
    limits: Limits,
    options: &'a BrowseOptions,
    globs: &'a Option<GlobSet>,
    found: Vec<Found>,
    seen: HashSet<NodeId>,
    is_cut: bool,
}

impl Walk<'_> {
    async fn run(&mut self) -> Result<(), OpcuaError> {
        self.seen.insert(ObjectId::Server.into());
        let mut level = vec![Visit {
            path: Vec::new(),
            node: ObjectId::ObjectsFolder.into(),
            place: None,
        }];
        for depth in 1.. {
            let mut next = Vec::new();
            for some in level.chunks(self.limits.browse) {
                let asked: Vec<BrowseDescription> =
                    some.iter().map(|visit| children(&visit.node)).collect();
                let answers = self
                    .session
                    .browse(&asked, self.limits.browse, REFERENCES_MAX)
                    .await?;
                for (visit, references) in some.iter().zip(answers) {
                    for reference in references {
                        next.extend(self.take(visit, reference, depth));
                    }
                }
            }
            if next.is_empty() {
                break;
            }
            level = next;
        }
        Ok(())
    }

    /// Takes a child in; answers it where its own children are to be asked for.
    fn take(
        &mut self,
        parent: &Visit,
        reference: ReferenceDescription,
        depth: usize,
    ) -> Option<Visit> {
        let node = reference.node_id.node_id;
        let name = reference.browse_name.name.as_ref().to_owned();
        if reference.reference_type_id == ReferenceTypeId::HasProperty {
            if name == "EngineeringUnits"
                && let Some(found) = parent.place.and_then(|place| self.found.get_mut(place))
            {
                found.unit_node = Some(node);
            }
            return None;
        }
        // The children of the last level are asked for their properties alone.
        if depth > self.options.depth || reference.node_id.server_index != 0 {
            return None;
        }
        if self.seen.len() >= NODES_MAX {
            self.is_cut = true;
            return None;
        }
        if !self.seen.insert(node.clone()) {
            return None;
        }
        let mut path = parent.path.clone();
        path.push(name);
        let is_wanted = reference.node_class == NodeClass::Variable
            && self
                .globs
                .as_ref()
                .is_none_or(|globs| globs.is_match(path.join("/")));
        let mut place = None;
        if is_wanted && self.found.len() >= self.options.items_max {
            self.is_cut = true;
        } else if is_wanted {
            place = Some(self.found.len());
            self.found.push(Found {
                path: path.clone(),
                node: node.clone(),
                unit_node: None,
                unit: String::new(),
                data_type: None,
                value_rank: -1,
                access: 0,
            });
        }
        Some(Visit { path, node, place })
    }

    /// Reads what a reader of the result wants to know of each variable.
    async fn describe(&mut self) -> Result<(), OpcuaError> {
        self.found.sort_by(|one, other| one.path.cmp(&other.path));
        let attributes = [
            AttributeId::DataType,
            AttributeId::ValueRank,
            AttributeId::UserAccessLevel,
        ];
        let asked = |found: &Found| {
            let node = found.node.clone();
            attributes.map(|attribute| ReadValueId::new(node.clone(), attribute))
        };
        let wanted: Vec<ReadValueId> = self.found.iter().flat_map(asked).collect();
        let values = self
            .session
            .read_attributes(&wanted, self.limits.read)
            .await?;
        for (found, values) in self.found.iter_mut().zip(values.chunks(attributes.len())) {
            for value in values.iter().filter_map(|data| data.value.as_ref()) {
                match value {
                    Variant::NodeId(id) => found.data_type = Some(id.as_ref().clone()),
                    Variant::Int32(rank) => found.value_rank = *rank,
                    Variant::Byte(access) => found.access = *access,
                    _ => {}
                }
            }
        }
        let with_unit = |found: &Found| found.unit_node.clone();
        let units: Vec<ReadValueId> = self
            .found
            .iter()
            .filter_map(with_unit)
            .map(|node| ReadValueId::new(node, AttributeId::Value))
            .collect();
        let units = self
            .session
            .read_attributes(&units, self.limits.read)
            .await?;
        let described = self.found.iter_mut().filter(|one| one.unit_node.is_some());
        for (found, unit) in described.zip(units) {
            found.unit = unit_name(&unit).unwrap_or_default();
        }
        Ok(())
    }
}

fn unit_name(data: &DataValue) -> Option<String> {
    let Some(Variant::ExtensionObject(object)) = &data.value else {
        return None;
    };
    let unit = object.inner_as::<EUInformation>()?;
    Some(unit.display_name.text.as_ref().to_owned())
}

fn children(node: &NodeId) -> BrowseDescription {
    let mask = BrowseResultMaskFlags::ReferenceTypeId
        | BrowseResultMaskFlags::NodeClass
        | BrowseResultMaskFlags::BrowseName;
    BrowseDescription {
        node_id: node.clone(),
        browse_direction: BrowseDirection::Forward,
        reference_type_id: ReferenceTypeId::HierarchicalReferences.into(),
        include_subtypes: true,
        node_class_mask: (NodeClassMask::OBJECT | NodeClassMask::VARIABLE).bits(),
        result_mask: mask.bits(),
    }
}

fn globs(patterns: &[String]) -> Result<Option<GlobSet>, BrowseError> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    let wrong = |glob: &str| {
        let glob = glob.to_owned();
        move |source| BrowseError::Glob { glob, source }
    };
    for glob in patterns {
        let built = GlobBuilder::new(glob).literal_separator(true).build();
        set.add(built.map_err(wrong(glob))?);
    }
    set.build().map(Some).map_err(wrong(""))
}
