-- auth.change_phone: as auth.change_email (change_email.sql), by SMS, and
-- beside an email.
\ir helper/common.psql

BEGIN;
SELECT plan(31);
SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.message_rate_per_account = 0;

CREATE FUNCTION pg_temp.change(number text, password text DEFAULT pg_temp.password()) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT auth.change_phone(%L, %L)', number, password)
$$;
CREATE FUNCTION pg_temp.told(of_user uuid, of_kind text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat(channel, ' ', recipient), ', ' ORDER BY created_at) FROM auth_private.outbox WHERE user_id = of_user AND kind = of_kind
$$;

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT access_token AS a, refresh_token AS r FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT pg_temp.raises(pg_temp.change(pg_temp.phone(1)), 'not_authenticated', 'without a context nothing is changed');
SELECT auth.authenticate(:'a') \g /dev/null
SELECT pg_temp.raises_when_read_only(pg_temp.change(pg_temp.phone(1)), 'nor in a read-only transaction');
SELECT pg_temp.raises(pg_temp.change(pg_temp.phone(1), 'a wrong password'), 'invalid_credentials', 'C12: the password must be right');
SELECT pg_temp.raises(pg_temp.change(pg_temp.phone(1), NULL), 'invalid_request', 'C12: and given', 'password');
SELECT pg_temp.raises(pg_temp.change(bad), 'invalid_request', 'C14: what is no E.164 number is told: ' || what, 'new_phone')
FROM (VALUES ('NULL', NULL), ('empty', ''), ('an email', 'ada@example.org'), ('a national number', '0660123456'), ('a megabyte', repeat('1', 1048576))) AS v (what, bad);

-- ---- a first phone ----

SELECT is(pg_temp.failure(pg_temp.change(pg_temp.phone(1))), '{}', 'with the password a new phone is taken down');
SELECT is((SELECT concat_ws('|', phone, pending_phone, pending_email) FROM auth.account()), pg_temp.phone(1), 'C12: it is pending');
SELECT is((SELECT pending_phone FROM auth_admin.users WHERE id = :'ada'), pg_temp.phone(1), 'operators see it');
SELECT pg_temp.mail(pg_temp.phone(1)) AS sms \gset
SELECT is(concat_ws('|', :'sms'::jsonb ->> 'kind', :'sms'::jsonb ->> 'channel'), 'confirm_phone|sms', 'its code goes out by SMS');
SELECT pg_temp.raises(format('SELECT auth.signin(phone => %L, password => %L)', pg_temp.phone(1), pg_temp.password()), 'invalid_credentials', 'C12: it is nothing to sign in by yet');
SELECT is((auth.confirm(pg_temp.phone(1), :'sms'::jsonb ->> 'code')).phone, pg_temp.phone(1), 'the code, from the user, makes it the account''s');
SELECT is((auth.signin(phone => pg_temp.phone(1), password => pg_temp.password())).user_id, :'ada', 'which it signs in by');
SELECT is((pg_temp.signin(pg_temp.email('ada'))).user_id, :'ada', 'beside the email');
SELECT is(pg_temp.claims((auth.renew(:'r')).access_token) ->> 'phone', pg_temp.phone(1), 'D16: the next access token has it');
SELECT is(pg_temp.told(:'ada', 'phone_changed'), 'email ' || pg_temp.email('ada') || ', sms ' || pg_temp.phone(1), 'B12: the email is told, and the new phone');

-- ---- another one, beside a new email ----

DELETE FROM auth_private.outbox WHERE user_id = :'ada';
SELECT access_token AS a FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT auth.authenticate(:'a') \g /dev/null
SELECT auth.change_phone(pg_temp.phone(2), pg_temp.password()), auth.change_email(pg_temp.email('ada2'), pg_temp.password()) \g /dev/null
SELECT is((SELECT concat_ws('|', pending_email, pending_phone) FROM auth.account()), pg_temp.email('ada2') || '|' || pg_temp.phone(2), 'both can change at once');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.phone(2), pg_temp.code(pg_temp.email('ada2'), 'email_change')), 'invalid_code', 'C6: the code of the one is none of the other''s');
SELECT auth.confirm(pg_temp.phone(2), pg_temp.code(pg_temp.phone(2), 'confirm_phone')) \g /dev/null
SELECT is((SELECT concat_ws('|', phone, pending_phone, pending_email) FROM auth.account()), pg_temp.phone(2) || '|' || pg_temp.email('ada2'), 'each takes effect by itself');
SELECT is(pg_temp.told(:'ada', 'phone_changed'), 'email ' || pg_temp.email('ada') || ', sms ' || pg_temp.phone(1) || ', sms ' || pg_temp.phone(2),
	'B12: the email is told, the old phone and the new one');
SELECT pg_temp.raises(format('SELECT auth.signin(phone => %L, password => %L)', pg_temp.phone(1), pg_temp.password()), 'invalid_credentials', 'the old phone is the account''s no more');
SELECT auth.confirm(pg_temp.email('ada2'), pg_temp.code(pg_temp.email('ada2'), 'email_change')) \g /dev/null
SELECT is(pg_temp.told(:'ada', 'email_changed'), 'email ' || pg_temp.email('ada') || ', email ' || pg_temp.email('ada2'), 'B12: of an email the old one and the new one are told');
SELECT auth.change_phone(pg_temp.phone(3), pg_temp.password()), auth.change_email(pg_temp.email('ada3'), pg_temp.password()) \g /dev/null
SELECT auth.cancel_change() \g /dev/null
SELECT is((SELECT concat_ws('|', pending_email, pending_phone) FROM auth.account()), '', 'cancel_change forgets both');

-- ---- an account of a phone alone ----

RESET auth_session.context_token;
SELECT auth.signup(phone => pg_temp.phone(4), password => pg_temp.password()) \g /dev/null
SELECT (auth.confirm(pg_temp.phone(4), pg_temp.code(pg_temp.phone(4), 'confirm_phone'), pg_temp.password())).id AS bob \gset
SELECT access_token AS b FROM auth.signin(phone => pg_temp.phone(4), password => pg_temp.password()) \gset
SELECT auth.authenticate(:'b') \g /dev/null
SELECT auth.change_email(pg_temp.email('bob'), pg_temp.password()) \g /dev/null
SELECT auth.confirm(pg_temp.email('bob'), pg_temp.code(pg_temp.email('bob'), 'email_change')) \g /dev/null
SELECT is(pg_temp.told(:'bob', 'email_changed'), 'sms ' || pg_temp.phone(4) || ', email ' || pg_temp.email('bob'), 'B12: of a first email the phone is told, and the email');
SELECT is(pg_temp.failure(pg_temp.change(pg_temp.phone(2))), '{}', 'B3: a phone of another''s answers as a free one');
SELECT is((SELECT concat_ws('|', kind, channel) FROM auth_private.outbox WHERE recipient = pg_temp.phone(2) ORDER BY id DESC LIMIT 1), 'account_exists|sms', 'B3: its owner hears of it');
SELECT is(pg_temp.failure(format('SELECT auth.update_info(%L)', '{"a": 1}')), '{}', 'what is pending is kept by whatever else changes');
SELECT is((auth.update_info('{"a": 2}')).pending_phone, pg_temp.phone(2), 'and shown');

SELECT * FROM finish();
ROLLBACK;
