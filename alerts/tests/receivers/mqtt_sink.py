"""A subscriber of paho-mqtt for the tests: prints "port 0" once it is subscribed, then a line of JSON for each message.

Usage: mqtt_sink.py PORT
"""
import json, sys
import paho.mqtt.client as mqtt


def on_connect(client, *_):
    client.subscribe("#", qos=1)


def on_subscribe(*_):
    print("port 0", flush=True)


def on_message(client, userdata, message):
    said = {"topic": message.topic, "qos": message.qos, "body": json.loads(message.payload)}
    print(json.dumps(said), flush=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
