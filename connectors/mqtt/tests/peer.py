"""A publisher that is not ours: paho-mqtt. Commands come on stdin, one JSON object a line; each is answered by "done".

A command publishes to "topic" the "payloads", or {"v": n} for each n from "first" to "last", with a pause of "every_ms" between.
With "spread": k, "{n}" in the topic is the payload's place modulo k.
"inflight" is how many messages may await their PUBACKs: paho does not heed a broker's receive maximum.
With "log" (a path) in the only argument, each payload stands there on a line of its own once its PUBACK has come.
"""
import json
import queue
import sys
import threading
import time

import paho.mqtt.client as paho

options = json.loads(sys.argv[1])
client = paho.Client(
    paho.CallbackAPIVersion.VERSION2,
    client_id=options.get("client_id", "peer"),
    protocol=paho.MQTTv5 if options["version"] == 5 else paho.MQTTv311,
)
if "user" in options:
    client.username_pw_set(options["user"], options["password"])
if "ca" in options:
    client.tls_set(options["ca"])
client.max_inflight_messages_set(options.get("inflight", 100))
client.max_queued_messages_set(0)
client.reconnect_delay_set(1, 1)

# The payload of each packet that awaits its PUBACK, and packets that have it but are not in the log yet.
unanswered, acknowledged = {}, queue.SimpleQueue()
log = open(options["log"], "a", buffering=1) if "log" in options else None


def on_publish(client, userdata, packet, reason, properties):
    if log and not reason.is_failure:
        acknowledged.put(packet)


# What is handed to the client without a link is sent later, but cannot be waited for.
linked = threading.Event()


def on_connect(client, userdata, flags, reason, properties):
    if not reason.is_failure:
        linked.set()


def on_disconnect(client, userdata, flags, reason, properties):
    linked.clear()


def write_log():
    while not acknowledged.empty():
        log.write(f"{unanswered.pop(acknowledged.get())}\n")


client.on_publish, client.on_connect, client.on_disconnect = on_publish, on_connect, on_disconnect
client.connect("127.0.0.1", options["port"], keepalive=30)
client.loop_start()
print("ready", flush=True)

for line in sys.stdin:
    command = json.loads(line)
    qos = command.get("qos", 1)
    payloads = command.get("payloads")
    if payloads is None:
        payloads = ["x" * command["bytes"]] if "bytes" in command else []
    if "hex" in command:
        payloads = [bytes.fromhex(text) for text in command["hex"]]
    if "first" in command:
        payloads = [json.dumps({"v": n}) for n in range(command["first"], command["last"] + 1)]
    sent = []
    for place, payload in enumerate(payloads):
        topic = command["topic"]
        if "spread" in command:
            topic = topic.replace("{n}", str(place % command["spread"]))
        if not linked.wait(60):
            sys.exit("the broker took no connection within 60 s")
        one = client.publish(topic, payload, qos=qos, retain=command.get("retain", False))
        if log:
            unanswered[one.mid] = payload
        sent.append(one)
        time.sleep(command.get("every_ms", 0) / 1000)
        write_log()
    for one in sent:
        one.wait_for_publish(60)
        if not one.is_published():
            sys.exit("the broker took no message within 60 s")
        write_log()
    print("done", flush=True)

client.disconnect()
client.loop_stop()
