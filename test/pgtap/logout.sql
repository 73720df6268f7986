-- auth.logout and auth.logout_all: a session ends at once, everywhere.
\ir helper/common.psql

BEGIN;
SELECT plan(51);

SELECT pg_temp.account(pg_temp.email('Ada')) AS ada \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS a2, refresh_token AS r2, session_id AS s2 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS a3, refresh_token AS r3, session_id AS s3 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS bobs_a, refresh_token AS bobs_r, session_id AS bobs_s FROM pg_temp.signin(pg_temp.email('bob')) \gset

CREATE FUNCTION pg_temp.rows_of(session uuid) RETURNS bigint LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM auth_private.sessions WHERE id = session)
		+ (SELECT count(*) FROM auth_private.token_cache WHERE session_id = session)
$$;

-- ---- without a context ----

SELECT pg_temp.raises('SELECT auth.logout()', 'not_authenticated', 'a logout needs a context');
SELECT pg_temp.raises(format('SELECT auth.logout(%L::uuid)', :'s'), 'not_authenticated', 'an id is not enough');
SELECT pg_temp.raises('SELECT auth.logout_all()', 'not_authenticated', 'nor can anybody log out all');

-- ---- one's own session ----

SAVEPOINT before;
SELECT auth.authenticate(:'a') \g /dev/null
SELECT is(auth.logout()::text, '', 'a logout answers nothing');
SELECT is(pg_temp.rows_of(:'s'), 0::bigint, 'D5: session and cache row are gone');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a'), 'session_revoked', 'D5: the very next call refuses the access token');
SELECT pg_temp.raises(format('SELECT auth.authenticate(%L)', :'a'), 'session_revoked', 'D5: also as a context');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r'), 'session_revoked', 'E9: and the refresh token');
SELECT is(auth.uid(), NULL, 'D5: the context that logged out is over');
SELECT pg_temp.raises('SELECT auth.logout()', 'session_revoked', 'D5: for a second logout, too');
SELECT pg_temp.raises('SELECT auth.sessions()', 'session_revoked', 'D5: and for everything else');
SELECT is(pg_temp.rows_of(:'s2') + pg_temp.rows_of(:'s3') + pg_temp.rows_of(:'bobs_s'), 6::bigint, 'the other sessions live');
SELECT results_eq(
	format($$SELECT result, user_id FROM auth_admin.audit_log WHERE action = 'logout' AND session_id = %L$$, :'s'),
	format($$VALUES ('ok', %L::uuid)$$, :'ada'), 'G6: the logout is in the audit log');
ROLLBACK TO before;
SELECT is(auth.verify(:'a') ->> 'session_id', :'s', 'a logout that is rolled back has ended nothing');

-- ---- another session of one's own, and of somebody else ----

SELECT auth.authenticate(:'a') \g /dev/null
SELECT lives_ok(format('SELECT auth.logout(%L::uuid)', :'s2'), 'one can end another session of one''s own');
SELECT is(pg_temp.rows_of(:'s2'), 0::bigint, 'which is gone');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a2'), 'session_revoked', 'D5: with its token');
SELECT is(auth.session_id(), :'s', 'the own session lives');
SELECT pg_temp.raises(format('SELECT auth.logout(%L::uuid)', :'bobs_s'), 'session_not_found', 'D11: another user''s session can''t be found');
SELECT is(pg_temp.failure(format('SELECT auth.logout(%L::uuid)', :'bobs_s')),
	pg_temp.failure(format('SELECT auth.logout(%L::uuid)', gen_random_uuid())), 'D11: any more than one that never was');
SELECT pg_temp.raises(format('SELECT auth.logout(%L::uuid)', :'s2'), 'session_not_found', 'D11: or one that has ended');
SELECT is(pg_temp.rows_of(:'bobs_s'), 2::bigint, 'D11: it lives');
SELECT pg_temp.raises(format('SELECT auth.logout(%L::uuid, %L)', :'s', :'r'), 'invalid_request',
	'an id and a token are one too many', 'either');
SELECT pg_temp.raises_when_read_only('SELECT auth.logout()', 'a logout in a read-only transaction says so');
RESET auth_session.context_token;

-- ---- by refresh token (RFC 7009) ----

SELECT refresh_token AS r3b FROM auth.renew(:'r3') \gset
SELECT lives_ok(format('SELECT auth.logout(refresh_token => %L)', :'r3'), 'a rotated token ends its session without a context');
SELECT is(pg_temp.rows_of(:'s3'), 0::bigint, 'which is gone');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r3b'), 'session_revoked', 'E9: with the successor');
SELECT lives_ok(format('SELECT auth.logout(refresh_token => %L)', :'r3b'), 'a session that is gone already is no error');
SELECT results_eq(
	format($$SELECT result FROM auth_admin.audit_log WHERE action = 'logout' AND session_id = %L$$, :'s3'),
	ARRAY['ok'], 'G6: the audit log has one logout');
SELECT pg_temp.raises(format('SELECT auth.logout(refresh_token => %L)', bad), 'invalid_token', 'E10: ' || what || ' ends nothing')
FROM (VALUES ('', 'an empty token'), ('garbage', 'garbage'), (left(:'r', -1) || CASE right(:'r', 1) WHEN 'A' THEN 'Q' ELSE 'A' END, 'a forged token'),
	(:'a', 'an access token')) AS bad (bad, what);
SELECT is(pg_temp.rows_of(:'s'), 2::bigint, 'E10: the session lives');
SELECT auth.authenticate(:'bobs_a') \g /dev/null
SELECT lives_ok(format('SELECT auth.logout(refresh_token => %L)', :'r'), 'a token counts in another user''s context, too');
SELECT is(pg_temp.rows_of(:'s'), 0::bigint, 'it ended its own session');
SELECT is(pg_temp.rows_of(:'bobs_s'), 2::bigint, 'and not that of the context');
RESET auth_session.context_token;

-- ---- all ----

SELECT access_token AS a, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS a2, session_id AS s2 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS a3, refresh_token AS r3, session_id AS s3 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT auth.authenticate(:'a') \g /dev/null
SELECT is(auth.logout_all(keep_current => true), 2, 'D10: all but the current session: two');
SELECT is(auth.session_id(), :'s', 'D10: the current one lives');
SELECT is(pg_temp.rows_of(:'s2') + pg_temp.rows_of(:'s3'), 0::bigint, 'D10: the others are gone');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a2'), 'session_revoked', 'D10: with their access tokens');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r3'), 'session_revoked', 'E9: and their refresh tokens');
SELECT is(auth.logout_all(keep_current => true), 0, 'D10: then none is left to end');
SELECT session_id AS s2 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT is(auth.logout_all(), 2, 'D10: all sessions: two');
SELECT is(pg_temp.rows_of(:'s') + pg_temp.rows_of(:'s2'), 0::bigint, 'D10: they are gone');
SELECT is(auth.uid(), NULL, 'D10: the context with them');
SELECT pg_temp.raises('SELECT auth.logout_all()', 'session_revoked', 'D10: which can''t do it twice');
SELECT is(pg_temp.rows_of(:'bobs_s'), 2::bigint, 'D10: another user''s session lives');
SELECT is((SELECT count(*) FROM auth_admin.audit_log WHERE action = 'logout_all' AND user_id = :'ada' AND result = 'ok'), 3::bigint,
	'G6: each is in the audit log');
RESET auth_session.context_token;
SELECT auth.authenticate(access_token) FROM pg_temp.signin(pg_temp.email('ada')) \g /dev/null
SELECT is(auth.logout_all(NULL), 1, 'NULL keeps nothing');
RESET auth_session.context_token;
SELECT auth.authenticate(access_token) FROM pg_temp.signin(pg_temp.email('ada')) \g /dev/null
SELECT pg_temp.raises_when_read_only('SELECT auth.logout_all()', 'logging out all in a read-only transaction says so');

SELECT * FROM finish();
ROLLBACK;
