"""Clients of the plant, none of them ours: pymodbus 3.16, asyncua 2.1, paho-mqtt 2.

Arguments: protocol, host, port, how many. Prints "connected" after the first value, then one line of JSON, and ends.
  modbus  {"samples": [[machine, ambient, number], ...], "exceptions": [code, ...]}
  opcua   [[name, value as text, source timestamp], ...]
  mqtt    [[topic, payload, qos, retained], ...]
"""

import asyncio
import json
import queue
import sys
import time


def modbus(host, port, count):
    from pymodbus.client import ModbusTcpClient

    client = ModbusTcpClient(host, port=port)
    assert client.connect()
    samples = []
    for _ in range(count):
        registers = client.read_holding_registers(0, count=6).registers
        parts = zip((0, 2, 4), (client.DATATYPE.FLOAT32, client.DATATYPE.FLOAT32, client.DATATYPE.UINT32))
        if len(samples) == 1:
            print("connected", flush=True)
        samples.append([client.convert_from_registers(registers[at : at + 2], kind) for at, kind in parts])
        time.sleep(0.05)
    replies = [
        client.read_input_registers(0, count=2),
        client.read_holding_registers(5, count=2),
        client.read_holding_registers(65535, count=1),
        client.write_register(0, 1),
    ]
    assert all(reply.isError() for reply in replies)
    client.close()
    return {"samples": samples, "exceptions": [reply.exception_code for reply in replies]}


def opcua(host, port, count):
    from asyncua import Client

    async def collect():
        changes = asyncio.Queue()

        class Handler:
            def datachange_notification(self, node, value, data):
                stamp = data.monitored_item.Value.SourceTimestamp
                changes.put_nowait([node.nodeid.Identifier, repr(value), stamp.isoformat()])

        async with Client(f"opc.tcp://{host}:{port}") as client:
            subscription = await client.create_subscription(250, Handler())
            nodes = [client.get_node(f"ns=2;s=Press.{name}") for name in ("Cpu", "Temperature", "Cycle")]
            await subscription.subscribe_data_change(nodes, queuesize=100)
            taken = [await asyncio.wait_for(changes.get(), 10)]
            print("connected", flush=True)
            return taken + [await asyncio.wait_for(changes.get(), 10) for _ in range(count - 1)]

    return asyncio.run(collect())


def mqtt(host, port, count):
    import paho.mqtt.client as paho

    messages = queue.Queue()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="peer", protocol=paho.MQTTv311)
    client.on_connect = lambda client, *_: client.subscribe("site/+/meter/#", qos=1)
    client.on_message = lambda _client, _data, m: messages.put([m.topic, m.payload.decode(), m.qos, m.retain])
    client.connect(host, port)
    client.loop_start()
    taken = [messages.get(timeout=10)]
    print("connected", flush=True)
    taken += [messages.get(timeout=10) for _ in range(count - 1)]
    client.disconnect()
    client.loop_stop()
    return taken


protocol, host, port, count = sys.argv[1:]
print(json.dumps(globals()[protocol](host, int(port), int(count))))
