"""A failure on its way from a driver to the client."""

import re
import sys


class Refused(Exception):
    """What a driver's error comes to: SQLSTATE, code for programs, hint."""

    def __init__(self, state, code=None, message=None, hint=None):
        super().__init__(message)
        self.state = state or ""
        self.code = code
        self.message = message
        self.hint = hint

    def answer(self):
        """Status and body. The status is in the SQLSTATE: PT401."""
        if re.fullmatch(r"PT\d{3}", self.state):
            return int(self.state[2:]), {"code": self.code, "message": self.message, "hint": self.hint}
        status = 403 if self.state == "42501" else 400 if self.state[:2] in ("22", "23") else 500
        # Not the message: another one's could quote what was passed.
        if status == 500:
            print("a request failed:", self.state, file=sys.stderr, flush=True)
        return status, {"code": "internal_error" if status == 500 else "refused",
                        "message": "the request was refused"}
