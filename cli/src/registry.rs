//! The only place that knows every plug-in.

use forebay_connectors::ConnectorKind;
use forebay_modbus::ModbusKind;
use forebay_mqtt::MqttKind;
use forebay_opcua::OpcuaKind;

/// The kinds of connectors, in the order in which they are named to users.
pub(crate) const CONNECTORS: [&dyn ConnectorKind; 3] = [&ModbusKind, &MqttKind, &OpcuaKind];
