//! A server whose variables are written at a steady rate.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use opcua::{
    nodes::{AccessLevel, Variable, VariableBuilder},
    server::{
        ANONYMOUS_USER_TOKEN_ID, ServerBuilder, ServerEndpoint, ServerHandle,
        diagnostics::NamespaceMetadata,
        node_manager::memory::{SimpleNodeManager, simple_node_manager},
    },
    types::{DataTypeId, DataValue, DateTime, NodeId, ObjectId, Variant},
};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

const APPLICATION: &str = "urn:forebay:bench";
const NAMESPACE: &str = "urn:forebay:bench:variables";
/// Writes are spread over the second.
const WRITES_PER_SECOND: u32 = 10;
/// A client that creates many items has as many notifications of first values to come.
const NOTIFICATIONS_MAX: usize = 10_000;

/// Telegraf has one for each thousand of 100,000 tags.
const SESSIONS_MAX: usize = 200;

/// A server with variables of type Double, numbered from 1 in its namespace. It ends with this value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) namespace: u16,
    _tasks: JoinSet<()>,
    _certificates: TempDir,
}

impl Server {
    /// With so many variables, of which so many are written in a second, in turns.
    pub(crate) async fn start(tags: u32, per_second: u32) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let certificates = TempDir::new()?;
        let builder = builder(address.port(), certificates.path());
        let (server, handle) = builder.build().map_err(|error| anyhow!(error))?;
        let namespace = handle
            .get_namespace_index(NAMESPACE)
            .context("the server has no namespace of its own")?;
        let manager = handle
            .node_managers()
            .get_of_type::<SimpleNodeManager>()
            .context("the server has lost its nodes")?;
        let ids: Vec<NodeId> = (1..=tags).map(|tag| NodeId::new(namespace, tag)).collect();
        add(&manager, namespace, &ids);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            if let Err(error) = server.run_with(listener).await {
                eprintln!("the OPC UA server of the bench has ended: {error}");
            }
        });
        tasks.spawn(write(manager, handle, ids, per_second));
        Ok(Self {
            address,
            namespace,
            _tasks: tasks,
            _certificates: certificates,
        })
    }
}

fn builder(port: u16, certificates: &Path) -> ServerBuilder {
    let namespace = NamespaceMetadata {
        namespace_uri: NAMESPACE.to_owned(),
        ..Default::default()
    };
    let anonymous = [ANONYMOUS_USER_TOKEN_ID.to_owned()];
    let mut builder = ServerBuilder::new()
        .application_name("Forebay's bench")
        .application_uri(APPLICATION)
        .product_uri(APPLICATION)
        .host("127.0.0.1")
        .port(port)
        .pki_dir(certificates)
        .add_endpoint("none", ServerEndpoint::new_none("/", &anonymous))
        .discovery_urls(vec!["/".to_owned()])
        .with_node_manager(simple_node_manager(namespace, "bench"));
    builder.limits_mut().max_sessions = SESSIONS_MAX;
    let limits = &mut builder.limits_mut().subscriptions;
    // 0: any number.
    limits.max_monitored_items_per_sub = 0;
    limits.max_queued_notifications = NOTIFICATIONS_MAX;
    builder
}

fn add(manager: &SimpleNodeManager, namespace: u16, ids: &[NodeId]) {
    let folder = NodeId::new(namespace, "bench");
    let variables = ids.iter().map(variable).collect();
    let mut space = manager.address_space().write();
    space.add_folder(&folder, "bench", "bench", &ObjectId::ObjectsFolder.into());
    space.add_variables(variables, &folder);
}

fn variable(id: &NodeId) -> Variable {
    let name = id.identifier.to_string();
    VariableBuilder::new(id, name.as_str(), name.as_str())
        .data_type(DataTypeId::Double)
        .value(Variant::Double(0.0))
        .access_level(AccessLevel::CURRENT_READ)
        .user_access_level(AccessLevel::CURRENT_READ)
        .build()
}

async fn write(
    manager: Arc<SimpleNodeManager>,
    server: ServerHandle,
    ids: Vec<NodeId>,
    per_second: u32,
) {
    let mut ticks = interval(Duration::from_secs(1) / WRITES_PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut in_turns = ids.iter().cycle();
    let mut written = 0_u64;
    loop {
        ticks.tick().await;
        let now = DateTime::now();
        let some = in_turns
            .by_ref()
            .take((per_second / WRITES_PER_SECOND) as usize);
        let values = some.map(|id| {
            written += 1;
            let value = DataValue {
                value: Some(Variant::Double(written as f64 / 8.0)),
                source_timestamp: Some(now),
                server_timestamp: Some(now),
                ..Default::default()
            };
            (id, None, value)
        });
        if let Err(status) = manager.set_values(server.subscriptions(), values) {
            eprintln!("the OPC UA server of the bench takes no values: {status}");
            return;
        }
    }
}
