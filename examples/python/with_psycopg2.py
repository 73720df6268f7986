"""The statements of server.py over psycopg2 and its pool."""

import threading

import psycopg2
import psycopg2.pool

from refused import Refused

MAX = 10


class Database:
    def __init__(self):
        # A call that hashes a password holds a connection for as long: keep MAX
        # above auth_session.max_concurrent_hashes, or sign-ins starve
        # everything else. Where it connects to is in PGHOST, PGDATABASE, ...
        self.pool = psycopg2.pool.ThreadedConnectionPool(1, MAX, "")
        # This pool raises where it is empty; this waits.
        self.free = threading.BoundedSemaphore(MAX)

    def transaction(self, first, headers, statement, arguments):
        """The first column of the statement's rows, committed."""
        if not self.free.acquire(timeout=5):
            raise Refused("PT503", "busy", "no connection is free")
        connection = None
        try:
            connection = self.pool.getconn()
            # Commits, or rolls back where an error leaves the block.
            with connection, connection.cursor() as cursor:
                cursor.execute(first, [headers])
                cursor.execute(statement, arguments)
                return [row[0] for row in cursor.fetchall()]
        except psycopg2.Error as error:
            diag = error.diag
            raise Refused(error.pgcode, diag.message_detail, diag.message_primary, diag.message_hint) from None
        finally:
            if connection is not None:
                self.pool.putconn(connection, close=connection.closed != 0)
            self.free.release()

    def close(self):
        self.pool.closeall()
