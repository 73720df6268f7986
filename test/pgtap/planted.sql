-- What a caller plants in pg_temp under our names, and under the server's, is
-- never found: not by the first call of a backend, which makes the plans, and
-- not with pg_temp first in search_path.
\ir helper/common.psql

BEGIN;
SELECT plan(29);

-- All that the helpers give is had before, as they resolve names themselves.
SELECT pg_temp.email('ada') AS ada, pg_temp.password() AS password \gset
\set hostile 'SET LOCAL search_path = pg_temp, auth_private, auth, public, pg_catalog'
\set calm 'SET LOCAL search_path = pg_catalog, public, pg_temp'
:calm;

-- Empty tables: what is looked up there is not found, what is written is seen.
DO $$
DECLARE
	name text;
BEGIN
	FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'auth_private'::regnamespace AND relkind = 'r' LOOP
		EXECUTE format('CREATE TEMPORARY TABLE %I (LIKE auth_private.%1$I)', name);
	END LOOP;
	FOREACH name IN ARRAY ARRAY['pg_class', 'pg_proc', 'pg_type', 'pg_namespace', 'pg_authid', 'pg_roles', 'pg_settings'] LOOP
		EXECUTE format('CREATE TEMPORARY TABLE %I (LIKE pg_catalog.%1$I)', name);
	END LOOP;
	-- Nothing of ours is a smallint.
	FOREACH name IN ARRAY ARRAY['uuid', 'text', 'jsonb', 'json', 'timestamptz', 'int4', 'int8', 'bool', 'inet', 'date', 'bytea', 'oid',
			'regclass', 'account', 'tokens', 'session'] LOOP
		EXECUTE format('CREATE DOMAIN pg_temp.%I AS smallint', name);
	END LOOP;
END $$;

-- The server never looks for functions and operators there; should it one day.
CREATE FUNCTION pg_temp.planted(a pg_catalog.uuid, b pg_catalog.uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE 'planted code ran';
END $$;
CREATE OPERATOR pg_temp.= (LEFTARG = pg_catalog.uuid, RIGHTARG = pg_catalog.uuid, FUNCTION = pg_temp.planted);
CREATE FUNCTION pg_temp.count() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted code ran'; END $$;
CREATE FUNCTION pg_temp.sum(integer) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted code ran'; END $$;
CREATE FUNCTION pg_temp.now() RETURNS timestamp with time zone LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted code ran'; END $$;
-- A cast of the caller's from a type of the caller's.
CREATE TYPE pg_temp.own AS (value integer);
CREATE FUNCTION pg_temp.own_text(pg_temp.own) RETURNS pg_catalog.text LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted code ran'; END $$;
CREATE CAST (pg_temp.own AS pg_catalog.text) WITH FUNCTION pg_temp.own_text(pg_temp.own) AS IMPLICIT;

-- ---- what anybody may call ----

:hostile;
SELECT id AS user FROM auth.signup(:'ada', :'password') \gset
:calm;
SELECT isnt(:'user'::pg_catalog.text, '', 'H3: a sign-up is made');
SELECT results_eq(format('SELECT recipient FROM auth_private.outbox WHERE user_id = %L', :'user'), ARRAY[:'ada'], 'H3: and its mail is in our outbox');
SELECT pg_temp.code(:'ada') AS code \gset
:hostile;
SELECT status FROM auth.confirm(:'ada', :'code', :'password') \gset
:calm;
SELECT is(:'status'::pg_catalog.text, 'active', 'H3: it is confirmed');
:hostile;
SELECT access_token AS access, refresh_token AS refresh, session_id AS session FROM auth.signin(:'ada', :'password') \gset
SELECT auth.verify(:'access') ->> 'sub' AS verified \gset
:calm;
SELECT is(:'verified'::pg_catalog.text, :'user', 'H3: a sign-in''s token verifies');
:hostile;
SELECT access_token AS access, refresh_token AS refresh FROM auth.renew(:'refresh') \gset
SELECT auth.verify(:'access') ->> 'sub' AS verified \gset
SELECT auth.authenticate(:'access') AS authenticated, auth.uid() AS uid, auth.session_id() AS sid, auth.email() AS email \gset
SELECT pg_catalog.count(*) AS sessions FROM auth.sessions() \gset
SELECT email AS shown FROM auth.account() \gset
SELECT info ->> 'a' AS info FROM auth.update_info('{"a": "b"}') \gset
:calm;
SELECT is(:'verified'::pg_catalog.text, :'user', 'H3: so does a renewal''s');
SELECT is(:'authenticated'::pg_catalog.text, :'user', 'H3: it is the context');
SELECT is(:'uid'::pg_catalog.text, :'user', 'H3: of uid()');
SELECT is(:'sid'::pg_catalog.text, :'session', 'H3: of session_id()');
SELECT is(:'email'::pg_catalog.text, :'ada', 'H3: of email()');
SELECT is(:'sessions'::pg_catalog.text, '1', 'H3: of sessions()');
SELECT is(:'shown'::pg_catalog.text, :'ada', 'H3: of account()');
SELECT is(:'info'::pg_catalog.text, 'b', 'H3: of update_info()');
:hostile;
SELECT auth.change_password(:'password', 'another good one') \g /dev/null
SELECT auth.request_password_reset(:'ada') \g /dev/null
:calm;
SELECT pg_temp.code(:'ada', 'password_reset') AS code \gset
:hostile;
SELECT auth.reset_password(:'ada', :'code', 'a third good one') \g /dev/null
SELECT access_token AS access, refresh_token AS refresh FROM auth.signin(:'ada', 'a third good one') \gset
:calm;
SELECT isnt(:'access'::pg_catalog.text, '', 'H3: a new password signs in');
:hostile;
SELECT auth.logout(refresh_token => :'refresh') \g /dev/null
SELECT access_token AS access2 FROM auth.signin(:'ada', 'a third good one') \gset
SELECT auth.authenticate(:'access2') \g /dev/null
SELECT auth.logout_all() AS ended \gset
SELECT pg_catalog.jsonb_typeof(auth.jwks()) AS jwks \gset
:calm;
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'access'), 'session_revoked', 'H3: a logout ends its session');
SELECT is(:'ended'::pg_catalog.text, '1', 'H3: and logout_all the other');
SELECT is(:'jwks'::pg_catalog.text, 'object', 'H3: jwks() answers');

-- ---- what operators and the bridge call ----

:hostile;
SELECT id AS found FROM auth_admin.find_user(:'ada') \gset
SELECT auth_admin.ban(:'user') \g /dev/null
SELECT status AS banned FROM auth_admin.users WHERE id OPERATOR(pg_catalog.=) :'user' \gset
SELECT auth_admin.unban(:'user'), auth_admin.unlock(:'user') \g /dev/null
SELECT auth_admin.set_password(:'user', 'a fourth good one') \g /dev/null
SELECT user_id AS again FROM auth.signin(:'ada', 'a fourth good one') \gset
SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0 AS claimed FROM auth_admin.claim_notifications(100, '1 minute') \gset
SELECT pg_catalog.count(*) AS logged FROM auth_admin.audit_log WHERE user_id OPERATOR(pg_catalog.=) :'user' AND action OPERATOR(pg_catalog.=) 'ban' \gset
SELECT pg_catalog.count(*) AS stats FROM auth_admin.stats \gset
SELECT auth_admin.prune(100) AS pruned \gset
SELECT auth_admin.create_signing_key('EdDSA') AS kid \gset
SELECT auth_admin.activate_signing_key(:'kid') \g /dev/null
SELECT access_token AS access FROM auth.signin(:'ada', 'a fourth good one') \gset
SELECT auth.verify(:'access') ->> 'sub' AS verified \gset
SELECT auth_admin.delete_user(:'user') \g /dev/null
:calm;
SELECT is(:'found'::pg_catalog.text, :'user', 'H3: an operator finds a user');
SELECT is(:'banned'::pg_catalog.text, 'banned', 'H3: bans it');
SELECT is(:'again'::pg_catalog.text, :'user', 'H3: and sets its password');
SELECT is(:'claimed'::pg_catalog.text, 't', 'H3: notifications are handed out');
SELECT is(:'logged'::pg_catalog.text, '1', 'H3: the log is ours');
SELECT is(:'stats'::pg_catalog.text, '1', 'H3: and so is what stats counts');
SELECT is(:'verified'::pg_catalog.text, :'user', 'H3: a new key signs and verifies');
SELECT is((SELECT count(*) FROM auth_private.accounts WHERE id = :'user'), 0::bigint, 'H3: a deleted account is gone from our table');
SELECT is((SELECT count(*) FROM auth_private.deleted_users WHERE user_id = :'user'), 1::bigint, 'H3: and noted in another');

-- ---- and what is planted stays empty ----

SELECT is((SELECT count(*) FROM pg_temp.accounts) + (SELECT count(*) FROM pg_temp.identifiers), 0::bigint, 'H3: no account was written elsewhere');
SELECT is((SELECT count(*) FROM pg_temp.sessions) + (SELECT count(*) FROM pg_temp.token_cache) + (SELECT count(*) FROM pg_temp.revocations), 0::bigint,
	'H3: no session');
SELECT is((SELECT count(*) FROM pg_temp.codes) + (SELECT count(*) FROM pg_temp.outbox), 0::bigint, 'H3: no code');
SELECT is((SELECT count(*) FROM pg_temp.signing_keys) + (SELECT count(*) FROM pg_temp.mac_keys) + (SELECT count(*) FROM pg_temp.audit_log), 0::bigint,
	'H3: no key, and no line of the log');

SELECT * FROM finish();
ROLLBACK;
