"""A Sparkplug B edge node that is not ours in its MQTT (paho-mqtt) and its encoding (protobuf). Commands come on stdin, one JSON
object a line; each is answered by one line.

The first argument is a FileDescriptorSet of Sparkplug's payload, the second JSON with "port", "node" and "aliases".
"""
import json
import queue
import sys
import time

import paho.mqtt.client as paho
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

pool = descriptor_pool.DescriptorPool()
with open(sys.argv[1], "rb") as file:
    for one in descriptor_pb2.FileDescriptorSet.FromString(file.read()).file:
        pool.Add(one)
Payload = message_factory.GetMessageClass(pool.FindMessageTypeByName("sparkplug.Payload"))
options = json.loads(sys.argv[2])
group, node, host = "plant", options["node"], options.get("host", "forebay")

INTEGERS = {"Int8": 1, "Int16": 2, "Int32": 3, "UInt8": 5, "UInt16": 6, "UInt32": 7}
TYPES = INTEGERS | {"Int64": 4, "UInt64": 8, "Float": 9, "Double": 10, "Boolean": 11, "String": 12}
FIELDS = {"Int64": "long_value", "UInt64": "long_value", "Float": "float_value", "Double": "double_value",
          "Boolean": "boolean_value", "String": "string_value"}
seq, session = 0, options.get("session", 0)


def fill(metric, one, is_birth):
    """A metric of a birth has name, alias and type; one of data only its alias."""
    alias = one.get("alias")
    if is_birth or alias is None:
        metric.name = one["name"]
    if alias is not None:
        metric.alias = alias
    if is_birth:
        metric.datatype = TYPES[one["type"]]
    metric.timestamp = one.get("ts", int(time.time() * 1000))
    if one.get("historical"):
        metric.is_historical = True
    if one["value"] is None:
        metric.is_null = True
    elif one["type"] in INTEGERS:
        metric.int_value = one["value"] & 0xFFFFFFFF
    elif one["type"] == "Int64":
        metric.long_value = one["value"] & 0xFFFFFFFFFFFFFFFF
    else:
        setattr(metric, FIELDS[one["type"]], one["value"])
    if "quality" in one:
        metric.properties.keys.append("Quality")
        quality = metric.properties.values.add()
        quality.type, quality.int_value = 3, one["quality"]


def publish(kind, device, metrics):
    global seq
    payload = Payload(timestamp=int(time.time() * 1000))
    if kind == "NBIRTH":
        seq = 0
        number = payload.metrics.add(name="bdSeq", datatype=4, long_value=session)
        number.timestamp = payload.timestamp
        payload.metrics.add(name="Node Control/Rebirth", datatype=11, boolean_value=False)
    payload.seq = seq
    seq = (seq + 1) % 256
    for one in metrics:
        fill(payload.metrics.add(), one, kind.endswith("BIRTH"))
    topic = f"spBv1.0/{group}/{kind}/{node}" + (f"/{device}" if device else "")
    client.publish(topic, payload.SerializeToString(), qos=0).wait_for_publish(30)


commands, states = queue.Queue(), queue.Queue()


def on_message(client, userdata, message):
    if "/STATE/" in message.topic:
        states.put(json.loads(message.payload))
        return
    metrics = Payload.FromString(message.payload).metrics
    if any(metric.name == "Node Control/Rebirth" and metric.boolean_value for metric in metrics):
        commands.put("rebirth")


client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"edge-{node}", protocol=paho.MQTTv311)
client.on_message = on_message
death = Payload(timestamp=int(time.time() * 1000))
death.metrics.add(name="bdSeq", datatype=4, long_value=session)
client.will_set(f"spBv1.0/{group}/NDEATH/{node}", death.SerializeToString(), qos=1)
client.connect("127.0.0.1", options["port"], keepalive=30)
subscribed = queue.Queue()
client.on_subscribe = lambda *_: subscribed.put(None)
client.subscribe([(f"spBv1.0/{group}/NCMD/{node}", 1), (f"spBv1.0/STATE/{host}", 1)])
client.loop_start()
subscribed.get(timeout=30)
print("ready", flush=True)

for line in sys.stdin:
    command = json.loads(line)
    match command["do"]:
        case "publish":
            publish(command["kind"], command.get("device"), command["metrics"])
        case "skip":
            seq = (seq + 1) % 256
        case "wait_for_rebirth":
            commands.get(timeout=60)
        case "wait_for_state":
            while states.get(timeout=60)["online"] != command["online"]:
                pass
        case "say_state":
            client.publish(f"spBv1.0/STATE/{host}", json.dumps(command["state"]), qos=1, retain=True).wait_for_publish(30)
    print("done", flush=True)
