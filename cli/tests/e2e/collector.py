"""A receiver of OTLP over HTTP that speaks OpenTelemetry's own messages. Its first line is its port.

A line on stdin is answered by all that has come, as JSON:
{"spans": [{"name", "gateway", "error", "attributes", "id", "links"}], "logs": [{"body", "attributes", "trace"}]}
Ids are in hexadecimal digits; a link is the id of a span.
"""
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

come = {"spans": [], "logs": []}


def plain(value):
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind in ("string_value", "int_value", "double_value", "bool_value") else str(value)


def attributes(of):
    return {one.key: plain(one.value) for one in of.attributes}


def take_spans(body):
    for part in ExportTraceServiceRequest.FromString(body).resource_spans:
        gateway = attributes(part.resource)["service.instance.id"]
        for span in (span for scope in part.scope_spans for span in scope.spans):
            error = span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None
            come["spans"].append(
                {
                    "name": span.name,
                    "gateway": gateway,
                    "error": error,
                    "attributes": attributes(span),
                    "id": span.span_id.hex(),
                    "links": [link.span_id.hex() for link in span.links],
                }
            )


def take_logs(body):
    for part in ExportLogsServiceRequest.FromString(body).resource_logs:
        for record in (record for scope in part.scope_logs for record in scope.log_records):
            come["logs"].append(
                {"body": plain(record.body), "attributes": attributes(record), "trace": record.trace_id.hex()}
            )


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        {"/v1/traces": take_spans, "/v1/logs": take_logs}.get(self.path, lambda _: None)(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
for line in sys.stdin:
    print(json.dumps(come), flush=True)
