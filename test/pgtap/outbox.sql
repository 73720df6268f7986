-- What the bridge calls: claim, settle, release.
\ir helper/common.psql

BEGIN;
SELECT plan(99);
SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.message_rate_per_account = 0;

-- Under this plan a batch picked by a subquery of IN would be picked anew for
-- each row, and so exceed its size.
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SET LOCAL enable_hashagg = off;
SET LOCAL enable_material = off;
SET LOCAL enable_memoize = off;
SET LOCAL enable_sort = off;

-- Whatever other files left is none of this one's.
UPDATE auth_private.outbox SET settled_at = now() WHERE settled_at IS NULL;
SELECT is((SELECT count(*) FROM auth_admin.claim_notifications(10000, '1 hour')), 0::bigint, 'an empty outbox has nothing to claim');

-- ---- claim ----

SELECT id AS a1 FROM auth.signup(pg_temp.email('a1'), pg_temp.password()) \gset
SELECT auth.signup(pg_temp.email('a2'), pg_temp.password()) \g /dev/null
SELECT auth.signup(phone => pg_temp.phone(3), password => pg_temp.password()) \g /dev/null
SELECT ok(bool_and(payload = '{}'), 'C4: the table has neither code nor link') FROM auth_private.outbox WHERE settled_at IS NULL;
CREATE TEMP TABLE claimed ON COMMIT DROP AS SELECT row_number() OVER () AS n, c.* FROM auth_admin.claim_notifications(2, '1 hour', 'email') AS c;
SELECT results_eq('SELECT recipient FROM claimed ORDER BY n', ARRAY[pg_temp.email('a1'), pg_temp.email('a2')], 'as many as asked for, oldest first');
SELECT results_eq('SELECT kind, channel, user_id FROM claimed WHERE n = 1', format('VALUES (%L, %L, %L::uuid)', 'confirm_email', 'email', :'a1'), 'with kind, channel and user');
SELECT set_eq('SELECT jsonb_object_keys(payload) FROM claimed WHERE n = 1', ARRAY['locale', 'code', 'code_expires_at', 'link_token', 'link_expires_at'],
	'what is derived is added to the payload');
SELECT ok(created_at BETWEEN now() AND clock_timestamp(), 'and when it was written') FROM claimed WHERE n = 1;
SELECT results_eq($$SELECT recipient, channel FROM auth_admin.claim_notifications(10, '1 hour')$$, $$VALUES (pg_temp.phone(3), 'sms')$$,
	'the next claim goes on where the first ended');
SELECT is((SELECT count(*) FROM auth_admin.claim_notifications(10, '1 hour')), 0::bigint, 'what is leased is not handed out again');
SELECT ok(bool_and(due_at > clock_timestamp() + interval '59 minutes' AND attempts = 1), 'for as long as the lease') FROM auth_private.outbox WHERE settled_at IS NULL;

-- A lease that runs out.
UPDATE auth_private.outbox SET due_at = clock_timestamp() WHERE id = (SELECT id FROM claimed WHERE n = 2);
SELECT is((SELECT id FROM auth_admin.claim_notifications(10, '3 seconds')), (SELECT id FROM claimed WHERE n = 2), 'G7: after the lease it is handed out again, under the same id');
SELECT is((SELECT count(*) FROM auth_admin.claim_notifications(10, '1 hour')), 0::bigint, 'G7: but not before');
SELECT pg_temp.comes_true($$SELECT EXISTS (SELECT FROM auth_admin.claim_notifications(10, '1 hour'))$$, 'G7: as soon as it is over');

-- ---- settle ----

SELECT id AS i1 FROM claimed WHERE n = 1 \gset
SELECT id AS i2 FROM claimed WHERE n = 2 \gset
SELECT is(auth_admin.settle_notifications(ARRAY[:'i1', gen_random_uuid()]::uuid[]), 1, 'settling counts those that were there');
SELECT is(auth_admin.settle_notifications(ARRAY[:'i1']::uuid[]), 0, 'and not yet settled');
SELECT is(auth_admin.settle_notifications('{}'), 0, 'none is none');
UPDATE auth_private.outbox SET due_at = clock_timestamp() WHERE id = :'i1';
SELECT is((SELECT count(*) FROM auth_admin.claim_notifications(10, '1 hour')), 0::bigint, 'what is settled is never handed out');
SELECT is(auth_admin.release_notifications(ARRAY[:'i1']::uuid[], 'late'), 0, 'nor can it be released');

-- ---- release ----

CREATE FUNCTION pg_temp.pause_after(notification uuid, tries integer) RETURNS interval LANGUAGE plpgsql AS $$
DECLARE
	released timestamptz;
BEGIN
	UPDATE auth_private.outbox SET attempts = tries WHERE id = notification;
	released := clock_timestamp();
	PERFORM auth_admin.release_notifications(ARRAY[notification], 'mailbox full');
	RETURN (SELECT date_trunc('second', due_at - released) FROM auth_private.outbox WHERE id = notification);
END
$$;
SELECT is(auth_admin.release_notifications(ARRAY[:'i2']::uuid[], 'mailbox full'), 1, 'releasing counts, too');
SELECT is(error, 'mailbox full', 'keeps the error') FROM auth_private.outbox WHERE id = :'i2';
SELECT is(pg_temp.pause_after(:'i2', tries), pause, format('after try %s it pauses for %s', tries, pause))
FROM (VALUES (2, interval '40 s'), (5, interval '2560 s'), (6, interval '1 hour'), (75, interval '1 hour'), (1, interval '10 s')) AS pauses (tries, pause);
SELECT is((SELECT count(*) FROM auth_admin.claim_notifications(10, '1 hour')), 0::bigint, 'in which it is not handed out');
UPDATE auth_private.outbox SET due_at = clock_timestamp() WHERE id = :'i2';
SELECT is((SELECT count(*) FROM auth_admin.claim_notifications(10, '1 hour')), 1::bigint, 'but after it');
SELECT is(parked_at, NULL, 'so few tries park nothing') FROM auth_private.outbox WHERE id = :'i2';
SELECT cmp_ok((SELECT sum(LEAST(3600, 10 * 4 ^ LEAST(try - 1, 5))) FROM generate_series(1, 75) AS try), '>', 3 * 86400 - 7200.0::double precision,
	'a temporary error is tried again for three days, past any greylist');
UPDATE auth_private.outbox SET attempts = 76 WHERE id = :'i2';
SELECT auth_admin.release_notifications(ARRAY[:'i2']::uuid[], 'no such mailbox') \g /dev/null
SELECT isnt(parked_at, NULL, 'then it is parked') FROM auth_private.outbox WHERE id = :'i2';
UPDATE auth_private.outbox SET due_at = clock_timestamp() WHERE id = :'i2';
SELECT is((SELECT count(*) FROM auth_admin.claim_notifications(10, '1 hour')), 0::bigint, 'what is parked is not handed out');
SELECT results_eq('SELECT notifications_waiting, notifications_parked, notifications_last_parked_error FROM auth_admin.stats',
	$$VALUES (1::bigint, 1::bigint, 'no such mailbox')$$, 'operators see it');
SELECT results_eq('SELECT id, kind, recipient, error, since > now() FROM auth_admin.parked_notifications',
	format($$VALUES (%L::uuid, 'confirm_email', pg_temp.email('a2'), 'no such mailbox', true)$$, :'i2'), 'and which it is');
SELECT columns_are('auth_admin', 'parked_notifications', ARRAY['id', 'kind', 'recipient', 'error', 'since'], 'and no more');
SELECT is((SELECT auth_admin.release_notifications(array_agg(id), NULL) FROM auth_admin.parked_notifications WHERE kind = 'confirm_email'), 1, 'and can take it up again');
SELECT is((SELECT id FROM auth_admin.claim_notifications(10, '1 hour')), :'i2', 'then it is handed out at once');
SELECT is(attempts, 1, 'with all its tries before it') FROM auth_private.outbox WHERE id = :'i2';
SELECT is(notifications_parked, 0::bigint, 'and parked no more') FROM auth_admin.stats;
SELECT is(auth_admin.release_notifications(ARRAY[:'i2']::uuid[], '550 no such user', true), 1, 'a permanent error');
SELECT ok(parked_at IS NOT NULL AND attempts = 1, 'parks after a single try') FROM auth_private.outbox WHERE id = :'i2';
SELECT parked_at AS parked_at FROM auth_private.outbox WHERE id = :'i2' \gset
SELECT is(auth_admin.release_notifications(ARRAY[:'i2']::uuid[], '550 no such user', true), 1, 'told twice');
SELECT is(parked_at, :'parked_at', 'it stays where it is') FROM auth_private.outbox WHERE id = :'i2';
SELECT auth_admin.release_notifications(ARRAY[:'i2']::uuid[], NULL) \g /dev/null

-- Nobody's fault: no try.
SELECT is((SELECT id FROM auth_admin.claim_notifications(10, '1 hour')), :'i2', 'handed out again');
SELECT auth_admin.release_notifications(ARRAY[:'i2']::uuid[], 'temporary') \g /dev/null
UPDATE auth_private.outbox SET due_at = clock_timestamp() WHERE id = :'i2';
SELECT count(*) FROM auth_admin.claim_notifications(10, '1 hour') \g /dev/null
SELECT is(attempts, 2, 'twice') FROM auth_private.outbox WHERE id = :'i2';
SELECT auth_admin.release_notifications(ARRAY[:'i2']::uuid[], NULL) \g /dev/null
SELECT results_eq(format('SELECT attempts, error, due_at <= clock_timestamp(), parked_at FROM auth_private.outbox WHERE id = %L', :'i2'),
	$$VALUES (1, 'temporary', true, NULL::timestamptz)$$, 'given back without an error, that was no try, and it is due at once');
SELECT is((SELECT id FROM auth_admin.claim_notifications(10, '1 hour')), :'i2', 'to whoever claims next');
SELECT auth_admin.release_notifications(ARRAY[:'i2']::uuid[], E'550 no\r\nX: forged\u001b[31m' || repeat('x', 5000)) \g /dev/null
SELECT ok(length(error) <= 1000 AND error !~ '[\x01-\x1f\x7f]', 'G6: an error is kept short and without control characters') FROM auth_private.outbox WHERE id = :'i2';
SELECT is(auth_admin.settle_notifications(ARRAY[:'i2']::uuid[]), 1, 'what was released can be settled');
SELECT is(error, NULL, 'which forgets the error') FROM auth_private.outbox WHERE id = :'i2';

-- ---- codes that are dead ----

SELECT auth.signup(pg_temp.email('used'), pg_temp.password()), auth.signup(pg_temp.email('ended'), pg_temp.password()),
	auth.signup(pg_temp.email('tried'), pg_temp.password()) \g /dev/null
SELECT auth.confirm(code => pg_temp.link(pg_temp.email('used')), password => pg_temp.password()) \g /dev/null
UPDATE auth_private.codes SET link_expires_at = clock_timestamp() WHERE identifier = pg_temp.email('ended');
INSERT INTO auth_private.code_failures SELECT pg_temp.email('tried'), gen_random_uuid(), 'confirm_email', now() FROM generate_series(1, 5);
UPDATE auth_private.outbox SET due_at = clock_timestamp() WHERE settled_at IS NULL;
SELECT set_eq($$SELECT recipient, payload ? 'code' AS code, payload ? 'link_token' AS link FROM auth_admin.claim_notifications(10, '0') WHERE recipient LIKE '%@%'$$,
	$$VALUES (pg_temp.email('tried'), false, true)$$, 'a used code and an ended link are skipped; of one that was guessed at the link is left');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE recipient IN (pg_temp.email('used'), pg_temp.email('ended')) AND settled_at IS NULL), 0::bigint,
	'what is skipped is settled');

-- ---- by channel, and fair between kinds ----

UPDATE auth_private.outbox SET settled_at = now() WHERE settled_at IS NULL;
INSERT INTO auth_private.outbox (id, created_at, due_at, attempts, kind, channel, recipient, payload)
SELECT gen_random_uuid(), clock_timestamp(), clock_timestamp() - interval '5 s', 0, kind, channel, kind || n, '{}'
FROM (VALUES ('new_signin', 'email', 100), ('confirm_email', 'email', 100), ('password_changed', 'sms', 3), ('unheard_of', 'email', 3)) AS k (kind, channel, most),
	generate_series(1, most) AS n;
CREATE FUNCTION pg_temp.kinds(most integer, via text) RETURNS SETOF text LANGUAGE sql AS
	$$SELECT kind || ' ' || count(*) FROM auth_admin.claim_notifications(most, '0', via) GROUP BY kind ORDER BY kind$$;
SELECT results_eq($$SELECT pg_temp.kinds(16, NULL)$$, ARRAY['confirm_email 10', 'new_signin 2', 'password_changed 2', 'unheard_of 2'],
	'of a claim each kind gets a share, codes what is left');
SELECT results_eq($$SELECT pg_temp.kinds(16, 'sms')$$, ARRAY['password_changed 3'], 'of one channel it hands out no other');
SELECT results_eq($$SELECT pg_temp.kinds(1000, 'email')$$, ARRAY['confirm_email 100', 'new_signin 100', 'unheard_of 3'], 'and all that there is');
SELECT results_eq($$SELECT pg_temp.kinds(1, NULL)$$, ARRAY['confirm_email 1'], 'codes before notices');
UPDATE auth_private.outbox SET due_at = clock_timestamp() - interval '10 s' WHERE recipient = 'unheard_of3';
SELECT is((SELECT count(*) FROM auth_admin.claim_notifications(1000, '1 hour') WHERE recipient = 'unheard_of3'), 1::bigint,
	'a row that was committed late is found behind those of its lane that were claimed');
UPDATE auth_private.outbox SET settled_at = now() WHERE settled_at IS NULL;

-- Oldest first, whichever lanes they are of.
INSERT INTO auth_private.outbox (id, created_at, due_at, attempts, kind, channel, recipient, payload)
SELECT format('00000000-0000-7000-8000-%s', lpad(n::text, 12, '0'))::uuid, now(), clock_timestamp() - interval '5 s', 0,
	(ARRAY['unheard_of', 'new_signin', 'confirm_email'])[1 + n % 3], 'email', 'ordered' || n, '{}'
FROM generate_series(1, 9) AS n;
SELECT results_eq($$SELECT recipient FROM auth_admin.claim_notifications(100, '1 hour')$$, $$SELECT 'ordered' || n FROM generate_series(1, 9) AS n$$,
	'what is claimed comes in the order in which it was written');
UPDATE auth_private.outbox SET settled_at = now() WHERE settled_at IS NULL;

-- The same work for an address of nobody's, and nothing to deliver.
SELECT count(*) AS before FROM auth_private.outbox \gset
SELECT auth.request_password_reset(pg_temp.email('nobody')) \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.outbox) - :before, 1::bigint, 'what is asked for nobody is written');
SELECT is((SELECT count(*) FROM auth_admin.claim_notifications(100, '0')), 0::bigint, 'and never handed out');

-- ---- other payloads ----

SELECT auth.signin(pg_temp.email('used'), pg_temp.password()) \g /dev/null
SELECT is(pg_temp.mail(pg_temp.email('used'), 'new_signin') - '{id,kind,channel,at,ip,user_agent,locale}'::text[], '{}', 'a notice carries no code');
SELECT ok((pg_temp.mail(pg_temp.email('used'), 'new_signin') ->> 'at')::timestamptz >= now() - interval '1 s', 'but when it happened');

-- The language is what the user's info says, where it says one.
SELECT auth.signup(pg_temp.email('wien'), pg_temp.password(), info => '{"locale": "de-AT"}'),
	auth.signup(pg_temp.email('null'), pg_temp.password(), info => '{"locale": null}'),
	auth.signup(pg_temp.email('none'), pg_temp.password()) \g /dev/null
SET LOCAL auth_session.default_locale = 'fr';
SELECT is(pg_temp.mail(pg_temp.email('wien'), 'confirm_email') ->> 'locale', 'de-AT', 'the language is the user''s');
SELECT is(pg_temp.mail(pg_temp.email('null'), 'confirm_email') ->> 'locale', 'fr', 'if there is one');
SELECT is(pg_temp.mail(pg_temp.email('none'), 'confirm_email') ->> 'locale', 'fr', 'else default_locale');
SELECT id AS path FROM auth.signup(pg_temp.email('path'), pg_temp.password()) \gset
UPDATE auth_private.accounts SET info = '{"locale": "../../etc"}' WHERE id = :'path';
SELECT is(pg_temp.mail(pg_temp.email('path'), 'confirm_email') ->> 'locale', 'fr', 'as where it is no language');
SELECT throws_ok(format('SET LOCAL auth_session.default_locale = %L', bad), '22023', NULL, 'no language: ' || bad)
FROM unnest(ARRAY['', 'e', 'de_AT', 'en-', 'x' || repeat('-abcdefgh', 4)]) AS bad;

-- ---- events for applications ----

UPDATE auth_private.outbox SET settled_at = now() WHERE settled_at IS NULL;
CREATE FUNCTION pg_temp.events() RETURNS SETOF text LANGUAGE sql AS $$
	WITH claimed AS MATERIALIZED (SELECT * FROM auth_admin.claim_notifications(100, '1 hour', 'event'))
	SELECT kind || CASE WHEN recipient = '' AND user_id IS NOT NULL THEN '' ELSE ' to somebody' END
		|| coalesce(' ' || (SELECT string_agg(key, ' ') FROM jsonb_object_keys(payload) AS key), '')
	FROM claimed ORDER BY 1$$;
SELECT auth.signup(pg_temp.email('quiet'), pg_temp.password()), auth.confirm(code => pg_temp.link(pg_temp.email('quiet')), password => pg_temp.password()) \g /dev/null
SELECT is_empty('SELECT pg_temp.events()', 'by default there are none');
SET LOCAL auth_session.events = 'user_created, user_confirmed,user_changed user_deleted session_started session_ended';
SELECT auth.signup(pg_temp.email('event'), pg_temp.password()) \g /dev/null
SELECT is_empty('SELECT pg_temp.events()', 'a pending sign-up is none');
SELECT id AS event_user FROM auth.confirm(code => pg_temp.link(pg_temp.email('event')), password => pg_temp.password()) \gset
SELECT results_eq('SELECT pg_temp.events()', ARRAY['user_created'], 'a confirmed one is, without its address');
SELECT access_token FROM auth.signin(pg_temp.email('event'), pg_temp.password()) \gset
SELECT results_eq('SELECT pg_temp.events()', ARRAY['session_started session_id'], 'a sign-in starts a session');
SELECT auth.authenticate(:'access_token') \g /dev/null
SELECT auth.update_info('{"a": 1}') \g /dev/null
SELECT auth.logout() \g /dev/null
SELECT results_eq('SELECT pg_temp.events()', ARRAY['session_ended session_id', 'user_changed'], 'a change, and the end of a session');
SET LOCAL auth_session.events = 'session_started';
SELECT auth.signin(pg_temp.email('event'), pg_temp.password()) \g /dev/null
SELECT results_eq('SELECT pg_temp.events()', ARRAY['session_started session_id'], 'only those that the setting names are written');
SELECT throws_ok($$SET LOCAL auth_session.events = 'user_created, user_crated'$$, '22023', NULL, 'a misspelt event is refused');
UPDATE auth_private.outbox SET due_at = clock_timestamp() WHERE channel = 'event' AND kind = 'session_started' AND settled_at IS NULL;
SELECT is((SELECT count(*) FROM auth_admin.claim_notifications(100, '0') WHERE channel = 'event'), 0::bigint, 'who asks for no channel gets no event');
SELECT results_eq('SELECT DISTINCT * FROM pg_temp.events()', ARRAY['session_started session_id'], 'though there are some that are due');

-- A change that is rolled back tells nobody (G8).
SAVEPOINT nothing;
SELECT auth.signup(pg_temp.email('rolled'), pg_temp.password()) \g /dev/null
ROLLBACK TO nothing;
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE recipient = pg_temp.email('rolled')), 0::bigint, 'G8: what is rolled back tells nobody');

-- ---- what is refused ----

SELECT pg_temp.raises(format('SELECT * FROM auth_admin.claim_notifications(%s, %s)', most, lease), 'invalid_request', format('claim %s for %s', most, lease), hint)
FROM (VALUES ('0', $$'1 s'$$, 'max'), ('-1', $$'1 s'$$, 'max'), ('10001', $$'1 s'$$, 'max'), ('NULL', $$'1 s'$$, 'max'), ('1', 'NULL', 'lease'),
	('1', $$'-1 s'$$, 'lease'), ('1', $$'25 hours'$$, 'lease'), ('1', $$'170000000 years'$$, 'lease')) AS bad (most, lease, hint);
SELECT pg_temp.raises($$SELECT * FROM auth_admin.claim_notifications(1, '1 s', 'fax')$$, 'invalid_request', 'claim of another channel', 'channel');
SELECT pg_temp.raises(format('SELECT auth_admin.settle_notifications(%s)', ids), 'invalid_request', 'settle ' || left(ids, 30), 'ids')
FROM unnest(ARRAY['NULL', 'ARRAY[NULL]::uuid[]', $$array_fill('00000000-0000-0000-0000-000000000000'::uuid, ARRAY[10001])$$]) AS ids;
SELECT pg_temp.raises(format('SELECT auth_admin.release_notifications(%s, %L)', ids, 'why'), 'invalid_request', 'release ' || left(ids, 30), 'ids')
FROM unnest(ARRAY['NULL', 'ARRAY[NULL]::uuid[]', $$array_fill('00000000-0000-0000-0000-000000000000'::uuid, ARRAY[10001])$$]) AS ids;
SELECT pg_temp.raises('SELECT auth_admin.release_notifications(''{}'', repeat(''x'', 1048576))', 'invalid_request', 'release with a megabyte of error', 'error');
SELECT pg_temp.raises_when_read_only(call, 'in a read-only transaction says so: ' || call)
FROM unnest(ARRAY[$$SELECT * FROM auth_admin.claim_notifications(1, '1 s')$$, $$SELECT auth_admin.settle_notifications('{}')$$,
	$$SELECT auth_admin.release_notifications('{}', '')$$]) AS call;
SELECT throws_ok($$INSERT INTO auth_private.outbox (id, created_at, kind, channel, recipient, payload, attempts, due_at)
	VALUES (gen_random_uuid(), now(), 'x', 'fax', 'x', '{}', 0, now())$$, '23514', NULL,
	'C14: there is email and SMS, nothing else');

SELECT * FROM finish();
ROLLBACK;
