"""A device that posts: reads JSON lines {"path", "body", "headers"} and posts them one after the other on one connection.

It says "ok" to a line at once, and "<status> <body>" when the answer has come, if the line asks for it with "answer"."""

import http.client
import json
import queue
import sys
import threading
import time

waiting = queue.Queue()
port = int(sys.argv[1])


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def post():
    connection = None
    while True:
        line = waiting.get()
        for _ in range(400):
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("POST", line["path"], line["body"].encode(), line.get("headers", {}))
                response = connection.getresponse()
                body = response.read().decode()
                if line.get("answer"):
                    say(f"{response.status} {body}")
                break
            except (OSError, http.client.HTTPException):
                connection = None
                time.sleep(0.05)


threading.Thread(target=post, daemon=True).start()
for text in sys.stdin:
    line = json.loads(text)
    waiting.put(line)
    if not line.get("answer"):
        say("ok")
