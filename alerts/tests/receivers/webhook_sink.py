"""A receiver of webhooks for the tests, written against the page and not against the code: it checks the signature with
Python's hmac and prints a line of JSON for each request, after the line "port N".

Usage: webhook_sink.py SECRET ANSWER..., where the answers are status codes, one for each request, the last for all others.
"""
import hashlib, hmac, http.server, json, sys

secret, answers = sys.argv[1].encode(), [int(a) for a in sys.argv[2:]]


class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = self.headers["Forebay-Timestamp"].encode() + b"." + body
        proof = "v1=" + hmac.new(secret, signed, hashlib.sha256).hexdigest()
        status = answers.pop(0) if len(answers) > 1 else answers[0]
        said = {
            "path": self.path,
            "host": self.headers["Host"],
            "delivery": self.headers["Forebay-Delivery"],
            "authorization": self.headers["Authorization"],
            "proven": hmac.compare_digest(proof, self.headers["Forebay-Signature"]),
            "status": status,
            "body": json.loads(body),
        }
        print(json.dumps(said), flush=True)
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
print("port", server.server_port, flush=True)
server.serve_forever()
