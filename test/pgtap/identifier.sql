-- Emails and phones: which are one, which are none.
\ir helper/common.psql

BEGIN;
SELECT plan(167);
SET LOCAL auth_session.message_rate_per_account = 0;
SET LOCAL auth_session.resend_cooldown = 0;

-- ---- spellings of one mailbox (CVE-2019-19844) ----

-- k, s, i and a composed letter, at a domain with one: what could have twins.
-- The run in it is hexadecimal.
SELECT replace(pg_temp.email(U&'Kasimir.Caf\00E9'), '@', U&'@m\00FCnchen.') AS stored \gset
SELECT pg_temp.account(:'stored') AS owner \gset

CREATE TEMP TABLE twins (address text, what text) ON COMMIT DROP;
INSERT INTO twins VALUES
	(:'stored', 'itself'),
	(lower(:'stored'), 'in lower case'),
	(upper(:'stored'), 'in upper case'),
	(replace(:'stored', 'K', U&'\212A'), 'with the Kelvin sign'),
	(normalize(:'stored', NFD), 'decomposed'),
	(normalize(upper(:'stored'), NFD), 'decomposed, in upper case'),
	(replace(:'stored', U&'\00E9', U&'E\0301'), 'with a capital and a combining accent'),
	(replace(:'stored', 'pgtap', 'PgTAP'), 'with another spelling of the domain'),
	(replace(:'stored', 'example', U&'e\0078ample'), 'with the domain as it is'),
	(replace(:'stored', U&'m\00FCnchen', 'xn--mnchen-3ya'), 'with the A-label'),
	(replace(:'stored', U&'m\00FCnchen', 'XN--MNCHEN-3YA'), 'with the A-label in upper case'),
	(replace(:'stored', 'example', U&'\FF45\FF58ample'), 'with full-width letters in the domain'),
	(replace(:'stored', '.example', U&'\3002example'), 'with an ideographic full stop'),
	(replace(:'stored', '.example', U&'\FF0Eexample'), 'with a full-width full stop'),
	(replace(:'stored', '.example', U&'\FF61example'), 'with a half-width ideographic full stop');

SELECT is((pg_temp.signin(address)).user_id, :'owner', 'B9: the address ' || what || ' signs the owner in') FROM twins;
SELECT is(auth.verify((pg_temp.signin(address)).access_token) ->> 'email', :'stored', 'B9: whose token has the stored address: ' || what) FROM twins;

CREATE FUNCTION pg_temp.reset_goes_to(address text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	recipients text[];
BEGIN
	DELETE FROM auth_private.outbox WHERE kind = 'password_reset';
	PERFORM auth.request_password_reset(address);
	SELECT array_agg(o.recipient) INTO recipients FROM auth_private.outbox AS o WHERE kind = 'password_reset' AND settled_at IS NULL;
	RETURN recipients;
END
$$;
SELECT is(pg_temp.reset_goes_to(address), ARRAY[:'stored'], 'B9: a reset asked for ' || what || ' goes to the stored address') FROM twins;

CREATE FUNCTION pg_temp.signup_tells(address text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	told text;
BEGIN
	DELETE FROM auth_private.outbox WHERE kind IN ('account_exists', 'confirm_email');
	PERFORM auth.signup(address, pg_temp.password());
	SELECT string_agg(kind || ' to ' || recipient, ', ') INTO told FROM auth_private.outbox WHERE kind IN ('account_exists', 'confirm_email');
	RETURN told;
END
$$;
SELECT is(pg_temp.signup_tells(address), 'account_exists to ' || :'stored', 'B9: a sign-up ' || what || ' is of a taken address') FROM twins;

-- What is no twin is another address, to which its own mail goes.
CREATE TEMP TABLE others (address text, what text) ON COMMIT DROP;
INSERT INTO others VALUES
	(replace(:'stored', U&'\00E9', 'e'), 'without the accent'),
	(replace(:'stored', 'Kasimir', 'Kasimir+tag'), 'with a tag'),
	(replace(:'stored', 'Kasimir', 'Ka.simir'), 'with a dot'),
	(replace(:'stored', 'K', U&'\041A'), 'with a Cyrillic Ka'),
	(replace(:'stored', 'K', U&'\FF2B'), 'with a full-width K'),
	(replace(:'stored', 's', U&'\017F'), 'with a long s'),
	(replace(:'stored', 'i', U&'\0131'), 'with a dotless i'),
	(replace(:'stored', 'i', U&'\0130'), 'with a dotted capital I'),
	(replace(:'stored', 'i', U&'\0131\0301'), 'with a dotless i and an accent'),
	(replace(:'stored', 'pgtap', U&'pgta\0440'), 'with a Cyrillic Er in the domain'),
	(replace(:'stored', 'pgtap.', 'pgtap2.'), 'at another domain'),
	(replace(:'stored', U&'m\00FCnchen', 'munchen'), 'at the domain without the umlaut');
SELECT is(pg_temp.signup_tells(address), 'confirm_email to ' || address, 'B9, H1: another address: ' || what) FROM others;

-- The dotless i in the domain of a mailbox: the mail of its owner must not go there.
SELECT replace(:'stored', 'example', U&'exampl\0131') AS impostor, replace(:'stored', 'example', 'exampli') AS victim \gset
SELECT auth.signup(:'victim', pg_temp.password()), auth.request_password_reset(:'stored') \g /dev/null
SELECT auth.resend_confirmation(:'impostor'), auth.request_password_reset(replace(:'stored', 'i', U&'\0131')) \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE recipient IN (:'impostor', replace(:'stored', 'i', U&'\0131')) AND kind <> 'confirm_email'),
	0::bigint, 'C14, B9, H1: no message goes to an address that only an argument had');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE recipient = :'impostor'), 0::bigint,
	'C14, B9, H1: nor the code of a sign-up at an address that looks alike');
SELECT is((SELECT array_agg(DISTINCT settled_at IS NOT NULL) FROM auth_private.outbox WHERE recipient = ''), ARRAY[true],
	'and what is written for nobody is settled, and has no recipient');

-- The key of an address, as the code row of a request for anybody has it.
CREATE FUNCTION pg_temp.key(address text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	DELETE FROM auth_private.codes WHERE user_id NOT IN (SELECT id FROM auth_private.accounts);
	PERFORM auth.request_password_reset(address);
	SELECT identifier INTO STRICT found FROM auth_private.codes WHERE user_id NOT IN (SELECT id FROM auth_private.accounts);
	RETURN found;
END
$$;
SELECT is(pg_temp.key(typed), key, 'H1: the key of ' || what)
FROM (VALUES
	(U&'\0130@example.org', U&'i\0307@example.org', 'a dotted capital I is an i and a dot above'),
	(U&'\0131@example.org', U&'\0131@example.org', 'a dotless i is itself'),
	(U&'\017F@example.org', U&'\017F@example.org', 'a long s is itself'),
	(U&'\03C2@example.org', U&'\03C2@example.org', 'a final sigma is itself'),
	(U&'\0391\03A3@example.org', U&'\03B1\03C3@example.org', 'a word that ends in a capital sigma has no final sigma'),
	(U&'\1E9E@example.org', U&'\00DF@example.org', 'a capital sharp s is a sharp s'),
	(U&'\2126@example.org', U&'\03C9@example.org', 'the Ohm sign is an omega'),
	(U&'E\0323\0302@example.org', U&'\1EC7@example.org', 'marks in either order are composed'),
	(U&'J\030C@example.org', U&'\01F0@example.org', 'what composes only in lower case is composed'),
	(U&'\FF41\FF22@example.org', U&'\FF41\FF42@example.org', 'full-width letters stay so in the local part'),
	('a@B--Example.ORG', 'a@b--example.org', 'a domain that is ASCII is its lower case'),
	(U&'a@\0421\0421\0421\0420.example', 'a@xn--p1abaa.example', 'a domain in Cyrillic capitals'),
	(U&'a@fa\00DF.example', 'a@xn--fa-hia.example', 'a domain with a sharp s, which is not ss'),
	(U&'a@\03B2\03CC\03BB\03BF\03C2.example', 'a@xn--nxasmm1c.example', 'a domain that ends in a final sigma')
) AS keys (typed, key, what);
SELECT is(count(*) FILTER (WHERE pg_temp.key(pg_temp.key(typed)) <> pg_temp.key(typed)), 0::bigint, 'the key of a key is itself')
FROM (SELECT chr(code) || mark || '@' || CASE WHEN code % 2 = 0 THEN 'x' ELSE U&'b\00FCcher' END || '.example' AS typed
	FROM generate_series(192, 591) AS code, (VALUES (''), (U&'\0307')) AS marks (mark)) AS typed;

-- ---- what is no email ----

SELECT pg_temp.raises(format('SELECT auth.signup(%L, %L)', bad, pg_temp.password()), 'invalid_request', 'B13: no email: ' || what, 'email')
FROM (VALUES
	('', 'empty'), ('plain', 'no @'), ('@pgtap.example', 'no local part'), ('a@', 'no domain'), ('a@b@pgtap.example', 'two @'),
	('a@-b.example', 'a label with a hyphen before'), ('a@b-.example', 'a label with a hyphen behind'),
	('a@b..example', 'an empty label'), ('a@.example', 'a dot before the domain'), ('a@b.example.', 'a dot behind the domain'),
	('.a@b.example', 'a dot before'), ('a.@b.example', 'a dot behind'), ('a..b@b.example', 'two dots'),
	(repeat('a', 65) || '@b.example', 'a local part of 65 bytes'), (repeat(U&'\00E9', 33) || '@b.example', 'a local part of 66 bytes and 33 characters'), ('a@' || repeat('b', 64) || '.example', 'a label of 64 bytes'),
	('a@' || repeat('b.', 130) || 'example', 'longer than 254 bytes'),
	('a b@b.example', 'a space'), (' a@b.example', 'a space before'), ('a@b.example ', 'a space behind'),
	(E'a@b.example\r\nBcc: c@d.example', 'a line feed'), (E'a\tb@b.example', 'a tab'), (E'a\u0001@b.example', 'a control character'),
	(U&'a\202E@b.example', 'a bidi mark'), (U&'a\200B@b.example', 'a zero-width space'), (U&'a\00A0b@b.example', 'a no-break space'), (U&'a\2003b@b.example', 'an em space'), (U&'a\202Fb@b.example', 'a narrow no-break space'),
	('"a"@b.example', 'quoted'), ('a,b@b.example', 'a list'), ('A <a@b.example>', 'a name and an address'), ('a;b@b.example', 'a semicolon'),
	(U&'a\037Eb@b.example', 'a Greek question mark, which normalises to a semicolon'),
	(U&'a\2028@b.example', 'a line separator'), (U&'a\00ADb@b.example', 'a soft hyphen'), (U&'a@ex\00ADample.example', 'a soft hyphen in the domain'),
	(U&'a\2800b@b.example', 'a blank of Braille'), (U&'a\3164b@b.example', 'a Hangul filler'), (U&'a\FE0Fb@b.example', 'a variation selector'),
	(U&'a\034Fb@b.example', 'a combining grapheme joiner'), (U&'a\+0E0001b@b.example', 'a language tag'), (U&'a\+0E0101b@b.example', 'another variation selector'),
	(U&'a\FFFDb@b.example', 'a replacement character'), (U&'a\FFFCb@b.example', 'an object replacement'), (U&'a\FFF9b@b.example', 'an annotation anchor'),
	(U&'a\E000b@b.example', 'private use'), (U&'a\+10FFFDb@b.example', 'private use on the last plane'), (U&'a\FFFFb@b.example', 'a non-character'),
	(U&'a\FDD0b@b.example', 'another non-character'), (U&'a\0378b@b.example', 'an unassigned code point'), (U&'a@b\200Dc.example', 'a joiner in the domain'),
	('a@b_c.example', 'an underscore in the domain'), (U&'a@b\FF3Fc.example', 'a full-width underscore in the domain'), (U&'a@b\2100c.example', 'a sign that is a/c'),
	(U&'a@\FF20b.example', 'a full-width @ in the domain'), (U&'a@b.\FF0Eexample', 'an empty label between two kinds of dots'), ('a@xn--a.example', 'an A-label that is none'),
	('a@b.XN--a.example', 'an A-label that is none behind another label'), ('a@xn--.example', 'an empty A-label'), (U&'a@xn--\00FC.example', 'an A-label with an umlaut'), (U&'a@' || repeat(U&'\00FC', 60) || '.example', 'a label that is too long as A-label'),
	(U&'a@' || repeat(U&'\6F22\5B57\FF0E', 40) || 'example', 'a domain that is too long as A-labels'),
	(repeat('a', 60) || '@' || repeat(U&'\6F22\5B57.', 17) || 'example', 'an address that is too long as A-labels')
) AS none (bad, what);

-- ---- phones ----

SELECT pg_temp.raises(format('SELECT auth.signup(phone => %L, password => %L)', bad, pg_temp.password()), 'invalid_request', 'C14: no E.164 number: ' || what, 'phone')
FROM (VALUES
	('', 'empty'), ('4930123456', 'no +'), ('004930123456', '00'), ('+04930123456', 'a country code of 0'), ('+49 30 123456', 'spaces'),
	('+49-30-123456', 'hyphens'), ('+1', 'too short'), ('+1234567890123456', 'sixteen digits'), ('+49301234x6', 'a letter'),
	(U&'+4930123\0664\0665\0666', 'Arabic digits'), ('++4930123456', 'two +'), ('+49301234567;ext=1', 'an extension')
) AS none (bad, what);

-- The table itself keeps an address from a second owner, whoever writes.
INSERT INTO auth_private.identifiers (identifier, user_id, owned, created_at) VALUES (pg_temp.email('owned'), gen_random_uuid(), true, now());
SELECT throws_ok(format('INSERT INTO auth_private.identifiers (identifier, user_id, owned, created_at) VALUES (%L, gen_random_uuid(), true, now())', pg_temp.email('owned')),
	'23505', NULL, 'B9: an address has one owner');
SELECT lives_ok(format('INSERT INTO auth_private.identifiers (identifier, user_id, owned, created_at) VALUES (%L, gen_random_uuid(), false, now())', pg_temp.email('owned')),
	'B9: and others who claim it');

SELECT * FROM finish();
ROLLBACK;
