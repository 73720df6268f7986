-- auth.request_signin_code, auth.signin_code, and accounts without a password.
\ir helper/common.psql

BEGIN;
SELECT plan(82);
SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.message_rate_per_account = 0;

CREATE FUNCTION pg_temp.status_of(address text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(u.status, ',' ORDER BY u.id) FROM auth_admin.find_user(address) AS u
$$;

-- ---- off ----

SELECT pg_temp.raises(format('SELECT auth.request_signin_code(%L)', pg_temp.email('ada')), 'feature_disabled', 'no code is asked for while it is off');
SELECT pg_temp.raises(format('SELECT auth.signin_code(%L, %L)', pg_temp.email('ada'), '123456'), 'feature_disabled', 'and none is taken');
SELECT pg_temp.raises(format('SELECT auth.signup(%L)', pg_temp.email('ada')), 'invalid_request', 'a sign-up needs a password then', 'password');

SET LOCAL auth_session.passwordless = on;

-- ---- an account with a password ----

SELECT pg_temp.account(pg_temp.email('Ada')) AS ada \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT is(auth.request_signin_code(pg_temp.email('ada'))::text, '', 'a code can be asked for');
SELECT pg_temp.mail(pg_temp.email('Ada'), 'signin_code') AS mail \gset
SELECT matches(:'mail'::jsonb ->> 'code', '^[0-9]{6}$', 'the message has a code');
SELECT isnt(:'mail'::jsonb ->> 'link_token', NULL, 'and a link');
SELECT ok((:'mail'::jsonb ->> 'code_expires_at')::timestamptz BETWEEN clock_timestamp() + interval '9 minutes' AND clock_timestamp() + interval '10 minutes',
	'C2: the code is good for ten minutes');
SELECT ok((:'mail'::jsonb ->> 'link_expires_at')::timestamptz BETWEEN clock_timestamp() + interval '59 minutes' AND clock_timestamp() + interval '1 hour',
	'the link as long as that of a reset');
SELECT :'mail'::jsonb ->> 'code' AS code, :'mail'::jsonb ->> 'link_token' AS link \gset
SELECT pg_temp.raises(statement, 'invalid_code', what)
FROM (VALUES
	(format('SELECT auth.signin_code(%L, %L)', pg_temp.email('ada'), pg_temp.wrong(:'code')), 'a wrong code'),
	(format('SELECT auth.signin_code(%L, %L)', pg_temp.email('bob'), :'code'), 'C4: another user''s code'),
	(format('SELECT auth.signin_code(%L, %L)', pg_temp.email('nobody'), :'code'), 'B1: a code at an unknown address'),
	(format('SELECT auth.signin_code(%L, %L)', pg_temp.email('bob'), :'link'), 'C4: a link at another address'),
	(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.email('ada'), :'code', 'another good one'), 'C4: it resets no password'),
	(format('SELECT auth.reset_password(code => %L, new_password => %L)', :'link', 'another good one'), 'C4: nor does its link'),
	(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('ada'), :'code', pg_temp.password()), 'C4: nor does it confirm'),
	(format('SELECT auth.confirm(code => %L, password => %L)', :'link', pg_temp.password()), 'C4: nor does its link')
) AS wrong (statement, what);
SELECT access_token AS a, refresh_token AS r, session_id AS s, user_id AS u, token_type AS t, mfa_token AS m
FROM auth.signin_code(pg_temp.email('ADA'), :'code') \gset
SELECT is(:'u'::text, :'ada', 'the right code signs in');
SELECT is(auth.verify(:'a') ->> 'sub', :'ada', 'with an access token');
SELECT is((auth.verify(:'a') -> 'amr')::text, '["otp"]', 'whose amr says how');
SELECT is(auth.verify(:'a') ->> 'aal', 'aal1', 'and that it was one factor');
SELECT matches((auth.renew(:'r')).refresh_token, '^asr1_', 'and a refresh token');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'new_signin'), 1::bigint, 'B12: the user is told');
SELECT results_eq(format($$SELECT result, session_id FROM auth_admin.audit_log WHERE user_id = %L AND action = 'signin_code' AND result = 'ok'$$, :'ada'),
	format($$VALUES ('ok', %L::uuid)$$, :'s'), 'G6: the sign-in is in the audit log');
SELECT pg_temp.raises(format('SELECT auth.signin_code(%L, %L)', pg_temp.email('ada'), :'code'), 'invalid_code', 'C3: a code is good once');
SELECT pg_temp.raises(format('SELECT auth.signin_code(code => %L)', :'link'), 'invalid_code', 'C3: and so is its link');

-- The newest counts, and once it is used none before it does again.
SELECT auth.request_signin_code(pg_temp.email('ada')) \g /dev/null
SELECT pg_temp.mail(pg_temp.email('Ada'), 'signin_code') AS older \gset
SELECT auth.request_signin_code(pg_temp.email('ada')) \g /dev/null
SELECT pg_temp.mail(pg_temp.email('Ada'), 'signin_code') AS newer \gset
SELECT pg_temp.raises(format('SELECT auth.signin_code(code => %L)', :'older'::jsonb ->> 'link_token'), 'invalid_code', 'C3: a new code kills the one before');
SELECT is(user_id::text, :'ada', 'a link needs no identifier') FROM auth.signin_code(code => :'newer'::jsonb ->> 'link_token');
SELECT pg_temp.raises(format('SELECT auth.signin_code(code => %L)', :'older'::jsonb ->> 'link_token'), 'invalid_code', 'C3: which stays dead');
SELECT is((SELECT count(*) FROM auth_private.codes WHERE user_id = :'ada' AND purpose = 'signin_code'), 0::bigint, 'none is left');

-- What ends a user's sessions by a new password ends what would open another.
SELECT auth.request_signin_code(pg_temp.email('ada')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('Ada'), 'signin_code') AS link \gset
SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT auth.reset_password(code => pg_temp.link(pg_temp.email('Ada'), 'password_reset'), new_password => 'another good one') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.signin_code(code => %L)', :'link'), 'invalid_code', 'C9: codes from before a reset are dead');
SELECT pg_temp.raises(statement, 'invalid_code', 'F17: ' || what)
FROM (VALUES
	(format('SELECT auth.signin_code(code => %L)', :'a'), 'an access token is no code'),
	(format('SELECT auth.signin_code(code => %L)', :'r'), 'nor is a refresh token')
) AS other (statement, what);
SELECT pg_temp.raises(statement, 'invalid_request', what, hint)
FROM (VALUES
	(format('SELECT auth.signin_code(%L, NULL)', pg_temp.email('ada')), 'no code', 'code'),
	('SELECT auth.signin_code(NULL, ''123456'')', 'a code without an identifier', 'identifier'),
	('SELECT auth.signin_code(''nonsense'', ''123456'')', 'a bad identifier', 'identifier'),
	('SELECT auth.request_signin_code(NULL)', 'a request for nobody', 'identifier'),
	('SELECT auth.request_signin_code(''nonsense'')', 'or for what is no address', 'identifier')
) AS bad (statement, what, hint);
SELECT pg_temp.raises_when_read_only(format('SELECT auth.request_signin_code(%L)', pg_temp.email('ada')), 'a request in a read-only transaction says so');
SELECT pg_temp.raises_when_read_only(format('SELECT auth.signin_code(%L, %L)', pg_temp.email('ada'), '123456'), 'and so does a sign-in');

-- ---- the same for anyone ----

SELECT auth.signup(pg_temp.email('pending'), pg_temp.password()) \g /dev/null
SELECT pg_temp.account(pg_temp.email('banned')) AS banned \gset
SELECT auth.request_signin_code(pg_temp.email('banned')) \g /dev/null
SELECT pg_temp.code(pg_temp.email('banned'), 'signin_code') AS banned_code \gset
UPDATE auth_private.accounts SET banned_at = clock_timestamp() WHERE id = :'banned';
SELECT pg_temp.raises(format('SELECT auth.signin_code(%L, %L)', pg_temp.email('banned'), pg_temp.wrong(:'banned_code')), 'invalid_code',
	'B1: a banned user hears of it by no wrong code');
SELECT pg_temp.raises(format('SELECT auth.signin_code(%L, %L)', pg_temp.email('banned'), :'banned_code'), 'banned', 'but by the right one');
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'banned'), 0::bigint, 'and is not let in');
DELETE FROM auth_private.outbox WHERE user_id = :'banned';
SELECT is(auth.request_signin_code(pg_temp.email(who))::text, '', 'B3: the same answer where the account is ' || who)
FROM unnest(ARRAY['unknown', 'pending', 'banned']) AS who;
SELECT is(pg_temp.mail(pg_temp.email(who), 'signin_code')::text, NULL, 'but nothing is sent: ' || who) FROM unnest(ARRAY['unknown', 'pending', 'banned']) AS who;

-- An owner whose other address is still to be confirmed.
SELECT id AS half FROM auth.signup(pg_temp.email('half'), pg_temp.password(), pg_temp.phone(1)) \gset
SELECT auth.confirm(pg_temp.email('half'), pg_temp.code(pg_temp.email('half'), 'confirm_email'), pg_temp.password()) \g /dev/null
SELECT auth.request_signin_code(pg_temp.email('half')) \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.signin_code(code => %L)', pg_temp.link(pg_temp.email('half'), 'signin_code')), 'not_confirmed',
	'B1: who is half confirmed hears of it by the right code');

-- ---- how often ----

SAVEPOINT limits;
SET LOCAL auth_session.resend_cooldown = '1h';
SELECT auth.request_signin_code(pg_temp.email('often')) \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.request_signin_code(%L)', pg_temp.email('often')), 'throttled', 'B7: one request in each cooldown', '^[0-9]+$');
SELECT is(auth.request_password_reset(pg_temp.email('often'))::text, '', 'B7: which takes no reset from the owner');
SELECT is(auth.resend_confirmation(pg_temp.email('often'))::text, '', 'B7: nor a confirmation');
ROLLBACK TO limits;

SELECT auth.request_signin_code(pg_temp.email('bob')) \g /dev/null
SELECT pg_temp.mail(pg_temp.email('bob'), 'signin_code') AS mail \gset
SELECT is(string_agg(DISTINCT pg_temp.failure(format('SELECT auth.signin_code(%L, %L)', pg_temp.email('bob'), pg_temp.wrong(:'mail'::jsonb ->> 'code', n))) ->> 'detail', ','),
	'invalid_code', 'C5: five wrong codes') FROM generate_series(1, 5) AS n;
SELECT pg_temp.raises(format('SELECT auth.signin_code(%L, %L)', pg_temp.email('bob'), :'mail'::jsonb ->> 'code'), 'invalid_code', 'C5: are all, the right one is looked at no more');
SELECT is(user_id::text, :'bob', 'C5: the link still is') FROM auth.signin_code(code => :'mail'::jsonb ->> 'link_token');

-- ---- sign-up without a password ----

SELECT pg_temp.raises(format('SELECT auth.signup(%L, NULL, %L)', pg_temp.email('two'), pg_temp.phone(2)), 'invalid_request',
	'a sign-up with two addresses has a password', 'password');
SELECT pg_temp.raises('SELECT auth.signup()', 'invalid_request', 'and every one has an address', 'email');
SELECT is(status, 'pending', 'with one it needs none') FROM auth.signup(pg_temp.email('cyd'), info => '{"name": "Cyd"}');
SELECT pg_temp.code(pg_temp.email('cyd'), 'confirm_email') AS code \gset
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('cyd'), :'code', pg_temp.password()), 'invalid_code',
	'a password that nobody chose is a wrong one');
SELECT is(status || ' ' || info::text, 'active {"name": "Cyd"}', 'the typed code confirms it, with its info') FROM auth.confirm(pg_temp.email('cyd'), :'code');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('cyd'), pg_temp.password()), 'invalid_credentials', 'no password signs in');
SELECT auth.request_signin_code(pg_temp.email('cyd')) \g /dev/null
SELECT access_token AS a, user_id AS cyd FROM auth.signin_code(pg_temp.email('cyd'), pg_temp.code(pg_temp.email('cyd'), 'signin_code')) \gset
SELECT is(auth.verify(:'a') ->> 'email', pg_temp.email('cyd'), 'a code does');

-- By link it is confirmed, too, but nobody vouches for what a stranger wrote.
SELECT auth.signup(pg_temp.email('dee'), info => '{"name": "not Dee"}') \g /dev/null
SELECT is(status || ' ' || info::text, 'active {}', 'H2: by link its info is emptied') FROM auth.confirm(code => pg_temp.link(pg_temp.email('dee'), 'confirm_email'));
SELECT is((SELECT u.info::text FROM auth_admin.find_user(pg_temp.email('dee')) AS u), '{}', 'H2: in the row, too');
SELECT auth.signup(phone => pg_temp.phone(3)) \g /dev/null
SELECT is(status, 'active', 'a phone does as well') FROM auth.confirm(pg_temp.phone(3), pg_temp.code(pg_temp.phone(3), 'confirm_phone'));

-- Where a sign-up with a password is pending, its password is asked for.
SELECT auth.signup(pg_temp.email('eve'), info => '{"by": "a stranger"}') \g /dev/null
SELECT pg_temp.mail(pg_temp.email('eve'), 'confirm_email') AS stranger \gset
SELECT auth.signup(pg_temp.email('eve'), pg_temp.password(), info => '{"by": "Eve"}') \g /dev/null
SELECT pg_temp.mail(pg_temp.email('eve'), 'confirm_email') AS eve \gset
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('eve'), proof ->> 'code'), 'password_required', 'H2: by the code of ' || who)
FROM (VALUES ('the stranger', :'stranger'::jsonb), ('her own', :'eve')) AS sent (who, proof);
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', proof ->> 'link_token'), 'password_required', 'H2: by the link of ' || who)
FROM (VALUES ('the stranger', :'stranger'::jsonb), ('her own', :'eve')) AS sent (who, proof);
SELECT is(info::text, '{"by": "Eve"}', 'H2: and it is hers that stands') FROM auth.confirm(pg_temp.email('eve'), :'stranger'::jsonb ->> 'code', pg_temp.password());
SELECT is(pg_temp.status_of(pg_temp.email('eve')), 'active', 'H2: the other dies');

-- At an address that is taken.
SELECT is(status || ' ' || email, 'pending ' || pg_temp.email('ada'), 'B3: the same answer at a taken address') FROM auth.signup(pg_temp.email('ada'));
SELECT is(pg_temp.mail(pg_temp.email('ada'), 'confirm_email')::text, NULL, 'B3: with no code for it');
SELECT is(count(*), 1::bigint, 'B3: its owner hears of it') FROM auth_private.outbox WHERE kind = 'account_exists' AND user_id = :'ada';

-- ---- an account without a password ----

SELECT auth.authenticate(:'a') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.change_password(%L, %L)', pg_temp.password(), 'another good one'), 'invalid_credentials', 'it has no current password');
SELECT is(auth.change_password(NULL, 'another good one')::text, '', 'C12: a sign-in of the last ten minutes stands in for it');
SELECT is(user_id::text, :'cyd', 'and then it has one') FROM auth.signin(pg_temp.email('cyd'), 'another good one');
RESET auth_session.context_token;
SELECT auth.request_password_reset(pg_temp.email('dee')) \g /dev/null
SELECT is(auth.reset_password(code => pg_temp.link(pg_temp.email('dee'), 'password_reset'), new_password => 'another good one')::text, '', 'a reset gives it one, too');
SELECT is((auth.signin(pg_temp.email('dee'), 'another good one')).token_type, 'bearer', 'which signs in');

-- With require_confirmation none there is nothing to wait for.
SET LOCAL auth_session.require_confirmation = 'none';
SELECT is(status, 'active', 'without confirmation it is there at once') FROM auth.signup(pg_temp.email('fay'));
SELECT pg_temp.raises(format('SELECT auth.signup(%L)', pg_temp.email('fay')), 'already_exists', 'and once');
RESET auth_session.require_confirmation;

-- ---- off again ----

SET LOCAL auth_session.passwordless = off;
SELECT pg_temp.raises(format('SELECT auth.signin_code(code => %L)', :'link'), 'feature_disabled', 'no link is taken once it is off');

SELECT * FROM finish();
ROLLBACK;
