-- auth_admin.prune: what has ended is deleted, in batches, and nothing else.
\ir helper/common.psql

BEGIN;
SELECT plan(54);

-- Under this plan a batch picked by a subquery of IN would be picked anew for
-- each row, and so exceed its size.
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SET LOCAL enable_hashagg = off;
SET LOCAL enable_material = off;
SET LOCAL enable_memoize = off;
SET LOCAL enable_sort = off;

-- What other files left to prune is none of this one's.
DO $$ BEGIN
	FOR i IN 1 .. 100 LOOP
		IF auth_admin.prune(100000) = 0 THEN RETURN; END IF;
	END LOOP;
	RAISE 'auth_admin.prune still finds something after 100 times';
END $$;

SELECT pg_temp.account(pg_temp.email('live')) AS live \gset
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('live')) \gset
SELECT auth.request_password_reset(pg_temp.email('live')) \g /dev/null
SELECT id AS pending FROM auth.signup(pg_temp.email('pending'), pg_temp.password()) \gset
-- What ends today has not ended yet: rows are found by their day.
SELECT pg_temp.account(pg_temp.email('today')) AS today \gset
SELECT access_token AS a_today FROM pg_temp.signin(pg_temp.email('today')) \gset
UPDATE auth_private.sessions SET expires_at = clock_timestamp() + interval '10 minutes', expiry_day = (clock_timestamp() AT TIME ZONE 'UTC')::date WHERE user_id = :'today';
UPDATE auth_private.token_cache SET expires_at = clock_timestamp() + interval '10 minutes', expiry_day = (clock_timestamp() AT TIME ZONE 'UTC')::date WHERE user_id = :'today';
SELECT is(auth_admin.prune(100000), 0, 'D14: nothing has ended, nothing is deleted');
SELECT is(auth.verify(:'a_today') ->> 'sub', :'today', 'D14: a session that ends later today is live');
SELECT is((SELECT count(*) FROM auth_private.accounts WHERE id IN (:'live', :'pending')), 2::bigint, 'D14: accounts stay');
SELECT is(auth.verify(:'a') ->> 'sub', :'live', 'D14: a live session stays');

-- ---- sessions and cache rows ----

CREATE TEMP TABLE old ON COMMIT DROP AS SELECT n, t.* FROM generate_series(1, 3) AS n, LATERAL pg_temp.signin(pg_temp.email('live'), overlay(pg_temp.password() PLACING '' FROM n FOR 0)) AS t;
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'live'), 4::bigint, 'four sessions');
UPDATE auth_private.sessions SET expires_at = clock_timestamp(), expiry_day = (clock_timestamp() AT TIME ZONE 'UTC')::date WHERE id IN (SELECT session_id FROM old);
SELECT is(auth_admin.prune(1), 1, 'D14: a batch of one takes one that has expired');
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'live'), 3::bigint, 'D14: and leaves the others to the next');
SELECT is(auth_admin.prune(100), 2, 'D14: which takes them');
SELECT is(auth_admin.prune(100), 0, 'D14: and then there are none');
SELECT results_eq(format('SELECT id FROM auth_private.sessions WHERE user_id = %L', :'live'), ARRAY[:'s'::uuid], 'D14: the live one stays');
SELECT is((SELECT count(*) FROM auth_private.token_cache WHERE user_id = :'live'), 1::bigint, 'D14: the cache rows went along');
UPDATE auth_private.token_cache SET expires_at = clock_timestamp(), expiry_day = (clock_timestamp() AT TIME ZONE 'UTC')::date WHERE session_id = :'s';
SELECT is(auth_admin.prune(100), 1, 'D14: a cache row of a token that has expired');
SELECT is(auth.verify(:'a') ->> 'sub', :'live', 'D14: is missed by nobody');
SELECT matches((auth.renew(:'r')).refresh_token, '^asr1_', 'D14: the session can be renewed');

-- ---- pending sign-ups ----

UPDATE auth_private.codes SET link_expires_at = clock_timestamp() WHERE user_id = :'pending';
SELECT is(auth_admin.prune(100), 1, 'a pending sign-up whose last link has ended');
SELECT is((SELECT count(*) FROM auth_private.accounts WHERE id = :'pending')
	+ (SELECT count(*) FROM auth_private.identifiers WHERE user_id = :'pending')
	+ (SELECT count(*) FROM auth_private.codes WHERE user_id = :'pending'), 0::bigint, 'is gone with its claim and its code');
SELECT is((auth.signup(pg_temp.email('pending'), pg_temp.password())).status, 'pending', 'the address can sign up again');

-- Confirmed in part: its owner's address is free again.
SELECT id AS half FROM auth.signup(pg_temp.email('half'), pg_temp.password(), pg_temp.phone(1)) \gset
SELECT auth.confirm(code => pg_temp.link(pg_temp.email('half')), password => pg_temp.password()) \g /dev/null
UPDATE auth_private.codes SET link_expires_at = clock_timestamp() WHERE user_id = :'half';
SELECT is(auth_admin.prune(100), 1, 'one that was confirmed in part ends, too');
SELECT is((SELECT count(*) FROM auth_private.identifiers WHERE user_id = :'half'), 0::bigint, 'and owns no address any more');

-- ---- codes ----

UPDATE auth_private.codes SET code_expires_at = clock_timestamp() WHERE user_id = :'live';
SELECT is(auth_admin.prune(100), 0, 'a code whose link is good stays');
UPDATE auth_private.codes SET link_expires_at = clock_timestamp() WHERE user_id = :'live';
SELECT is(auth_admin.prune(100), 1, 'one whose link has ended goes');
SELECT is((SELECT status FROM auth_admin.users WHERE id = :'live'), 'active', 'an active account does not go with it');

-- ---- codes that newer ones have taken the place of ----

SELECT auth.resend_confirmation(pg_temp.email('twice')) \g /dev/null
SET LOCAL auth_session.resend_cooldown = 0;
SELECT id AS twice FROM auth.signup(pg_temp.email('twice'), pg_temp.password(), pg_temp.phone(7)) \gset
SELECT auth.resend_confirmation(pg_temp.email('twice')) FROM generate_series(1, 2) \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.codes WHERE user_id = :'twice'), 4::bigint, 'three codes for an email, one for a phone');
UPDATE auth_private.codes SET link_expires_at = link_expires_at - interval '2 hours' WHERE user_id = :'twice';
SELECT is(auth_admin.prune(100), 0, 'of codes that are hours old none is looked for');
UPDATE auth_private.codes SET link_expires_at = link_expires_at + interval '2 hours' WHERE user_id = :'twice';
SELECT is(auth_admin.prune(1), 1, 'older ones go');
SELECT is(auth_admin.prune(100), 1, 'each of them');
SELECT is((SELECT string_agg(purpose, ',' ORDER BY purpose) FROM auth_private.codes WHERE user_id = :'twice'), 'confirm_email,confirm_phone', 'but not the newest of each');
SELECT isnt((auth.confirm(pg_temp.email('twice'), pg_temp.code(pg_temp.email('twice'), 'confirm_email'), pg_temp.password())).email_confirmed_at, NULL, 'which is good');
DELETE FROM auth_private.codes WHERE user_id = :'twice';
DELETE FROM auth_private.accounts WHERE id = :'twice';

-- ---- notifications ----

SELECT is((SELECT count(*) > 0 FROM auth_private.outbox WHERE user_id = :'live'), true, 'notifications');
UPDATE auth_private.outbox SET settled_at = clock_timestamp() WHERE user_id = :'live';
SELECT is(auth_admin.prune(100), 0, 'a settled one is kept for a day');
UPDATE auth_private.outbox SET settled_at = clock_timestamp() - interval '25 hours', created_at = clock_timestamp() - interval '25 hours'
	WHERE id = (SELECT min(id::text)::uuid FROM auth_private.outbox WHERE user_id = :'live');
SELECT is(auth_admin.prune(100), 1, 'and then deleted');
UPDATE auth_private.outbox SET settled_at = NULL, created_at = clock_timestamp() - interval '29 days'
	WHERE id = (SELECT min(id::text)::uuid FROM auth_private.outbox WHERE user_id = :'live');
SELECT is(auth_admin.prune(100), 0, 'one that was never delivered is kept for a month');
UPDATE auth_private.outbox SET created_at = clock_timestamp() - interval '31 days' WHERE created_at < now() - interval '28 days';
SELECT is(auth_admin.prune(100), 1, 'and not for ever');

-- ---- the audit log ----

-- Their ids tell the time (UUID version 7).
CREATE FUNCTION pg_temp.made_at(id uuid, at timestamptz) RETURNS uuid LANGUAGE sql AS $$
	SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || right(replace(id::text, '-', ''), 20))::uuid
$$;
SELECT count(*) AS rows FROM auth_private.audit_log WHERE user_id = :'live' \gset
UPDATE auth_private.audit_log SET id = pg_temp.made_at(id, at - interval '89 days'), at = at - interval '89 days' WHERE user_id = :'live';
SELECT is(auth_admin.prune(100), 0, 'audit rows are kept for 90 days');
UPDATE auth_private.audit_log SET id = pg_temp.made_at(id, at - interval '2 days'), at = at - interval '2 days' WHERE user_id = :'live';
SET LOCAL auth_session.audit_retention = 0;
SELECT is(auth_admin.prune(100), 0, 'or for ever');
RESET auth_session.audit_retention;
SELECT is(auth_admin.prune(100), :'rows'::int, 'or deleted then');

-- ---- what is refused ----

SELECT pg_temp.raises(format('SELECT auth_admin.prune(%s)', batch), 'invalid_request', 'no batch: ' || batch, 'batch')
FROM unnest(ARRAY['0', '-1', '100001', 'NULL']) AS batch;
SELECT pg_temp.raises_when_read_only('SELECT auth_admin.prune(1)', 'pruning in a read-only transaction says so');
SELECT is(auth_admin.prune(), 0, 'there is a batch by default');

-- ---- what a superuser hung on our tables ----

-- H14: a key without ON DELETE keeps its account, and no other.
CREATE TABLE public.child (account uuid REFERENCES auth_private.accounts (id));
SELECT id AS kept FROM auth.signup(pg_temp.email('kept'), pg_temp.password()) \gset
SELECT id AS free FROM auth.signup(pg_temp.email('free'), pg_temp.password()) \gset
INSERT INTO public.child VALUES (:'kept');
DELETE FROM auth_private.codes WHERE user_id IN (:'kept', :'free');
SELECT is(auth_admin.prune(1), 1, 'H14: a batch of one goes past the account that a foreign key keeps');
SELECT results_eq(format('SELECT id FROM auth_private.accounts WHERE id IN (%L, %L)', :'kept', :'free'),
	ARRAY[:'kept'::uuid], 'H14: and deletes the one behind it');
SELECT is(auth_admin.prune(100), 0, 'H14: what is kept is not counted');
DROP TABLE public.child;
CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;
CREATE TRIGGER keep BEFORE DELETE ON auth_private.accounts FOR EACH ROW EXECUTE FUNCTION public.keep();
SELECT is(auth_admin.prune(100), 0, 'H3: so does a trigger');
DROP TRIGGER keep ON auth_private.accounts;
SELECT is(auth_admin.prune(100), 1, 'H14: once it is gone, the account goes');

-- ---- accounts that are gone ----

SELECT is((SELECT count(*) FROM auth_admin.deleted_users WHERE id IN (:'pending', :'free', :'kept')), 0::bigint,
	'of a sign-up that was never confirmed nobody hears');
SELECT pg_temp.account(pg_temp.email('gone')) AS gone \gset
DELETE FROM auth_private.accounts WHERE id = :'gone';
SELECT is((SELECT deleted_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp() FROM auth_admin.deleted_users WHERE id = :'gone'), true,
	'H3: an account that was active and is gone can be followed');
UPDATE auth_private.deleted_users SET deleted_at = clock_timestamp() - interval '399 days' WHERE user_id = :'gone';
SELECT is(auth_admin.prune(100), 0, 'for 400 days');
UPDATE auth_private.deleted_users SET deleted_at = clock_timestamp() - interval '401 days' WHERE user_id = :'gone';
SET LOCAL auth_session.deleted_retention = 0;
SELECT is(auth_admin.prune(100), 0, 'or for ever');
RESET auth_session.deleted_retention;
SELECT is(auth_admin.prune(100), 1, 'and then no more');
SELECT is((SELECT count(*) FROM auth_admin.deleted_users WHERE id = :'gone'), 0::bigint, 'it is gone from there too');

-- ---- the procedure ----

SELECT throws_ok('CALL auth_admin.maintain()', '25001', NULL, 'maintain in a transaction block says so, before any work');

SELECT * FROM finish();
ROLLBACK;
