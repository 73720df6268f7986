-- auth_session.max_sessions_per_user and auth_session.session_max_age, what
-- auth.sessions shows of them, and a sign-in after others had failed.
\ir helper/common.psql

BEGIN;
SELECT plan(24);
SET LOCAL auth_session.events = 'session_ended';

CREATE FUNCTION pg_temp.told(of_user uuid, of_kind text) RETURNS SETOF jsonb LANGUAGE sql AS $$
	SELECT payload FROM auth_private.outbox WHERE user_id = of_user AND kind = of_kind ORDER BY created_at
$$;

-- ---- at most so many ----

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SET LOCAL auth_session.max_sessions_per_user = 2;
SELECT access_token AS a1, refresh_token AS r1, session_id AS s1 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS a2, refresh_token AS r2, session_id AS s2 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT is((SELECT count(*) FROM pg_temp.told(:'ada', 'session_revoked')), 0::bigint, 'as many sessions as may be end none');
-- A renewal makes no session younger.
SELECT refresh_token AS r1 FROM auth.renew(:'r1') \gset
SELECT access_token AS a3, session_id AS s3 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r1'), 'session_revoked', 'D12: one more ends the oldest, however often renewed');
SELECT is(auth.verify(:'a2') ->> 'session_id', :'s2', 'D12: and no other');
SELECT is((SELECT count(*) FROM pg_temp.told(:'ada', 'session_revoked')), 1::bigint, 'the user is told');
SELECT is((SELECT payload - 'at' FROM pg_temp.told(:'ada', 'session_revoked') AS payload), '{"reason": "session_limit", "session_limit": 2}', 'and why');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'session_ended'), 1::bigint, 'applications hear of it');
SELECT auth.authenticate(:'a3') \g /dev/null
SELECT results_eq('SELECT id FROM auth.sessions()', format('VALUES (%L::uuid), (%L::uuid)', :'s3', :'s2'), 'D12: the list has the two that are left');

-- One that a revocation ends, though somebody holds its row, counts no more.
INSERT INTO auth_private.revocations (user_id, session_id, id, weight, at) VALUES (:'ada', :'s3', gen_random_uuid(), 0, clock_timestamp());
SELECT session_id AS s4 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT is(auth.verify(:'a2') ->> 'session_id', :'s2', 'D12: one that has ended, and whose row is held, takes up no place');
DELETE FROM auth_private.revocations WHERE user_id = :'ada';
RESET auth_session.context_token;

-- Nor does an expired one, or an operator's as the user.
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT access_token AS b1, session_id AS sb1 FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT access_token AS b2, session_id AS sb2 FROM pg_temp.signin(pg_temp.email('bob')) \gset
UPDATE auth_private.sessions SET amr = '{impersonation}', actor = 'support' WHERE id = :'sb2';
SELECT access_token AS b3, session_id AS sb3 FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT is(auth.verify(:'b1') ->> 'session_id', :'sb1', 'an impersonation is not counted');
SELECT session_id AS sb4 FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'b1'), 'session_revoked', 'the user''s own are');
SELECT is(auth.verify(:'b2') ->> 'session_id', :'sb2', 'and it does not end for them');
SELECT is((SELECT count(*) FROM pg_temp.told(:'bob', 'session_revoked')), 1::bigint, 'of which the user hears once');

-- A lower limit ends all that are too many, with one word.
SET LOCAL auth_session.max_sessions_per_user = 0;
SELECT pg_temp.account(pg_temp.email('cyd')) AS cyd \gset
SELECT pg_temp.signin(overlay(pg_temp.email('cyd') PLACING '' FROM n FOR 0)) FROM generate_series(1, 5) AS n \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'cyd'), 5::bigint, 'without a limit any number goes on');
SET LOCAL auth_session.max_sessions_per_user = 2;
SELECT pg_temp.signin(pg_temp.email('cyd')) \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'cyd'), 2::bigint, 'D12: a lower one holds from the next sign-in on');
SELECT is((SELECT count(*) FROM pg_temp.told(:'cyd', 'session_revoked')), 1::bigint, 'with one message');
SET LOCAL auth_session.max_sessions_per_user = 0;

-- ---- a greatest age ----

SET LOCAL auth_session.session_max_age = 3600;
SET LOCAL auth_session.refresh_token_ttl = 600;
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT auth.authenticate(:'a') \g /dev/null
SELECT is((SELECT expires_at - created_at FROM auth.sessions() WHERE id = :'s'), interval '10 minutes', 'sessions() shows the idle end where it comes first');
SET LOCAL auth_session.refresh_token_ttl = 7200;
SELECT ends_at FROM auth_private.sessions WHERE id = :'s' \gset
SELECT access_token AS a, refresh_token AS next FROM auth.renew(:'r') \gset
SELECT auth.authenticate(:'a') \g /dev/null
SELECT is((SELECT expires_at FROM auth.sessions() WHERE id = :'s'), :'ends_at', 'D4: and the absolute one, from the renewal that would pass it');
SET LOCAL auth_session.session_max_age = 36000;
SELECT access_token AS again FROM auth.renew(:'r') \gset
SELECT is(pg_temp.claims(:'again') ->> 'jti', pg_temp.claims(:'a') ->> 'jti', 'a retry within the grace answers the same');
SELECT is((SELECT ends_at FROM auth_private.sessions WHERE id = :'s'), :'ends_at', 'D4: and moves no absolute end');
SELECT auth.renew(:'next') \g /dev/null
SELECT is((SELECT concat_ws('|', ends_at, expires_at) FROM auth_private.sessions WHERE id = :'s'), :'ends_at' || '|' || :'ends_at', 'D4: nor does a renewal under a longer one');
RESET auth_session.context_token;

-- ---- a sign-in after others had failed ----

SET LOCAL auth_session.signin_rate_per_account = 10;
SELECT pg_temp.account(pg_temp.email('dan')) AS dan \gset
SELECT pg_temp.failure(format('SELECT auth.signin(%L, ''a wrong password'')', pg_temp.email('dan'))) FROM generate_series(1, 4) \g /dev/null
SELECT pg_temp.signin(pg_temp.email('dan')) \g /dev/null
SELECT is((SELECT payload ->> 'reason' FROM pg_temp.told(:'dan', 'new_signin') AS payload), NULL, 'B12: a few wrong passwords are mistyped ones');
SELECT pg_temp.failure(format('SELECT auth.signin(%L, ''a wrong password'')', pg_temp.email('dan'))) \g /dev/null
SELECT pg_temp.signin(overlay(pg_temp.email('dan') PLACING '' FROM 1 FOR 0)) \g /dev/null
SELECT is((SELECT array_agg(payload ->> 'reason') FROM pg_temp.told(:'dan', 'new_signin') AS payload), ARRAY[NULL, 'after_failures'], 'B12: after more, the user hears it with the sign-in');
SELECT pg_temp.account(pg_temp.email('eve')) AS eve \gset
SELECT pg_temp.signin(pg_temp.email('eve')) \g /dev/null
SELECT is((SELECT payload ->> 'reason' FROM pg_temp.told(:'eve', 'new_signin') AS payload), NULL, 'B12: nobody else does');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'dan' AND kind = 'new_signin'), 2::bigint, 'B12: in one message each');

SELECT * FROM finish();
ROLLBACK;
