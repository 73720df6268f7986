-- auth_admin.check_configuration: each finding appears, and goes away again.
-- What needs a server of its own is in test/t/check_configuration.pl.
\ir helper/common.psql

BEGIN;
SELECT plan(66);

-- How many findings match; each with a risk and a cure.
CREATE FUNCTION pg_temp.found(pattern text) RETURNS bigint
LANGUAGE sql AS $$ SELECT count(*) FROM auth_admin.check_configuration() WHERE finding ~ pattern $$;
CREATE FUNCTION pg_temp.cure(pattern text) RETURNS text
LANGUAGE sql AS $$ SELECT string_agg(cure, '; ') FROM auth_admin.check_configuration() WHERE finding ~ pattern $$;

-- Whether a statement makes a finding appear, and another one takes it away.
CREATE FUNCTION pg_temp.comes_and_goes(pattern text, wrong text, mended text, description text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE wrong;
	RETURN NEXT is(pg_temp.found(pattern), 1::bigint, description || ' is found');
	EXECUTE mended;
	RETURN NEXT is(pg_temp.found(pattern), 0::bigint, description || ' is gone once it is mended');
END
$$;

SELECT function_returns('auth_admin', 'check_configuration', ARRAY[]::text[], 'setof record');
SELECT is((SELECT count(*) FROM auth_admin.check_configuration() WHERE num_nulls(finding, risk, cure) > 0 OR '' IN (finding, risk, cure)),
	0::bigint, 'each finding has a risk and a cure');

-- ---- versions ----

SELECT extversion AS version FROM pg_extension WHERE extname = 'auth_session' \gset
SELECT pg_temp.comes_and_goes('the extension in this database is 0.1',
	'UPDATE pg_extension SET extversion = ''0.1'' WHERE extname = ''auth_session''',
	format('UPDATE pg_extension SET extversion = %L WHERE extname = ''auth_session''', :'version'), 'SQL of another version');

-- ---- settings ----

SELECT pg_temp.comes_and_goes('site_url is not set', 'SET LOCAL auth_session.site_url = ''''',
	'SET LOCAL auth_session.site_url = ''https://app.example''', 'a missing site_url');
SELECT pg_temp.comes_and_goes('without TLS', 'SET LOCAL auth_session.site_url = ''http://app.example''',
	'SET LOCAL auth_session.site_url = ''http://localhost:3000''', 'a site_url without TLS');
SELECT pg_temp.comes_and_goes('Passwords of 14 characters', 'SET LOCAL auth_session.password_min_length = 14',
	'SET LOCAL auth_session.password_min_length = 15', 'a password length below NIST''s');
SELECT pg_temp.comes_and_goes('No proxy is trusted', 'SET LOCAL auth_session.trusted_proxies = 0',
	'SET LOCAL auth_session.trusted_proxies = 1', 'no trusted proxy');
CREATE ROLE pgtap_authenticator;
SELECT pg_temp.comes_and_goes('No proxy is trusted',
	'SET LOCAL auth_session.trusted_proxies = 0; ALTER ROLE pgtap_authenticator SET auth_session.trusted_proxies = 0',
	'ALTER ROLE pgtap_authenticator SET auth_session.trusted_proxies = 1', 'no trusted proxy of any role');
SELECT pg_temp.comes_and_goes('request.jwt.claims of pgtap_authenticator count as verified',
	'SET LOCAL auth_session.trusted_claims_roles = ''pgtap_authenticator''',
	'SET LOCAL auth_session.trusted_claims_roles = ''''', 'a role whose claims are trusted');
SELECT pg_temp.comes_and_goes('request.jwt.claims of pgtap_authenticator count as verified',
	format('ALTER DATABASE %I SET auth_session.trusted_claims_roles = ''pgtap_authenticator''', current_database()),
	format('ALTER DATABASE %I RESET auth_session.trusted_claims_roles', current_database()), 'the same for the database');

-- A hook is looked for when it is set, so it has to go missing.
CREATE FUNCTION public.pgtap_claims(user_id uuid, claims jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT claims';
CREATE FUNCTION public.pgtap_password(password text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION public.pgtap_signup(email text, phone text, info jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT info';
SET LOCAL auth_session.claims_hook = 'public.pgtap_claims';
SET LOCAL auth_session.password_hook = 'public.pgtap_password';
SET LOCAL auth_session.signup_hook = 'public.pgtap_signup';
SELECT is(pg_temp.found('_hook'), 0::bigint, 'hooks that are there are no finding');
SELECT pg_temp.comes_and_goes('claims_hook, public.pgtap_claims, cannot be called', 'DROP FUNCTION public.pgtap_claims',
	'SET LOCAL auth_session.claims_hook = ''''', 'a claims hook that is missing');
SELECT pg_temp.comes_and_goes('password_hook, public.pgtap_password, cannot be called', 'DROP FUNCTION public.pgtap_password',
	'SET LOCAL auth_session.password_hook = ''''', 'a password hook that is missing');
SELECT pg_temp.comes_and_goes('signup_hook, public.pgtap_signup, cannot be called', 'DROP FUNCTION public.pgtap_signup',
	'SET LOCAL auth_session.signup_hook = ''''', 'a sign-up hook that is missing');

-- ---- rights ----

CREATE ROLE pgtap_somebody;
SELECT is(pg_temp.found('^(PUBLIC|Role)'), 0::bigint, 'rights as they were made are no finding');
SELECT pg_temp.comes_and_goes('PUBLIC has EXECUTE on function auth_admin.ban', 'GRANT EXECUTE ON FUNCTION auth_admin.ban TO PUBLIC',
	'REVOKE EXECUTE ON FUNCTION auth_admin.ban FROM PUBLIC', 'G1: an operator''s function for everybody');
SELECT pg_temp.comes_and_goes('PUBLIC has EXECUTE on function auth.jwt_sign', 'GRANT EXECUTE ON FUNCTION auth.jwt_sign TO PUBLIC',
	'REVOKE EXECUTE ON FUNCTION auth.jwt_sign FROM PUBLIC', 'G1: jwt_sign for everybody');
SELECT pg_temp.comes_and_goes('PUBLIC has SELECT on view auth_admin.users', 'GRANT SELECT ON auth_admin.users TO PUBLIC',
	'REVOKE SELECT ON auth_admin.users FROM PUBLIC', 'G1: a view for everybody');
SELECT pg_temp.comes_and_goes('PUBLIC has USAGE on schema auth_admin', 'GRANT USAGE ON SCHEMA auth_admin TO PUBLIC',
	'REVOKE USAGE ON SCHEMA auth_admin FROM PUBLIC', 'G1: a schema for everybody');
SELECT pg_temp.comes_and_goes('Role pgtap_somebody has SELECT on column password_hash of table auth_private.accounts',
	'GRANT SELECT (password_hash) ON auth_private.accounts TO pgtap_somebody',
	'REVOKE SELECT (password_hash) ON auth_private.accounts FROM pgtap_somebody', 'G1: a column of a private table');
SELECT pg_temp.comes_and_goes('Role pgtap_somebody has REFERENCES on table auth_private.accounts',
	'GRANT REFERENCES ON auth_private.accounts TO pgtap_somebody',
	'REVOKE REFERENCES ON auth_private.accounts FROM pgtap_somebody', 'H3: a private table that can be referenced');
SELECT pg_temp.comes_and_goes('PUBLIC lacks EXECUTE on function auth.signin', 'REVOKE EXECUTE ON FUNCTION auth.signin FROM PUBLIC',
	'GRANT EXECUTE ON FUNCTION auth.signin TO PUBLIC', 'a client''s function that was revoked');
GRANT EXECUTE ON FUNCTION auth_admin.ban TO pgtap_somebody;
GRANT USAGE ON SCHEMA auth_admin TO pgtap_somebody;
SELECT is(pg_temp.found('pgtap_somebody'), 0::bigint, 'what an operator is granted is no finding');
SELECT pg_temp.comes_and_goes('Role auth_session_owner can log in', 'ALTER ROLE auth_session_owner LOGIN',
	'ALTER ROLE auth_session_owner NOLOGIN', 'an owner that can log in');
SELECT pg_temp.comes_and_goes('Role auth_session_owner has the member pgtap_somebody', 'GRANT auth_session_owner TO pgtap_somebody',
	'REVOKE auth_session_owner FROM pgtap_somebody', 'a member of the owner');
SELECT pg_temp.comes_and_goes('function auth.signin\(text,text,text\) belongs to ',
	format('ALTER FUNCTION auth.signin OWNER TO %I', current_user), 'ALTER FUNCTION auth.signin OWNER TO auth_session_owner',
	'a function of another owner');

-- ---- policies ----

CREATE TABLE public.pgtap_notes (owner uuid);
ALTER TABLE public.pgtap_notes ENABLE ROW LEVEL SECURITY;
SELECT pg_temp.comes_and_goes('Policy own of table public.pgtap_notes reads request.jwt.claims',
	'CREATE POLICY own ON public.pgtap_notes USING (owner = (current_setting(''request.jwt.claims'', true)::json ->> ''sub'')::uuid)',
	'DROP POLICY own ON public.pgtap_notes', 'a policy that reads what anybody can set');
CREATE FUNCTION public.pgtap_me() RETURNS uuid LANGUAGE sql STABLE
	AS $$ SELECT (current_setting('request.jwt.claims', true)::json ->> 'sub')::uuid $$;
SELECT pg_temp.comes_and_goes('Policy own of table public.pgtap_notes reads request.jwt.claims',
	'CREATE POLICY own ON public.pgtap_notes WITH CHECK (owner = public.pgtap_me())',
	'ALTER POLICY own ON public.pgtap_notes WITH CHECK (owner = auth.uid())', 'one that does so in a function');
CREATE OR REPLACE FUNCTION public.pgtap_me() RETURNS uuid LANGUAGE sql STABLE
	RETURN (current_setting('request.jwt.claims', true)::json ->> 'sub')::uuid;
SELECT pg_temp.comes_and_goes('Policy own of table public.pgtap_notes reads request.jwt.claims',
	'ALTER POLICY own ON public.pgtap_notes WITH CHECK (owner = public.pgtap_me())',
	'ALTER POLICY own ON public.pgtap_notes WITH CHECK (owner = auth.uid())', 'or in a function whose body is kept parsed');
SELECT pg_temp.comes_and_goes('Row-level security of table public.pgtap_notes is off',
	'ALTER TABLE public.pgtap_notes DISABLE ROW LEVEL SECURITY', 'ALTER TABLE public.pgtap_notes ENABLE ROW LEVEL SECURITY',
	'a policy that is not in force');

-- ---- keys: PKCS #1 of 2048 and 3072 bits differ in the modulus ----

SELECT pg_temp.comes_and_goes('RSA key pgtap has fewer than 3072 bits', $$
	INSERT INTO auth_private.signing_keys (kid, algorithm, state, public_jwk, is_imported, created_at)
		VALUES ('pgtap', 'RS256', 'next', jsonb_build_object('n', repeat('A', 342)), true, now())$$,
	$$UPDATE auth_private.signing_keys SET public_jwk = jsonb_build_object('n', repeat('A', 512)) WHERE kid = 'pgtap'$$,
	'F12: a short RSA key');

-- ---- what others have to do ----

INSERT INTO auth_private.outbox (id, created_at, kind, channel, recipient, payload, attempts, due_at)
	VALUES ('00000000-0000-7000-8000-000000000015', now() - interval '16 minutes', 'new_signin', 'email', 'x', '{}', 0, now());
SELECT is(pg_temp.found('A notification has waited for'), 1::bigint, 'a notification that waits is found');
UPDATE auth_private.outbox SET parked_at = now() WHERE settled_at IS NULL;
SELECT is(pg_temp.found('A notification has waited for'), 0::bigint, 'one that is parked is another finding');
SELECT is(pg_temp.found('notifications are parked'), 1::bigint, 'which is found');
UPDATE auth_private.outbox SET settled_at = now();
SELECT is(pg_temp.found('notifications are parked'), 0::bigint, 'and is gone once it is settled');
SELECT auth_admin.prune() \g /dev/null
SELECT is(pg_temp.found('Maintenance'), 0::bigint, 'maintenance that has run is no finding');
INSERT INTO auth_private.codes (user_id, id, purpose, identifier, created_at, code_expires_at, link_expires_at)
	VALUES (gen_random_uuid(), gen_random_uuid(), 'password_reset', 'x', now() - interval '3 days', now() - interval '3 days', now() - interval '2 days');
SELECT pg_temp.comes_and_goes('Maintenance leaves rows', 'SELECT 1', 'DELETE FROM auth_private.codes WHERE identifier = ''x''',
	'what maintenance leaves');

-- ---- who may ask ----

GRANT EXECUTE ON FUNCTION auth_admin.check_configuration TO pgtap_somebody;
SELECT count(*) AS findings FROM auth_admin.check_configuration() \gset
SET LOCAL ROLE pgtap_somebody;
SELECT is((SELECT count(*) FROM auth_admin.check_configuration()), :findings::bigint, 'EXECUTE is all that is needed');
RESET ROLE;
SELECT set_config('transaction_read_only', 'on', true) \g /dev/null
SELECT is((SELECT count(*) FROM auth_admin.check_configuration()), :findings::bigint, 'it changes nothing');

SELECT * FROM finish();
ROLLBACK;
