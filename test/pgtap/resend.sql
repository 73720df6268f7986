-- auth.resend_confirmation: a new code, and the same answer for anyone.
\ir helper/common.psql

BEGIN;
SELECT plan(38);

-- The code that a resend replaces is no new row, and nobody's goes again.
CREATE TEMP TABLE written (who text, what text, rows bigint) ON COMMIT DROP;
CREATE FUNCTION pg_temp.count_rows(who text, sign integer) RETURNS void LANGUAGE sql AS $$
	INSERT INTO written
	SELECT who, 'accounts', sign * count(*) FROM auth_private.accounts UNION ALL
	SELECT who, 'identifiers', sign * count(*) FROM auth_private.identifiers UNION ALL
	SELECT who, 'codes', sign * count(*) FROM auth_private.codes UNION ALL
	SELECT who, 'outbox', sign * count(*) FROM auth_private.outbox UNION ALL
	SELECT who, 'audit', sign * count(*) FROM auth_private.audit_log
$$;
-- ---- to a pending sign-up ----

SELECT id AS ada FROM auth.signup(pg_temp.email('Ada'), pg_temp.password()) \gset
SELECT pg_temp.code(pg_temp.email('Ada')) AS old_code, pg_temp.link(pg_temp.email('Ada')) AS old_link \gset
SET LOCAL request.headers = '{"user-agent": "Mallory''s words", "x-forwarded-for": "192.0.2.1"}';
SELECT pg_temp.count_rows('pending', -1) \g /dev/null
SELECT is(auth.resend_confirmation(pg_temp.email('ada'))::text, '', 'a confirmation can be asked for again');
SELECT pg_temp.count_rows('pending', 1) \g /dev/null
SELECT pg_temp.mail(pg_temp.email('Ada')) AS mail \gset
SELECT is(:'mail'::jsonb ->> 'kind', 'confirm_email', 'B9: and goes to the address that the sign-up has');
SELECT is(pg_temp.mail(pg_temp.email('ada')), NULL, 'B9: not to the one that was typed');
SELECT is(:'mail'::jsonb - '{id,kind,channel,code,code_expires_at,link_token,link_expires_at,locale}'::text[], '{}',
	'without anything that a stranger typed');
SELECT isnt(:'mail'::jsonb ->> 'link_token', :'old_link', 'with a new link');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('ada'),
		pg_temp.wrong(:'old_code', (:'old_code' = :'mail'::jsonb ->> 'code')::integer)),
	'invalid_code', 'C7: the earlier code is dead');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'old_link'), 'invalid_code', 'C7: and so is the earlier link');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND settled_at IS NULL), 1::bigint, 'the earlier notification is not delivered any more');
SELECT results_eq(
	format($$SELECT result FROM auth_admin.audit_log WHERE user_id = %L AND action = 'resend_confirmation'$$, :'ada'),
	ARRAY['ok'], 'G6: the request is in the audit log');
SELECT pg_temp.raises(format('SELECT auth.resend_confirmation(%L)', pg_temp.email('ADA')),
	'throttled', 'C14: not twice within the cooldown, however it is spelt', '^([1-9]|[1-5][0-9]|60)$');
SELECT pg_temp.raises(format('SELECT auth.resend_confirmation(%L)', replace(pg_temp.email('ada'), '@pgtap.', U&'@\FF50gtap\3002')),
	'throttled', 'C14: nor with full-width letters and stops in the domain');
SELECT is((auth.confirm(pg_temp.email('ada'), :'mail'::jsonb ->> 'code', pg_temp.password())).id, :'ada', 'the new code confirms');
SELECT is((SELECT count(*) FROM auth_private.codes WHERE user_id = :'ada'), 0::bigint, 'C1: and takes those that it replaced with it');

-- ---- to anybody else ----

SELECT pg_temp.account(pg_temp.email('active')) AS active \gset
SELECT pg_temp.count_rows('active', -1) \g /dev/null
SELECT is(auth.resend_confirmation(pg_temp.email('active'))::text, '', 'B3: a confirmed address answers the same');
SELECT pg_temp.count_rows('active', 1), pg_temp.count_rows('unknown', -1) \g /dev/null
SELECT is(auth.resend_confirmation(pg_temp.email('nobody'))::text, '', 'B3: and so does an unknown one');
SELECT pg_temp.count_rows('unknown', 1) \g /dev/null
SELECT results_eq(
	format($$SELECT what, sum(rows) FROM written WHERE who = %L GROUP BY 1 ORDER BY 1$$, who),
	$$SELECT what, sum(rows) FROM written WHERE who = 'pending' GROUP BY 1 ORDER BY 1$$,
	'B3: the same rows are written for one that is ' || who)
FROM unnest(ARRAY['active', 'unknown']) AS who;
SELECT is(pg_temp.mail(pg_temp.email('nobody')), NULL, 'but nothing is sent to an unknown one');
SELECT is(pg_temp.mail(pg_temp.email('active')), NULL, 'nor to a confirmed one');
SELECT is(
	pg_temp.failure(format('SELECT auth.resend_confirmation(%L)', pg_temp.email('nobody'))) - 'hint',
	pg_temp.failure(format('SELECT auth.resend_confirmation(%L)', pg_temp.email('active'))) - 'hint',
	'B1: both are throttled alike');
SELECT pg_temp.raises(format('SELECT auth.resend_confirmation(%L)', pg_temp.email('nobody')),
	'throttled', 'C14: also the unknown one', '^[0-9]+$');

-- An address that has an owner, and a sign-up of somebody else.
SELECT pg_temp.account(pg_temp.email('taken')) AS taken \gset
SELECT id AS stranger FROM auth.signup(pg_temp.email('taken'), 'the password of a stranger') \gset
SELECT auth.resend_confirmation(pg_temp.email('taken')) \g /dev/null
SELECT is((SELECT array_agg(kind) FROM auth_private.outbox WHERE recipient = pg_temp.email('taken') AND settled_at IS NULL AND kind <> 'confirm_email'),
	ARRAY['account_exists'], 'its owner has heard of the sign-up');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'stranger'), 0::bigint, 'B3: and gets no code of it, asked for or not');

-- An account whose row has another address than the one that is asked for.
SELECT id AS moved FROM auth.signup(pg_temp.email('here'), pg_temp.password()) \gset
UPDATE auth_private.accounts SET email = pg_temp.email('elsewhere') WHERE id = :'moved';
SELECT auth.resend_confirmation(pg_temp.email('here')) \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE recipient = pg_temp.email('elsewhere')), 0::bigint,
	'C6: a code for one address goes to no other, not of the same account either');

-- ---- by phone ----

SELECT auth.signup(phone => pg_temp.phone(1), password => pg_temp.password()) \g /dev/null
SELECT lives_ok(format('SELECT auth.resend_confirmation(%L)', pg_temp.phone(1)), 'a phone gets another SMS');
SELECT is(pg_temp.mail(pg_temp.phone(1)) ->> 'channel', 'sms', 'by SMS');

-- The second of two addresses.
SELECT auth.signup(pg_temp.email('two'), pg_temp.password(), pg_temp.phone(2)) \g /dev/null
SELECT auth.confirm(pg_temp.email('two'), pg_temp.code(pg_temp.email('two')), pg_temp.password()) \g /dev/null
SELECT lives_ok(format('SELECT auth.resend_confirmation(%L)', pg_temp.phone(2)), 'the second of two addresses gets another code');
SELECT is((auth.confirm(pg_temp.phone(2), pg_temp.code(pg_temp.phone(2)), pg_temp.password())).status, 'active', 'which confirms it');

-- ---- how often ----

SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.rate_window = '1d'; -- which doesn't end during this file
SELECT auth.signup(pg_temp.email('often'), pg_temp.password()) \g /dev/null
SELECT lives_ok(format('SELECT auth.resend_confirmation(%L)', pg_temp.email('often')), 'message ' || n)
FROM generate_series(2, 5) AS n;
SELECT pg_temp.raises(format('SELECT auth.resend_confirmation(%L)', pg_temp.email('often')),
	'throttled', 'C14: of six messages to one address in a window the last is refused', '^[1-9][0-9]{0,4}$');
SELECT pg_temp.raises(format('SELECT auth.signup(%L, pg_temp.password())', pg_temp.email('often')),
	'throttled', 'C14: sign-ups count among them', '^[1-9][0-9]{0,4}$');
SELECT lives_ok(format('SELECT auth.request_password_reset(%L)', pg_temp.email('often')),
	'B7: which uses up none of the resets that the owner may need');

-- ---- what is refused ----

SELECT pg_temp.raises(format('SELECT auth.resend_confirmation(%L)', bad), 'invalid_request',
	'no identifier: ' || coalesce(bad, 'NULL'), 'identifier')
FROM unnest(ARRAY[NULL, 'nonsense']) AS bad;
SELECT pg_temp.raises_when_read_only(format('SELECT auth.resend_confirmation(%L)', pg_temp.email('ro')),
	'a request in a read-only transaction says so');

SELECT * FROM finish();
ROLLBACK;
