"""A Modbus server by pymodbus 3.16, and values encoded by Python's struct.

Argument: JSON with `port` (0: any; the port is the first line printed), `transport` ("tcp", "rtu+tcp", "tls" with
`ca`, `cert` and `key`, or "serial": then a pseudo-terminal's name is the first line printed, behind which the server of
"rtu+tcp" is), and `units`, a list of
  {"id": 1,
   "values": [{"register": "holding", "address": 0, "type": "f32", "order": "CDAB", "value": 1.5}, ...],
   "silent": false,        never answers
   "exception": 0,         answers every request with this code
   "held": [addresses],    holding registers that step through HELD, each step lasting three reads
   "log": path}            a line for each such read: the value, and when it was served in microseconds
Each line of its standard input, {"address": 0, "value": 7}, gives a holding register its value, and is answered by "ok".
Ends when its standard input is closed.
"""

import asyncio
import json
import os
import pty
import socket
import ssl
import struct
import sys
import threading
import time
import tty

from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerType
from pymodbus.server import ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

HELD = [7, 65535, 0, 12345, 8, 99]
# What was written last, by address.
WRITTEN = {}
FORMATS = {
    "i16": ">h", "u16": ">H", "i32": ">i", "u32": ">I", "i64": ">q", "u64": ">Q",
    "f16": ">e", "f32": ">f", "f64": ">d",
}


def encode(entry):
    """The registers of a value: its big-endian bytes, put on the wire in the order asked for."""
    kind, value = entry["type"], entry["value"]
    if kind in FORMATS:
        raw = struct.pack(FORMATS[kind], float(value) if kind[0] == "f" else int(value))
    elif kind in ("i48", "u48"):
        raw = int(value).to_bytes(6, "big", signed=kind[0] == "i")
    elif kind in ("sm16", "sm32"):
        bits = int(kind[2:])
        raw = (abs(value) | (value < 0) << (bits - 1)).to_bytes(bits // 8, "big")
    elif kind.startswith("bcd"):
        raw = bytes.fromhex(str(value).rjust(int(kind[3:]) // 4, "0"))
    elif kind.startswith("bit:"):
        raw = struct.pack(">H", (1 << int(kind[4:])) if value else 0xFFFF ^ (1 << int(kind[4:])))
    elif kind.startswith("string:"):
        size = (int(kind[7:]) + 1) // 2 * 2
        raw = value.encode().ljust(size, b"\0")
    elif kind == "hex":
        raw = bytes.fromhex(value)
    else:
        raise ValueError(kind)
    order = entry.get("order") or "ABCDEFGH"[: len(raw)]
    if kind.startswith("string:"):
        order = entry.get("order") or "AB"
    size = len(order)
    groups = [raw[i : i + size] for i in range(0, len(raw), size)]
    wire = b"".join(bytes(group[ord(letter) - ord("A")] for letter in order) for group in groups)
    return list(struct.unpack(f">{len(wire) // 2}H", wire))


def words(values, register):
    """Blocks of registers; what lies between them is an illegal address."""
    table = {}
    for entry in values:
        if entry["register"] == register:
            for offset, word in enumerate(encode(entry)):
                table[entry["address"] + offset] = word
    # pymodbus wants a block; the last address of all is out of the tests' way.
    table = table or {65000: 0}
    return [SimData(address, values=[word], datatype=DataType.REGISTERS) for address, word in sorted(table.items())]


def bits(values, register):
    """One block of bits from 0 to the highest address."""
    table = {e["address"]: bool(e["value"]) for e in values if e["register"] == register}
    last = max(table, default=0)
    return [SimData(0, values=[table.get(i, False) for i in range(last + 1)], datatype=DataType.BITS)]


def action(unit):
    reads = {}
    log = open(unit["log"], "a", buffering=1) if "log" in unit else None

    async def act(function, start, address, count, registers, values):
        if unit.get("silent"):
            await asyncio.sleep(3600)
        if unit.get("exception"):
            return ExcCodes(unit["exception"])
        for written, value in WRITTEN.items():
            if function == 3 and address <= written < address + count:
                registers[written - start] = value
        for held in unit.get("held", []):
            if function == 3 and address <= held < address + count:
                step = reads.get(held, 0) // 3
                reads[held] = reads.get(held, 0) + 1
                registers[held - start] = HELD[min(step, len(HELD) - 1)]
                if log:
                    log.write(f"{registers[held - start]} {time.time_ns() // 1000}\n")
        return None

    return act


def terminal(port):
    """The name of a pseudo-terminal that is joined to a port."""
    near, far = pty.openpty()
    tty.setraw(far)
    line = socket.create_connection(("127.0.0.1", port))

    def outward():
        while data := os.read(near, 4096):
            line.sendall(data)

    def inward():
        while data := line.recv(4096):
            os.write(near, data)

    for pump in (outward, inward):
        threading.Thread(target=pump, daemon=True).start()
    return os.ttyname(far)


async def main():
    config = json.loads(sys.argv[1])
    devices = [
        SimDevice(
            id=unit["id"],
            simdata=tuple(
                [bits(unit["values"], kind) for kind in ("coil", "discrete")]
                + [words(unit["values"], kind) for kind in ("holding", "input")]
            ),
            action=action(unit),
        )
        for unit in config["units"]
    ]
    kind = config.get("transport", "tcp")
    address = ("127.0.0.1", config["port"])
    if kind == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(config["cert"], config["key"])
        context.load_verify_locations(config["ca"])
        context.verify_mode = ssl.CERT_REQUIRED
        # The framer of Modbus/TCP Security: the same header as without TLS.
        server = ModbusTlsServer(devices, framer=FramerType.SOCKET, sslctx=context, address=address)
    else:
        framer = FramerType.SOCKET if kind == "tcp" else FramerType.RTU
        server = ModbusTcpServer(devices, framer=framer, address=address)
    await server.serve_forever(background=True)
    port = server.transport.sockets[0].getsockname()[1]
    print(terminal(port) if kind == "serial" else port, flush=True)
    # The test holds the other end: its end is ours.
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        WRITTEN[command["address"]] = command["value"]
        print("ok", flush=True)


asyncio.run(main())
