"""The statements of server.py over psycopg 3 and its pool."""

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from refused import Refused


class Database:
    def __init__(self):
        # A call that hashes a password holds a connection for as long: keep
        # max_size above auth_session.max_concurrent_hashes, or sign-ins starve
        # everything else. Where it connects to is in PGHOST, PGDATABASE, ...
        self.pool = ConnectionPool("", min_size=1, max_size=10, timeout=5)

    def transaction(self, first, headers, statement, arguments):
        """The first column of the statement's rows, committed."""
        try:
            # Commits, or rolls back where an error leaves the block.
            with self.pool.connection() as connection:
                connection.execute(first, [headers])
                cursor = connection.execute(statement, arguments)
                return [row[0] for row in cursor.fetchall()]
        except PoolTimeout:
            raise Refused("PT503", "busy", "no connection is free") from None
        except psycopg.Error as error:
            diag = error.diag
            raise Refused(error.sqlstate, diag.message_detail, diag.message_primary, diag.message_hint) from None

    def close(self):
        self.pool.close()
