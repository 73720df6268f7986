-- passwords.sql: what the containers need besides notes.sql and roles.sql, which
-- every example has: the bridge's role, and the passwords of the secrets, read
-- here so that no process shows them in its arguments.

\set bridge_password `cat /run/secrets/bridge_password`
\set authenticator_password `cat /run/secrets/authenticator_password`

BEGIN;

CREATE ROLE auth_bridge LOGIN PASSWORD :'bridge_password';
GRANT USAGE ON SCHEMA auth_admin TO auth_bridge;
GRANT EXECUTE ON FUNCTION auth_admin.claim_notifications, auth_admin.settle_notifications,
	auth_admin.release_notifications TO auth_bridge;

ALTER ROLE authenticator PASSWORD :'authenticator_password';
-- Clients reach PostgREST directly in compose.yaml: what they write into
-- x-forwarded-for does not count. 1 behind a proxy that adds to it.
ALTER ROLE authenticator SET auth_session.trusted_proxies = 0;

COMMIT;
