-- notes.sql: the roles, the tables and the policies that all examples share:
-- notes that only the user who wrote them sees. Run it as a superuser, once,
-- in the database that has auth_session:
--
--   psql -d app -v ON_ERROR_STOP=1 -f examples/notes.sql

BEGIN;

-- Owns the tables. Nobody logs in as it.
CREATE ROLE notes_owner;

-- What a back end logs in as. It owns nothing, so every policy holds for it.
CREATE ROLE notes_app LOGIN;

-- It tells the address of the client that it serves, one entry of
-- x-forwarded-for, and is believed: without this anybody could use up the
-- attempts that an account has from all clients together.
ALTER ROLE notes_app SET auth_session.trusted_proxies = 1;

-- A client that hangs in a transaction must not keep a connection for ever.
ALTER ROLE notes_app SET idle_in_transaction_session_timeout = '10 s';

CREATE SCHEMA app AUTHORIZATION notes_owner;
GRANT USAGE ON SCHEMA app TO notes_app;
GRANT USAGE ON SCHEMA auth_admin TO notes_owner;
GRANT SELECT ON auth_admin.deleted_users TO notes_owner;

SET ROLE notes_owner;

-- Who has notes. Keys of the application refer to this and not to the tables of
-- auth_session; what belongs to an account that is gone goes with its row.
CREATE TABLE app.users (id uuid PRIMARY KEY DEFAULT auth.uid());

CREATE TABLE app.notes (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	owner uuid NOT NULL DEFAULT auth.uid() REFERENCES app.users ON DELETE CASCADE,
	text text NOT NULL CHECK (length(text) <= 10000),
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON app.notes (owner, created_at);

-- A user's first note makes his row.
CREATE FUNCTION app.know_user() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO app.users (id) VALUES (NEW.owner) ON CONFLICT DO NOTHING;
	RETURN NEW;
END
$$;
CREATE TRIGGER know_user BEFORE INSERT ON app.notes
	FOR EACH ROW WHEN (NEW.owner IS NOT NULL) EXECUTE FUNCTION app.know_user();

-- FORCE: policies hold for the owner, too.
ALTER TABLE app.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON app.users USING (id = auth.uid());
CREATE POLICY own ON app.notes USING (owner = auth.uid());
CREATE POLICY gone ON app.users TO notes_owner
	USING (id IN (SELECT id FROM auth_admin.deleted_users));

GRANT SELECT, INSERT ON app.users TO notes_app;
GRANT SELECT, INSERT, UPDATE (text), DELETE ON app.notes TO notes_app;

RESET ROLE;
COMMIT;

-- Every night, as notes_owner (pg_cron: a job of that role's):
--   DELETE FROM app.users WHERE id IN (SELECT id FROM auth_admin.deleted_users);
