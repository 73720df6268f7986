-- Emails and phones: which are one, which are none.
\ir helper/common.psql

BEGIN;
SELECT plan(99);
SET LOCAL auth_session.message_rate_per_account = 0;
SET LOCAL auth_session.resend_cooldown = 0;

-- ---- case twins (CVE-2019-19844) ----

-- k, s, i and a composed letter: what has twins. The run in it is hexadecimal.
SELECT pg_temp.email(U&'Kasimir.Caf\00E9') AS stored \gset
SELECT pg_temp.account(:'stored') AS owner \gset

CREATE TEMP TABLE twins (address text, what text) ON COMMIT DROP;
INSERT INTO twins VALUES
	(:'stored', 'itself'),
	(lower(:'stored'), 'in lower case'),
	(upper(:'stored'), 'in upper case'),
	(replace(:'stored', 'K', U&'\212A'), 'with the Kelvin sign'),
	(replace(:'stored', 's', U&'\017F'), 'with a long s'),
	(replace(:'stored', 'i', U&'\0131'), 'with a dotless i'),
	(replace(:'stored', 'i', U&'\0130'), 'with a dotted capital I'),
	(normalize(:'stored', NFD), 'decomposed'),
	(normalize(upper(:'stored'), NFD), 'decomposed, in upper case'),
	(replace(:'stored', U&'\00E9', U&'E\0301'), 'with a capital and a combining accent'),
	(replace(:'stored', 'pgtap', 'PgTAP'), 'with another spelling of the domain'),
	(replace(:'stored', 'example', U&'e\0078ample'), 'with the domain as it is');

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

-- What is no twin is another address.
SELECT is(pg_temp.signup_tells(address), 'confirm_email to ' || address, 'another address: ' || what)
FROM (VALUES
	(replace(:'stored', U&'\00E9', 'e'), 'without the accent'),
	(replace(:'stored', 'Kasimir', 'Kasimir+tag'), 'with a tag'),
	(replace(:'stored', 'Kasimir', 'Ka.simir'), 'with a dot'),
	(replace(:'stored', 'K', U&'\041A'), 'with a Cyrillic Ka'),
	(replace(:'stored', 'K', U&'\FF2B'), 'with a full-width K'),
	(replace(:'stored', 'pgtap.', 'pgtap2.'), 'at another domain')
) AS others (address, what);

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
	(U&'a\037Eb@b.example', 'a Greek question mark, which normalises to a semicolon')
) AS none (bad, what);

-- ---- phones ----

SELECT pg_temp.raises(format('SELECT auth.signup(phone => %L, password => %L)', bad, pg_temp.password()), 'invalid_request', 'C14: no E.164 number: ' || what, 'phone')
FROM (VALUES
	('', 'empty'), ('4930123456', 'no +'), ('004930123456', '00'), ('+04930123456', 'a country code of 0'), ('+49 30 123456', 'spaces'),
	('+49-30-123456', 'hyphens'), ('+1', 'too short'), ('+1234567890123456', 'sixteen digits'), ('+49301234x6', 'a letter'),
	(U&'+4930123\0664\0665\0666', 'Arabic digits'), ('++4930123456', 'two +'), ('+49301234567;ext=1', 'an extension')
) AS none (bad, what);

SELECT * FROM finish();
ROLLBACK;
