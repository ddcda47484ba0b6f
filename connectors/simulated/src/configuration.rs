//! The part of `forebay.toml` that reads the plant, as it is shown to whoever runs `forebay demo`.

use crate::Plant;

/// The `[[connector]]` sections for a plant, with comments.
pub fn configuration(plant: &Plant) -> String {
    CONNECTORS
        .replace("<modbus>", &plant.modbus_url())
        .replace("<opcua>", &plant.opcua_url())
        .replace("<mqtt>", &plant.mqtt_url())
}

const CONNECTORS: &str = r##"# A pump with a Modbus TCP interface. The data is recorded (Numenta Anomaly Benchmark) and replayed faster than it was;
# its temperatures carry no unit, because the record states none.
[[connector]]
name = "pump"
kind = "modbus"
device = "pump-7"
url = "<modbus>"
unit_id = 1
every = "100ms"

[[connector.tag]]
name = "machine_temperature"
register = "holding"
address = 0
type = "f32"        # two registers, 0 and 1
order = "ABCD"      # the bytes in the order in which they come: high word first

[[connector.tag]]
name = "ambient_temperature"
register = "holding"
address = 2
type = "f32"

[[connector.tag]]
name = "sample"     # counts the recorded samples
register = "holding"
address = 4
type = "u32"

# A press with an OPC UA server. Without encryption, which is allowed on this machine alone: for another one, set
# security = "Aes256_Sha256_RsaPss".
[[connector]]
name = "press"
kind = "opcua"
device = "press-3"
url = "<opcua>"

[[connector.tag]]
name = "cpu"
node = "ns=2;s=Press.Cpu"
sampling = "50ms"   # twice as often as the press changes it, so that no value is missed
unit = "%"

[[connector.tag]]
name = "temperature"
node = "ns=2;s=Press.Temperature"
sampling = "50ms"

[[connector.tag]]
name = "cycle"      # counts up, so that a hole would show
node = "ns=2;s=Press.Cycle"
sampling = "50ms"

# Meters of feeders that publish JSON to an MQTT broker: {"ts": "2026-11-23T15:00:00.25Z", "v": 4.31}.
# The device and the tag come from the topic.
[[connector]]
name = "meters"
kind = "mqtt"
url = "<mqtt>"
version = 4         # MQTT 3.1.1
topics = ["site/+/meter/#"]
format = "json"

[[connector.tag]]
topic = "site/{device}/meter/{tag}"
value = "$.v"
time = "$.ts"
unit = "MW"
"##;
