#!/usr/bin/env python3
"""A back end of notes over auth_session, with psycopg 3 or psycopg2.

    PGHOST=... PGDATABASE=app PGUSER=notes_app ./server.py psycopg
    PGHOST=... PGDATABASE=app PGUSER=notes_app ./server.py psycopg2

Every request is one transaction. Its first statement says whose it is: the
headers that count are set for this transaction and, where the route is for
users, checked in the same round trip. From then on auth.uid() is the caller,
and the policies do the rest: no query here has a WHERE for its owner.

Nothing is kept between requests, so any number of these can run side by side.
What is a driver's own is in with_psycopg.py and with_psycopg2.py.
"""

import importlib
import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from refused import Refused

BODY_MAX = 65536
EXAMPLES = Path(__file__).resolve().parent.parent

# Who is not signed in, or signs in. No Authorization here: a token that has
# ended must keep nobody from getting a new one.
AS_VISITOR = "SELECT set_config('request.headers', %s, true)"

# A user. check_request refuses a token that is forged, expired or revoked;
# require_aal refuses who shows none, where policies would just show no row.
AS_USER = """SELECT auth.check_request(), auth.require_aal('aal1')
               FROM set_config('request.headers', %s, true) AS headers"""

# A route is who may call it, its statement, and the members of the body that
# are the statement's arguments.
ROUTES = {
    "POST /signup": (AS_VISITOR, "SELECT to_jsonb(a) FROM auth.signup(%s, %s) AS a", "email", "password"),
    "POST /confirm": (AS_VISITOR, "SELECT to_jsonb(a) FROM auth.confirm(code => %s, password => %s) AS a",
                      "token", "password"),
    "POST /signin": (AS_VISITOR, "SELECT to_jsonb(t) FROM auth.signin(%s, %s) AS t", "email", "password"),
    "POST /renew": (AS_VISITOR, "SELECT to_jsonb(t) FROM auth.renew(%s) AS t", "refresh_token"),
    "POST /request_reset": (AS_VISITOR, "SELECT auth.request_password_reset(%s)", "email"),
    "POST /reset": (AS_VISITOR, "SELECT auth.reset_password(code => %s, new_password => %s)", "token", "password"),
    # By the refresh token: works with an access token that has expired, too.
    "POST /logout": (AS_VISITOR, "SELECT auth.logout(refresh_token => %s)", "refresh_token"),

    "GET /sessions": (AS_USER, "SELECT to_jsonb(s) FROM auth.sessions() AS s"),
    "POST /end_session": (AS_USER, "SELECT auth.logout(%s::uuid)", "session_id"),
    "GET /notes": (AS_USER, "SELECT to_jsonb(n) FROM app.notes AS n ORDER BY created_at"),
    "POST /notes": (AS_USER, "INSERT INTO app.notes (text) VALUES (%s) RETURNING to_jsonb(notes)", "text"),
    "POST /delete_note": (AS_USER, "DELETE FROM app.notes WHERE id = %s::uuid RETURNING NULL", "id"),
}

# The pages that links in mails lead to (auth_session.site_url + /auth/KIND),
# and what they load. They ask for a password before they call anything: a mail
# scanner that follows a link uses up nothing.
FILES = {
    "/auth/confirm_email": ("pages/confirm_email.html", "text/html"),
    "/auth/password_reset": ("pages/password_reset.html", "text/html"),
    "/page.mjs": ("pages/page.mjs", "text/javascript"),
    "/client.mjs": ("client.mjs", "text/javascript"),
}


def argument(value):
    """Of a body's member: a text that the database can take, or nothing."""
    try:
        if value is None or (isinstance(value, str) and b"\0" not in value.encode()):
            return value
    except UnicodeEncodeError:
        pass
    raise Refused("PT400", "invalid_request", "the body has a member that is no text")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    database = None

    def headers_that_count(self, first):
        headers = {
            # Of the connection, never of what the client sent. Behind a proxy
            # of yours take the last entry of its x-forwarded-for here.
            "x-forwarded-for": self.client_address[0],
            "user-agent": self.headers.get("User-Agent"),
        }
        if first is AS_USER:
            headers["authorization"] = self.headers.get("Authorization")
        return json.dumps(headers)

    def body(self):
        length = self.headers.get("Content-Length") or "0"
        if not length.isdecimal() or (length := int(length)) > BODY_MAX:
            # What isn't read would be taken for the next request.
            self.close_connection = True
            raise Refused("PT413", "too_long", "the body is too long")
        try:
            body = json.loads(self.rfile.read(length) or b"{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused("PT400", "invalid_request", "the body is no JSON object")
        return body

    def respond(self, status, content, content_type, headers=()):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def respond_json(self, status, body, headers=()):
        self.respond(status, json.dumps(body).encode(), "application/json", headers)

    def handle_request(self):
        path = self.path.split("?", 1)[0]
        route = ROUTES.get(f"{self.command} {path}")
        if self.command == "GET" and path in FILES:
            name, content_type = FILES[path]
            self.respond(200, (EXAMPLES / name).read_bytes(), content_type)
            return
        try:
            body = self.body()
            if route is None:
                raise Refused("PT404", "not_found", "there is nothing here")
            first, statement, *names = route
            rows = self.database.transaction(first, self.headers_that_count(first), statement,
                                             [argument(body.get(name)) for name in names])
        except Refused as refused:
            status, answer = refused.answer()
            self.respond_json(status, answer, [("Retry-After", refused.hint or "1")] if status == 429 else [])
            return
        answer = rows if self.command == "GET" else (rows[0] or None if rows else None)
        self.respond_json(200, answer)

    do_GET = do_POST = handle_request

    def log_message(self, format, *args):
        """Says nothing: the request line of a link's page has its token."""


def main():
    driver = sys.argv[1] if len(sys.argv) > 1 else "psycopg"
    Handler.database = importlib.import_module(f"with_{driver}").Database()
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Handler)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
    Handler.database.close()


if __name__ == "__main__":
    main()
