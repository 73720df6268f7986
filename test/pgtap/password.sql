-- Which passwords are taken, what is kept of them, and when it is renewed.
\ir helper/common.psql

BEGIN;
SELECT plan(103);
SET LOCAL auth_session.message_rate_per_account = 0;
SET LOCAL auth_session.signin_rate_per_account = 0;

-- Whether a sign-up with a password goes through; the failure code otherwise.
CREATE FUNCTION pg_temp.taken(password text, address text DEFAULT pg_temp.email('somebody'), phone text DEFAULT NULL) RETURNS text
LANGUAGE sql AS $$
	SELECT coalesce(pg_temp.failure(format('SELECT auth.signup(%L, %L, %L)', address, password, phone)) ->> 'detail', 'taken')
$$;
CREATE FUNCTION pg_temp.signs_in(address text, password text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(pg_temp.failure(format('SELECT auth.signin(%L, %L)', address, password)) ->> 'detail', 'signed in')
$$;
CREATE FUNCTION pg_temp.hash(account uuid) RETURNS text LANGUAGE sql AS $$
	SELECT password_hash FROM auth_private.accounts WHERE id = account
$$;

-- ---- length ----

SELECT is(pg_temp.taken('ab cd ef'), 'taken', 'A1: a password of eight characters is long enough');
SELECT is(pg_temp.taken('ab cd e'), 'weak_password', 'A1: one of seven is not');
SET LOCAL auth_session.password_min_length = 15;
SELECT is(pg_temp.taken('fourteen chars'), 'weak_password', 'A1: an operator can ask for more');
SELECT is(pg_temp.taken('fifteen of them'), 'taken', 'A1: and gets it');
SET LOCAL auth_session.password_min_length = 8;
SELECT throws_ok('SET LOCAL auth_session.password_min_length = 7', '22023', NULL, 'A1: but nobody for less than eight');
SELECT is(pg_temp.taken(repeat(U&'\+01F680', 7)), 'weak_password', 'A2: seven emoji of 28 bytes are seven characters');
SELECT is(pg_temp.taken(repeat(U&'\+01F680', 8)), 'taken', 'A2: eight are eight');
SELECT is(pg_temp.taken(repeat('ab', 32)), 'taken', 'A2: 64 characters are taken');
SELECT is(pg_temp.taken(repeat(U&'\+01F680', 64)), 'taken', 'A2: also 64 emoji');
SELECT is(pg_temp.taken(repeat('x', 1024)), 'taken', 'A16: 1,024 bytes are taken');
SELECT is(pg_temp.taken(repeat('x', 1025)), 'invalid_request', 'A16: one more is not');
SELECT is(pg_temp.taken(repeat(U&'\+01F680', 257)), 'invalid_request', 'A16: bytes count there');
SELECT is(pg_temp.taken(repeat('x', 1048576)), 'invalid_request', 'A16: a megabyte is refused');
SELECT is(pg_temp.failure(format('SELECT auth.signin(%L, repeat(%L, 1048576))', pg_temp.email('somebody'), 'x')) ->> 'detail',
	'invalid_request', 'A16: at sign-in, too');
SELECT is(pg_temp.taken(''), 'weak_password', 'A1: an empty one is none');
SELECT is(pg_temp.taken(NULL), 'invalid_request', 'A1: a missing one is no request');

-- ---- no composition rules ----

SELECT is(pg_temp.taken(password), 'taken', 'A3: no rule of composition: ' || what)
FROM (VALUES ('kvmzqowe', 'lower case only'), ('KVMZQOWE', 'upper case only'), ('8302657194', 'digits only'), ('ta da ra bum', 'spaces and letters'),
	(repeat(U&'\+01F40E\+01F50B', 4), 'emoji only'), ('zzzzzzzzzzz', 'one letter over and over'), ('  ' || 'lead and trail' || '  ', 'spaces around'),
	(U&'\6B63\786E\7684\9A6C\7535\6C60\9489\4E66', 'Chinese')) AS simple (password, what);

-- ---- every byte counts ----

SELECT pg_temp.account(pg_temp.email('long'), repeat('a', 72) || 'b' || repeat('a', 126) || 'c') AS long \gset
SELECT is(pg_temp.signs_in(pg_temp.email('long'), repeat('a', 72) || 'b' || repeat('a', 126) || 'c'), 'signed in', 'A4: 200 bytes, as they are');
SELECT is(pg_temp.signs_in(pg_temp.email('long'), password), 'invalid_credentials', 'A4: ' || what)
FROM (VALUES (repeat('a', 72) || 'd' || repeat('a', 126) || 'c', 'byte 73 differs'), (repeat('a', 72) || 'b' || repeat('a', 126) || 'd', 'byte 200 differs'),
	(repeat('a', 72), 'cut after 72'), (repeat('a', 72) || 'b' || repeat('a', 126) || 'cc', 'one byte more')) AS other (password, what);
SELECT pg_temp.account(pg_temp.email('plain'), 'Plain Words') AS plain \gset
SELECT is(pg_temp.signs_in(pg_temp.email('plain'), password), 'invalid_credentials', 'A4: ' || what)
FROM (VALUES ('plain words', 'lower case'), ('PLAIN WORDS', 'upper case'), ('Plain Words ', 'a space behind'), (' Plain Words', 'a space before'),
	('Plain  Words', 'another space'), ('PlainWords', 'without the space')) AS other (password, what);
SELECT is(pg_temp.signs_in(pg_temp.email('plain'), 'Plain Words'), 'signed in', 'A4: and the right one still is');

SELECT pg_temp.account(pg_temp.email('nfc'), U&'d\00E9j\00E0 vu encore') AS nfc \gset
SELECT is(pg_temp.signs_in(pg_temp.email('nfc'), U&'de\0301ja\0300 vu encore'), 'signed in', 'A5: decomposed letters are the composed ones');
SELECT is(pg_temp.signs_in(pg_temp.email('nfc'), U&'d\00E9j\00E0 vu encore'), 'signed in', 'A5: as they are, they are, too');
SELECT is(pg_temp.signs_in(pg_temp.email('nfc'), 'deja vu encore'), 'invalid_credentials', 'A5: without accents they are others');
SELECT is(pg_temp.taken(repeat(U&'e\0301', 7)), 'weak_password', 'A5: length counts after normalising');

-- ---- common ones ----

CREATE TEMP TABLE common (word text) ON COMMIT DROP;
\copy common FROM '../../sql/common-passwords.txt'
SELECT is(count(*), 3000::bigint, 'A6: the list has 3,000 words') FROM common;
SELECT is(count(*), 0::bigint, 'A6: each of them is refused at sign-up')
FROM common WHERE pg_temp.taken(word) <> 'weak_password';
SELECT is(count(*), 0::bigint, 'A6: with a reason')
FROM (SELECT * FROM common LIMIT 50) AS sample
WHERE pg_temp.failure(format('SELECT auth.signup(%L, %L)', pg_temp.email('somebody'), word)) ->> 'hint' !~ 'common';
SELECT is(pg_temp.taken(word), 'weak_password', 'A6: in whatever case: ' || word)
FROM unnest(ARRAY['Password', 'BASEBALL', 'sUnShInE', U&'\017Funshine', 'QwertyUIOP']) AS word;
SELECT is(pg_temp.taken('password of mine'), 'taken', 'A6: a longer one with such a word in it is taken');
SELECT auth_admin.forbid_password('Acme Widgets') \g /dev/null
SELECT is(pg_temp.taken(word), 'weak_password', 'A8: operators can add words: ' || word)
FROM unnest(ARRAY['acme widgets', 'ACME WIDGETS', 'Acme Widgets']) AS word;
SELECT lives_ok('SELECT auth_admin.forbid_password(''acme WIDGETS'')', 'A8: one that is there already is no error');
SELECT pg_temp.raises(format('SELECT auth_admin.forbid_password(%L)', bad), 'invalid_request', 'A8: but it must be a word')
FROM unnest(ARRAY[NULL, repeat('x', 1048576)]) AS bad;
SELECT results_eq($$SELECT to_jsonb(l) - 'id' - 'at' - 'user_agent' - 'ip' FROM auth_admin.audit_log AS l WHERE action = 'forbid_password' AND result = 'ok' LIMIT 1$$,
	$$VALUES (jsonb_build_object('action', 'forbid_password', 'actor', current_user, 'result', 'ok', 'reason', NULL, 'user_id', NULL, 'session_id', NULL))$$,
	'G6: the audit log has who added a word, and not the word');

-- ---- the application's own source ----

CREATE FUNCTION public.breached(password text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF password = 'the source is down' THEN
		RAISE EXCEPTION 'no answer' USING ERRCODE = 'connection_failure';
	END IF;
	RETURN CASE password WHEN 'breached long ago' THEN false WHEN 'nobody can tell' THEN NULL ELSE true END;
END
$$;
SELECT pg_temp.account(pg_temp.email('hooked'), 'taken before the hook') AS hooked \gset
SET LOCAL auth_session.password_hook = 'public.breached';
SELECT is(pg_temp.taken(password), answer, 'A7: at sign-up: ' || password)
FROM (VALUES ('breached long ago', 'weak_password'), ('nobody can tell', 'weak_password'), ('the source is down', 'busy'),
	('never seen anywhere', 'taken')) AS asked (password, answer);
SELECT auth.request_password_reset(pg_temp.email('hooked')) \g /dev/null
SELECT is(pg_temp.failure(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.email('hooked'),
	pg_temp.code(pg_temp.email('hooked'), 'password_reset'), 'breached long ago')) ->> 'detail', 'weak_password', 'A7: at a reset');
DROP FUNCTION public.breached;
SELECT is(pg_temp.taken('never seen anywhere'), 'busy', 'A7: a hook that is missing refuses');
SET LOCAL auth_session.password_hook = '';

-- ---- the account's own ----

SELECT is(pg_temp.taken(password, address, phone), 'weak_password', 'A8: ' || what)
FROM (VALUES
	(split_part(pg_temp.email('johnny'), '@', 1), pg_temp.email('johnny'), NULL, 'the email''s local part'),
	(upper(split_part(pg_temp.email('johnny'), '@', 1)), pg_temp.email('johnny'), NULL, 'the local part in upper case'),
	(split_part(pg_temp.email('johnny'), '@', 1) || '12', pg_temp.email('johnny'), NULL, 'the local part with two digits'),
	(pg_temp.email('johnny'), pg_temp.email('Johnny'), NULL, 'the email'),
	(pg_temp.phone(1), NULL, pg_temp.phone(1), 'the phone'),
	(ltrim(pg_temp.phone(1), '+'), NULL, pg_temp.phone(1), 'the phone without its +'),
	(ltrim(pg_temp.phone(1), '+'), pg_temp.email('johnny'), pg_temp.phone(1), 'the phone beside an email')
) AS own (password, address, phone, what);
SELECT is(pg_temp.taken(split_part(pg_temp.email('johnny'), '@', 1) || ' rides again', pg_temp.email('johnny')), 'taken',
	'A8: a sentence with the name in it is taken');

-- ---- what is kept ----

SELECT matches(pg_temp.hash(:'plain'), '^\$argon2id\$v=19\$m=19456,t=2,p=1\$', 'A12: Argon2id, with 19 MiB and two passes');
CREATE TEMP TABLE salts ON COMMIT DROP AS
SELECT split_part(pg_temp.hash(pg_temp.account(pg_temp.email('salt' || n))), '$', 5) AS salt FROM generate_series(1, 4) AS n;
SELECT is(count(DISTINCT salt), 4::bigint, 'A13: the same password has another salt each time') FROM salts;
SELECT is(min(length(salt)), 22, 'A13: of 16 bytes') FROM salts;
SELECT throws_ok(format('SET LOCAL auth_session.%s = %s', setting, value), '22023', NULL, format('A12: %s = %s is under the floor', setting, value))
FROM (VALUES ('argon2_memory', '7167'), ('argon2_memory', '0'), ('argon2_iterations', '0')) AS low (setting, value);
CREATE FUNCTION pg_temp.cost_of(memory text, iterations text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('auth_session.argon2_memory', memory, true), set_config('auth_session.argon2_iterations', iterations, true);
	RETURN split_part(pg_temp.hash((auth.signup(pg_temp.email('cost'), pg_temp.password())).id), '$', 4);
END
$$;
SELECT is(pg_temp.cost_of(memory, '1'), cost, 'A12: the least that OWASP has for ' || memory || ' KiB')
FROM (VALUES ('47104', 'm=47104,t=1,p=1'), ('19456', 'm=19456,t=2,p=1'), ('12288', 'm=12288,t=3,p=1'),
	('9216', 'm=9216,t=4,p=1'), ('7168', 'm=7168,t=5,p=1')) AS owasp (memory, cost);
SET LOCAL auth_session.argon2_memory = 19456;
SET LOCAL auth_session.argon2_iterations = 2;

-- ---- when settings are raised ----

SELECT pg_temp.hash(:'plain') AS weak \gset
SET LOCAL auth_session.argon2_iterations = 3;
SELECT is(pg_temp.signs_in(pg_temp.email('plain'), 'a wrong password'), 'invalid_credentials', 'A14: a wrong password');
SELECT is(pg_temp.hash(:'plain'), :'weak', 'A14: renews no hash');
SELECT is(pg_temp.signs_in(pg_temp.email('plain'), 'Plain Words'), 'signed in', 'A14: the right one');
SELECT pg_temp.hash(:'plain') AS strong \gset
SELECT matches(:'strong'::text, '\$m=19456,t=3,p=1\$', 'A14: does');
SELECT is(pg_temp.signs_in(pg_temp.email('plain'), 'Plain Words'), 'signed in', 'A14: and signs in again');
SELECT is(pg_temp.hash(:'plain'), :'strong', 'A14: once');
SET LOCAL auth_session.argon2_iterations = 2;
SELECT is(pg_temp.signs_in(pg_temp.email('plain'), 'Plain Words'), 'signed in', 'A14: with weaker settings');
SELECT is(pg_temp.hash(:'plain'), :'strong', 'A14: no hash is made weaker');

-- ---- hashes from elsewhere: test vectors of the Argon2 reference code, salt "somesalt" ----

CREATE FUNCTION pg_temp.signs_in_with(hash text, password text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	UPDATE auth_private.accounts SET password_hash = hash WHERE email = pg_temp.email('plain');
	RETURN pg_temp.signs_in(pg_temp.email('plain'), password);
END
$$;
CREATE FUNCTION pg_temp.phc(cost text, digest text, salt text DEFAULT 'somesalt') RETURNS text LANGUAGE sql AS $$
	SELECT concat('$argon2id$v=19$', cost, ',p=1$', rtrim(encode(salt::bytea, 'base64'), '='), '$',
		rtrim(encode(decode(digest, 'hex'), 'base64'), '='))
$$;
SELECT is(pg_temp.signs_in_with(pg_temp.phc(cost, digest), password), 'signed in', 'A17: a hash of the reference code: ' || cost || ' ' || password)
FROM (VALUES
	('m=65536,t=2', 'password', '09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7'),
	('m=65536,t=1', 'password', 'f6a5adc1ba723dddef9b5ac1d464e180fcd9dffc9d1cbf76cca2fed795d9ca98'),
	('m=65536,t=2', 'differentpassword', '0b84d652cf6b0c4beaef0dfe278ba6a80df6696281d7e0d2891b817d8c458fde')
) AS reference (cost, password, digest);
SELECT matches(pg_temp.hash(:'plain'), '^\$argon2id\$v=19\$m=65536,t=2,', 'A14: a strong one is kept');
SELECT is(pg_temp.signs_in_with(bad, 'password'), 'invalid_credentials', 'A17: refused: ' || what)
FROM (VALUES
	(replace(pg_temp.phc('m=65536,t=2', '09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7'), 'v=19', 'v=16'), 'another version'),
	(replace(pg_temp.phc('m=65536,t=2', '09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7'), 'argon2id', 'argon2i'), 'another variant'),
	(pg_temp.phc('m=65536,t=2', '09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf8'), 'one bit off'),
	(pg_temp.phc('m=65536,t=2', ''), 'no digest'),
	(pg_temp.phc('m=8388608,t=2', '09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7'), '8 GiB'),
	(pg_temp.phc('m=4294967295,t=2', '09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7'), '4 TiB'),
	(pg_temp.phc('m=65536,t=1000', '09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7'), '1,000 passes'),
	(pg_temp.phc('m=65536,t=0', '09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7'), 'no pass'),
	('$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', 'bcrypt of another password'), ('password', 'no hash at all')
) AS hashes (bad, what);

SELECT * FROM finish();
ROLLBACK;
