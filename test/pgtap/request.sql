-- What request.headers says of a request: names in any case, arrays, the client
-- address in whatever form a proxy writes it, and what can't be read. H11: an
-- odd header switches nothing off, and nobody escapes a limit by it.
\ir helper/common.psql

BEGIN;
SELECT plan(103);
SET LOCAL auth_session.signin_rate_per_account = 0;

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT access_token AS a FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS a_bob FROM pg_temp.signin(pg_temp.email('bob')) \gset

-- Whose request it is with these headers, and what check_request says.
CREATE FUNCTION pg_temp.caller(headers text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('request.headers', headers, true);
	RETURN concat_ws(' ', coalesce((SELECT email FROM auth_private.accounts WHERE id = auth.uid()), 'nobody'),
		pg_temp.failure('SELECT auth.check_request()') ->> 'detail');
END
$$;

-- ---- names and values ----

SELECT is(pg_temp.caller(json_build_object(name, 'Bearer ' || :'a')::text), pg_temp.email('ada'), 'H11: a header may be called ' || name)
FROM unnest(ARRAY['authorization', 'Authorization', 'AUTHORIZATION', 'aUTHORIZATION']) AS name;
SELECT is(pg_temp.caller(format('{"Authorization": %s}', value)), expected, 'H11: Go''s array, ' || what)
FROM (VALUES
	(json_build_array('Bearer ' || :'a'), pg_temp.email('ada'), 'of one'),
	(json_build_array('Bearer ' || :'a', 'Bearer ' || :'a_bob'), pg_temp.email('bob'), 'by its last entry'),
	(json_build_array('Bearer ' || :'a', 'Bearer garbage'), 'nobody invalid_token', 'whose last entry is bad'),
	(json_build_array('Bearer ' || :'a', 1), 'nobody', 'whose last entry is no text'),
	('[]', 'nobody', 'of none')
) AS arrays (value, expected, what);
SELECT is(pg_temp.caller(format('{"authorization": %s, "Authorization": %s}', one, another)), expected, 'H5: two spellings, ' || what)
FROM (VALUES
	(to_json('Bearer ' || :'a'), to_json('Bearer ' || :'a'), pg_temp.email('ada'), 'the same'),
	(to_json('Bearer ' || :'a'), to_json('Bearer ' || :'a_bob'), 'nobody invalid_token', 'two tokens: neither is the one'),
	(to_json('Bearer ' || :'a'), to_json('Basic YTpi'::text), pg_temp.email('ada'), 'one of another scheme'),
	(to_json('Basic YTpi'::text), to_json('Bearer ' || :'a'), pg_temp.email('ada'), 'the other one of another scheme'),
	(to_json('Bearer ' || :'a'), to_json('Bearer'::text), 'nobody invalid_token', 'one without a token')
) AS two (one, another, expected, what);
SELECT is(pg_temp.caller(json_build_object('authorization', 'Bearer' || space || :'a')::text), pg_temp.email('ada'),
	'H5: white space after the scheme, as PostgREST takes it: ' || what)
FROM (VALUES (' ', 'a space'), ('   ', 'several'), (E'\t', 'a tab'), (E'\x0b', 'VT'), (E'\f', 'FF'), (E' \t ', 'a mixture')) AS blanks (space, what);
SELECT is(pg_temp.caller(json_build_object('authorization', value)::text), 'nobody invalid_token', 'H5: a bad bearer: ' || what)
FROM (VALUES ('Bearer', 'the scheme alone'), ('bearer ', 'and a blank'), (E'Bearer\t', 'and a tab'), ('Bearer x ' || :'a', 'two words'), ('Bearer ' || :'a' || ' ', 'a blank behind'),
	('Bearer ' || left(:'a', -1), 'a character short'), ('Bearer ' || :'a' || ', Bearer ' || :'a', 'two, joined')) AS bad (value, what);
SELECT is(pg_temp.caller(json_build_object('authorization', value)::text), 'nobody', 'another scheme is none of ours: ' || left(value, 7))
FROM unnest(ARRAY['Basic YTpi', 'Token ' || :'a', 'Bearer' || :'a', :'a', '']) AS value;

-- ---- odd headers beside it ----

SELECT is(pg_temp.caller(format('{"authorization": "Bearer %s", %s}', :'a', beside)), pg_temp.email('ada'), 'H11: the token counts beside ' || what)
FROM (VALUES
	('"x": "a\u0000b"', 'a NUL'), ('"a\u0000b": "x"', 'a NUL in a name'), ('"x": "\ud800"', 'half a surrogate pair'), ('"x": "\udc00\ud800"', 'two halves, swapped'),
	('"x": "' || repeat('\u0001', 51200) || '"', 'as many control characters as PostgREST takes'), ('"x": "' || repeat('"'::text, 0) || repeat('\"', 51200) || '"', 'as many quotes'),
	('"x": null', 'null'), ('"x": 1', 'a number'), ('"x": {"authorization": "Bearer x"}', 'an object'), ('"x": [["Authorization"]]', 'nested arrays'),
	('"x": "1", "x": "2"', 'a header twice'), ('"user-agent": 1', 'a user agent that is a number'), ('"user-agent": ["one", "two"]', 'two user agents')
) AS odd (beside, what);
SELECT is(pg_temp.caller(headers), 'nobody invalid_token', 'what can''t be read may hold a token: ' || what)
FROM (VALUES ('{"authorization": "Bearer x", "x": "\q"}', 'a bad escape'), ('{"x": "\u12"}', 'half an escape'), ('{"x": "' || repeat('a', 1048576) || '"}', 'a megabyte'),
	('{"authorization": "Basic x"', 'an object without its end'), ('"Bearer x"', 'no object'), ('{"x": ' || repeat('[', 40) || repeat(']', 40) || '}', 'forty levels')) AS bad (headers, what);
SELECT is(pg_temp.caller('{"authorization": "Bearer a\u0000"}'), 'nobody invalid_token', 'a NUL in the token');

-- ---- client addresses ----

-- As what a sign-in with this x-forwarded-for is on record.
CREATE FUNCTION pg_temp.seen_from(forwarded jsonb, name text DEFAULT 'x-forwarded-for') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	opened uuid;
BEGIN
	PERFORM set_config('request.headers', jsonb_build_object(name, forwarded)::text, true);
	opened := (pg_temp.signin(pg_temp.email('ada'))).session_id;
	RETURN (SELECT host(ip) FROM auth_private.sessions WHERE id = opened);
END
$$;
SET LOCAL auth_session.trusted_proxies = 1;
SELECT is(pg_temp.seen_from(to_jsonb(entry)), expected, 'H11: an address as ' || entry)
FROM (VALUES
	('203.0.113.7', '203.0.113.7'), ('203.0.113.7:54321', '203.0.113.7'), ('[2001:db8::1]', '2001:db8::1'), ('[2001:db8::1]:443', '2001:db8::1'), ('2001:DB8:0:0::1', '2001:db8::1'),
	('fe80::1%eth0', 'fe80::1'), ('[fe80::1%25eth0]:80', 'fe80::1'), ('"203.0.113.7"', '203.0.113.7'), ('"[2001:db8::1]:443"', '2001:db8::1'), (E' \t203.0.113.7\t ', '203.0.113.7'),
	('198.51.100.1, 203.0.113.7:1', '203.0.113.7'), ('198.51.100.1,"[2001:db8::1]:1"', '2001:db8::1'), ('::ffff:203.0.113.7', '203.0.113.7'), ('[::ffff:203.0.113.7]:8', '203.0.113.7'), ('64:ff9b::203.0.113.7', '203.0.113.7'), ('[64:ff9b::cb00:7107]:8', '203.0.113.7'), ('64:ff9b:1::203.0.113.7', '64:ff9b:1::cb00:7107')
) AS forms (entry, expected);
SELECT is(pg_temp.seen_from('["198.51.100.1", "192.0.2.9, 203.0.113.7"]'), '203.0.113.7', 'H11: of an array the last entry''s');
SELECT is(pg_temp.seen_from('"203.0.113.7"', name), '203.0.113.7', 'H11: the header may be called ' || name)
FROM unnest(ARRAY['X-Forwarded-For', 'X-FORWARDED-FOR']) AS name;
SELECT is(pg_temp.seen_from(to_jsonb(entry)), host(inet_client_addr()), 'what holds no address shows the connection''s: ' || left(entry, 30))
FROM unnest(ARRAY['', 'unknown', '_hidden', '203.0.113.7:', '203.0.113.7:x', '203.0.113.7:123456', '[2001:db8::1', '[2001:db8::1]x', '[2001:db8::1]443', '203.0.113.7%eth0',
	'999.1.1.1', '203.0.113.7,', '203.0.113.7 203.0.113.8', repeat('1', 10000)]) AS entry;

-- ---- and whose limits they are ----

-- The answer to a sign-in with these headers.
CREATE FUNCTION pg_temp.tries(headers text, password text DEFAULT pg_temp.password()) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('request.headers', headers, true);
	RETURN coalesce(pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), password)) ->> 'detail', 'signed in');
END
$$;
CREATE FUNCTION pg_temp.from_address(address text) RETURNS text LANGUAGE sql AS $$
	SELECT jsonb_build_object('x-forwarded-for', address)::text
$$;
-- Of this run only: counts outlive it.
CREATE FUNCTION pg_temp.ipv4(n int) RETURNS text LANGUAGE sql AS $$
	SELECT host('10.0.0.0'::inet + (('x' || lpad(current_setting('pgtap.run'), 16, '0'))::bit(64)::bigint * 8 + n) % 16777216)
$$;
SET LOCAL auth_session.signin_rate_per_address = 3;
SELECT is(string_agg(pg_temp.tries(pg_temp.from_address(form), 'wrong'), ','), 'invalid_credentials,invalid_credentials,invalid_credentials,throttled,throttled',
	'H11: one address is one client, in whatever form')
FROM unnest(ARRAY[pg_temp.ipv4(1), pg_temp.ipv4(1) || ':1', '"' || pg_temp.ipv4(1) || ':2"', '::ffff:' || pg_temp.ipv4(1), '64:ff9b::' || pg_temp.ipv4(1)]) AS form;
-- Three at most are free, if no other file has used them up.
SELECT pg_temp.tries('', 'wrong') FROM generate_series(1, 3) \g /dev/null
SELECT is(pg_temp.tries(headers), 'throttled', 'H11: who can''t be told apart is one client: ' || what)
FROM (VALUES ('', 'no headers'), ('{}', 'no such header'), ('{', 'no JSON'), ('{"x-forwarded-for": 1}', 'no text'), ('{"x-forwarded-for": []}', 'no entry'),
	(format('{"x-forwarded-for": "%s", "X-Forwarded-For": 5}', pg_temp.ipv4(3)), 'no text in the last of two'), (pg_temp.from_address('unknown'), 'no address'), (pg_temp.from_address(repeat('1', 10000)), 'too long'), ('{"x": "' || repeat('a', 1048576) || '"}', 'too much')) AS bad (headers, what);
SELECT is(pg_temp.tries(pg_temp.from_address(pg_temp.ipv4(2))), 'signed in', 'H11: which is nothing to a client that can');
SELECT is(pg_temp.tries(format('{"x-forwarded-for": "%s", %s}', pg_temp.ipv4(1), beside)), 'throttled', 'H11: and no odd header beside it changes whose it is: ' || what)
FROM (VALUES ('"x": "\u0000"', 'NUL'), ('"x": "' || repeat('\u0001', 51200) || '"', 'long'), ('"authorization": 5', 'another type')) AS odd (beside, what);
SET LOCAL auth_session.trusted_proxies = 2;
SELECT is(pg_temp.tries(pg_temp.from_address(pg_temp.ipv4(2))), 'throttled', 'H11: fewer entries than proxies: it came past one of them');
SELECT is(pg_temp.tries(pg_temp.from_address(pg_temp.ipv4(2) || ':5, ' || pg_temp.ipv4(1))), 'signed in', 'B8: with two proxies the second from the right');
SET LOCAL auth_session.trusted_proxies = 0;
SELECT is(pg_temp.tries(''), 'signed in', 'without a trusted proxy there is no client, and no limit of its own');

SELECT * FROM finish();
ROLLBACK;
