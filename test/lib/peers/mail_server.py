#!/usr/bin/python3
"""A mail server for tests: aiosmtpd (a real SMTP server, with STARTTLS and
AUTH), which writes every mail that it accepts to DIR/mails, one JSON object
per line, and answers as the recipient's local part asks:

  refuse...  550 at RCPT TO       greylist...  451 at RCPT TO
  spam...    554 after DATA       break...     closes the connection at DATA
  once...    451 at RCPT TO, the first time

and, while the file exists, DIR/hang: says nothing after DATA; DIR/sender: 550
to every sender.

  mail_server.py DIR PORT [--tls CERT KEY] [--implicit] [--login USER PASSWORD]

It prints "ready" when it listens.
"""
import argparse
import asyncio
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self, directory):
        self.directory = directory
        self.seen = set()
        self.mails = open(os.path.join(directory, "mails"), "a")

    def flag(self, name):
        return os.path.exists(os.path.join(self.directory, name))

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.flag("sender"):
            return "550 5.7.1 not from you"
        envelope.mail_from = address
        return "250 2.1.0 fine"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refuse"):
            return "550 5.1.1 no %s here" % address
        if address.startswith("greylist"):
            return "451 4.7.1 later"
        if address.startswith("once") and address not in self.seen:
            self.seen.add(address)
            return "451 4.7.1 later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_DATA(self, server, session, envelope):
        while self.flag("hang"):
            await asyncio.sleep(0.1)
        to = envelope.rcpt_tos[0]
        if to.startswith("break"):
            server.transport.abort()
            return "421 4.0.0 gone"
        if to.startswith("spam"):
            return "554 5.7.1 no spam"
        line = json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "login": session.authenticated,
            "data": envelope.content.decode("utf-8")})
        self.mails.write(line + "\n")
        self.mails.flush()
        return "250 2.0.0 taken"


async def main():
    p = argparse.ArgumentParser()
    p.add_argument("directory")
    p.add_argument("port", type=int)
    p.add_argument("--tls", nargs=2)
    p.add_argument("--implicit", action="store_true")
    p.add_argument("--login", nargs=2)
    a = p.parse_args()
    context = None
    if a.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*a.tls)
    handler = Handler(a.directory)

    def authenticate(server, session, envelope, mechanism, data):
        good = a.login and [data.login.decode(), data.password.decode()] == a.login
        return AuthResult(success=bool(good), handled=False)

    def make():
        return SMTP(handler, enable_SMTPUTF8=True,
                    tls_context=None if a.implicit else context,
                    require_starttls=bool(context) and not a.implicit,
                    auth_required=bool(a.login), authenticator=authenticate,
                    auth_require_tls=bool(context) and not a.implicit)

    server = await asyncio.get_running_loop().create_server(
        make, "127.0.0.1", a.port, ssl=context if a.implicit else None)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


try:
    asyncio.run(main())
except KeyboardInterrupt:
    sys.exit(0)
