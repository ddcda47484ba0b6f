//! The OPC UA server: the machine "press-3".
//!
//! Namespace 2 holds the variables `Press.Cpu` (Double, per cent), `Press.Temperature` (Double) and `Press.Cycle` (UInt32,
//! from 1). All three are written ten times a second with one source timestamp. The only endpoint is without security.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use forebay_schemas::Clock;
use opcua::{
    nodes::{AccessLevel, Variable, VariableBuilder},
    server::{
        ANONYMOUS_USER_TOKEN_ID, ServerBuilder, ServerEndpoint, ServerHandle,
        diagnostics::NamespaceMetadata,
        node_manager::memory::{SimpleNodeManager, simple_node_manager},
    },
    types::{DataTypeId, DataValue, DateTime, NodeId, ObjectId, Variant},
};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{subscriber::NoSubscriber, warn};

use crate::{
    PlantError,
    recording::{AMBIENT, CPU, replayed},
};

const EVERY: Duration = Duration::from_millis(100);
const NAMESPACE: &str = "urn:forebay:plant:press";
const NAMESPACE_INDEX: u16 = 2;
/// A value that comes sooner than the sampling interval after the one before is stamped again by the library, or lost: so the
/// shortest interval is far below ours.
const SAMPLING_MS_MIN: f64 = 10.0;
/// A subscriber that publishes every few seconds still gets every value.
const QUEUE_MAX: usize = 1000;
/// From 1601-01-01 to 1970-01-01, in ticks of 100 ns (OPC 10000-6, section 5.2.2.5).
const EPOCH_TICKS: i64 = 116_444_736_000_000_000;

/// The recorded values of the press.
struct Press {
    cpu: Vec<f64>,
    temperature: Vec<f64>,
}

/// Serves until `stop`; `written` counts the values. The empty folder for certificates lives as long as the task.
pub(crate) async fn start(
    tasks: &mut JoinSet<&'static str>,
    stop: CancellationToken,
    clock: Clock,
    written: Arc<AtomicU64>,
) -> Result<SocketAddr, PlantError> {
    let failed = |source| PlantError::Start {
        server: "opcua",
        source,
    };
    let press = Press {
        cpu: CPU.values()?,
        temperature: AMBIENT.values()?,
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let certificates = tempfile::tempdir().map_err(failed)?;
    let builder = builder(address.port(), certificates.path());
    // It warns of the certificate that an endpoint without security does not need.
    let built = tracing::subscriber::with_default(NoSubscriber::default(), || builder.build());
    let (server, handle) = built.map_err(refused)?;
    let nodes = nodes(&handle)?;

    tasks.spawn(write(
        press,
        nodes,
        handle.clone(),
        stop.clone(),
        clock,
        written,
    ));
    tasks.spawn(async move {
        let _certificates = certificates;
        let mut serving = pin!(server.run_with(listener));
        let ended = tokio::select! {
            ended = &mut serving => Some(ended),
            () = stop.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                handle.cancel();
                serving.await
            }
        };
        if let Err(error) = ended {
            warn!(%error, "the plant's opc ua server has ended");
        }
        "opcua"
    });
    Ok(address)
}

fn builder(port: u16, certificates: &std::path::Path) -> ServerBuilder {
    let namespace = NamespaceMetadata {
        namespace_uri: NAMESPACE.to_owned(),
        ..Default::default()
    };
    let anonymous = [ANONYMOUS_USER_TOKEN_ID.to_owned()];
    let mut builder = ServerBuilder::new()
        .application_name("Forebay's small plant")
        .application_uri("urn:forebay:plant")
        .product_uri("urn:forebay:plant")
        .host("127.0.0.1")
        .port(port)
        .pki_dir(certificates)
        .add_endpoint("none", ServerEndpoint::new_none("/", &anonymous))
        .discovery_urls(vec!["/".to_owned()])
        .with_node_manager(simple_node_manager(namespace, "press"));
    let limits = &mut builder.limits_mut().subscriptions;
    limits.min_sampling_interval_ms = SAMPLING_MS_MIN;
    limits.max_monitored_item_queue_size = QUEUE_MAX;
    builder
}

/// Cpu, temperature, cycle.
fn ids() -> [NodeId; 3] {
    ["Press.Cpu", "Press.Temperature", "Press.Cycle"].map(|name| NodeId::new(NAMESPACE_INDEX, name))
}

fn nodes(handle: &ServerHandle) -> Result<Arc<SimpleNodeManager>, PlantError> {
    let manager = handle.node_managers().get_of_type::<SimpleNodeManager>();
    let manager = manager.ok_or_else(|| refused("it has lost its nodes".into()))?;
    if handle.get_namespace_index(NAMESPACE) != Some(NAMESPACE_INDEX) {
        return Err(refused(format!(
            "the namespace of the press is not {NAMESPACE_INDEX}"
        )));
    }
    let folder = NodeId::new(NAMESPACE_INDEX, "Press");
    let types = [DataTypeId::Double, DataTypeId::Double, DataTypeId::UInt32];
    let zeros = [
        Variant::Double(0.0),
        Variant::Double(0.0),
        Variant::UInt32(0),
    ];
    let variables = ids()
        .into_iter()
        .zip(types)
        .zip(zeros)
        .map(|((id, data_type), zero)| variable(&id, data_type, zero));
    let mut space = manager.address_space().write();
    space.add_folder(&folder, "Press", "Press", &ObjectId::ObjectsFolder.into());
    space.add_variables(variables.collect(), &folder);
    drop(space);
    Ok(manager)
}

fn variable(id: &NodeId, data_type: DataTypeId, value: Variant) -> Variable {
    let name = id.identifier.to_string();
    let name = name.rsplit('.').next().unwrap_or_default().to_owned();
    VariableBuilder::new(id, name.as_str(), name.as_str())
        .data_type(data_type)
        .value(value)
        .access_level(AccessLevel::CURRENT_READ)
        .user_access_level(AccessLevel::CURRENT_READ)
        .build()
}

async fn write(
    press: Press,
    nodes: Arc<SimpleNodeManager>,
    server: ServerHandle,
    stop: CancellationToken,
    clock: Clock,
    written: Arc<AtomicU64>,
) -> &'static str {
    let ids = ids();
    let mut ticks = interval(EVERY);
    // Never two in haste: see `SAMPLING_MS_MIN`.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for place in 0_u64.. {
        if stop.run_until_cancelled(ticks.tick()).await.is_none() {
            break;
        }
        let now = DateTime::from(clock().nanos().div_euclid(100).saturating_add(EPOCH_TICKS));
        let values = [
            Variant::Double(replayed(&press.cpu, place)),
            Variant::Double(replayed(&press.temperature, place)),
            Variant::UInt32((place + 1) as u32),
        ];
        let stamped = values.map(|value| DataValue {
            value: Some(value),
            source_timestamp: Some(now),
            server_timestamp: Some(now),
            ..Default::default()
        });
        let updates = ids.iter().zip(stamped).map(|(id, value)| (id, None, value));
        if let Err(status) = nodes.set_values(server.subscriptions(), updates) {
            warn!(%status, "the plant's opc ua server takes no values");
            break;
        }
        written.fetch_add(ids.len() as u64, Ordering::Relaxed);
    }
    "opcua values"
}

fn refused(reason: String) -> PlantError {
    PlantError::Refused {
        server: "opcua",
        reason,
    }
}
