-- auth_admin.create_user, and the invitations that it sends.
\ir helper/common.psql

BEGIN;
SELECT plan(65);
SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.message_rate_per_account = 0;

CREATE ROLE invitation_operator;
GRANT USAGE ON SCHEMA auth_admin TO invitation_operator;
GRANT EXECUTE ON FUNCTION auth_admin.create_user TO invitation_operator;
CREATE FUNCTION pg_temp.signs_in(address text, password text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(pg_temp.failure(format('SELECT auth.signin(%L, %L)', address, password)) ->> 'detail', 'signed in')
$$;

-- ---- what is not taken ----

SELECT pg_temp.account(pg_temp.email('Taken')) AS taken \gset
SELECT count(*) AS accounts FROM auth_private.accounts \gset
SELECT pg_temp.raises(statement, failure, what, hint)
FROM (VALUES
	('SELECT auth_admin.create_user()', 'invalid_request', 'no address', 'email or a phone'),
	('SELECT auth_admin.create_user(''nonsense'')', 'invalid_request', 'a bad email', 'email'),
	('SELECT auth_admin.create_user(phone => ''0123'')', 'invalid_request', 'a bad phone', 'phone'),
	(format('SELECT auth_admin.create_user(%L, info => ''[]'')', pg_temp.email('new')), 'invalid_request', 'an info that is no object', 'info'),
	(format('SELECT auth_admin.create_user(%L, app => ''[]'')', pg_temp.email('new')), 'invalid_request', 'an app that is none', 'app'),
	(format('SELECT auth_admin.create_user(%L, password => repeat(''x'', 1025))', pg_temp.email('new')), 'invalid_request', 'A16: a password that is too long', 'password'),
	(format('SELECT auth_admin.create_user(%L, password => ''seven77'')', pg_temp.email('new')), 'weak_password', 'A1: one that is too short', 'few'),
	(format('SELECT auth_admin.create_user(%L, password => ''iloveyou'')', pg_temp.email('new')), 'weak_password', 'A6: one of the common ones', 'common'),
	(format('SELECT auth_admin.create_user(%1$L, password => %1$L)', pg_temp.email('new')), 'weak_password', 'A8: and the own address', 'address'),
	(format('SELECT auth_admin.create_user(%L)', pg_temp.email('taken')), 'already_exists', 'an address that is taken', ''),
	(format('SELECT auth_admin.create_user(%L, confirmed => true)', pg_temp.email('taken')), 'already_exists', 'also where it is confirmed', ''),
	(format('SELECT auth_admin.create_user(%L, %L, confirmed => true)', pg_temp.email('taken'), pg_temp.phone(9)), 'already_exists', 'and with another that is free', '')
) AS bad (statement, failure, what, hint);
SELECT pg_temp.raises_when_read_only(format('SELECT auth_admin.create_user(%L)', pg_temp.email('new')), 'and none in a read-only transaction');
SELECT is((SELECT count(*)::text FROM auth_private.accounts), :'accounts', 'none of them has made an account');

-- ---- an invitation ----

SET LOCAL ROLE invitation_operator;
SELECT id AS ada, status, info, email FROM auth_admin.create_user(pg_temp.email('Ada'), info => '{"name": "Ada"}', app => '{"plan": "gold"}') \gset
RESET ROLE;
SELECT is(:'status'::text, 'pending', 'an account without password is pending');
SELECT is(:'email'::text, pg_temp.email('Ada'), 'with its address as typed');
SELECT results_eq(format($$SELECT actor, result FROM auth_admin.audit_log WHERE user_id = %L AND action = 'create_user'$$, :'ada'),
	$$VALUES ('invitation_operator', 'ok')$$, 'G6: the audit log has who made it');
SELECT is((SELECT string_agg(u.id::text || ' ' || u.status, ',') FROM auth_admin.find_user(pg_temp.email('ada')) AS u), :'ada' || ' pending', 'find_user finds it');
SELECT pg_temp.mail(pg_temp.email('Ada')) AS mail \gset
SELECT is(:'mail'::jsonb ->> 'kind', 'invitation', 'its user is invited');
SELECT is(:'mail'::jsonb ->> 'code', NULL, 'C11: by no code');
SELECT ok((:'mail'::jsonb ->> 'link_expires_at')::timestamptz BETWEEN clock_timestamp() + interval '23 hours' AND clock_timestamp() + interval '1 day',
	'C11: but by a link that expires');
SELECT :'mail'::jsonb ->> 'link_token' AS link \gset
SELECT is(pg_temp.signs_in(pg_temp.email('ada'), ''), 'invalid_credentials', 'C11: no password is none');
SELECT is(pg_temp.signs_in(pg_temp.email('ada'), left(:'link', 100)), 'invalid_credentials', 'C11: the link is none either');

-- Nothing else opens it.
SET LOCAL auth_session.passwordless = on;
SELECT auth.resend_confirmation(pg_temp.email('ada')) \g /dev/null
SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT auth.request_signin_code(pg_temp.email('ada')) \g /dev/null
SELECT is((SELECT string_agg(kind, ',') FROM auth_private.outbox WHERE user_id = :'ada'), 'invitation', 'no stranger can have a code sent to it');
SELECT pg_temp.raises(statement, 'invalid_code', what)
FROM (VALUES
	(format('SELECT auth.signin_code(code => %L)', :'link'), 'the link signs nobody in'),
	(format('SELECT auth.reset_password(code => %L, new_password => %L)', :'link', 'another good one'), 'it resets nothing'),
	(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('taken'), :'link', 'another good one'), 'C4: and is for no other address')
) AS wrong (statement, what);
RESET auth_session.passwordless;

SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link'), 'password_required', 'C11: it asks for a password', 'own choice');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L, password => %L)', :'link', bad), 'weak_password', 'A1, A6, A8: a good one', hint)
FROM (VALUES ('seven77', 'few'), ('iloveyou', 'common'), (pg_temp.email('ada'), 'address')) AS weak (bad, hint);
SELECT is(status || ' ' || info::text || ' ' || (email_confirmed_at IS NOT NULL)::text, 'active {"name": "Ada"} true', 'and with that the account is active')
FROM auth.confirm(pg_temp.email('ADA'), :'link', 'another good one');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L, password => %L)', :'link', 'a third good one'), 'invalid_code', 'C3: a link is good once');
SELECT access_token AS a FROM auth.signin(pg_temp.email('ada'), 'another good one') \gset
SELECT is(auth.verify(:'a') -> 'app' ->> 'plan', 'gold', 'its user signs in, with what the operator set');
SELECT is((SELECT count(*) FROM auth_private.codes WHERE user_id = :'ada'), 0::bigint, 'no code is left');

-- ---- with a phone beside it ----

SELECT id AS bob FROM auth_admin.create_user(pg_temp.email('bob'), pg_temp.phone(1)) \gset
SELECT is((SELECT string_agg(kind || ' ' || channel, ',') FROM auth_private.outbox WHERE user_id = :'bob'), 'invitation email', 'of two addresses the email gets the invitation');
SELECT is(status, 'pending', 'which proves the email only') FROM auth.confirm(code => pg_temp.link(pg_temp.email('bob'), 'invitation'), password => 'another good one');
SELECT is(pg_temp.signs_in(pg_temp.email('bob'), 'another good one'), 'not_confirmed', 'the phone is still to be confirmed');
SELECT is(status, 'active', 'by its own code, and that password')
FROM auth.confirm(pg_temp.phone(1), pg_temp.code(pg_temp.phone(1), 'confirm_phone'), 'another good one');
SELECT auth_admin.create_user(phone => pg_temp.phone(2)) \g /dev/null
SELECT is(status, 'active', 'a phone alone is invited by SMS') FROM auth.confirm(code => pg_temp.link(pg_temp.phone(2), 'invitation'), password => 'another good one');

-- ---- confirmed, and with a password ----

SELECT id AS cyd, status, (email_confirmed_at = phone_confirmed_at)::text AS both FROM auth_admin.create_user(pg_temp.email('cyd'), pg_temp.phone(3), confirmed => true) \gset
SELECT is(:'status' || ' ' || :'both', 'active true', 'by the operator''s word an account is active, with each address');
SELECT is(pg_temp.signs_in(pg_temp.email('cyd'), 'another good one'), 'invalid_credentials', 'before it has a password none signs in');
SET LOCAL auth_session.passwordless = on;
SELECT auth.request_signin_code(pg_temp.email('cyd')) \g /dev/null
SELECT access_token AS a FROM auth.signin_code(code => pg_temp.link(pg_temp.email('cyd'), 'signin_code')) \gset
RESET auth_session.passwordless;
SELECT is(status, 'active', 'the link takes one') FROM auth.confirm(code => pg_temp.link(pg_temp.email('cyd'), 'invitation'), password => 'another good one');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a'), 'session_revoked', 'C11: which ends the sessions there were');
SELECT is(pg_temp.signs_in(pg_temp.email('cyd'), 'another good one'), 'signed in', 'and signs in');

SELECT id AS dee, status FROM auth_admin.create_user(pg_temp.email('dee'), password => pg_temp.password()) \gset
SELECT is(:'status'::text, 'pending', 'with a password it is as after a sign-up');
SELECT is(pg_temp.signs_in(pg_temp.email('dee'), pg_temp.password()), 'invalid_credentials', 'which has to be confirmed');
SELECT is(status, 'active', 'by a code') FROM auth.confirm(pg_temp.email('dee'), pg_temp.code(pg_temp.email('dee'), 'confirm_email'), pg_temp.password());
SELECT id AS eve, status FROM auth_admin.create_user(pg_temp.email('eve'), password => pg_temp.password(), confirmed => true) \gset
SELECT is(:'status'::text, 'active', 'confirmed it is active at once');
SELECT is(pg_temp.signs_in(pg_temp.email('eve'), pg_temp.password()), 'signed in', 'and its user signs in');
SELECT is((SELECT string_agg(kind, ',') FROM auth_private.outbox WHERE user_id = :'eve'), 'new_signin', 'no code is sent');
SET LOCAL auth_session.require_confirmation = 'none';
SELECT is(status, 'active', 'where nothing is confirmed it is, too') FROM auth_admin.create_user(pg_temp.email('fay'));
SELECT pg_temp.raises(format('SELECT auth_admin.create_user(%L)', pg_temp.email('fay')), 'already_exists', 'and its address is taken');
RESET auth_session.require_confirmation;
SELECT is(status, 'pending', 'confirmed NULL is not confirmed') FROM auth_admin.create_user(pg_temp.email('gil'), confirmed => NULL);

-- ---- how it ends ----

-- With its time, and the account with it.
SELECT pg_temp.link(pg_temp.email('gil'), 'invitation') AS link \gset
SELECT id AS gil FROM auth_admin.find_user(pg_temp.email('gil')) \gset
UPDATE auth_private.codes SET link_expires_at = clock_timestamp() WHERE user_id = :'gil';
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L, password => %L)', :'link', 'another good one'), 'invalid_code', 'C11: an invitation expires');
SET LOCAL auth_session.passwordless = on;
SELECT auth.resend_confirmation(pg_temp.email('gil')) \g /dev/null
SELECT is((SELECT string_agg(kind, ',') FROM auth_private.outbox WHERE user_id = :'gil'), 'invitation', 'C11: nor can a stranger prolong it');
RESET auth_session.passwordless;
SELECT auth_admin.prune() \g /dev/null
SELECT is((SELECT count(*) FROM auth_admin.users WHERE id = :'gil'), 0::bigint, 'C11: and its account goes');

-- With a password that the operator sets instead.
SELECT id AS hal FROM auth_admin.create_user(pg_temp.email('hal')) \gset
SELECT pg_temp.link(pg_temp.email('hal'), 'invitation') AS link \gset
SELECT auth_admin.set_password(:'hal', pg_temp.password()) \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L, password => %L)', :'link', 'another good one'), 'invalid_code', 'C11: a password ends it');
SELECT is(status, 'active', 'what is pending then is a sign-up') FROM auth.confirm(pg_temp.email('hal'), pg_temp.code(pg_temp.email('hal'), 'confirm_email'), pg_temp.password());

-- With a ban.
SELECT id AS ivy FROM auth_admin.create_user(pg_temp.email('ivy')) \gset
SELECT pg_temp.link(pg_temp.email('ivy'), 'invitation') AS link \gset
SELECT auth_admin.ban(:'ivy') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L, password => %L)', :'link', 'another good one'), 'invalid_code', 'C11: a ban ends it');

-- Not by what strangers do at its address, but by its owner.
SELECT id AS joe FROM auth_admin.create_user(pg_temp.email('joe')) \gset
SELECT pg_temp.link(pg_temp.email('joe'), 'invitation') AS link \gset
SELECT auth.signup(pg_temp.email('joe'), 'a stranger''s ' || n) FROM generate_series(1, 4) AS n \g /dev/null
SELECT auth_admin.prune() \g /dev/null
SELECT is((SELECT status FROM auth_admin.users WHERE id = :'joe'), 'pending', 'four sign-ups at its address don''t end it');
SELECT is(status, 'active', 'its link is good') FROM auth.confirm(code => :'link', password => 'another good one');
SELECT is((SELECT string_agg(u.id::text, ',') FROM auth_admin.find_user(pg_temp.email('joe')) AS u), :'joe', 'and they end');
SELECT id AS kim FROM auth_admin.create_user(pg_temp.email('kim')) \gset
SELECT pg_temp.link(pg_temp.email('kim'), 'invitation') AS link \gset
SELECT pg_temp.account(pg_temp.email('kim')) AS owner \gset
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L, password => %L)', :'link', 'another good one'), 'already_exists', 'an address that has an owner by then is his');
SELECT is(pg_temp.signs_in(pg_temp.email('kim'), pg_temp.password()), 'signed in', 'who signs in');

SELECT * FROM finish();
ROLLBACK;
