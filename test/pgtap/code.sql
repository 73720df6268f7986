-- One-time codes: how long they live, how often they may be guessed.
--
-- Wrong tries are made durable by the recorder in a transaction of its own,
-- which sees only what is committed: this file commits, with addresses of its
-- own, and takes its rows away at the end.
\ir helper/common.psql

SELECT plan(91);
SET auth_session.resend_cooldown = 0;
SET auth_session.message_rate_per_account = 0;

CREATE FUNCTION pg_temp.confirm(address text, code text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(pg_temp.failure(format('SELECT auth.confirm(%L, %L, %L)', address, code, pg_temp.password())) ->> 'detail', 'confirmed')
$$;
CREATE FUNCTION pg_temp.reset(address text, code text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(pg_temp.failure(format('SELECT auth.reset_password(%L, %L, %L)', address, code, 'another good one')) ->> 'detail', 'reset')
$$;
-- So many different wrong codes, one statement each.
CREATE FUNCTION pg_temp.guess(address text, code text, tries integer) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(DISTINCT pg_temp.confirm(address, pg_temp.wrong(code, n)), ',') FROM generate_series(1, tries) AS n
$$;
CREATE FUNCTION pg_temp.guess_reset(address text, code text, tries integer) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(DISTINCT pg_temp.reset(address, pg_temp.wrong(code, n)), ',') FROM generate_series(1, tries) AS n
$$;

-- ---- what a code is made of ----

SELECT pg_temp.account(pg_temp.email('Ada')) AS ada \gset
CREATE TEMP TABLE codes (n integer, code text, link text);
CREATE FUNCTION pg_temp.collect(most integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN 1 .. most LOOP
		PERFORM auth.request_password_reset(pg_temp.email('ada'));
		INSERT INTO codes SELECT n, payload ->> 'code', payload ->> 'link_token'
			FROM auth_admin.claim_notifications(100, '1 hour') WHERE kind = 'password_reset';
	END LOOP;
END
$$;
SELECT pg_temp.collect(500) \g /dev/null
SELECT is(count(*), 500::bigint, 'C3: five hundred codes') FROM codes;
SELECT is(count(*), 0::bigint, 'C3: each of six digits') FROM codes WHERE code !~ '^[0-9]{6}$';
-- All the same 500 times in a million: fewer than 490 different ones would be 1e-15 of the cases.
SELECT cmp_ok(count(DISTINCT code), '>', 490::bigint, 'C3: hardly two alike') FROM codes;
-- None with a leading zero: 1e-23 of the cases.
SELECT cmp_ok(count(*), '>', 0::bigint, 'C3: leading zeros are kept') FROM codes WHERE code LIKE '0%';
-- Each digit comes 300 times of 3,000 +- 16; seven times that is 1e-11 of the cases.
SELECT ok(bool_and(abs(times - 300) < 115), 'C3: all digits are as frequent')
FROM (SELECT digit, count(*) AS times FROM codes, unnest(string_to_array(code, NULL)) AS digit GROUP BY digit) AS digits;
SELECT is(count(DISTINCT link), 500::bigint, 'C3: no two links are alike') FROM codes;
SELECT is((SELECT count(*) FROM auth_private.codes AS c, codes WHERE strpos(c::text, link) > 0)
	+ (SELECT count(*) FROM auth_private.outbox AS o, codes WHERE strpos(o::text, link) > 0), 0::bigint,
	'C4: no table has a link');
SELECT is((SELECT count(*) FROM auth_private.codes AS c, codes WHERE strpos(to_jsonb(c)::text, format('"%s"', code)) > 0)
	+ (SELECT count(*) FROM auth_private.outbox AS o, codes WHERE strpos(o.payload::text, code) > 0), 0::bigint,
	'C4: nor a code');
SELECT is(pg_temp.reset(pg_temp.email('ada'), code), 'invalid_code', 'C7: the last but one is dead') FROM codes WHERE n = 499;
SELECT is(pg_temp.reset(pg_temp.email('ada'), code), 'reset', 'and the last one works') FROM codes WHERE n = 500;

-- ---- what is no code ----

SELECT auth.signup(pg_temp.email('form'), pg_temp.password()) \g /dev/null
SELECT pg_temp.code(pg_temp.email('form')) AS code \gset
SELECT is(pg_temp.confirm(pg_temp.email('form'), bad), 'invalid_code', 'no code: ' || what)
FROM (VALUES ('', 'empty'), (left(:'code', 5), 'five digits'), (:'code' || '0', 'seven digits'), 
	('+' || left(:'code', 5), 'a sign'), ('1e5000', 'a number'), ('abcdef', 'letters'),
	(translate(:'code', '0123456789', U&'\0660\0661\0662\0663\0664\0665\0666\0667\0668\0669'), 'Arabic digits'),
	(repeat('1', 1048576), 'a megabyte of digits'), ('- -', 'blanks and hyphens')) AS none (bad, what);
SELECT is((SELECT count(*) FROM auth_private.code_failures WHERE identifier = pg_temp.email('form')), 0::bigint, 'they count as no try');
SELECT is(pg_temp.confirm(pg_temp.email('form'), :'code'), 'confirmed', 'the code itself works');

-- As people type and paste it.
SELECT auth.signup(pg_temp.email('typed') || n, pg_temp.password()) FROM generate_series(1, 6) AS n \g /dev/null
SELECT is(pg_temp.confirm(pg_temp.email('typed') || n, left(code, 3) || between || substr(code, 4) || behind), 'confirmed', 'the code as ' || what)
FROM (VALUES (1, ' ', '', '123 456'), (2, '-', '', '123-456'), (3, '', ' ', 'it is, with a blank behind'), (4, '', E'\r\n', 'it is, with a line feed behind'),
	(5, U&'\00A0', '', '123 456 with a no-break space'), (6, U&' \2013 ', E'\t', '123 - 456 with a dash and a tab')) AS typed (n, between, behind, what),
	LATERAL pg_temp.code(pg_temp.email('typed') || n) AS code;

-- ---- its time (C2) ----

SET auth_session.code_ttl = 3;
SELECT auth.signup(pg_temp.email('late'), pg_temp.password()), auth.signup(pg_temp.email('later'), pg_temp.password()) \g /dev/null
SELECT pg_temp.code(pg_temp.email('late')) AS code, pg_temp.link(pg_temp.email('late')) AS link,
	pg_temp.code(pg_temp.email('later')) AS later_code \gset
SELECT max(code_expires_at) AS ends FROM auth_private.codes WHERE identifier LIKE 'late%' \gset
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT ok(now() < :'ends', 'a transaction that began while the code was good');
SELECT pg_temp.wait_until(:'ends') \g /dev/null
SELECT is(pg_temp.confirm(pg_temp.email('later'), :'later_code'), 'invalid_code', 'C2: finds it expired, by the clock');
COMMIT;
SELECT is(pg_temp.confirm(pg_temp.email('late'), :'code'), 'invalid_code', 'C2: so does another');
SELECT is(pg_temp.mail(pg_temp.email('late')) ->> 'code', NULL, 'an expired code is not delivered any more');
SELECT is((auth.confirm(code => :'link', password => pg_temp.password())).status, 'active', 'C2: the link is still good');
RESET auth_session.code_ttl;
SELECT is(current_setting('auth_session.code_ttl'), '10min', 'C2: a code lives ten minutes');

SET auth_session.link_ttl = 3;
SELECT auth.signup(pg_temp.email('linked'), pg_temp.password()) \g /dev/null
SELECT pg_temp.code(pg_temp.email('linked')) AS code, pg_temp.link(pg_temp.email('linked')) AS link \gset
SELECT link_expires_at AS ends FROM auth_private.codes WHERE identifier = pg_temp.email('linked') \gset
SELECT pg_temp.wait_until(:'ends') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link'), 'invalid_code', 'C2: a link ends, too');
SELECT is(pg_temp.confirm(pg_temp.email('linked'), :'code'), 'invalid_code', 'and the code with it');
SELECT is(pg_temp.mail(pg_temp.email('linked')), NULL, 'and then nothing is delivered');
RESET auth_session.link_ttl;

SET auth_session.reset_link_ttl = 3;
SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('Ada'), 'password_reset') AS link \gset
SELECT link_expires_at AS ends FROM auth_private.codes WHERE user_id = :'ada' \gset
SELECT pg_temp.wait_until(:'ends') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => %L)', :'link', 'yet another one'),
	'invalid_code', 'C2: the link of a reset has its own end');
RESET auth_session.reset_link_ttl;

-- ---- five wrong tries (C5) ----

CREATE FUNCTION pg_temp.failures(address text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM auth_private.code_failures WHERE identifier = address
$$;
SELECT id AS bob FROM auth.signup(pg_temp.email('bob'), pg_temp.password()) \gset
SELECT pg_temp.code(pg_temp.email('bob')) AS code, pg_temp.link(pg_temp.email('bob')) AS link \gset
SELECT is(pg_temp.guess(pg_temp.email('bob'), :'code', 4), 'invalid_code', 'four wrong tries');
SELECT pg_temp.comes_true(format('SELECT pg_temp.failures(%L) = 4', pg_temp.email('bob')), 'C5: are on record, although each was rolled back');
BEGIN;
SAVEPOINT guess;
SELECT is(pg_temp.confirm(pg_temp.email('bob'), lpad(((:'code'::integer + 100000) % 1000000)::text, 6, '0')), 'invalid_code',
	'a fifth one, of which only the first digit is wrong');
ROLLBACK TO guess;
ROLLBACK;
SELECT is(pg_temp.confirm(pg_temp.email('bob'), :'code'), 'invalid_code', 'C5: after five wrong tries the right code is dead');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('bob'), :'code'), 'invalid_code', 'C5: also without a password');
SELECT is(pg_temp.mail(pg_temp.email('bob')) ->> 'code', NULL, 'C5: nor is it delivered');
SELECT is((SELECT count(*) FROM auth_admin.audit_log WHERE user_id = :'bob' AND action = 'confirm' AND result = 'invalid_code' AND reason = 'wrong code'),
	5::bigint, 'G6: the tries are in the audit log, once each');
SELECT is(pg_temp.guess(pg_temp.email('bob'), :'code', 20), 'invalid_code', 'twenty more are refused');
SELECT is(pg_temp.failures(pg_temp.email('bob')), 5::bigint, 'C5: and not counted, for they were not compared');

-- A new code, a new sign-up at the address: nobody gains a try.
SELECT auth.resend_confirmation(pg_temp.email('bob')), auth.signup(pg_temp.email('bob'), 'the word of another') \g /dev/null
UPDATE auth_private.outbox SET due_at = now() WHERE recipient = pg_temp.email('bob');
SELECT is((SELECT count(*) FROM auth_admin.claim_notifications(100, '0') WHERE recipient = pg_temp.email('bob') AND payload ? 'code'), 0::bigint,
	'C5: of a new sign-up and of another code for it only links are sent');
-- What they would be.
BEGIN;
DELETE FROM auth_private.code_failures WHERE identifier = pg_temp.email('bob');
CREATE TEMP TABLE bobs ON COMMIT DROP AS SELECT pg_temp.email('bob') AS address, payload ->> 'code' AS code
FROM auth_admin.claim_notifications(100, '0') WHERE recipient = pg_temp.email('bob');
SELECT is(count(code), 2::bigint, 'two codes, one of each sign-up, live') FROM bobs;
SELECT is(pg_temp.confirm(address, code), 'invalid_code', 'C5: is refused in shared memory too, where no row is') FROM bobs;
SELECT string_agg(format('(%L, %L)', address, code), ',') AS codes FROM bobs \gset
ROLLBACK;
SELECT is(pg_temp.confirm(address, code), 'invalid_code', 'C5: a code that was made after five wrong tries is not looked at') FROM (VALUES :codes) AS bobs (address, code);
SELECT is((auth.confirm(code => pg_temp.link(pg_temp.email('bob')), password => pg_temp.password())).id, :'bob', 'C5: a link is, and takes any sign-up of the address');
SELECT is(pg_temp.failures(pg_temp.email('bob')), 0::bigint, 'and its use begins anew');

-- Four wrong, then the right one: it works, and the tries are forgotten.
SELECT id AS dan FROM auth.signup(pg_temp.email('dan'), pg_temp.password()) \gset
SELECT pg_temp.code(pg_temp.email('dan')) AS code \gset
SELECT is(pg_temp.guess(pg_temp.email('dan'), :'code', 4), 'invalid_code', 'four wrong tries at another');
SELECT is(string_agg(DISTINCT pg_temp.failure(format('SELECT auth.confirm(%L, %L)', pg_temp.email('dan'), :'code')) ->> 'detail', ','), 'password_required',
	'C5: the right one without a password is none, however often') FROM generate_series(1, 6);
SELECT is(pg_temp.confirm(pg_temp.email('dan'), :'code'), 'confirmed', 'C5: they leave a fifth, which is right');
SELECT is(pg_temp.failures(pg_temp.email('dan')), 0::bigint, 'and forgotten are the others');

-- A try is one, however many sign-ups it is compared with.
SELECT auth.signup(pg_temp.email('gil'), 'the password of one'), auth.signup(pg_temp.email('gil'), 'the password of two'),
	auth.signup(pg_temp.email('gil'), 'the password of three') \g /dev/null
CREATE TEMP TABLE gils AS SELECT payload ->> 'code' AS code FROM auth_admin.claim_notifications(100, '0') WHERE recipient = pg_temp.email('gil');
SELECT is(count(*), 3::bigint, 'three codes of one address') FROM gils;
SELECT is(pg_temp.confirm(pg_temp.email('gil'), (SELECT min(code) FROM unnest(ARRAY['000000', '111111', '222222', '333333']) AS wrong (code)
	WHERE code NOT IN (SELECT code FROM gils))), 'invalid_code', 'a wrong one');
SELECT is(pg_temp.failures(pg_temp.email('gil')), 1::bigint, 'C5: is one wrong try');

-- Tries within a transaction that is rolled back count as any do (B6), also
-- those at a code that nobody but this transaction knows of.
BEGIN;
SELECT auth.signup(pg_temp.email('eve'), pg_temp.password()) \g /dev/null
SELECT pg_temp.code(pg_temp.email('eve')) AS code \gset
DELETE FROM auth_private.code_failures WHERE false;
SELECT pg_temp.guess(pg_temp.email('eve'), :'code', 5) \g /dev/null
SELECT is(pg_temp.confirm(pg_temp.email('eve'), :'code'), 'invalid_code', 'B6: five wrong tries in the transaction of the sign-up');
ROLLBACK;
SELECT auth.signup(pg_temp.email('eve'), pg_temp.password()) \g /dev/null
SELECT is((SELECT payload ? 'code' FROM auth_admin.claim_notifications(100, '0') WHERE recipient = pg_temp.email('eve')), false,
	'B6: no ROLLBACK gives one back');

SET auth_session.code_attempts = 2;
SELECT auth.signup(pg_temp.email('few'), pg_temp.password()) \g /dev/null
SELECT pg_temp.code(pg_temp.email('few')) AS code \gset
SELECT pg_temp.guess(pg_temp.email('few'), :'code', 2) \g /dev/null
SELECT is(pg_temp.confirm(pg_temp.email('few'), :'code'), 'invalid_code', 'C5: how many, is a setting');
RESET auth_session.code_attempts;

-- Each purpose has its own five, and an address that nobody has is no other.
SELECT pg_temp.account(pg_temp.email('flo')) AS flo \gset
SELECT auth.request_password_reset(pg_temp.email('flo')) \g /dev/null
SELECT pg_temp.code(pg_temp.email('flo'), 'password_reset') AS code \gset
SELECT is(pg_temp.guess(pg_temp.email('flo'), :'code', 7), 'invalid_code', 'seven wrong tries of another purpose');
SELECT is(pg_temp.failures(pg_temp.email('flo')), 5::bigint, 'of which five are looked at');
SELECT is(pg_temp.reset(pg_temp.email('flo'), :'code'), 'reset', 'C5: leave the code of a reset alone');
SELECT auth.request_password_reset(pg_temp.email('flo')) \g /dev/null
SELECT pg_temp.code(pg_temp.email('flo'), 'password_reset') AS code \gset
SELECT is(pg_temp.guess_reset(pg_temp.email('flo'), :'code', 4), 'invalid_code', 'four wrong tries');
SELECT is(pg_temp.reset(pg_temp.email('flo'), :'code'), 'reset', 'a success');
SELECT auth.request_password_reset(pg_temp.email('flo')) \g /dev/null
SELECT pg_temp.code(pg_temp.email('flo'), 'password_reset') AS code \gset
SELECT is(pg_temp.guess_reset(pg_temp.email('flo'), :'code', 4), 'invalid_code', 'and four more');
SELECT is(pg_temp.reset(pg_temp.email('flo'), :'code'), 'reset', 'C5: leave a fifth: the success began a new count in shared memory, too');
SELECT is(pg_temp.guess(pg_temp.email('none'), '123456', 7), 'invalid_code', 'seven at an address that nobody has');
SELECT is(pg_temp.failures(pg_temp.email('none')), 5::bigint, 'B1: of which five count, as elsewhere');

-- ---- twenty wrong tries ----

SELECT pg_temp.account(pg_temp.email('fay')) AS fay \gset
CREATE FUNCTION pg_temp.round(address text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM auth.request_password_reset(address);
	RETURN pg_temp.code(address, 'password_reset');
END
$$;
-- Of the windows before this one.
INSERT INTO auth_private.code_failures SELECT pg_temp.email('fay'), gen_random_uuid(), 'password_reset', now() - interval '11 minutes' * n
FROM generate_series(1, 18) AS n;
SELECT pg_temp.round(pg_temp.email('fay')) AS code \gset
SELECT matches(:'code'::text, '^[0-9]{6}$', 'C5: with eighteen wrong tries in earlier windows a code is sent');
SELECT is(pg_temp.guess_reset(pg_temp.email('fay'), :'code', 1), 'invalid_code', 'C5: the nineteenth');
SELECT matches(pg_temp.round(pg_temp.email('fay')), '^[0-9]{6}$', 'C5: takes nothing away yet');
SELECT pg_temp.code(pg_temp.email('fay'), 'password_reset') AS code \gset
SELECT is(pg_temp.guess_reset(pg_temp.email('fay'), :'code', 1), 'invalid_code', 'C5: the twentieth');
SELECT pg_temp.comes_true(format('SELECT pg_temp.failures(%L) = 20', pg_temp.email('fay')), 'C5: is the last that counts');
SELECT is(pg_temp.reset(pg_temp.email('fay'), :'code'), 'invalid_code', 'C5: then no code is accepted, right as it may be');
SELECT is(pg_temp.failures(pg_temp.email('fay')), 20::bigint, 'C5: nor counted');
SELECT is(pg_temp.round(pg_temp.email('fay')), NULL, 'C5: nor sent any more');
SELECT auth_admin.prune() \g /dev/null
SELECT is(pg_temp.failures(pg_temp.email('fay')), 20::bigint, 'C5: none is pruned within a day of the last');
SELECT pg_temp.link(pg_temp.email('fay'), 'password_reset') AS link \gset
SELECT lives_ok(format('SELECT auth.reset_password(code => %L, new_password => %L)', :'link', 'another good one'), 'C5: a link is good');
SELECT pg_temp.round(pg_temp.email('fay')) AS code \gset
SELECT is(pg_temp.reset(pg_temp.email('fay'), :'code'), 'reset', 'C5: and after it codes are, again');
INSERT INTO auth_private.code_failures SELECT pg_temp.email('fay'), gen_random_uuid(), 'password_reset', now() - interval '25 hours' FROM generate_series(1, 20);
SELECT is(pg_temp.round(pg_temp.email('fay')), NULL, 'twenty');
INSERT INTO auth_private.code_failures SELECT pg_temp.email('gus'), gen_random_uuid(), 'password_reset', now() - interval '23 hours' FROM generate_series(1, 20);
SELECT auth_admin.prune() \g /dev/null
SELECT is(pg_temp.failures(pg_temp.email('fay')), 0::bigint, 'C5: are gone a day after the last try');
SELECT is(pg_temp.failures(pg_temp.email('gus')), 20::bigint, 'C5: and not an hour before');

-- ---- its length ----

SET auth_session.code_length = 8;
SELECT auth.signup(pg_temp.email('eight'), pg_temp.password()) \g /dev/null
SELECT pg_temp.code(pg_temp.email('eight')) AS code \gset
SELECT matches(:'code'::text, '^[0-9]{8}$', 'an operator can ask for longer codes');
SELECT is(pg_temp.confirm(pg_temp.email('eight'), left(:'code', 6)), 'invalid_code', 'of which no part is good');
SELECT is(pg_temp.confirm(pg_temp.email('eight'), :'code'), 'confirmed', 'but the whole');
SELECT throws_ok('SET auth_session.code_length = 5', '22023', NULL, 'C3: but nobody for shorter ones');

SELECT * FROM finish();
SELECT pg_temp.clean_up() \g /dev/null
