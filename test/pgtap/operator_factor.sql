-- Operators and second factors: who acts for a user needs none and has none,
-- and revoke_all ends mfa tokens, of which no table knows.
\ir helper/common.psql
\ir helper/totp.psql

BEGIN;
SELECT plan(7);
SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT (pg_temp.enroll(access_token)).secret AS secret, access_token AS a FROM pg_temp.signin(pg_temp.email('ada')) \gset
RESET auth_session.context_token;

SELECT access_token AS acting FROM auth_admin.impersonate(:'ada', 'a reason') \gset
SELECT is(pg_temp.claims(:'acting') ->> 'aal', 'aal1', 'who acts for a user with a second factor gets a session, at the lowest level');
SELECT auth.authenticate(:'acting') \g /dev/null
SELECT pg_temp.raises('SELECT auth.require_recent(''1 year'')', 'reauthentication_required', 'who acts for a user is never recent');
SELECT pg_temp.raises('SELECT auth.require_aal(''aal2'')', 'reauthentication_required', 'nor strongly authenticated');
SELECT is(auth.auth_time(), NULL, 'policies see no time at which the user showed up');
RESET auth_session.context_token;

SELECT pg_temp.forget_steps(:'ada') \g /dev/null
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT auth_admin.revoke_all('2000-01-01') \g /dev/null
SAVEPOINT before;
SELECT is((auth.signin_totp(:'m', pg_temp.totp(:'secret'))).user_id, :'ada', 'an mfa token of since then is good');
ROLLBACK TO before;
SELECT auth_admin.revoke_all() \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', pg_temp.totp(:'secret')), 'invalid_token', 'D15: dead: an mfa token');
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT is((auth.signin_totp(:'m', pg_temp.totp(:'secret'))).user_id, :'ada', 'H10: a new sign-in is good, in the same second, too');

SELECT * FROM finish();
ROLLBACK;
