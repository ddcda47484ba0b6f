"""An S3 store (moto) in memory: prints its port, makes a bucket, and ends with its standard input.

    python server.py BUCKET [--check-credentials]

Requests are taken one after the other: moto tells whether an object exists and stores it in two steps.
"""

import sys
import threading

from moto import settings
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Serial:
    def __init__(self, app):
        self.app = app
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        with self.lock:
            return [b"".join(self.app(environ, start_response))]


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


def main():
    bucket, checked = sys.argv[1], "--check-credentials" in sys.argv[2:]
    s3_backends["123456789012"]["aws"].create_bucket(bucket, "us-east-1")
    if checked:
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    app = Serial(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
