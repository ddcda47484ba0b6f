//! The only place that knows every plug-in.

use forebay_connectors::ConnectorKind;
use forebay_grid::GridDemandKind;
use forebay_jobs::JobKind;
use forebay_jobs_sql::SqlKind;
use forebay_modbus::ModbusKind;
use forebay_mqtt::MqttKind;
use forebay_opcua::OpcuaKind;
use forebay_predictive_maintenance::PredictiveMaintenanceKind;

/// The kinds of connectors, in the order in which they are named to users.
pub(crate) const CONNECTORS: [&dyn ConnectorKind; 3] = [&ModbusKind, &MqttKind, &OpcuaKind];

/// The kinds of jobs.
pub(crate) const JOBS: [&dyn JobKind; 3] = [&SqlKind, &PredictiveMaintenanceKind, &GridDemandKind];
