#!/usr/bin/python3
"""A webhook for tests: an HTTP(S) server that writes every request to
DIR/requests, one JSON object per line, and answers with the status in
DIR/status (200 where there is none); "hang" there makes it say nothing. What
else is in that file, after the status:

  retry=N    Retry-After: N               endless   a body that does not end
  drip       a body that comes in bits    slow=N    answers after N ms

  web_hook.py DIR PORT [--tls CERT KEY [--old]]      --old: TLS 1.1 at most

It prints "ready" when it listens.
"""
import argparse
import json
import os
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

p = argparse.ArgumentParser()
p.add_argument("directory")
p.add_argument("port", type=int)
p.add_argument("--tls", nargs=2)
p.add_argument("--old", action="store_true")
a = p.parse_args()
lock = threading.Lock()
requests = open(os.path.join(a.directory, "requests"), "a")
waiting = 0


def status():
    try:
        with open(os.path.join(a.directory, "status")) as f:
            return f.read().split() or ["200"]
    except FileNotFoundError:
        return ["200"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def body(self, words):
        """Until the other side has had enough; says how much that was."""
        sent = 0
        try:
            while sent < 1 << 30:
                self.wfile.write(b"x" * (1 if "drip" in words else 65536))
                sent += 1 if "drip" in words else 65536
                if "drip" in words:
                    time.sleep(0.05)
        except OSError:
            pass
        with open(os.path.join(a.directory, "sent"), "a") as f:
            f.write("%d\n" % sent)
        self.close_connection = True

    def do_POST(self):
        global waiting
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with lock:
            waiting += 1
            at_once = waiting
        words = status()
        while words[0] == "hang":
            time.sleep(0.1)
            words = status()
        code = int(words.pop(0))
        values = dict(w.split("=") for w in words if "=" in w)
        time.sleep(int(values.get("slow", 0)) / 1000)
        with lock:
            waiting -= 1
            requests.write(json.dumps({
                "path": self.path,
                "status": code,
                "at_once": at_once,
                "headers": {k.lower(): v for k, v in self.headers.items()},
                "body": body.decode("utf-8")}) + "\n")
            requests.flush()
        self.send_response(code)
        if "retry" in values:
            self.send_header("Retry-After", values["retry"])
        if code in (301, 302):
            self.send_header("Location", self.path + "/elsewhere")
        if "endless" in words or "drip" in words:
            self.send_header("Content-Length", str(1 << 30))
            self.end_headers()
            self.body(words)
        else:
            self.send_header("Content-Length", "0")
            self.end_headers()


ThreadingHTTPServer.request_queue_size = 64
server = ThreadingHTTPServer(("127.0.0.1", a.port), Handler)
server.daemon_threads = True
if a.tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*a.tls)
    if a.old:
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
