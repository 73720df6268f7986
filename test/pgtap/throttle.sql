-- How often one may try: counted in shared memory, where no rollback reaches.
-- The counts are by identifier and client address; each test has its own.
\ir helper/common.psql

BEGIN;
SELECT plan(100);
-- Windows lie on a grid that starts with the server: none ends during this file.
SET LOCAL auth_session.rate_window = '1d';
-- On for the tests that are theirs, so that nothing else has counted there.
SET LOCAL auth_session.signup_rate_per_address = 0;
SET LOCAL auth_session.refusal_rate_per_address = 0;

-- A documentation address (RFC 5737, RFC 3849) that no other run used lately.
SELECT ('x' || lpad(:'run', 16, '0'))::bit(64)::bigint AS serial \gset
CREATE FUNCTION pg_temp.ipv4(number integer) RETURNS text LANGUAGE sql AS $$
	SELECT format('10.%s.%s.%s', (serial >> 8) & 255, serial & 255, number)
	FROM (SELECT ('x' || lpad(current_setting('pgtap.run'), 16, '0'))::bit(64)::bigint AS serial) AS run
$$;
CREATE FUNCTION pg_temp.ipv6(network integer, host text) RETURNS text LANGUAGE sql AS $$
	SELECT format('2001:db8:%s:%s:%s', to_hex(serial & 65535), to_hex(network), host)
	FROM (SELECT ('x' || lpad(current_setting('pgtap.run'), 16, '0'))::bit(64)::bigint AS serial) AS run
$$;
CREATE FUNCTION pg_temp.from_address(address text) RETURNS text LANGUAGE sql AS $$
	SELECT set_config('request.headers', json_build_object('x-forwarded-for', address)::text, true)
$$;
CREATE FUNCTION pg_temp.try(address text, password text DEFAULT 'a wrong password') RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(pg_temp.failure(format('SELECT auth.signin(%L, %L)', address, password)) ->> 'detail', 'signed in')
$$;
-- The answers to so many wrong tries: how often which.
CREATE FUNCTION pg_temp.tries(address text, times integer) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	answers jsonb := '{}';
	answer text;
BEGIN
	FOR n IN 1 .. times LOOP
		answer := pg_temp.try(address);
		answers := answers || jsonb_build_object(answer, coalesce((answers ->> answer)::int, 0) + 1);
	END LOOP;
	RETURN answers;
END
$$;

-- ---- ten failures of one account from one client ----

-- The client of what follows, up to where others come.
SET LOCAL auth_session.trusted_proxies = 1;
SELECT pg_temp.from_address(pg_temp.ipv4(50)) \g /dev/null

SELECT pg_temp.account(pg_temp.email('Ada')) AS ada \gset
SELECT is(pg_temp.tries(pg_temp.email('ada'), 12), '{"invalid_credentials": 10, "throttled": 2}', 'B4: of twelve wrong passwords ten are looked at');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), pg_temp.password()),
	'throttled', 'B4: then the right one isn''t, either, for so many seconds', '^[1-9][0-9]{0,4}$');
SELECT is(pg_temp.tries(pg_temp.email('nobody'), 12), '{"invalid_credentials": 10, "throttled": 2}', 'B1: an unknown account is treated alike');
SELECT is(pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('nobody'), 'a wrong password')) - 'hint',
	pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), pg_temp.password())) - 'hint', 'B1: in the same words');
SELECT auth.signup(pg_temp.email('pending'), pg_temp.password()) \g /dev/null
SELECT is(pg_temp.tries(pg_temp.email('pending'), 12), '{"invalid_credentials": 10, "throttled": 2}', 'B1: and so is a pending one');
SELECT is(pg_temp.try(twin), 'throttled', 'B9: all spellings of an address have one count: ' || twin)
FROM unnest(ARRAY[upper(pg_temp.email('ada')), replace(pg_temp.email('ada'), 'pgtap', 'PGTAP')]) AS twin;
SELECT pg_temp.account(pg_temp.email('kassandra')) AS kassandra \gset
SELECT is(pg_temp.tries(replace(pg_temp.email('kassandra'), 'k', U&'\212A'), 5) || pg_temp.tries(replace(pg_temp.email('kassandra'), '@pgtap', U&'@\FF50gtap'), 6),
	'{"invalid_credentials": 5, "throttled": 1}', 'B9: also those with the Kelvin sign and a full-width letter in the domain');

-- ---- a success counts nothing ----

SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT is(string_agg(DISTINCT pg_temp.try(pg_temp.email('bob'), pg_temp.password()), ','), 'signed in', 'B4: twelve right passwords count as nothing')
FROM generate_series(1, 12);
SELECT is(pg_temp.tries(pg_temp.email('bob'), 9), '{"invalid_credentials": 9}', 'B4: nine wrong ones');
SELECT is(pg_temp.try(pg_temp.email('bob'), pg_temp.password()), 'signed in', 'B4: leave room for a right one');
SELECT is(pg_temp.tries(pg_temp.email('bob'), 2), '{"invalid_credentials": 1, "throttled": 1}', 'B4: which takes back its own count only');

-- ---- no rollback gives a try back (B6) ----

SELECT pg_temp.account(pg_temp.email('cyd')) AS cyd \gset
SAVEPOINT attack;
SELECT is(pg_temp.tries(pg_temp.email('cyd'), 10), '{"invalid_credentials": 10}', 'B6: ten wrong passwords');
ROLLBACK TO attack;
SELECT is(pg_temp.try(pg_temp.email('cyd'), pg_temp.password()), 'throttled', 'B6: count after ROLLBACK TO SAVEPOINT');
SELECT pg_temp.comes_true(format($$SELECT count(*) = 10 FROM auth_admin.audit_log WHERE user_id = %L AND action = 'signin'
		AND result = 'invalid_credentials'$$, :'cyd'), 'B6: and each is in the audit log');
SELECT results_eq(format($$SELECT count(*) FROM auth_admin.audit_log WHERE user_id = %L AND result = 'throttled'$$, :'cyd'), ARRAY[0::bigint],
	'what cost no hash is counted, not recorded');
-- As PostgREST's ?select= does: the statement fails after the function answered.
SELECT pg_temp.account(pg_temp.email('cast')) AS cast \gset
SELECT is(string_agg(DISTINCT pg_temp.failure(format('SELECT (auth.signin(%L, %L)).token_type::int', pg_temp.email('cast'), pg_temp.password())) ->> 'sqlstate', ','),
	'22P02', 'B6: a caller can spoil its own sign-in') FROM generate_series(1, 3);
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'cast'), 0::bigint, 'B6: and then has none');

-- ---- without a trusted proxy there is no client, only the limit from all ----

SET LOCAL auth_session.trusted_proxies = 0;
SET LOCAL auth_session.signin_rate_per_account = 2;
SET LOCAL auth_session.signin_rate_per_address = 1;
SET LOCAL auth_session.refusal_rate_per_address = 1;
SELECT pg_temp.account(pg_temp.email('gil')) AS gil \g /dev/null
SELECT is(pg_temp.tries(pg_temp.email('gil'), 22), '{"invalid_credentials": 20, "throttled": 2}', 'B4: without a proxy ten times the rate is looked at');
SELECT is(pg_temp.try(pg_temp.email('nobody''s'), pg_temp.password()), 'invalid_credentials', 'B4: and an address has no limit');
RESET auth_session.signin_rate_per_account;
RESET auth_session.signin_rate_per_address;
SET LOCAL auth_session.refusal_rate_per_address = 0;
SET LOCAL auth_session.trusted_proxies = 1;

-- ---- client addresses ----

SELECT pg_temp.account(pg_temp.email('dan')) AS dan \gset
SELECT pg_temp.from_address(pg_temp.ipv4(1)) \g /dev/null
SELECT is(pg_temp.tries(pg_temp.email('dan'), 11), '{"invalid_credentials": 10, "throttled": 1}', 'B7: ten failures from one address');
SELECT pg_temp.from_address('::ffff:' || pg_temp.ipv4(1)) \g /dev/null
SELECT is(pg_temp.try(pg_temp.email('dan')), 'throttled', 'B8: an IPv4 address in IPv6 is the same');
SELECT pg_temp.from_address(format('%s, %s', pg_temp.ipv4(2), pg_temp.ipv4(1))) \g /dev/null
SELECT is(pg_temp.try(pg_temp.email('dan')), 'throttled', 'B8: what a client put before it is ignored');
SELECT pg_temp.from_address(pg_temp.ipv4(2)) \g /dev/null
SELECT is(pg_temp.try(pg_temp.email('dan'), pg_temp.password()), 'signed in', 'B7: the owner gets in from another address at once');
SELECT pg_temp.from_address(pg_temp.ipv6(1, ':1')) \g /dev/null
SELECT is(pg_temp.tries(pg_temp.email('dan'), 10), '{"invalid_credentials": 10}', 'B8: ten failures from an IPv6 address');
CREATE FUNCTION pg_temp.try_from(client text, address text, password text DEFAULT 'a wrong password') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.from_address(client);
	RETURN pg_temp.try(address, password);
END
$$;
SELECT is(pg_temp.try_from(client, pg_temp.email('dan')), 'throttled', 'B8: and so from its whole /64: ' || client)
FROM unnest(ARRAY[pg_temp.ipv6(1, '0:0:0:1'), upper(pg_temp.ipv6(1, ':abcd')), pg_temp.ipv6(1, 'ffff:ffff:ffff:ffff'), pg_temp.ipv6(1, '0:0:192.0.2.1')]) AS client;
SELECT is(pg_temp.try_from(pg_temp.ipv6(2, ':1'), pg_temp.email('dan'), pg_temp.password()), 'signed in', 'B8: the next /64 is another');

-- A hundred failures of one account from all addresses together.
SELECT pg_temp.account(pg_temp.email('spread')) AS spread \gset
SET LOCAL auth_session.signin_rate_per_account = 1;
SELECT is(string_agg(pg_temp.try_from(pg_temp.ipv4(100 + n), pg_temp.email('spread')), ',' ORDER BY n), rtrim(repeat('invalid_credentials,', 10), ','),
	'B4: ten failures, each from another address') FROM generate_series(1, 10) AS n;
SELECT is(pg_temp.try_from(pg_temp.ipv4(120), pg_temp.email('spread'), pg_temp.password()), 'throttled',
	'B4: ten times the rate is the limit from all addresses together');
RESET auth_session.signin_rate_per_account;

-- One address at many accounts.
SET LOCAL auth_session.signin_rate_per_address = 3;
SELECT is(string_agg(pg_temp.try_from(pg_temp.ipv4(3), pg_temp.email('stuffed' || n)), ',' ORDER BY n),
	'invalid_credentials,invalid_credentials,invalid_credentials,throttled,throttled', 'B4: an address may fail so often, at whatever accounts')
FROM generate_series(1, 5) AS n;
SELECT is(pg_temp.try_from(pg_temp.ipv4(3), pg_temp.email('dan'), pg_temp.password()), 'throttled', 'B4: and then tries no other');
SELECT is(pg_temp.try_from(pg_temp.ipv4(4), pg_temp.email('dan'), pg_temp.password()), 'signed in', 'B7: which is nothing to another address');
SET LOCAL auth_session.trusted_proxies = 0;
SELECT is(pg_temp.try_from(pg_temp.ipv4(3), pg_temp.email('dan'), pg_temp.password()), 'signed in', 'B8: without a trusted proxy the header is ignored');
SET LOCAL auth_session.trusted_proxies = 2;
SELECT is(pg_temp.try_from(format('%s, %s', pg_temp.ipv4(3), pg_temp.ipv4(9)), pg_temp.email('dan'), pg_temp.password()), 'throttled',
	'B8: with two proxies the second from the right counts');
SELECT is(pg_temp.try_from(format('%s, %s', pg_temp.ipv4(9), pg_temp.ipv4(3)), pg_temp.email('dan'), pg_temp.password()), 'signed in',
	'B8: and not the first');
SET LOCAL auth_session.trusted_proxies = 1;
SELECT is(pg_temp.try_from(pg_temp.ipv4(3) || ':1234', pg_temp.email('dan'), pg_temp.password()), 'throttled', 'H11: a port makes no other address');
RESET auth_session.signin_rate_per_address;

-- ---- the window ----

SELECT pg_temp.account(pg_temp.email('eve')) AS eve \gset
SET LOCAL auth_session.trusted_proxies = 0;
SET LOCAL auth_session.rate_window = 2;
SET LOCAL auth_session.signin_rate_per_account = 1;
CREATE FUNCTION pg_temp.locked_out(address text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	-- Each edge of a window lets another try pass.
	FOR n IN 1 .. 30 LOOP
		answer := pg_temp.try(address);
		EXIT WHEN answer = 'throttled';
	END LOOP;
	RETURN answer;
END
$$;
SELECT is(pg_temp.locked_out(pg_temp.email('eve')), 'throttled', 'B7: who is locked out');
SELECT pg_temp.comes_true(format('SELECT pg_temp.try(%L, pg_temp.password()) = %L', pg_temp.email('eve'), 'signed in'),
	'B7: gets in again when the window has passed');
SET LOCAL auth_session.signin_rate_per_account = 0;
SELECT is(pg_temp.tries(pg_temp.email('eve'), 12), '{"invalid_credentials": 12}', 'a rate of 0 is none');
RESET auth_session.signin_rate_per_account;
SET LOCAL auth_session.rate_window = '1d';

-- ---- a reset clears it (B7) ----

-- The owner's client has failed once too often, and all clients together have.
SET LOCAL auth_session.trusted_proxies = 1;
SET LOCAL auth_session.signin_rate_per_account = 1;
SELECT pg_temp.account(pg_temp.email('fay')) AS fay \gset
SELECT is(string_agg(pg_temp.try_from(pg_temp.ipv4(60 + n), pg_temp.email('fay')), ',' ORDER BY n), rtrim(repeat('invalid_credentials,', 10), ','),
	'B7: ten clients fail, the owner''s among them') FROM generate_series(1, 10) AS n;
SELECT is(pg_temp.try_from(pg_temp.ipv4(60), pg_temp.email('fay'), pg_temp.password()), 'throttled', 'B7: who fails from all is locked out everywhere');
SET LOCAL auth_session.signin_rate_per_account = 2;
SELECT is(pg_temp.try_from(pg_temp.ipv4(61), pg_temp.email('fay')), 'invalid_credentials', 'B7: and once more from the owner''s');
SET LOCAL auth_session.signin_rate_per_account = 1;
SELECT is(pg_temp.try(pg_temp.email('fay'), pg_temp.password()), 'throttled', 'B7: a locked-out owner');
SELECT lives_ok(format('SELECT auth.request_password_reset(%L)', pg_temp.email('fay')), 'B7: can still ask for a reset');
SELECT pg_temp.code(pg_temp.email('fay'), 'password_reset') AS code \gset
SAVEPOINT reset;
SELECT auth.reset_password(pg_temp.email('fay'), :'code', 'a new good one') \g /dev/null
SELECT is(pg_temp.try(pg_temp.email('fay'), 'a new good one'), 'signed in', 'B7: within the transaction of a reset they are forgiven');
ROLLBACK TO reset;
SELECT is(pg_temp.try(pg_temp.email('fay'), pg_temp.password()), 'throttled', 'B7: one that is rolled back forgives nothing');
SELECT pg_temp.from_address(pg_temp.ipv4(99)) \g /dev/null
SELECT lives_ok(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.email('fay'), :'code', 'a new good one'), 'B7: use it, from whatever client');
SELECT is(pg_temp.try_from(pg_temp.ipv4(60 + n), pg_temp.email('fay'), 'a new good one'), 'signed in', 'B7: and sign in at once, from each that had failed: ' || n)
FROM generate_series(0, 2) AS n;
SELECT is(string_agg(pg_temp.try_from(pg_temp.ipv4(80 + n), pg_temp.email('fay')), ',' ORDER BY n), rtrim(repeat('invalid_credentials,', 10), ',') || ',throttled',
	'B7: no more is forgiven than was counted') FROM generate_series(1, 11) AS n;
SELECT auth_admin.unlock(:'fay') \g /dev/null
SELECT is(pg_temp.try_from(pg_temp.ipv4(80 + n), pg_temp.email('fay'), 'a new good one'), 'signed in', 'B7: an operator forgives each client too: ' || n)
FROM generate_series(1, 2) AS n;
SELECT is(string_agg(pg_temp.try_from(pg_temp.ipv4(81), pg_temp.email('fay')), ',' ORDER BY n), 'invalid_credentials,throttled',
	'B7: and again no more than was counted') FROM generate_series(1, 2) AS n;
SELECT auth_admin.set_password(:'fay', 'set by an operator') \g /dev/null
SELECT is(pg_temp.try_from(pg_temp.ipv4(81), pg_temp.email('fay'), 'set by an operator'), 'signed in', 'B7: so does one who sets a password');
RESET auth_session.signin_rate_per_account;

-- ---- sign-ups ----

SET LOCAL auth_session.trusted_proxies = 1;
SET LOCAL auth_session.signup_rate_per_address = 2;
CREATE FUNCTION pg_temp.signs_up(client text, address text, password text DEFAULT pg_temp.password()) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.from_address(client);
	RETURN coalesce(pg_temp.failure(format('SELECT auth.signup(%L, %L)', address, password)) ->> 'detail', 'signed up');
END
$$;
SELECT is(string_agg(pg_temp.signs_up(pg_temp.ipv4(5), pg_temp.email('new' || n)), ',' ORDER BY n), 'signed up,signed up,throttled',
	'C14: an address may sign up so often') FROM generate_series(1, 3) AS n;
SELECT pg_temp.raises(format('SELECT auth.signup(%L, %L)', pg_temp.email('new4'), pg_temp.password()), 'throttled', 'C14: and is told for how long not', '^[1-9][0-9]{0,4}$');
SELECT is(pg_temp.signs_up(pg_temp.ipv4(6), pg_temp.email('new5')), 'signed up', 'C14: which is nothing to another');
SELECT is(string_agg(pg_temp.signs_up(NULL, pg_temp.email('unread' || n)), ',' ORDER BY n), 'signed up,signed up,throttled',
	'H11: who has no address that can be read shares one count') FROM generate_series(1, 3) AS n;
SELECT is(string_agg(pg_temp.signs_up(pg_temp.ipv4(7), pg_temp.email('weak' || n), 'baseball'), ',' ORDER BY n), 'weak_password,weak_password,weak_password',
	'H9: a password that is refused counts as no sign-up') FROM generate_series(1, 3) AS n;
SELECT is(pg_temp.signs_up(pg_temp.ipv4(7), pg_temp.email('weak1')), 'signed up', 'H9: neither of the address nor of the client');
SET LOCAL auth_session.trusted_proxies = 0;
SELECT is(string_agg(DISTINCT pg_temp.signs_up(pg_temp.ipv4(5), pg_temp.email('direct' || n)), ','), 'signed up',
	'C14: without a proxy an address has no limit') FROM generate_series(1, 3) AS n;
SET LOCAL auth_session.trusted_proxies = 1;
SET LOCAL auth_session.signup_rate_per_address = 0;

-- ---- a client's budget of refusals (H9) ----

SET LOCAL auth_session.refusal_rate_per_address = 3;
SET LOCAL auth_session.message_rate_per_account = 0;
SET LOCAL auth_session.resend_cooldown = 0;
SELECT pg_temp.account(pg_temp.email('hal')) AS hal \g /dev/null
SELECT access_token, refresh_token FROM pg_temp.signin(pg_temp.email('hal')) \gset hal_
-- What calls from a client are answered, one after the other.
CREATE FUNCTION pg_temp.answers(client text, calls text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	call text;
	all_of_them text;
BEGIN
	PERFORM pg_temp.from_address(client);
	FOREACH call IN ARRAY calls LOOP
		all_of_them := concat_ws(' ', all_of_them, coalesce(pg_temp.failure('SELECT auth.' || call) ->> 'detail', 'ok'));
	END LOOP;
	RETURN all_of_them;
END
$$;
SELECT is(pg_temp.answers(pg_temp.ipv4(200 + number), array_fill(call, ARRAY[4])), concat_ws(' ', code, code, code, 'throttled'), 'H9: three refusals are all that a client has: ' || call)
FROM (VALUES (1, 'signup(''none'', ''x'')', 'invalid_request'), (2, format('signup(%L, ''baseball'')', pg_temp.email('spent')), 'weak_password'),
	(3, format('signin(%L, NULL)', pg_temp.email('hal')), 'invalid_request'),
	(4, format('signin(%L, ''a wrong password'')', pg_temp.email('hal')), 'invalid_credentials'), (5, 'confirm(NULL, NULL)', 'invalid_request'),
	(6, format('confirm(%L, ''123456'')', pg_temp.email('spent')), 'invalid_code'), (7, 'resend_confirmation(''none'')', 'invalid_request'),
	(8, 'renew(''asr1_'')', 'invalid_token'), (9, 'request_password_reset(''none'')', 'invalid_request'), (10, 'reset_password(NULL, NULL, NULL)', 'invalid_request'),
	(11, 'logout(refresh_token => ''asr1_'')', 'invalid_token'), (12, 'signin_totp(''asm1_'', ''123456'')', 'invalid_token'),
	(13, 'request_signin_code(''none'')', 'feature_disabled'), (14, 'signin_code(NULL, NULL)', 'feature_disabled')) AS calls (number, call, code);
SELECT is(pg_temp.answers(pg_temp.ipv4(230), ARRAY['signup(''none'')', 'renew(''asr1_'')', 'confirm(''none'', ''1'')', format('signin(%L, %L)', pg_temp.email('hal'), pg_temp.password())]),
	'invalid_request invalid_token invalid_request throttled', 'H9: over all of them together');
SELECT is(pg_temp.answers(pg_temp.ipv4(231), array_fill(format('%s(%L)', call, pg_temp.email('unknown')), ARRAY[4])), 'ok ok ok throttled',
	'H9: a request for a message counts, since nobody is told whether it was right: ' || call)
FROM unnest(ARRAY['resend_confirmation']) AS call;
SELECT is(pg_temp.answers(pg_temp.ipv4(232), array_fill(format('request_password_reset(%L)', pg_temp.email('hal')), ARRAY[4])), 'ok ok ok throttled',
	'H9: and for a known address as for an unknown one');
SET LOCAL auth_session.passwordless = on;
SELECT is(pg_temp.answers(pg_temp.ipv4(235), array_fill(format('request_signin_code(%L)', pg_temp.email('hal')), ARRAY[4])), 'ok ok ok throttled',
	'H9: so does a request for a code to sign in');
SELECT is(pg_temp.answers(pg_temp.ipv4(236), array_fill(format('signin_code(%L, ''123456'')', pg_temp.email('spent')), ARRAY[4])), 'invalid_code invalid_code invalid_code throttled',
	'H9: and a wrong one');
RESET auth_session.passwordless;
SELECT is(pg_temp.answers(pg_temp.ipv4(233), array_fill(format('signin(%L, %L)', pg_temp.email('hal'), pg_temp.password()), ARRAY[5])), 'ok ok ok ok ok',
	'H9: what is right counts nothing');
SELECT is(pg_temp.answers(pg_temp.ipv4(230), ARRAY['signin()']), 'throttled', 'H9: a client that has spent its own is refused');
SELECT pg_temp.raises('SELECT auth.signin()', 'throttled', 'H9: and told for how long', '^[1-9][0-9]{0,4}$');
SELECT is(pg_temp.answers(pg_temp.ipv4(234), ARRAY['signin()']), 'invalid_request', 'H9: which is nothing to another');
SELECT is(pg_temp.answers('no address', array_fill('signin()'::text, ARRAY[4])), 'invalid_request invalid_request invalid_request throttled',
	'H11: who has no address that can be read shares one budget');
SELECT set_config('request.headers', json_build_object('x-forwarded-for', pg_temp.ipv4(230), 'authorization', 'Bearer ' || :'hal_access_token')::text, true) \g /dev/null
SELECT is(pg_temp.failure('SELECT auth.renew(''asr1_'')') ->> 'detail', 'throttled', 'H9: a token of one''s own opens no anonymous function');
SELECT lives_ok('SELECT auth.logout()', 'H9: but who is signed in logs out, whatever others do at the same address');
SET LOCAL auth_session.refusal_rate_per_address = 0;
RESET auth_session.message_rate_per_account;
RESET auth_session.resend_cooldown;

-- ---- messages to one address ----

SELECT is(string_agg(pg_temp.signs_up(pg_temp.ipv4(10 + n), pg_temp.email('mailed')), ',' ORDER BY n), rtrim(repeat('signed up,', 5), ',') || ',throttled',
	'C14: five messages go to one address, whoever asks') FROM generate_series(1, 6) AS n;
SELECT is(pg_temp.signs_up(pg_temp.ipv4(20), upper(pg_temp.email('mailed'))), 'throttled', 'B9: and however it is spelt');
SELECT is(pg_temp.signs_up(pg_temp.ipv4(20), pg_temp.email('other')), 'signed up', 'C14: which is nothing to another');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE recipient = pg_temp.email('mailed')), 5::bigint, 'C14: five are in the outbox');

-- ---- a signed-in user's own password ----

-- Last, as the context stays until the transaction ends.
SET LOCAL auth_session.trusted_proxies = 0;
SET LOCAL auth_session.signin_rate_per_account = 1;
SELECT pg_temp.account(pg_temp.email('gus')) AS gus \gset
SELECT auth.authenticate((pg_temp.signin(pg_temp.email('gus'))).access_token) \g /dev/null
SELECT pg_temp.raises('SELECT auth.change_password(''wrong one'', ''yet another one'')', 'invalid_credentials', 'B4: a wrong current password');
SELECT pg_temp.raises('SELECT auth.change_password(''' || pg_temp.password() || ''', ''yet another one'')', 'throttled', 'B4: is counted');
SELECT auth_admin.unlock(:'gus') \g /dev/null
SELECT lives_ok('SELECT auth.change_password(''' || pg_temp.password() || ''', ''yet another one'')', 'B7: and forgiven');
SELECT lives_ok('SELECT auth.change_password(''yet another one'', ''one more of them'')', 'B4: a right one counts as nothing');
SELECT lives_ok('SELECT auth.change_password(''one more of them'', ''the last of them'')', 'B4: however often');
RESET auth_session.signin_rate_per_account;

SELECT * FROM finish();
ROLLBACK;
