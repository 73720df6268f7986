-- Rows that are changed without a statement (row.c): as a statement would, and
-- by a statement where something hangs on the table.
\ir helper/common.psql

SELECT plan(35);

-- What a renewal must have written, however it did.
CREATE FUNCTION pg_temp.is_renewed(session uuid, expected_generation integer) RETURNS boolean
LANGUAGE sql AS $$
	SELECT generation = expected_generation
		AND expires_at = LEAST(renewed_at + current_setting('auth_session.refresh_token_ttl')::interval, ends_at)
		AND access_expires_at = LEAST(renewed_at + current_setting('auth_session.access_token_ttl')::interval, expires_at)
		AND expiry_day = (expires_at AT TIME ZONE 'UTC')::date
		AND (jti, expires_at) = ((SELECT sessions.jti FROM auth_private.token_cache WHERE session_id = session
				AND (token_cache.jti, token_cache.expires_at, token_cache.expiry_day)
					= (sessions.jti, sessions.access_expires_at, (access_expires_at AT TIME ZONE 'UTC')::date)), expires_at)
	FROM auth_private.sessions WHERE id = session
$$;

-- Renews some times, and answers the last refresh token.
CREATE FUNCTION pg_temp.renew_often(token text, times integer) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. times LOOP
		SELECT refresh_token INTO token FROM auth.renew(token);
	END LOOP;
	RETURN token;
END
$$;

-- ---- without a statement ----

BEGIN;
SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT to_jsonb(sessions) - '{jti,generation,refresh_digest,renewed_at,access_expires_at,expires_at,expiry_day}'::text[] AS kept
	FROM auth_private.sessions WHERE id = :'s' \gset
SELECT refresh_token AS r FROM auth.renew(:'r') \gset
SELECT ok(pg_temp.is_renewed(:'s', 2), 'a renewal writes the session and the token cache');
SELECT is(to_jsonb(sessions) - '{jti,generation,refresh_digest,renewed_at,access_expires_at,expires_at,expiry_day}'::text[], :'kept',
	'and leaves every other column alone') FROM auth_private.sessions WHERE id = :'s';
SELECT pg_temp.renew_often(:'r', 1) AS r \gset
SELECT ok(pg_temp.is_renewed(:'s', 3), 'what this transaction wrote is what it goes on from');

SET LOCAL auth_session.session_max_age = '10 min';
SELECT refresh_token AS aged, session_id AS aged_id FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT pg_temp.renew_often(:'aged', 1) AS aged \gset
SELECT ok(pg_temp.is_renewed(:'aged_id', 2) AND expires_at = ends_at AND access_expires_at = ends_at,
	'D4: the greatest age ends session and access token') FROM auth_private.sessions WHERE id = :'aged_id';
SET LOCAL auth_session.session_max_age = 0;

-- ---- the indexes ----

CREATE EXTENSION amcheck;
SELECT pg_stat_get_xact_tuples_updated('auth_private.sessions'::regclass)
	- pg_stat_get_xact_tuples_hot_updated('auth_private.sessions'::regclass) AS cold \gset
SET LOCAL auth_session.refresh_token_ttl = '3 d';
SELECT pg_temp.renew_often(:'r', 1) AS r \gset
SET LOCAL enable_seqscan = off;
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE expiry_day = ((clock_timestamp() + interval '3 d') AT TIME ZONE 'UTC')::date AND id = :'s'),
	1::bigint, 'a session that expires on another day is found by that day');
SELECT pg_temp.renew_often(:'r', 200) AS r \gset
SELECT ok(pg_temp.is_renewed(:'s', 204), 'and is renewed until no page has room for it');
SELECT cmp_ok(pg_stat_get_xact_tuples_updated('auth_private.sessions'::regclass)
	- pg_stat_get_xact_tuples_hot_updated('auth_private.sessions'::regclass) - :cold, '>', 3::bigint, 'so that its indexes got new entries');
SELECT lives_ok(format('SELECT bt_index_check(%L, true)', indexrelid::regclass), format('all of them in %s', indexrelid::regclass))
	FROM pg_index WHERE indrelid IN ('auth_private.sessions'::regclass, 'auth_private.token_cache'::regclass)
	ORDER BY indexrelid::regclass::text;
RESET enable_seqscan;
SET LOCAL auth_session.refresh_token_ttl = '30 d';

-- ---- by a statement ----

SAVEPOINT hung;
CREATE FUNCTION public.pgtap_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.user_agent := current_user || ' was here';
	RETURN NEW;
END
$$;
CREATE TRIGGER touch BEFORE UPDATE ON auth_private.sessions FOR EACH ROW EXECUTE FUNCTION public.pgtap_touch();
SELECT pg_temp.renew_often(:'r', 2) AS r2 \gset
SELECT ok(pg_temp.is_renewed(:'s', 206), 'with a trigger on the table a renewal writes the same');
SELECT is(user_agent, 'auth_session_owner was here', 'K4: and runs it, as the owner') FROM auth_private.sessions WHERE id = :'s';
ROLLBACK TO hung;

CREATE FUNCTION public.pgtap_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.expiry_day := '2001-02-03';
	RETURN NEW;
END
$$;
CREATE TRIGGER touch BEFORE UPDATE ON auth_private.token_cache FOR EACH ROW EXECUTE FUNCTION public.pgtap_touch();
SELECT pg_temp.renew_often(:'r', 1) AS r2 \gset
SELECT is(expiry_day, '2001-02-03', 'the same of the token cache') FROM auth_private.token_cache WHERE session_id = :'s';
ROLLBACK TO hung;

ALTER TABLE auth_private.sessions ADD CONSTRAINT pgtap_check CHECK (generation < 205);
SELECT is(pg_temp.failure(format('SELECT auth.renew(%L)', :'r')) ->> 'sqlstate', '23514', 'a CHECK is checked');
ROLLBACK TO hung;

ALTER TABLE auth_private.sessions ADD CONSTRAINT pgtap_key UNIQUE (jti);
CREATE TABLE public.pgtap_child (jti uuid REFERENCES auth_private.sessions (jti));
INSERT INTO public.pgtap_child SELECT jti FROM auth_private.sessions WHERE id = :'s';
SELECT is(pg_temp.failure(format('SELECT auth.renew(%L)', :'r')) ->> 'sqlstate', '23503', 'so is a foreign key to what is changed');
ROLLBACK TO hung;

ALTER TABLE auth_private.sessions ADD FOREIGN KEY (jti) REFERENCES auth_private.accounts (id) NOT VALID;
SELECT is(pg_temp.failure(format('SELECT auth.renew(%L)', :'r')) ->> 'sqlstate', '23503', 'and one of what is changed');
ROLLBACK TO hung;

ALTER TABLE auth_private.sessions DROP COLUMN user_agent, ADD COLUMN pgtap_more text NOT NULL DEFAULT 'more';
SELECT pg_temp.renew_often(:'r', 1) AS r2 \gset
SELECT ok(pg_temp.is_renewed(:'s', 205) AND pgtap_more = 'more', 'columns are known by their names')
	FROM auth_private.sessions WHERE id = :'s';
ROLLBACK TO hung;

-- ---- inserted ----

SAVEPOINT kept;
CREATE INDEX pgtap_upper ON auth_private.audit_log (upper(action)) WHERE session_id IS NOT NULL;
SELECT set_config('request.headers', '{"user-agent": "Agent 7", "x-forwarded-for": "192.0.2.7"}', true) \g /dev/null
SET LOCAL auth_session.trusted_proxies = 1;
SELECT auth.logout(refresh_token => :'r') \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.audit_log WHERE session_id = :'s' AND action = 'logout'), 1::bigint, 'a logout is written to the audit log');
SELECT ok(at BETWEEN now() AND clock_timestamp() AND (actor, result, user_id, ip, user_agent) = ('user', 'ok', :'ada', '192.0.2.7', 'Agent 7') AND reason IS NULL,
	'with all there is to say of it') FROM auth_private.audit_log WHERE session_id = :'s' AND action = 'logout';
SELECT lives_ok(format('SELECT bt_index_check(%L, true)', indexrelid::regclass), 'each index of the log has it')
	FROM pg_index WHERE indrelid = 'auth_private.audit_log'::regclass AND indisunique OR indexrelid = 'auth_private.pgtap_upper'::regclass
	ORDER BY indexrelid::regclass::text;
SET LOCAL enable_seqscan = off;
SELECT is((SELECT count(*) FROM auth_private.audit_log WHERE upper(action) = 'LOGOUT' AND session_id = :'s'), 1::bigint, 'an index on an expression, too');
ROLLBACK TO kept;

CREATE FUNCTION public.pgtap_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.reason := current_user || ' was here';
	RETURN NEW;
END
$$;
CREATE TRIGGER touch BEFORE INSERT ON auth_private.audit_log FOR EACH ROW EXECUTE FUNCTION public.pgtap_touch();
SELECT auth.logout(refresh_token => :'r') \g /dev/null
SELECT is(reason, 'auth_session_owner was here', 'K4: with a trigger on the log it is run, as the owner')
	FROM auth_private.audit_log WHERE session_id = :'s' AND action = 'logout';
ROLLBACK TO kept;

ALTER TABLE auth_private.audit_log ADD CONSTRAINT pgtap_check CHECK (action <> 'logout');
SELECT is(pg_temp.failure(format('SELECT auth.logout(refresh_token => %L)', :'r')) ->> 'sqlstate', '23514', 'a CHECK is checked');
ROLLBACK TO kept;

ALTER TABLE auth_private.audit_log ADD FOREIGN KEY (session_id) REFERENCES auth_private.accounts (id) NOT VALID;
SELECT is(pg_temp.failure(format('SELECT auth.logout(refresh_token => %L)', :'r')) ->> 'sqlstate', '23503', 'so is a foreign key');
ROLLBACK TO kept;

ALTER TABLE auth_private.audit_log ADD COLUMN pgtap_more text NOT NULL DEFAULT 'more';
ALTER TABLE auth_private.audit_log ALTER pgtap_more SET DEFAULT 'more of it';
SELECT auth.logout(refresh_token => :'r') \g /dev/null
SELECT is(pgtap_more, 'more of it', 'a column that has a default gets it')
	FROM auth_private.audit_log WHERE session_id = :'s' AND action = 'logout';
ROLLBACK TO kept;

ALTER TABLE auth_private.audit_log ADD COLUMN pgtap_must text;
ALTER TABLE auth_private.audit_log ADD CONSTRAINT pgtap_must CHECK (pgtap_must IS NOT NULL) NOT VALID;
SELECT is(pg_temp.failure(format('SELECT auth.logout(refresh_token => %L)', :'r')) ->> 'sqlstate', '23514', 'one that must have a value is not left without');
ROLLBACK TO kept;

CREATE RULE pgtap_nothing AS ON INSERT TO auth_private.audit_log DO INSTEAD NOTHING;
SELECT auth.logout(refresh_token => :'r') \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.audit_log WHERE session_id = :'s' AND action = 'logout'), 0::bigint, 'a rule is followed');
ROLLBACK TO kept;

-- ---- deleted ----

SELECT auth.logout(refresh_token => :'r') \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE id = :'s') + (SELECT count(*) FROM auth_private.token_cache WHERE session_id = :'s'),
	0::bigint, 'I1: a logout deletes the session and its row in the token cache');
SELECT lives_ok('SELECT bt_index_check(''auth_private.sessions_pkey'', true)', 'and its index goes on');
ROLLBACK TO hung;

CREATE TABLE public.pgtap_child (user_id uuid, session_id uuid,
	FOREIGN KEY (user_id, session_id) REFERENCES auth_private.sessions ON DELETE CASCADE);
INSERT INTO public.pgtap_child SELECT user_id, id FROM auth_private.sessions WHERE id = :'s';
SELECT auth.logout(refresh_token => :'r') \g /dev/null
SELECT is((SELECT count(*) FROM public.pgtap_child), 0::bigint, 'with another foreign key there, what it asks for is done');
ROLLBACK TO hung;

CREATE FUNCTION public.pgtap_keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep BEFORE DELETE ON auth_private.token_cache FOR EACH ROW EXECUTE FUNCTION public.pgtap_keep();
SELECT auth.logout(refresh_token => :'r') \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.token_cache WHERE session_id = :'s'), 1::bigint, 'a trigger is run for a row that goes');
ROLLBACK TO hung;

DELETE FROM auth_private.token_cache WHERE session_id = :'s';
SELECT auth.logout(refresh_token => :'r') \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE id = :'s'), 0::bigint, 'a session that has no row in the cache is deleted, too');
ROLLBACK;

-- ---- at another isolation level ----

BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT pg_temp.renew_often(:'r', 2) AS r \gset
SELECT ok(pg_temp.is_renewed(:'s', 3), 'a serializable transaction renews by statements, and writes the same');
SELECT * FROM finish();
ROLLBACK;
