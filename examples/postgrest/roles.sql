-- roles.sql: what PostgREST needs, after notes.sql; as a superuser, once:
--
--   psql -d app -v ON_ERROR_STOP=1 -f examples/postgrest/roles.sql
--   psql -d app -c '\password authenticator'

BEGIN;

-- What PostgREST logs in as. It is nothing by itself (NOINHERIT): each request
-- is one of the two roles below, by the token's claim "role", or anon.
CREATE ROLE authenticator LOGIN NOINHERIT;
CREATE ROLE anon;
CREATE ROLE authenticated;
GRANT anon, authenticated TO authenticator;

-- One proxy in front adds the client's address to x-forwarded-for: its entry,
-- the last one, is believed. 0 where clients reach PostgREST directly: what
-- they write there themselves must not count.
ALTER ROLE authenticator SET auth_session.trusted_proxies = 1;

-- PostgREST gives each request the settings of its role. More than hash_wait
-- and lock_wait together, so that those give up first, with a better answer.
ALTER ROLE anon SET statement_timeout = '10 s';
ALTER ROLE authenticated SET statement_timeout = '10 s';

-- The keys that verify access tokens, by db-pre-config: no secret in a file,
-- and every change of keys is told to PostgREST.
GRANT USAGE ON SCHEMA auth_admin TO authenticator;
GRANT EXECUTE ON FUNCTION auth_admin.postgrest_settings TO authenticator;

-- The first key is made here: PostgREST asks in a transaction that can't.
DO $$ BEGIN PERFORM auth_admin.jwt_keys(); END $$;

-- The application's own tables: for users only. Functions of auth may be
-- called by anybody as they are.
GRANT USAGE ON SCHEMA app TO authenticated;
GRANT SELECT, INSERT ON app.users TO authenticated;
GRANT SELECT, INSERT (text), UPDATE (text), DELETE ON app.notes TO authenticated;

COMMIT;
