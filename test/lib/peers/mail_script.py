#!/usr/bin/python3
"""A mail server that misbehaves as the recipient's local part asks, in
threads that wait for each other in nothing, so that what a client does at once
shows. It writes every mail that it accepts to DIR/mails, every one of them whose
answer it never gave to DIR/unanswered, and every RCPT that it hears to
DIR/rcpts, one JSON object per line.

  slow200-...     250 to the dot after 200 ms (any number)
  refuse-...      550 at RCPT
  spam-...        554 after the dot
  defer2-...      450 at RCPT, twice (any number), then taken
  later1-...      451 after the dot, once (any number), then taken
  busy-...        421 at RCPT, once, and closes
  break1-...      closes at RCPT, once (any number)
  cut-...         closes in the data, once
  lost-...        takes the mail, and closes without a 250, once
  hang-...        takes the mail, and never answers, once

and while a file of that name is in DIR:

  reject          550 at MAIL          close           closes at once
  mute            says nothing         noutf8          offers no SMTPUTF8

  mail_script.py DIR PORT [--no-pipelining]

SIGUSR1 is its crash, as soon as it has four mails whole that it has not answered,
or after two seconds: it has accepted what it has, and nobody is told. What it writes of a mail and what it says to it are one step, in
which it does not crash; so the files say exactly what its clients heard.

It prints "ready" when it listens.
"""
import json
import os
import re
import signal
import socketserver
import sys
import threading
import time

directory, port = sys.argv[1], int(sys.argv[2])
pipelining = "--no-pipelining" not in sys.argv
lock = threading.Lock()
step = threading.Lock()     # held from a record to its answer, and by the crash
seen = {}
waiting = {}    # mails that have no answer yet, by session
files = {name: open(os.path.join(directory, name), "a")
         for name in ("mails", "rcpts", "unanswered")}


# Started again, it knows to whom it has not answered.
with open(os.path.join(directory, "unanswered")) as before:
    for record in map(json.loads, before):
        seen[record["to"]] = seen.get(record["to"], -1) + 1


def flag(name):
    return os.path.exists(os.path.join(directory, name))


def write(name, record):
    with lock:
        files[name].write(json.dumps(record) + "\n")
        files[name].flush()


def times(address):
    """How often it has misbehaved for this address before."""
    with lock:
        seen[address] = seen.get(address, -1) + 1
        return seen[address]


class Close(Exception):
    pass


def crash():
    signal.sigwait([signal.SIGUSR1])
    last = time.monotonic() + 2
    while True:
        with step:
            if len(waiting) >= 4 or time.monotonic() > last:
                for mail in list(waiting.values()):
                    write("mails", mail)
                    write("unanswered", {"to": mail["to"]})
                os._exit(0)
        time.sleep(0.001)


class Session(socketserver.StreamRequestHandler):
    def say(self, text):
        while flag("mute"):
            time.sleep(0.02)
        self.wfile.write(text.encode() + b"\r\n")

    def setup(self):
        super().setup()
        self.sender = self.to = None
        self.number = 0

    def handle(self):
        try:
            if flag("close"):
                return
            self.say("220 test ESMTP")
            while True:
                line = self.rfile.readline()
                if not line:
                    return
                self.command(line.decode("utf-8", "surrogateescape").rstrip("\r\n"))
        except (Close, OSError):
            pass

    def command(self, line):
        word = line[:4].upper()
        if word == "EHLO":
            self.ehlo = line[5:]
            for offer in ["PIPELINING"] * pipelining + ["SMTPUTF8"] * (not flag("noutf8")):
                self.say("250-" + offer)
            self.say("250 8BITMIME")
        elif word == "MAIL":
            self.begin(line)
        elif word == "RCPT":
            with step:
                self.rcpt(re.search("<(.*)>", line)[1])
        elif word == "DATA":
            self.data()
        elif word in ("RSET", "NOOP"):
            self.sender = self.to = None
            self.say("250 2.0.0 fine")
        elif word == "QUIT":
            self.say("221 2.0.0 bye")
            raise Close
        else:
            self.say("502 5.5.1 what")

    def begin(self, line):
        """One transaction at a time (RFC 5321, section 4.1.4)."""
        if self.sender is not None:
            return self.say("503 5.5.1 one mail at a time")
        if flag("reject"):
            return self.say("550 5.7.1 not you")
        self.number += 1
        self.mail = self.sender = line
        return self.say("250 2.1.0 fine")

    def rcpt(self, address):
        write("rcpts", {"to": address, "number": self.number})
        kind, number = re.match("([a-z]*)([0-9]*)", address).groups()
        if self.sender is None:
            return self.say("503 5.5.1 MAIL first")
        if kind == "refuse":
            return self.say("550 5.1.1 no %s here" % address)
        if kind == "defer" and times(address) < int(number or 1):
            return self.say("450 4.2.0 greylisted")
        if kind == "busy" and times(address) < 1:
            self.say("421 4.3.2 too busy")
            raise Close
        if kind == "break" and times(address) < int(number or 1):
            raise Close
        self.to = address
        self.say("250 2.1.5 fine")

    def data(self):
        if self.to is None:
            return self.say("503 5.5.1 RCPT first")
        self.say("354 go on")
        lines = []
        kind, number = re.match("([a-z]*)([0-9]*)", self.to).groups()
        while True:
            line = self.rfile.readline()
            if not line:
                return
            if line == b".\r\n":
                break
            lines.append(line)
            if kind == "cut" and times(self.to) < 1:
                raise Close
        mail = {"to": self.to, "mail": self.mail, "ehlo": self.ehlo,
                "data": b"".join(lines).decode("utf-8", "replace")}
        with lock:
            if kind not in ("spam", "later"):
                waiting[self] = mail
            mail["at_once"] = len(waiting)
        if kind == "slow":
            time.sleep(int(number) / 1000)
        while flag("mute"):
            time.sleep(0.02)
        with step:
            waiting.pop(self, None)
            answered = self.judge(kind, number, mail)
        if not answered:
            self.rfile.readline()    # until the other side gives up
            raise Close

    def judge(self, kind, number, mail):
        if kind == "spam":
            return self.answer("554 5.7.1 no spam")
        if kind == "later" and times(self.to) < int(number or 1):
            return self.answer("451 4.3.0 later")
        write("mails", mail)
        if kind in ("lost", "hang") and times(self.to) < 1:
            write("unanswered", {"to": self.to})
            if kind == "lost":
                raise Close
            return False
        return self.answer("250 2.0.0 taken")

    def answer(self, text):
        self.sender = self.to = None
        self.say(text)
        return True


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


# Of this thread alone: the others wait for no signal.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
threading.Thread(target=crash, daemon=True).start()
with Server(("127.0.0.1", port), Session) as server:
    print("ready", flush=True)
    server.serve_forever()
