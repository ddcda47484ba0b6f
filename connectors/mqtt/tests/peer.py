"""A publisher that is not ours: paho-mqtt. Commands come on stdin, one JSON object a line; each is answered by "done"."""
import json
import sys

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
client.max_inflight_messages_set(100)
client.max_queued_messages_set(0)
client.reconnect_delay_set(1, 1)
client.connect("127.0.0.1", options["port"], keepalive=30)
client.loop_start()
print("ready", flush=True)

for line in sys.stdin:
    command = json.loads(line)
    qos = command.get("qos", 1)
    payloads = command.get("payloads")
    if payloads is None:
        payloads = ["x" * command["bytes"]] if "bytes" in command else []
    if "first" in command:
        payloads = [json.dumps({"v": n}) for n in range(command["first"], command["last"] + 1)]
    sent = [client.publish(command["topic"], p, qos=qos, retain=command.get("retain", False)) for p in payloads]
    for one in sent:
        one.wait_for_publish(60)
        if not one.is_published():
            sys.exit("the broker took no message within 60 s")
    print("done", flush=True)

client.disconnect()
client.loop_stop()
