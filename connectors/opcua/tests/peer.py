"""An OPC UA server (asyncua) for the tests: prints its port first, then obeys one JSON command a line.

Its only argument is JSON: port (0: any), folder (certificates are made and kept there), security (names of
SecurityPolicyType), users ({name: password}; anonymous logins are refused then), trusted_user_cert (a PEM or DER file), publish_requests (the most it keeps),
nodes ([{id, type, value, us: source time}]). Times are microseconds or null.
Commands: {"write": [[node, type, value, status, source time, server time], ...]}, {"sequence": [nodes], "count": n,
"start": n, "every_ms": n, "base_us": n}, {"state": n}, {"acks": true}, {"add": nodes}, {"drop": true} (all
subscriptions), {"trouble": "swap", "lose" or "hang up"}, {"opened": true} (how often a channel was opened or renewed). Each is answered by a line.
"""

import asyncio
import json
import logging
import sys
from datetime import datetime, timedelta
from pathlib import Path

from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.uacrypto import der_from_x509, load_certificate
from asyncua.server.uaprocessor import UaProcessor
from cryptography.x509.oid import ExtendedKeyUsageOID

EPOCH = datetime(1970, 1, 1)


OPENED = 0


def count_opened(processor, *arguments, open_channel=UaProcessor.open_secure_channel):
    global OPENED
    OPENED += 1
    return open_channel(processor, *arguments)


UaProcessor.open_secure_channel = count_opened


HELD = None
TROUBLE = None


async def forward(processor, result, request, send=UaProcessor.forward_publish_response):
    """Sends the next notification after the one that follows it ("swap"), never ("lose"), or last of all ("hang up")."""
    global HELD, TROUBLE
    # A subscription of a connection that was cut lives on for a while: trouble is for one that somebody listens to.
    if TROUBLE and result.NotificationMessage.NotificationData and not processor._transport.is_closing():
        if TROUBLE == "hang up":
            await send(processor, result, request)
            processor._transport.close()
        elif TROUBLE == "swap":
            HELD = (result, request)
        else:
            subscription = processor.iserver.subscription_service.subscriptions[result.SubscriptionId]
            subscription._not_acknowledged_results.pop(result.NotificationMessage.SequenceNumber)
        TROUBLE = None
        return
    await send(processor, result, request)
    if HELD and result.NotificationMessage.NotificationData:
        late, HELD = HELD, None
        await asyncio.sleep(0.3)
        await send(processor, *late)


UaProcessor.forward_publish_response = forward


class Users:
    def __init__(self, users, certificate):
        self.users, self.certificate = users, certificate

    def get_user(self, iserver, username=None, password=None, certificate=None):
        if self.certificate is not None and username is None:
            return User(role=UserRole.User) if certificate == self.certificate else None
        if not self.users and username is None:
            return User(role=UserRole.User)
        known = username in self.users and self.users[username] == password
        return User(role=UserRole.User) if known else None


def variant(kind, value):
    if kind == "ByteString":
        value = bytes(value)
    elif kind == "DateTime":
        value = EPOCH + timedelta(microseconds=value)
    elif kind == "LocalizedText":
        value = ua.LocalizedText(value, "en")
    elif kind == "Guid":
        import uuid

        value = uuid.UUID(value)
    elif kind == "ExtensionObject":
        value = ua.Range(0.0, 1.0)
    elif kind in ("Float", "Double") and isinstance(value, str):
        value = float(value)
    return ua.Variant(value, ua.VariantType[kind])


def time(micros):
    return None if micros is None else EPOCH + timedelta(microseconds=micros)


def data(kind, value, status=0, source=None, server=None):
    return ua.DataValue(
        variant(kind, value),
        StatusCode=ua.StatusCode(status),
        SourceTimestamp=time(source),
        ServerTimestamp=time(server),
    )


def node_id(name):
    return ua.NodeId(name, 2)


async def obey(server, command):
    if "write" in command:
        for name, *value in command["write"]:
            await server.write_attribute_value(node_id(name), data(*value))
    elif "sequence" in command:
        for n in range(command["start"], command["start"] + command["count"]):
            micros = command["base_us"] + n * 1000 * command["every_ms"]
            for name in command["sequence"]:
                await server.write_attribute_value(node_id(name), data("Int64", n, 0, micros))
            await asyncio.sleep(command["every_ms"] / 1000)
    elif "state" in command:
        state = ua.NodeId(ua.ObjectIds.Server_ServerStatus_State)
        await server.write_attribute_value(state, data("Int32", command["state"]))
    elif "acks" in command:
        subscriptions = server.iserver.subscription_service.subscriptions.values()
        return [len(s._not_acknowledged_results) for s in subscriptions]
    elif "trouble" in command:
        global TROUBLE
        TROUBLE = command["trouble"]
    elif "opened" in command:
        return OPENED
    elif "drop" in command:
        service = server.iserver.subscription_service
        await service.delete_subscriptions(list(service.subscriptions))
    elif "add" in command:
        await add(server, command["add"])
    return "ok"


async def add(server, nodes):
    for node in nodes:
        value = variant(node["type"], node["value"])
        made = await server.nodes.objects.add_variable(node_id(node["id"]), node["id"], value)
        await server.write_attribute_value(made.nodeid, data(node["type"], node["value"], 0, node.get("us")))


async def main():
    options = json.loads(sys.argv[1])
    users, folder = options.get("users", {}), Path(options["folder"])
    certificate = None
    if "trusted_user_cert" in options:
        certificate = der_from_x509(await load_certificate(Path(options["trusted_user_cert"])))
    if "publish_requests" in options:
        UaProcessor.publish_request_limit = lambda processor, subscriptions: options["publish_requests"]
    server = Server(user_manager=Users(users, certificate))
    await server.init()
    uri = "urn:forebay:test:peer"
    await server.set_application_uri(uri)
    server.set_endpoint(f"opc.tcp://127.0.0.1:{options['port']}/forebay/")
    security = [ua.SecurityPolicyType[name] for name in options["security"]]
    if any(policy != ua.SecurityPolicyType.NoSecurity for policy in security):
        key, cert = folder / "server_key.pem", folder / "server_cert.der"
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        await setup_self_signed_certificate(key, cert, uri, "localhost", usage, {"commonName": "Test Peer"})
        await server.load_certificate(str(cert))
        await server.load_private_key(str(key))
    server.set_security_policy(security)
    tokens = [ua.UserNameIdentityToken] if users else [ua.AnonymousIdentityToken]
    if certificate is not None:
        tokens = [ua.X509IdentityToken]
    server.set_identity_tokens(tokens)
    await server.register_namespace("urn:forebay:test")
    await add(server, options["nodes"])
    await server.start()
    print(server.bserver.port, flush=True)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 22)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(await obey(server, json.loads(line))), flush=True)
    await server.stop()


logging.basicConfig(level=logging.CRITICAL)
asyncio.run(main())
