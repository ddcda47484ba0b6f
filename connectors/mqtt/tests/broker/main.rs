//! The connector end to end: against mosquitto and HiveMQ with paho-mqtt as the publisher, edge nodes of Eclipse Tahu, and against
//! brokers that misbehave.

#[cfg(test)]
#[path = "../../../../stream/tests/kafka_broker/certificates.rs"]
mod certificates;
#[cfg(test)]
mod conforms;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod hive;
#[cfg(test)]
mod security;
#[cfg(test)]
mod sparkplug;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tahu;
#[cfg(test)]
mod websocket;
