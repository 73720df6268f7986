-- One-time codes: how long they live, how often they may be guessed.
--
-- Wrong tries are made durable by the recorder in a transaction of its own,
-- which sees only what is committed: this file commits, with addresses of its
-- own, and takes its rows away at the end.
\ir helper/common.psql

SELECT plan(65);
SET auth_session.resend_cooldown = 0;
SET auth_session.message_rate_per_account = 0;

CREATE FUNCTION pg_temp.confirm(address text, code text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(pg_temp.failure(format('SELECT auth.confirm(%L, %L)', address, code)) ->> 'detail', 'confirmed')
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
FROM (VALUES ('', 'empty'), (left(:'code', 5), 'five digits'), (:'code' || '0', 'seven digits'), (' ' || :'code', 'a space before'),
	(:'code' || E'\n', 'a line feed behind'), ('+' || left(:'code', 5), 'a sign'), ('1e5000', 'a number'), ('abcdef', 'letters'),
	(translate(:'code', '0123456789', U&'\0660\0661\0662\0663\0664\0665\0666\0667\0668\0669'), 'Arabic digits'),
	(repeat('1', 1048576), 'a megabyte of digits')) AS none (bad, what);
SELECT is((SELECT attempts FROM auth_private.codes WHERE identifier = pg_temp.email('form')), 0, 'they count as no try');
SELECT is(pg_temp.confirm(pg_temp.email('form'), :'code'), 'confirmed', 'the code itself works');

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
SELECT is((auth.confirm(code => :'link')).status, 'active', 'C2: the link is still good');
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

SELECT id AS bob FROM auth.signup(pg_temp.email('bob'), pg_temp.password()) \gset
SELECT pg_temp.code(pg_temp.email('bob')) AS code, pg_temp.link(pg_temp.email('bob')) AS link \gset
SELECT is(pg_temp.guess(pg_temp.email('bob'), :'code', 4), 'invalid_code', 'four wrong tries');
SELECT pg_temp.comes_true(format('SELECT attempts = 4 FROM auth_private.codes WHERE user_id = %L', :'bob'),
	'C5: are on record, although each was rolled back');
SELECT is(code_failures, 4, 'C5: with the account, too') FROM auth_private.accounts WHERE id = :'bob';
BEGIN;
SAVEPOINT guess;
SELECT is(pg_temp.guess(pg_temp.email('bob'), :'code', 1), 'invalid_code', 'a fifth one');
ROLLBACK TO guess;
ROLLBACK;
SELECT is(pg_temp.confirm(pg_temp.email('bob'), :'code'), 'invalid_code', 'C5: after five wrong tries the right code is dead');
SELECT is(pg_temp.mail(pg_temp.email('bob')) ->> 'code', NULL, 'C5: nor is it delivered');
SELECT is((SELECT count(*) FROM auth_admin.audit_log WHERE user_id = :'bob' AND action = 'confirm' AND result = 'invalid_code' AND reason = 'wrong code') >= 5,
	true, 'G6: the tries are in the audit log');
SELECT is((auth.confirm(code => :'link')).id, :'bob', 'C5: the link is not');
SELECT is(code_failures, 0, 'and its use begins anew') FROM auth_private.accounts WHERE id = :'bob';

-- Four wrong, then the right one: it works, and the tries are forgotten.
SELECT id AS dan FROM auth.signup(pg_temp.email('dan'), pg_temp.password()) \gset
SELECT pg_temp.code(pg_temp.email('dan')) AS code \gset
SELECT is(pg_temp.guess(pg_temp.email('dan'), :'code', 4), 'invalid_code', 'four wrong tries at another');
SELECT is(pg_temp.confirm(pg_temp.email('dan'), :'code'), 'confirmed', 'C5: leave a fifth, which is right');
SELECT pg_temp.comes_true(format('SELECT code_failures = 0 FROM auth_private.accounts WHERE id = %L', :'dan'), 'and forgotten are the others');

-- Tries within a transaction that is rolled back count as any do (B6).
SELECT auth.signup(pg_temp.email('eve'), pg_temp.password()) \g /dev/null
SELECT pg_temp.code(pg_temp.email('eve')) AS code \gset
BEGIN;
SELECT pg_temp.guess(pg_temp.email('eve'), :'code', 5) \g /dev/null
ROLLBACK;
SELECT is(pg_temp.confirm(pg_temp.email('eve'), :'code'), 'invalid_code', 'B6: no ROLLBACK gives a try back');
SET auth_session.code_attempts = 2;
SELECT auth.resend_confirmation(pg_temp.email('eve')) \g /dev/null
SELECT pg_temp.code(pg_temp.email('eve')) AS code \gset
SELECT pg_temp.guess(pg_temp.email('eve'), :'code', 2) \g /dev/null
SELECT is(pg_temp.confirm(pg_temp.email('eve'), :'code'), 'invalid_code', 'C5: how many, is a setting');
RESET auth_session.code_attempts;

-- The right code with a password that no sign-up has is a wrong try.
SELECT auth.signup(pg_temp.email('gil'), 'the password of one') \g /dev/null
SELECT auth.signup(pg_temp.email('gil'), 'the password of two') \g /dev/null
SELECT pg_temp.code(pg_temp.email('gil')) AS code, pg_temp.link(pg_temp.email('gil')) AS link \gset
SELECT is(string_agg(DISTINCT pg_temp.failure(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('gil'), :'code', 'a guess of ' || n)) ->> 'detail', ','),
	'invalid_code', 'C13: five wrong passwords with the right code') FROM generate_series(1, 5) AS n;
SELECT pg_temp.comes_true(format('SELECT bool_and(attempts = 5) FROM auth_private.codes WHERE identifier = %L', pg_temp.email('gil')),
	'C13: are wrong tries');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('gil'), :'code', 'the password of two'),
	'invalid_code', 'C13: after which the code is dead');
SELECT is((auth.confirm(code => :'link', password => 'the password of two')).status, 'active', 'C13: and the link is not');

-- ---- twenty wrong tries ----

SELECT pg_temp.account(pg_temp.email('fay')) AS fay \gset
CREATE FUNCTION pg_temp.round(address text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text;
BEGIN
	PERFORM auth.request_password_reset(address);
	code := pg_temp.code(address, 'password_reset');
	RETURN code;
END
$$;
SELECT pg_temp.round(pg_temp.email('fay')) AS code \gset
SELECT is(pg_temp.guess_reset(pg_temp.email('fay'), :'code', 5), 'invalid_code', 'C5: five wrong tries');
SELECT pg_temp.round(pg_temp.email('fay')) AS code \gset
SELECT is(pg_temp.guess_reset(pg_temp.email('fay'), :'code', 5), 'invalid_code', 'C5: five more, at a new code');
SELECT pg_temp.round(pg_temp.email('fay')) AS code \gset
SELECT is(pg_temp.guess_reset(pg_temp.email('fay'), :'code', 5), 'invalid_code', 'C5: and five');
SELECT pg_temp.round(pg_temp.email('fay')) AS code \gset
SELECT is(pg_temp.guess_reset(pg_temp.email('fay'), :'code', 4), 'invalid_code', 'C5: and four');
SELECT pg_temp.comes_true(format('SELECT code_failures = 19 FROM auth_private.accounts WHERE id = %L', :'fay'), 'C5: nineteen are on the account');
SELECT is(pg_temp.guess_reset(pg_temp.email('fay'), :'code', 1), 'invalid_code', 'C5: the twentieth');
SELECT pg_temp.comes_true(format('SELECT code_failures = 20 FROM auth_private.accounts WHERE id = %L', :'fay'), 'C5: is the last that counts');
SELECT is(pg_temp.round(pg_temp.email('fay')), NULL, 'C5: then no code is sent any more');
-- What it would be.
BEGIN;
UPDATE auth_private.accounts SET code_failures = 0 WHERE id = :'fay';
SELECT pg_temp.code(pg_temp.email('fay'), 'password_reset') AS code \gset
ROLLBACK;
SELECT is(pg_temp.reset(pg_temp.email('fay'), :'code'), 'invalid_code', 'C5: nor accepted, right as it may be');
SELECT pg_temp.link(pg_temp.email('fay'), 'password_reset') AS link \gset
SELECT lives_ok(format('SELECT auth.reset_password(code => %L, new_password => %L)', :'link', 'another good one'), 'C5: a link is');
SELECT pg_temp.round(pg_temp.email('fay')) AS code \gset
SELECT is(pg_temp.reset(pg_temp.email('fay'), :'code'), 'reset', 'C5: and after it codes are, again');

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
