-- notify_new_signin: of which sign-ins a user is told, and what a device is.
\ir helper/common.psql

BEGIN;
SELECT plan(33);
SET LOCAL auth_session.trusted_proxies = 1;

-- Signs in from an address by a user agent; how often the user was told.
CREATE FUNCTION pg_temp.told(address text, agent text, name text DEFAULT 'ada') RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	before integer;
	told CONSTANT text := $q$SELECT count(*) FROM auth_private.outbox WHERE kind = 'new_signin' AND recipient = pg_temp.email($1)$q$;
	after integer;
BEGIN
	EXECUTE told INTO before USING name;
	PERFORM set_config('request.headers', jsonb_build_object('x-forwarded-for', address, 'user-agent', agent)::text, true);
	PERFORM pg_temp.signin(pg_temp.email(name));
	EXECUTE told INTO after USING name;
	RETURN after - before;
END
$$;

\set firefox 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'
\set firefox2 'Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0'
\set chrome 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36'
\set edge 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0'
\set safari 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1'

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset

SELECT is(pg_temp.told('192.0.2.1', :'firefox'), 1, 'always is the default: a sign-in is told');
SELECT is(pg_temp.told('192.0.2.1', :'firefox'), 1, 'and the next one, too');
SELECT is((SELECT count(*) FROM auth_private.devices), 0::bigint, 'and no device is kept');
SET LOCAL auth_session.notify_new_signin = 'never';
SELECT is(pg_temp.told('192.0.2.1', :'firefox'), 0, 'never is never');

SET LOCAL auth_session.notify_new_signin = 'new_device';
SELECT is(pg_temp.told('192.0.2.1', :'firefox'), 1, 'a first device is new');
SELECT is(pg_temp.told('192.0.2.1', :'firefox'), 0, 'and then it is known');
SELECT is(pg_temp.told('192.0.2.200', :'firefox2'), 0, 'also after an update, and in the same network');
SELECT is((SELECT count(*) FROM auth_private.devices), 1::bigint, 'for which one row is enough');
SELECT is((SELECT device FROM auth_private.devices), '192.0.2.0/24 Firefox Linux', 'that names network and family');
SELECT is(pg_temp.told('192.0.3.1', :'firefox'), 1, 'another network is another device');
SELECT is(pg_temp.told('192.0.2.1', :'chrome'), 1, 'another browser');
SELECT is(pg_temp.told('192.0.2.1', :'edge'), 1, 'one that names itself after others');
SELECT is(pg_temp.told('192.0.2.1', :'safari'), 1, 'another system');
SELECT is(pg_temp.told('2001:db8:1:2::1', :'firefox'), 1, 'IPv6');
SELECT is(pg_temp.told('2001:db8:1:ffff::9', :'firefox'), 0, 'of which a site is one network');
SELECT is(pg_temp.told('2001:db8:2::1', :'firefox'), 1, 'and another site another');
SELECT is(pg_temp.told('::ffff:192.0.2.9', :'firefox'), 0, 'B8: IPv4 in IPv6 is IPv4');
SELECT is(pg_temp.told('192.0.2.1', 'notes/1.2 (sync)'), 1, 'an application');
SELECT is(pg_temp.told('192.0.2.1', 'notes/1.3 (sync)'), 0, 'of another version');
SELECT is(pg_temp.told('unreadable', ''), 1, 'what says nothing is one device');
SELECT is(pg_temp.told('unreadable', ''), 0, 'as well');
SELECT is(pg_temp.told('192.0.2.1', :'firefox', 'bob'), 1, 'another user''s devices are none of his');

-- How long.
SELECT count(*) AS rows FROM auth_private.devices \gset
UPDATE auth_private.devices SET seen_at = clock_timestamp() - interval '2 days';
SELECT is(pg_temp.told('192.0.2.1', :'firefox'), 0, 'it is known after two days');
SELECT is((SELECT count(*) FROM auth_private.devices), :rows + 1::bigint, 'and noted anew');
UPDATE auth_private.devices SET seen_at = clock_timestamp() - interval '91 days';
SELECT is(pg_temp.told('192.0.2.1', :'firefox'), 1, 'after 90 days it is new again');
SELECT auth_admin.prune() \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.devices), 1::bigint, 'and the old rows are pruned');
SELECT auth_admin.delete_user(:'ada') \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.devices WHERE user_id = :'ada'), 0::bigint, 'with the account its devices go');

-- After failures the user hears of it in any case.
SELECT is(pg_temp.told('192.0.2.1', :'firefox', 'bob'), 1, 'it was forgotten');
SELECT is(pg_temp.told('192.0.2.1', :'firefox', 'bob'), 0, 'and is known');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, ''a wrong password'')', pg_temp.email('bob')), 'invalid_credentials', 'B12: after failure ' || n) FROM generate_series(1, 2) AS n;
SET LOCAL auth_session.signin_rate_per_account = 100;
DO $$ BEGIN FOR n IN 1 .. 4 LOOP
	BEGIN PERFORM auth.signin(pg_temp.email('bob'), 'a wrong password'); EXCEPTION WHEN SQLSTATE 'PT401' THEN NULL; END;
END LOOP; END $$;
SELECT is(pg_temp.told('192.0.2.1', :'firefox', 'bob'), 1, 'B12: a known device is told');
SET LOCAL auth_session.notify_new_signin = 'never';
SELECT is(pg_temp.told('192.0.2.1', :'firefox', 'bob'), 1, 'B12: where sign-ins never are, too');

SELECT * FROM finish();
ROLLBACK;
