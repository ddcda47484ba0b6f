//! The only place that knows every plug-in.

use forebay_connectors::ConnectorKind;
#[cfg(feature = "lake")]
use forebay_grid::GridDemandKind;
#[cfg(feature = "lake")]
use forebay_grid_outage::GridOutageKind;
use forebay_http::HttpKind;
#[cfg(feature = "lake")]
use forebay_jobs::JobKind;
#[cfg(feature = "lake")]
use forebay_jobs_sql::SqlKind;
use forebay_modbus::ModbusKind;
use forebay_mqtt::MqttKind;
use forebay_opcua::OpcuaKind;
#[cfg(feature = "lake")]
use forebay_predictive_maintenance::PredictiveMaintenanceKind;
#[cfg(feature = "lake")]
use forebay_quality::QualityKind;
#[cfg(feature = "lake")]
use forebay_remaining_life::RemainingLifeKind;
#[cfg(feature = "lake")]
use forebay_renewables::RenewablesKind;
#[cfg(feature = "lake")]
use forebay_report::ReportKind;
use forebay_simulated::SimulatedKind;
#[cfg(feature = "lake")]
use forebay_vibration::VibrationKind;

/// The kinds of connectors, in the order in which they are named to users.
pub(crate) const CONNECTORS: &[&dyn ConnectorKind] = &[
    &ModbusKind,
    &MqttKind,
    &OpcuaKind,
    &HttpKind,
    &SimulatedKind,
];

/// Directives for the log: what libraries report as errors although it is none of anyone's business: every OPC UA link without
/// encryption, every commit that has to be rebuilt because another came first, and what they hand to us as an error too.
pub(crate) const QUIET: &str = "opcua_core::comms::secure_channel=off,deltalake_core::kernel::transaction=off,buoyant_kernel=off";

/// The kinds of jobs.
#[cfg(feature = "lake")]
pub(crate) const JOBS: &[&dyn JobKind] = &[
    &SqlKind,
    &PredictiveMaintenanceKind,
    &GridDemandKind,
    &RemainingLifeKind,
    &GridOutageKind,
    &QualityKind,
    &RenewablesKind,
    &VibrationKind,
    &ReportKind,
];
