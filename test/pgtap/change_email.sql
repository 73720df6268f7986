-- auth.change_email, auth.cancel_change, and auth.confirm of a change: a new
-- email is pending until the same user, signed in, shows the code sent there.
\ir helper/common.psql

BEGIN;
SELECT plan(87);
SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.message_rate_per_account = 0;
SET LOCAL auth_session.events = 'user_changed';

CREATE FUNCTION pg_temp.change(address text, password text DEFAULT pg_temp.password()) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT auth.change_email(%L, %L)', address, password)
$$;
-- What is in the row, be it shown or not.
CREATE FUNCTION pg_temp.pending(of_user uuid) RETURNS text LANGUAGE sql AS $$
	SELECT pending_email FROM auth_private.accounts WHERE id = of_user
$$;
CREATE FUNCTION pg_temp.audited(of_user uuid, of_action text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws('|', actor, result, reason) FROM auth_admin.audit_log
	WHERE user_id = of_user AND action = of_action ORDER BY id DESC LIMIT 1
$$;

SELECT pg_temp.account(pg_temp.email('Ada')) AS ada \gset
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT refresh_token AS other FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT access_token AS b FROM pg_temp.signin(pg_temp.email('bob')) \gset

-- ---- who may ask ----

SELECT pg_temp.raises(pg_temp.change(pg_temp.email('ada2')), 'not_authenticated', 'without a context nothing is changed');
SELECT pg_temp.raises('SELECT auth.cancel_change()', 'not_authenticated', 'nor cancelled');
SELECT auth.authenticate(:'a') \g /dev/null
SELECT pg_temp.raises_when_read_only(pg_temp.change(pg_temp.email('ada2')), 'a read-only transaction changes nothing');
SELECT pg_temp.raises_when_read_only('SELECT auth.cancel_change()', 'nor cancels');
SELECT pg_temp.raises(pg_temp.change(pg_temp.email('ada2'), 'a wrong password'), 'invalid_credentials', 'C12: the password must be right');
SELECT pg_temp.raises(pg_temp.change(pg_temp.email('ada2'), NULL), 'invalid_request', 'C12: and given', 'password');
SELECT pg_temp.raises(pg_temp.change(pg_temp.email('ada2'), ''), 'invalid_credentials', 'an empty one is a wrong one');
SELECT pg_temp.raises(pg_temp.change(bad), 'invalid_request', 'what is no email is told: ' || what, 'new_email')
FROM (VALUES ('NULL', NULL), ('empty', ''), ('a phone', '+436601234567'), ('nonsense', 'nonsense'), ('a megabyte', repeat('a', 1048576))) AS v (what, bad);
SELECT is(pg_temp.pending(:'ada'), NULL, 'nothing of that is pending');
SELECT is_empty(format('SELECT FROM auth_private.codes WHERE user_id = %L AND purpose = ''email_change''', :'ada'), 'nor has it a code');

-- ---- pending ----

SELECT is((pg_temp.failure(pg_temp.change(pg_temp.email('Ada2')))), '{}', 'with the password a new email is taken down');
SELECT is((SELECT concat_ws('|', email, pending_email) FROM auth.account()), pg_temp.email('Ada') || '|' || pg_temp.email('Ada2'), 'C12: it is pending, and the old one still the account''s');
SELECT is((SELECT pending_email FROM auth_admin.users WHERE id = :'ada'), pg_temp.email('Ada2'), 'operators see it');
SELECT is(pg_temp.audited(:'ada', 'change_email'), 'user|ok', 'the log has it');
SELECT is(pg_temp.mail(pg_temp.email('Ada2')) ->> 'kind', 'email_change', 'a code goes to the new address');
SELECT is(pg_temp.mail(pg_temp.email('Ada'), 'email_change'), NULL, 'and to no other');
SELECT is_empty(format('SELECT FROM auth_private.identifiers WHERE identifier = %L', pg_temp.email('ada2')), 'C13: nothing stands in the way of others there');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada2'), pg_temp.password()), 'invalid_credentials', 'C12: it is nothing to sign in by');
SELECT auth.request_password_reset(pg_temp.email('ada2')) \g /dev/null
SELECT is(pg_temp.mail(pg_temp.email('Ada2'), 'password_reset'), NULL, 'nor to reset a password by');

-- ---- who confirms ----

SELECT pg_temp.code(pg_temp.email('Ada2'), 'email_change') AS code, pg_temp.link(pg_temp.email('Ada2'), 'email_change') AS link \gset
RESET auth_session.context_token;
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link'), 'not_authenticated', 'C12: a link is followed by somebody who is signed in');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('ada2'), :'code'), 'invalid_code', 'C12: digits without a context are a sign-up''s, and there is none');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('ada2'), :'code', pg_temp.password()), 'invalid_code', 'C12: with the password neither');
SELECT auth.authenticate(:'b') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link'), 'user_mismatch', 'C6, C12: and by nobody else than who asked for it');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('ada2'), :'code'), 'invalid_code', 'C6: another user''s code is no code');
SELECT is(pg_temp.failure(pg_temp.change(pg_temp.email('ada2'))), '{}', 'two may ask for one address');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('ada2'), :'code'), 'invalid_code', 'C6: and the code of one is none of the other''s');
SELECT auth.cancel_change() \g /dev/null
SELECT auth.authenticate(:'a') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('ada2'), pg_temp.wrong(:'code')), 'invalid_code', 'C5: a wrong code is none');
SELECT pg_temp.comes_true(format('SELECT EXISTS (SELECT FROM auth_private.code_failures WHERE identifier = %L AND purpose = ''email_change'')', pg_temp.email('ada2')), 'C5: and counts at the address, for changes');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', overlay(:'link' PLACING CASE right(:'link', 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM length(:'link') - 5 FOR 1)), 'invalid_code', 'a forged link is none');
SELECT pg_temp.raises(format('SELECT auth.reset_password(%L, %L, ''another good one'')', pg_temp.email('ada'), :'code'), 'invalid_code', 'C6: a code of a change resets no password');
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => ''another good one'')', :'link'), 'invalid_code', 'C6: nor does its link');
SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('Ada'), 'password_reset') AS reset \gset
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'reset'), 'invalid_code', 'C6: and that of a reset confirms no change');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, code => %L)', pg_temp.email('ada'), :'link'), 'invalid_code', 'C6: a link proves no other address than its own');

-- ---- confirmed ----

SELECT auth.signup(pg_temp.email('ada2'), 'a password of another') \g /dev/null
SELECT is((SELECT concat_ws('|', email, pending_email, email_confirmed_at > created_at) FROM auth.confirm(pg_temp.email('ADA2'), :'code')), pg_temp.email('Ada2') || '|t', 'the code, from the user, makes it the account''s, as it was asked for');
SELECT is((auth.account()).pending_email, NULL, 'nothing is pending any more');
SELECT is((pg_temp.signin(pg_temp.email('ada2'))).user_id, :'ada', 'it signs in by the new address');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), pg_temp.password()), 'invalid_credentials', 'and not by the old one');
SELECT is((SELECT user_id FROM auth_private.identifiers WHERE identifier = pg_temp.email('ada2')), :'ada', 'C13: who was pending there is gone');
SELECT isnt(pg_temp.mail(pg_temp.email('Ada'), 'email_changed'), NULL, 'B12, C12: the old address is told');
SELECT isnt(pg_temp.mail(pg_temp.email('Ada2'), 'email_changed'), NULL, 'B12: and the new one');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'email_changed'), 2::bigint, 'B12: once each');
SELECT is(auth.verify(:'a') ->> 'sub', :'ada', 'sessions go on');
SELECT is(pg_temp.claims((auth.renew(:'other')).access_token) ->> 'email', pg_temp.email('Ada2'), 'D16: the next access token has the new email');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'user_changed'), 1::bigint, 'applications hear of it');
SELECT is(pg_temp.audited(:'ada', 'confirm'), 'user|ok', 'the log has it');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link'), 'invalid_code', 'C1: code and link are used up');
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => ''another good one'')', :'reset'), 'invalid_code', 'C6: what was sent to the old address is good for nothing');
SELECT is((auth.signup(pg_temp.email('ada'), pg_temp.password())).status, 'pending', 'and the old address is free');

-- By link, on a page that is signed in.
SELECT auth.change_email(pg_temp.email('ada3'), pg_temp.password()) \g /dev/null
SELECT is((auth.confirm(code => pg_temp.link(pg_temp.email('ada3'), 'email_change'))).email, pg_temp.email('ada3'), 'a link does it, too');
SELECT auth.change_email(pg_temp.email('ADA3'), pg_temp.password()) \g /dev/null
SELECT is((auth.confirm(pg_temp.email('ada3'), pg_temp.code(pg_temp.email('ADA3'), 'email_change'), 'whatever')).email, pg_temp.email('ADA3'), 'one''s own address can be written anew; a password beside the code is not looked at');
SELECT is((pg_temp.signin(pg_temp.email('ada3'))).user_id, :'ada', 'and stays one''s own');

-- ---- replaced, cancelled, reset, over ----

SELECT auth.change_email(pg_temp.email('ada4'), pg_temp.password()) \g /dev/null
SELECT pg_temp.link(pg_temp.email('ada4'), 'email_change') AS first \gset
SELECT auth.change_email(pg_temp.email('ada4'), pg_temp.password()) \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'first'), 'invalid_code', 'C7: a new code takes the place of the old one');
SELECT pg_temp.link(pg_temp.email('ada4'), 'email_change') AS second \gset
SELECT auth.change_email(pg_temp.email('ada5'), pg_temp.password()) \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'second'), 'invalid_code', 'C6: and so does another address');
SELECT is((auth.account()).pending_email, pg_temp.email('ada5'), 'which is what is pending');
SELECT pg_temp.link(pg_temp.email('ada5'), 'email_change') AS link \gset
SELECT auth.cancel_change() \g /dev/null
SELECT is((auth.account()).pending_email, NULL, 'a change that is cancelled is no more');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link'), 'invalid_code', 'and its link is dead');
SELECT is(pg_temp.audited(:'ada', 'cancel_change'), 'user|ok', 'the log has it');
SELECT count(*) AS rows FROM auth_admin.audit_log WHERE user_id = :'ada' \gset
SELECT auth.cancel_change() \g /dev/null
SELECT is((SELECT count(*) FROM auth_admin.audit_log WHERE user_id = :'ada'), :'rows', 'to cancel nothing is silent');

SELECT auth.change_email(pg_temp.email('ada6'), pg_temp.password()) \g /dev/null
SELECT pg_temp.link(pg_temp.email('ada6'), 'email_change') AS link \gset
SELECT auth.request_password_reset(pg_temp.email('ada3')) \g /dev/null
SELECT auth.reset_password(code => pg_temp.link(pg_temp.email('ADA3'), 'password_reset'), new_password => 'chosen after a reset') \g /dev/null
RESET auth_session.context_token;
SELECT access_token AS a FROM pg_temp.signin(pg_temp.email('ada3'), 'chosen after a reset') \gset
SELECT auth.authenticate(:'a') \g /dev/null
SELECT is((auth.account()).pending_email, NULL, 'C9: a reset ends a change');
SELECT is((SELECT pending_email FROM auth_admin.users WHERE id = :'ada'), NULL, 'C9: for operators, too');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link'), 'invalid_code', 'C9: and its code');

SELECT auth.change_email(pg_temp.email('ada7'), 'chosen after a reset') \g /dev/null
SELECT auth_admin.prune() \g /dev/null
SELECT is((auth.account()).pending_email, pg_temp.email('ada7'), 'maintenance leaves a change that can be confirmed');
SELECT pg_temp.link(pg_temp.email('ada7'), 'email_change') AS link \gset
UPDATE auth_private.codes SET link_expires_at = clock_timestamp() - interval '1 second' WHERE user_id = :'ada';
SELECT is((auth.account()).pending_email, NULL, 'C2: a change ends with its last link');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link'), 'invalid_code', 'C2: which is dead');
SELECT auth_admin.prune() \g /dev/null
SELECT is(pg_temp.pending(:'ada'), NULL, 'and maintenance takes it out of the row');

-- ---- an address that is taken ----

SELECT is(pg_temp.failure(pg_temp.change(pg_temp.email('bob'), 'chosen after a reset')), '{}', 'B3: an address of another''s answers as a free one');
SELECT is((auth.account()).pending_email, pg_temp.email('bob'), 'B3: and is pending as one');
SELECT is(pg_temp.mail(pg_temp.email('bob')) ->> 'kind', 'account_exists', 'B3: its owner hears of it');
SELECT is(pg_temp.mail(pg_temp.email('bob'), 'email_change'), NULL, 'B3: and has no code');
SELECT is((SELECT count(*) FROM auth_private.codes WHERE user_id = :'ada' AND purpose = 'email_change'), 1::bigint, 'B3: though one was made');
SELECT auth.cancel_change() \g /dev/null

-- Taken meanwhile.
SELECT auth.change_email(pg_temp.email('late'), 'chosen after a reset') \g /dev/null
SELECT pg_temp.code(pg_temp.email('late'), 'email_change') AS code \gset
RESET auth_session.context_token;
SELECT pg_temp.account(pg_temp.email('late')) AS late \gset
SELECT auth.authenticate(:'a') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('late'), :'code'), 'already_exists', 'C12: an address that was taken meanwhile is not had');
SELECT is((auth.account()).email, pg_temp.email('ADA3'), 'and the account stays as it was');
SELECT auth_admin.delete_user(:'late') \g /dev/null
SELECT is((auth.confirm(pg_temp.email('late'), :'code')).email, pg_temp.email('late'), 'once it is free, it is had');

-- ---- limits ----

SET LOCAL auth_session.signin_rate_per_account = 2;
SELECT pg_temp.failure(pg_temp.change(pg_temp.email('x'), 'a wrong password')) FROM generate_series(1, 2) \g /dev/null
SELECT pg_temp.raises(pg_temp.change(pg_temp.email('x'), 'chosen after a reset'), 'throttled', 'A9, C12: wrong passwords count');
SET LOCAL auth_session.signin_rate_per_account = 0;
SET LOCAL auth_session.message_rate_per_account = 2;
SELECT is(pg_temp.failure(pg_temp.change(pg_temp.email('m1'), 'chosen after a reset')), '{}', 'C14: a user has so many messages sent');
SELECT is(pg_temp.failure(pg_temp.change(pg_temp.email('m2'), 'chosen after a reset')), '{}', 'C14: to whomever');
SELECT pg_temp.raises(pg_temp.change(pg_temp.email('m3'), 'chosen after a reset'), 'throttled', 'C14: and no more');
SET LOCAL auth_session.message_rate_per_account = 0;
SET LOCAL auth_session.resend_cooldown = 60;
SELECT is(pg_temp.failure(pg_temp.change(pg_temp.email('m4'), 'chosen after a reset')), '{}', 'C14: one message');
SELECT pg_temp.raises(pg_temp.change(pg_temp.email('m4'), 'chosen after a reset'), 'throttled', 'C14: and then the cooldown of that address');
SELECT is(pg_temp.failure(format('SELECT auth.request_password_reset(%L)', pg_temp.email('m4'))), '{}', 'C14: which keeps nobody from a reset there');
SET LOCAL auth_session.resend_cooldown = 0;

-- ---- who acts for the user ----

SELECT auth.change_email(pg_temp.email('act'), 'chosen after a reset') \g /dev/null
SELECT pg_temp.code(pg_temp.email('act'), 'email_change') AS code \gset
RESET auth_session.context_token;
SELECT set_config('auth_session.trusted_claims_roles', quote_ident(session_user), true) \g /dev/null
SELECT set_config('request.jwt.claims', (auth.verify(:'a') || '{"act": {"sub": "support"}}')::text, true) \g /dev/null
SELECT pg_temp.raises(pg_temp.change(pg_temp.email('x'), 'chosen after a reset'), 'reauthentication_required', 'who acts for the user changes no address');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('act'), :'code'), 'reauthentication_required', 'and confirms none');
SELECT pg_temp.raises('SELECT auth.cancel_change()', 'reauthentication_required', 'nor cancels one');

SELECT * FROM finish();
ROLLBACK;
