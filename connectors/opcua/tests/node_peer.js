"use strict";
// OPC UA servers (node-opcua) for the tests: prints a port first; each connection to it is one server, and its end is the server's.
// The process ends when its standard input does.
//
// The first line of a connection is the server's JSON: folder (its certificates are kept there), port (0: any), security (names of
// policies beside None), nodes ([[name, type, value]]; a value that is a list is an array), rows (that many Int32 nodes R0, R1, ...), models (true: the enumeration
// State and the structures Axis and Press), alarms ([name]: a Double of that name, 50 at first, with an alarm below 20 and above 80), users ({name: password}), limits (operationLimits), certificate and key (PEM files; one of its own otherwise).
// The answer is {"port": n}. Commands: {"write": [[name, type, value, milliseconds], ...]}, {"step": n} (that value to all rows),
// {"limit": [name, value]} (the value of an alarm's Double), {"acknowledge": name} (its alarm), {"remove": [names]}, {"resent": true} (calls of ResendData), {"state": true} (sessions, subscriptions, items), {"stop": true}. Each is
// answered by a line. Every node is in "urn:forebay:test".

const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const readline = require("node:readline");
const { OPCUAServer, Subscription } = require("node-opcua-server");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");
const { MessageSecurityMode, SecurityPolicy } = require("node-opcua-secure-channel");
const { DataType, Variant, VariantArrayType } = require("node-opcua-variant");
const { ensureDatatypeExtracted } = require("node-opcua-address-space");
const { StatusCodes } = require("node-opcua-status-code");
const { LocalizedText, QualifiedName } = require("node-opcua-data-model");
const { coerceNodeId } = require("node-opcua-nodeid");

const SPACE = "urn:forebay:test";
// It warns on standard output, where nobody reads.
console.log = () => {};
// It counts all items for each that is made: seconds for twenty thousand.
Object.defineProperty(Subscription.prototype, "monitoredItemCount", { get: () => 0 });

function scalar(type, value) {
    switch (type) {
        case "Int64":
        case "UInt64": {
            const bits = BigInt.asUintN(64, BigInt(value));
            return [Number(bits >> 32n), Number(bits & 0xffffffffn)];
        }
        case "Float":
        case "Double":
            return Number(value);
        case "ByteString":
            return Buffer.from(value);
        case "DateTime":
            return new Date(value);
        case "LocalizedText":
            return new LocalizedText({ locale: "en", text: value });
        case "QualifiedName":
            return new QualifiedName({ namespaceIndex: 1, name: value });
        case "NodeId":
            return coerceNodeId(value);
        case "StatusCode":
            return StatusCodes[value];
        default:
            return value;
    }
}

function variant(type, value) {
    const dataType = DataType[type];
    // The bytes of a string of them come as a list too.
    const depth = (one) => (Array.isArray(one) ? 1 + depth(one[0]) : 0);
    const rank = depth(value) - (type === "ByteString" ? 1 : 0);
    if (rank === 0) return new Variant({ dataType, arrayType: VariantArrayType.Scalar, value: scalar(type, value) });
    const flat = value.flat(rank - 1).map((one) => scalar(type, one));
    if (rank === 1) return new Variant({ dataType, arrayType: VariantArrayType.Array, value: flat });
    return new Variant({ dataType, arrayType: VariantArrayType.Matrix, dimensions: [value.length, value[0].length], value: flat });
}

class Peer {
    constructor(server) {
        this.server = server;
        this.variables = new Map();
        this.rows = [];
        this.alarms = new Map();
        this.resent = 0;
    }

    static async start(options) {
        const folder = options.folder;
        const manager = (name) => new OPCUACertificateManager({ rootFolder: path.join(folder, name), automaticallyAcceptUnknownCertificate: true });
        const server = new OPCUAServer({
            port: options.port || 0,
            host: "127.0.0.1",
            hostname: "127.0.0.1",
            alternateHostname: ["127.0.0.1"],
            resourcePath: "/forebay",
            serverInfo: { applicationUri: SPACE },
            securityPolicies: [SecurityPolicy.None, ...(options.security || []).map((name) => SecurityPolicy[name])],
            securityModes: [MessageSecurityMode.None, MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt],
            serverCertificateManager: manager("pki"),
            userCertificateManager: manager("users"),
            certificateFile: options.certificate,
            privateKeyFile: options.key,
            allowAnonymous: options.anonymous !== false,
            userManager: { isValidUser: (name, password) => (options.users || {})[name] === password },
            serverCapabilities: {
                maxSessions: 100,
                maxMonitoredItems: 100000,
                maxMonitoredItemsPerSubscription: 100000,
                operationLimits: options.limits || {},
            },
        });
        await server.initialize();
        const peer = new Peer(server);
        peer.space = server.engine.addressSpace.getOwnNamespace();
        if (options.models) await peer.addModels();
        if (options.alarms) {
            server.engine.addressSpace.installAlarmsAndConditionsService();
            for (const name of options.alarms) peer.addAlarm(name);
        }
        for (const [name, type, value] of options.nodes || []) peer.add(name, type, value);
        let folder_of_rows;
        for (let n = 0; n < (options.rows || 0); n++) {
            // The server looks through all of a folder's nodes when one is added.
            if (n % 100 === 0) folder_of_rows = peer.space.addFolder(server.engine.addressSpace.rootFolder.objects, { browseName: `Rows${n}` });
            peer.rows.push(peer.add(`R${n}`, "Int32", n, folder_of_rows));
        }
        await server.start();
        return peer;
    }

    get port() {
        return this.server.endpoints[0].port;
    }

    add(name, type, value, parent) {
        const found = variant(type, value);
        const made = this.space.addVariable({
            organizedBy: parent || this.server.engine.addressSpace.rootFolder.objects,
            nodeId: `s=${name}`,
            browseName: name,
            dataType: type === "Variant" ? "BaseDataType" : type,
            valueRank: -2,
            minimumSamplingInterval: 0,
            value: found,
        });
        this.variables.set(name, made);
        return made;
    }

    addAlarm(name) {
        const objects = this.server.engine.addressSpace.rootFolder.objects;
        const plant = { organizedBy: objects, notifierOf: objects.server, eventNotifier: 1 };
        const machine = this.space.addObject({ browseName: `${name}Machine`, ...plant });
        const made = this.space.addVariable({ componentOf: machine, nodeId: `s=${name}`, browseName: name, eventSourceOf: machine, dataType: "Double" });
        made.setValueFromSource(variant("Double", 50));
        const limits = { lowLimit: 20, highLimit: 80 };
        const alarm = this.space.instantiateExclusiveLimitAlarm("ExclusiveLimitAlarmType", {
            browseName: `${name}Alarm`,
            nodeId: `s=${name}Alarm`,
            componentOf: machine,
            conditionSource: made,
            inputNode: made,
            ...limits,
        });
        alarm.setEnabledState(true);
        this.alarms.set(name, alarm);
        this.variables.set(name, made);
    }

    async addModels() {
        const addressSpace = this.server.engine.addressSpace;
        const objects = addressSpace.rootFolder.objects;
        const state = this.space.addEnumerationType({ browseName: "State", enumeration: ["off", "starting", "running"] });
        const structure = (browseName, partialDefinition) => {
            const made = this.space.createDataType({ browseName, isAbstract: false, subtypeOf: "Structure", partialDefinition });
            const encoding = { name: "Default Binary", namespaceIndex: 0 };
            this.space.addObject({ browseName: encoding, encodingOf: made, typeDefinition: "DataTypeEncodingType" });
            return made;
        };
        const axis = structure("Axis", [
            { name: "Force", dataType: coerceNodeId("i=11"), valueRank: -1 },
            { name: "Limit", dataType: coerceNodeId("i=6"), valueRank: -1, isOptional: true },
        ]);
        const press = structure("Press", [
            { name: "Speed", dataType: coerceNodeId("i=10"), valueRank: -1 },
            { name: "Name", dataType: coerceNodeId("i=12"), valueRank: -1 },
            { name: "Axes", dataType: axis.nodeId, valueRank: 1 },
            { name: "State", dataType: state.nodeId, valueRank: -1 },
        ]);
        // The server knows how to encode the types that there were when it was last asked.
        addressSpace.$$extraDataTypeManager = undefined;
        await ensureDatatypeExtracted(addressSpace);
        const axes = [{ force: 0.25 }, { force: -4, limit: 7 }].map((one) => addressSpace.constructExtensionObject(axis, one));
        const value = addressSpace.constructExtensionObject(press, { speed: 1.5, name: "P3", axes, state: 2 });
        this.space.addVariable({
            organizedBy: objects,
            nodeId: "s=Press",
            browseName: "Press",
            dataType: press.nodeId,
            value: new Variant({ dataType: DataType.ExtensionObject, value }),
        });
        this.space.addVariable({
            organizedBy: objects,
            nodeId: "s=State",
            browseName: "State",
            dataType: state.nodeId,
            value: new Variant({ dataType: DataType.Int32, value: 1 }),
        });
    }

    async obey(command) {
        if ("write" in command) {
            for (const [name, type, value, milliseconds] of command.write) {
                const at = milliseconds === undefined ? new Date() : new Date(milliseconds);
                this.variables.get(name).setValueFromSource(variant(type, value), StatusCodes.Good, at);
            }
        } else if ("step" in command) {
            const at = new Date();
            for (const row of this.rows) row.setValueFromSource(variant("Int32", command.step), StatusCodes.Good, at);
        } else if ("add" in command) {
            for (const [name, type, value] of command.add) this.add(name, type, value);
        } else if ("remove" in command) {
            for (const name of command.remove) this.server.engine.addressSpace.deleteNode(this.variables.get(name));
        } else if ("limit" in command) {
            const [name, value] = command.limit;
            this.variables.get(name).setValueFromSource(variant("Double", value));
        } else if ("acknowledge" in command) {
            const alarm = this.alarms.get(command.acknowledge);
            alarm.acknowledgeAndAutoConfirmBranch(alarm.currentBranch(), "seen");
        } else if ("state" in command) {
            const engine = this.server.engine;
            return { sessions: engine.currentSessionCount, subscriptions: engine.currentSubscriptionCount, memory: process.memoryUsage().rss };
        } else if ("stop" in command) {
            await this.stop();
        }
        return "ok";
    }

    async stop() {
        if (this.isStopped) return;
        this.isStopped = true;
        await this.server.shutdown(0);
    }
}

async function converse(connection) {
    const lines = readline.createInterface({ input: connection })[Symbol.asyncIterator]();
    const say = (answer) => connection.write(`${JSON.stringify(answer)}\n`);
    const peer = await Peer.start(JSON.parse((await lines.next()).value));
    say({ port: peer.port });
    for (let line = await lines.next(); !line.done; line = await lines.next()) say(await peer.obey(JSON.parse(line.value)));
    await peer.stop();
}

const control = net.createServer((connection) => {
    connection.on("error", () => {});
    converse(connection).catch((error) => {
        process.stderr.write(`${error.stack}\n`);
        connection.destroy();
    });
});
control.listen(0, "127.0.0.1", () => fs.writeSync(1, `${control.address().port}\n`));
process.stdin.on("end", () => process.exit(0)).resume();
