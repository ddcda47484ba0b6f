"""An OPC UA server (asyncua) for the tests: prints its port first, then obeys one JSON command a line.

Its only argument is JSON, or "nursery": then each connection to the port that it prints is a server of its own, in a process that is
forked where asyncua is loaded already. Such a connection sends the JSON as its first line, gets {"port": n, "pid": n}, and sends the
commands; its end is the server's.
The JSON: port (0: any), folder (certificates are made and kept there), security (names of
SecurityPolicyType), users ({name: password}; anonymous logins are refused then), trusted_user_cert (a PEM or DER file), publish_requests (the most it keeps),
nodes ([{id, type, value, us: source time}]), namespaces (URIs after the first, "urn:forebay:test" among them), limits ({name in
OperationLimits: n}, kept to), past (as the command), models (true: structures and enumerations under Press, State and Range), resend (true: ResendData), conditions (false: no ConditionRefresh), transfers (false: as asyncua has it).
Times are microseconds or null.
Commands: {"write": [[node, type, value, status, source time, server time], ...]}, {"sequence": [nodes], "count": n,
"start": n, "every_ms": n, "base_us": n}, {"state": n}, {"acks": true}, {"add": nodes}, {"drop": true} (all
subscriptions), {"trouble": "swap", "lose", "hang up" or "cut transfer"}, {"opened": true} (how often a channel was opened or renewed), {"remove": [nodes]},
{"past": {node: [[n, source time], ...]}} (what HistoryRead answers), {"asked": true} (requests for history so far),
{"subscriptions": true} (ids), {"alarm": {condition: name or null, severity, message, us, active, acked, confirmed, retain: or null, id:
bytes of the EventId}} (a change of a condition of the node "Press"; without a condition a plain event). Each is answered by a line.
"""

import asyncio
import gc
import json
import logging
import os
import select
import signal
import socket
import sys
from datetime import datetime, timedelta
from pathlib import Path

from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.common.structures104 import new_enum, new_struct, new_struct_field
from asyncua.crypto.uacrypto import der_from_x509, load_certificate
from asyncua.server.address_space import AddressSpace, NodeManagementService
from asyncua.server.history import HistoryDict
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.standard_address_space import standard_address_space
from asyncua.server.subscription_service import SubscriptionService
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
    if TROUBLE in ("swap", "lose", "hang up") and result.NotificationMessage.NotificationData and not processor._transport.is_closing():
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


async def transfer(service, params, session_id, callback, do=SubscriptionService.transfer_subscriptions):
    """asyncua has a subscription that was taken over wait for requests of the connection that is gone; the standard does not.

    "cut transfer" ends the connection once between the transfer and the answer."""
    global TROUBLE
    results = await do(service, params, session_id, callback)
    for number, result in zip(params.SubscriptionIds, results):
        if result.StatusCode.is_good() and TRANSFERS:
            service.subscriptions[int(number)].pub_request_callback = callback.__self__.get_publish_request
    if TROUBLE == "cut transfer":
        TROUBLE = None
        callback.__self__._transport.close()
    return results


TRANSFERS = True
SubscriptionService.transfer_subscriptions = transfer


class Past(HistoryDict):
    """History that a test has written down; both ends of a request are taken along, as many servers do."""

    def __init__(self):
        super().__init__()
        self.values, self.asked = {}, []

    async def read_node_history(self, node_id, start, end, nb_values):
        first, last = (int((at.replace(tzinfo=None) - EPOCH) / timedelta(microseconds=1)) for at in (start, end))
        self.asked.append([node_id.Identifier, first, last])
        found = [row for row in self.values.get(node_id.Identifier, []) if first <= row[1] <= last]
        return [data("Int64", n, 0, us) for n, us in found[:nb_values]], None


PAST = Past()


def keep_to(limits):
    """Refuses requests for more than the limits say, as the specification has it."""

    def refuse(service, name, count):
        async def limited(session, params, *rest, ask=getattr(InternalSession, service)):
            if session.external and count(params) > limits[name]:
                raise ua.uaerrors.BadTooManyOperations()
            return await ask(session, params, *rest)

        if name in limits:
            setattr(InternalSession, service, limited)

    refuse("read", "MaxNodesPerRead", lambda params: len(params.NodesToRead))
    refuse("browse", "MaxNodesPerBrowse", lambda params: len(params.NodesToBrowse))
    refuse("create_monitored_items", "MaxMonitoredItemsPerCall", lambda params: len(params.ItemsToCreate))
    refuse("history_read", "MaxNodesPerHistoryReadData", lambda params: len(params.NodesToRead))


async def add_models(server, space):
    state = await new_enum(server, space, "State", ["off", "starting", "running"])
    axis = [new_struct_field("force", ua.VariantType.Double), new_struct_field("limit", ua.VariantType.Int32, optional=True)]
    axis, _ = await new_struct(server, space, "Axis", axis)
    press = [
        new_struct_field("speed", ua.VariantType.Float),
        new_struct_field("name", ua.VariantType.String),
        new_struct_field("axes", axis, array=True),
        new_struct_field("state", state),
        new_struct_field("counts", ua.VariantType.UInt16, array=True),
    ]
    await new_struct(server, space, "Press", press)
    await server.load_data_type_definitions()
    value = ua.Press(1.5, "P3", [ua.Axis(force=0.25), ua.Axis(force=-4.0, limit=7)], ua.State(2), [1, 65535])
    for name, value, kind in (("Press", value, None), ("State", ua.State(1), state.nodeid), ("Range", ua.Range(-1.0, 2.0), None)):
        await server.nodes.objects.add_variable(ua.NodeId(name, space), name, value, datatype=kind)


async def resend(server, parent, subscription):
    items = server.iserver.subscription_service.subscriptions[subscription.Value].monitored_item_srv
    for item in list(items._monitored_items.values()):
        event = ua.MonitoredItemNotification()
        event.ClientHandle = item.client_handle
        event.Value = item.mvalue.get_current_datavalue()
        await items.isub.enqueue_datachange_event(item.monitored_item_id, event, item.queue_size)
    return []


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
    elif kind == "XmlElement":
        value = ua.XmlElement(value)
    elif kind == "StatusCode":
        value = ua.StatusCode(value)
    elif kind in ("NodeId", "QualifiedName"):
        value = ua.NodeId(value, 2) if kind == "NodeId" else ua.QualifiedName(value, 2)
    elif kind == "Variant":
        value = [ua.Variant(one) for one in value]
    elif kind == "DataValue":
        value = data("Int16", value)
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


SPACE = 2


def node_id(name):
    return ua.NodeId(name, SPACE)


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
    elif "past" in command:
        PAST.values = command["past"]
    elif "asked" in command:
        return PAST.asked
    elif "subscriptions" in command:
        return sorted(server.iserver.subscription_service.subscriptions)
    elif "alarm" in command:
        await tell(server, command["alarm"])
    elif "remove" in command:
        for name in command["remove"]:
            await server.get_node(node_id(name)).delete()
    elif "add" in command:
        await add(server, command["add"])
    return "ok"


async def tell(server, told):
    """Tells of a change of a condition, or of a plain event; what is not given is null."""
    condition = told.get("condition")
    kind = ua.ObjectIds.AlarmConditionType if condition else ua.ObjectIds.BaseEventType
    generator = await server.get_event_generator(kind)
    event = generator.event
    event.SourceNode, event.SourceName = node_id("Press"), "Press"
    event.Severity = told.get("severity")
    if condition:
        event.NodeId, event.ConditionName = node_id(f"Press.{condition}"), condition
        event.Retain = told.get("retain", True)
        states = {"Enabled": True, "Active": told.get("active"), "Acked": told.get("acked"), "Confirmed": told.get("confirmed")}
        for name, state in states.items():
            setattr(event, f"{name}State/Id", state)
    await generator.trigger(time(told["us"]), told.get("message") or "-")
    if "bare" in told:
        # The same event once more, without what no event should lack.
        event.EventId = event.Time = event.ReceiveTime = event.Message = event.SourceNode = event.Severity = None
        await server.iserver.subscription_service.trigger_event(event)


async def add(server, nodes):
    for node in nodes:
        value = variant(node["type"], node["value"])
        parent = server.nodes.objects
        if "parent" in node:
            parent = server.get_node(node_id(node["parent"]))
        kind = ua.NodeId(ua.ObjectIds.BaseDataType) if node["type"] == "Variant" else None
        made = await parent.add_variable(node_id(node["id"]), node["id"], value, datatype=kind)
        await server.write_attribute_value(made.nodeid, data(node["type"], node["value"], 0, node.get("us")))


async def serve(options):
    """Starts the server."""
    users, folder = options.get("users", {}), Path(options["folder"])
    certificate = None
    if "trusted_user_cert" in options:
        certificate = der_from_x509(await load_certificate(Path(options["trusted_user_cert"])))
    if "publish_requests" in options:
        UaProcessor.publish_request_limit = lambda processor, subscriptions: options["publish_requests"]
    server = Server(user_manager=Users(users, certificate))
    # The severity of the events that begin and end a refresh of conditions.
    server.iserver.bind_condition_methods = 10 if options.get("conditions", True) else False
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
    global SPACE, TRANSFERS
    TRANSFERS = options.get("transfers", True)
    for uri in options.get("namespaces", ["urn:forebay:test"]):
        await server.register_namespace(uri)
    SPACE = await server.get_namespace_index("urn:forebay:test")
    server.iserver.history_manager.set_storage(PAST)
    PAST.values = options.get("past", {})
    await add(server, options["nodes"])
    if options.get("models"):
        await add_models(server, SPACE)
    for name, limit in options.get("limits", {}).items():
        node = getattr(ua.ObjectIds, f"Server_ServerCapabilities_OperationLimits_{name}")
        await server.get_node(ua.NodeId(node)).write_value(limit, ua.VariantType.UInt32)
    keep_to(options.get("limits", {}))
    if options.get("resend"):
        method = server.get_node(ua.NodeId(ua.ObjectIds.Server_ResendData))

        async def resend_data(parent, subscription):
            return await resend(server, parent, subscription)

        server.link_method(method, resend_data)
    await server.start()
    return server


async def main():
    server = await serve(json.loads(sys.argv[1]))
    print(server.bserver.port, flush=True)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 22)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(await obey(server, json.loads(line))), flush=True)
    await server.stop()


async def born(connection):
    reader, writer = await asyncio.open_connection(sock=connection, limit=1 << 22)

    async def say(answer):
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()

    server = await serve(json.loads(await reader.readline()))
    await say({"port": server.bserver.port, "pid": os.getpid()})
    while line := await reader.readline():
        await say(await obey(server, json.loads(line)))


def nursery():
    space = AddressSpace()
    standard_address_space.fill_address_space(NodeManagementService(space))

    async def load(server, shelf=None):
        vars(server.aspace).update(vars(space))

    InternalServer.load_standard_address_space = load
    gc.freeze()
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    # Nobody waits for them: an id stays theirs until all is over.
    children = []
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if (child := os.fork()) == 0:
            listener.close()
            asyncio.run(born(connection))
            os._exit(0)
        connection.close()
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)


logging.basicConfig(level=logging.CRITICAL)
if sys.argv[1] == "nursery":
    nursery()
else:
    asyncio.run(main())
