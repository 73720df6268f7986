#!/usr/bin/python3
"""A webhook for tests: an HTTP(S) server that writes every request to
DIR/requests, one JSON object per line, and answers with the status in
DIR/status (200 where there is none); "hang" there makes it say nothing.

  web_hook.py DIR PORT [--tls CERT KEY]

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
a = p.parse_args()
lock = threading.Lock()
requests = open(os.path.join(a.directory, "requests"), "a")


def status():
    try:
        with open(os.path.join(a.directory, "status")) as f:
            return f.read().strip()
    except FileNotFoundError:
        return "200"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        code = status()
        while code == "hang":
            time.sleep(0.1)
            code = status()
        with lock:
            requests.write(json.dumps({
                "path": self.path,
                "status": int(code),
                "headers": {k.lower(): v for k, v in self.headers.items()},
                "body": body.decode("utf-8")}) + "\n")
            requests.flush()
        self.send_response(int(code))
        self.send_header("Content-Length", "0")
        if code == "302":
            self.send_header("Location", self.path + "/elsewhere")
        self.end_headers()


server = ThreadingHTTPServer(("127.0.0.1", a.port), Handler)
server.daemon_threads = True
if a.tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*a.tls)
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
