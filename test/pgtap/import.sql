-- auth_admin.import_user: accounts of other systems, and what their hashes are
-- worth here.
\ir helper/common.psql

BEGIN;
SELECT plan(414);
SET LOCAL auth_session.message_rate_per_account = 0;
SET LOCAL auth_session.signin_rate_per_account = 0;
SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.events = 'user_created';
-- What takes the place of an imported hash: as cheap as can be.
SET LOCAL auth_session.argon2_memory = 7168;
SET LOCAL auth_session.argon2_iterations = 5;

CREATE FUNCTION pg_temp.signs_in(address text, password text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(pg_temp.failure(format('SELECT auth.signin(%L, %L)', address, password)) ->> 'detail', 'signed in')
$$;
CREATE FUNCTION pg_temp.hash(account uuid) RETURNS text LANGUAGE sql AS $$
	SELECT password_hash FROM auth_private.accounts WHERE id = account
$$;
CREATE FUNCTION pg_temp.imported(name text, hash text) RETURNS uuid LANGUAGE sql AS $$
	SELECT (auth_admin.import_user(pg_temp.email(name), password_hash => hash)).id
$$;
-- The failure of the import of a hash, or 'imported'; it is undone either way.
CREATE FUNCTION pg_temp.taken(hash text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text;
BEGIN
	PERFORM pg_temp.imported('tried', hash);
	RAISE EXCEPTION USING errcode = 'P0002';
EXCEPTION
	WHEN no_data_found THEN
		RETURN 'imported';
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS code = PG_EXCEPTION_DETAIL;
		RETURN code;
END
$$;

-- ---- hashes that the libraries themselves made (test/migrate) ----

CREATE TEMP TABLE made (maker text, password text, hash text) ON COMMIT DROP;
\copy made FROM '../migrate/hashes.tsv'
UPDATE made SET hash = 'scrypt:16384:16:1$' || replace(hash, ':', '$') WHERE maker = 'better-auth';
INSERT INTO made VALUES
	('Firebase''s own example', 'user1password', '$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=='),
	('Firebase, in the URL''s alphabet', 'user1password', '$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==$42xEC-ixf3L2lw==$lSrfV15cpx95_sZS2W9c9Kp6i_LVgQNDNC_qzrCnh1SAyZvqmZqAjTdn3aoItz-VHjoZilo78198JAdRuid5lQ=='),
	('RFC 7914', 'password', '$scrypt$ln=10,r=8,p=16$TmFDbA$/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/xCSedmDDaxyevuUqD7m2DYMvfoswGQA'),
	('the first sha512crypt', 'Hello world!', '$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1'),
	('the first bcrypt', 'U*U', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'),
	('bcrypt of nothing', '', '$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.');
ALTER TABLE made ADD COLUMN n serial, ADD COLUMN id uuid, ADD COLUMN stored text;

SELECT cmp_ok(count(DISTINCT maker), '>=', 24::bigint, 'there is something to import') FROM made;
UPDATE made SET id = pg_temp.imported('made' || n, hash);
UPDATE made SET stored = pg_temp.hash(id);
SELECT is(pg_temp.signs_in(pg_temp.email('made' || n), password || ' '), 'invalid_credentials', maker || ': a wrong password') FROM made ORDER BY n;
SELECT is(pg_temp.hash(id), stored, 'A14: ' || maker || ': which replaces no hash') FROM made ORDER BY n;
SELECT is(pg_temp.signs_in(pg_temp.email('made' || n), password), 'signed in', maker || ': the right password') FROM made ORDER BY n;
SELECT matches(pg_temp.hash(id), '^\$argon2id\$v=19\$m=7168,t=5,p=1\$', 'A14: ' || maker || ': which makes it one of ours') FROM made ORDER BY n;
SELECT is(pg_temp.signs_in(pg_temp.email('made' || n), password), 'signed in', maker || ': and signs in again') FROM made WHERE password ~ '^[ -~]*$' ORDER BY n;
SELECT is(pg_temp.signs_in(pg_temp.email('made' || n), password || ' '), 'invalid_credentials', maker || ': still by that one only') FROM made WHERE password ~ '^[ -~]*$' ORDER BY n;

-- Argon2id that is strong enough is as good as ours, whatever its lanes.
SET LOCAL auth_session.argon2_iterations = 1;
SET LOCAL auth_session.argon2_memory = 47104;
SELECT pg_temp.imported('lanes', (SELECT hash FROM made WHERE maker = 'django argon2' AND password = 'correct horse battery')) AS lanes \gset
SELECT pg_temp.hash(:'lanes') AS lanes_hash \gset
SELECT matches(:'lanes_hash'::text, '^\$argon2id\$v=19\$m=102400,t=2,p=8\$', 'Django''s name of its hasher is not kept');
SELECT is(pg_temp.signs_in(pg_temp.email('lanes'), 'correct horse battery'), 'signed in', 'A14: Argon2id above the settings');
SELECT is(pg_temp.hash(:'lanes'), :'lanes_hash', 'A14: is kept as it is');
SET LOCAL auth_session.argon2_memory = 7168;
SET LOCAL auth_session.argon2_iterations = 5;

-- ---- bcrypt reads 72 bytes ----

SELECT pg_temp.imported('long', '$2b$04$aaaaaaaaaaaaaaaaaaaaa.Nx7baty3d80PKgZsWPoOn5ae2XWN79u') AS long \gset
SELECT is(pg_temp.signs_in(pg_temp.email('long'), repeat('x', 71)), 'invalid_credentials', 'bcrypt: 71 bytes of 72 are not the password');
SELECT is(pg_temp.signs_in(pg_temp.email('long'), repeat('x', 72) || 'what follows'), 'signed in', 'bcrypt: what follows the 72nd byte is not read, as in the old system');
SELECT matches(pg_temp.hash(:'long'), '^\$2b\$', 'bcrypt: so it is not made the password, either');
SELECT is(pg_temp.signs_in(pg_temp.email('long'), repeat('x', 1024)), 'signed in', 'bcrypt: up to the longest');
SELECT is(pg_temp.signs_in(pg_temp.email('long'), repeat('x', 72)), 'signed in', 'bcrypt: 72 bytes are all of it');
SELECT matches(pg_temp.hash(:'long'), '^\$argon2id\$', 'bcrypt: and replace the hash');
SELECT is(pg_temp.signs_in(pg_temp.email('long'), repeat('x', 72) || 'what follows'), 'invalid_credentials', 'A4: then every byte counts');
SELECT pg_temp.imported('accents', '$2a$04$aaaaaaaaaaaaaaaaaaaaa.xyWVha79xhftweJSui9KNcNxkLNB18S') \g /dev/null
SELECT is(pg_temp.signs_in(pg_temp.email('accents'), repeat(U&'\00E9', 40)), 'signed in', 'bcrypt: bytes, not characters');
SELECT is(pg_temp.signs_in(pg_temp.email('accents'), repeat(U&'e\0301', 36)), 'signed in', 'A5: a decomposed password is tried composed');

-- sha512crypt stops at 512.
SELECT pg_temp.imported('crypt', '$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1') \g /dev/null
SELECT is(pg_temp.signs_in(pg_temp.email('crypt'), repeat('x', bytes)), 'invalid_credentials', format('sha512crypt: %s bytes are just wrong', bytes))
FROM unnest(ARRAY[511, 512, 513, 1024]) AS bytes;

-- ---- what is no hash ----

SELECT is(pg_temp.taken(bad), 'invalid_request', 'A17: refused: ' || what)
FROM (VALUES
	('', 'nothing'), ('password', 'a password'), ('$', 'a dollar'), ('$$$$$', 'dollars'), ('md5$salt$5f4dcc3b5aa765d61d8327deb882cf99', 'Django''s MD5'),
	('pbkdf2_sha1$260000$salt$' || repeat('A', 27) || '=', 'PBKDF2 with SHA-1'), ('$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/', 'md5crypt'), ('$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8', 'sha256crypt'),
	('$y$j9T$abcdefgh$' || repeat('A', 43), 'yescrypt'), ('!' || repeat('x', 40), 'Django''s unusable one'), ('{SSHA}' || repeat('x', 40), 'LDAP'),
	('5f4dcc3b5aa765d61d8327deb882cf99', 'hexadecimal'), ('$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'bcrypt''s broken 2x'),
	('$2$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'the oldest bcrypt'), ('$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe', 'bcrypt, a character short'),
	('$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeWW', 'bcrypt, a character long'), ('$2a$05$CCCCCCCCCCCCCCCCCCCC=.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'bcrypt, another alphabet'),
	('$2a$5$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeWW', 'bcrypt, one digit of cost'), ('$2a$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'bcrypt, cost 3'),
	('$6$saltstring$svn8', 'sha512crypt, cut'), ('$6$salt:string$' || repeat('A', 86), 'sha512crypt, a colon in the salt'), ('$6$rounds=05000$saltstring$' || repeat('A', 86), 'sha512crypt, a leading zero'),
	('$6$rounds=999$saltstring$' || repeat('A', 86), 'sha512crypt, too few rounds'), ('$6$$' || repeat('A', 86), 'sha512crypt without salt'),
	('pbkdf2_sha256$260000$$' || repeat('A', 43) || '=', 'PBKDF2 without salt'), ('pbkdf2_sha256$260000$salt$', 'PBKDF2 without digest'), ('pbkdf2_sha256$0$salt$' || repeat('A', 43) || '=', 'no iteration'),
	('pbkdf2_sha256$-1$salt$' || repeat('A', 43) || '=', 'a negative one'), ('pbkdf2_sha256$4294967297$salt$' || repeat('A', 43) || '=', 'more than 32 bits'),
	('pbkdf2_sha256$1000$salt$' || repeat('a', 20), 'a digest of 15 bytes'), ('pbkdf2_sha256$1000$' || repeat('s', 129) || '$' || repeat('A', 43), 'too long a salt'),
	('$pbkdf2-sha256$i=1000,l=64$c2FsdHNhbHQ$' || repeat('A', 43), 'a length that is not the digest''s'), ('$pbkdf2-sha256$1000$c2Fs!HNhbHQ$' || repeat('A', 43), 'another alphabet'),
	('scrypt:32767:8:1$salt$' || repeat('ab', 64), 'scrypt, N no power of two'), ('scrypt:1:8:1$salt$' || repeat('ab', 64), 'scrypt, N of one'), ('scrypt:0:8:1$salt$' || repeat('ab', 64), 'scrypt, N of zero'),
	('scrypt:65536:1:1$salt$' || repeat('ab', 64), 'scrypt, N beyond what r allows'), ('scrypt:16384:0:1$salt$' || repeat('ab', 64), 'scrypt, r of zero'), ('scrypt:16384:8:0$salt$' || repeat('ab', 64), 'scrypt, p of zero'),
	('scrypt:16384:8:1$salt$' || repeat('ab', 63) || 'a', 'half a byte'), ('scrypt:16384:8:1$salt$' || repeat('xy', 64), 'no hexadecimal'), ('$scrypt$ln=31,r=8,p=1$c2FsdA$' || repeat('A', 43), 'N of 31 bits'),
	('$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=AAAA$c2FsdA==$' || repeat('A', 86), 'Firebase, a signer key of another length'), ('$fbscrypt$v=2,n=14,r=8,p=1,ss=Bw==,sk=' || repeat('A', 86) || '$c2FsdA==$' || repeat('A', 86), 'Firebase, another version'),
	('$argon2d$v=19$m=8192,t=2,p=1$c29tZXNhbHRzYWx0$' || repeat('A', 43), 'Argon2d'), ('$argon2id$v=16$m=8192,t=2,p=1$c29tZXNhbHRzYWx0$' || repeat('A', 43), 'Argon2''s first version'),
	('$argon2id$v=19$m=15,t=2,p=2$c29tZXNhbHRzYWx0$' || repeat('A', 43), 'Argon2, too little memory for its lanes'), ('$argon2id$v=19$m=8192,t=2,p=0$c29tZXNhbHRzYWx0$' || repeat('A', 43), 'Argon2, no lane'),
	(' $2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'a blank before'), ('$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW' || E'\n', 'a line feed behind'),
	('bcrypt$bcrypt$$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'wrapped twice'), (repeat('$', 383), '383 characters'), (repeat('a', 384), '384 characters'), (repeat('pbkdf2_sha256$', 74899), 'a megabyte')
) AS hashes (bad, what);

-- What no server should pay for.
SELECT is(pg_temp.taken(bomb), 'invalid_request', 'A17: refused for its cost: ' || what)
FROM (VALUES
	('$2b$16$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'bcrypt 16'), ('$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'bcrypt 31'),
	('bcrypt_sha256$$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'bcrypt 31 of Django'), ('$6$rounds=1000001$saltstring$' || repeat('A', 86), 'sha512crypt'), ('$6$rounds=999999999$saltstring$' || repeat('A', 86), 'sha512crypt, all it has'),
	('pbkdf2_sha256$5000001$salt$' || repeat('A', 43), 'PBKDF2'), ('pbkdf2_sha256$2500001$salt$' || repeat('A', 86), 'PBKDF2 of two blocks'), ('$pbkdf2-sha512$999999999$c2FsdHNhbHQ$' || repeat('A', 86), 'PBKDF2, all it has'),
	('$scrypt$ln=19,r=8,p=1$c2FsdA$' || repeat('A', 43), 'scrypt, 512 MiB'), ('$scrypt$ln=18,r=8,p=5$c2FsdA$' || repeat('A', 43), 'scrypt, 256 MiB five times'),
	('scrypt:1048576:999999999:1$salt$' || repeat('ab', 64), 'scrypt, r'), ('scrypt:2:1:999999999$salt$' || repeat('ab', 64), 'scrypt, p'),
	('$fbscrypt$v=1,n=25,r=8,p=1,ss=Bw==,sk=' || repeat('A', 86) || '$c2FsdA==$' || repeat('A', 86), 'Firebase'),
	('$argon2id$v=19$m=1048577,t=1,p=1$c29tZXNhbHRzYWx0$' || repeat('A', 43), 'Argon2, more than 1 GiB'), ('$argon2i$v=19$m=8192,t=65,p=1$c29tZXNhbHRzYWx0$' || repeat('A', 43), 'Argon2, 65 passes'),
	('$argon2id$v=19$m=1048576,t=5,p=1$c29tZXNhbHRzYWx0$' || repeat('A', 43), 'Argon2, 1 GiB five times'), ('$argon2id$v=19$m=8192,t=2,p=65$c29tZXNhbHRzYWx0$' || repeat('A', 43), 'Argon2, 65 lanes')
) AS bombs (bomb, what);
SELECT is(pg_temp.taken(good), 'imported', 'A17: the dearest that are taken: ' || what)
FROM (VALUES
	('$2b$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'bcrypt 15'), ('$6$rounds=1000000$saltstring$' || repeat('A', 86), 'sha512crypt'), ('pbkdf2_sha256$5000000$salt$' || repeat('A', 43), 'PBKDF2'),
	('$scrypt$ln=18,r=8,p=4$c2FsdA$' || repeat('A', 43), 'scrypt'), ('$argon2id$v=19$m=1048576,t=4,p=64$c29tZXNhbHRzYWx0$' || repeat('A', 43), 'Argon2')
) AS dear (good, what);
SELECT pg_temp.raises(format('SELECT auth_admin.import_user(%L, password_hash => %L)', pg_temp.email('hint'), 'secret'), 'invalid_request', 'the hint says which argument it was', 'password_hash');

-- What a restore brought in past all that: it is no password, and the audit log has why.
SELECT pg_temp.imported('poisoned', NULL) AS poisoned \gset
UPDATE auth_private.accounts SET password_hash = '$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW' WHERE id = :'poisoned';
SELECT is(pg_temp.signs_in(pg_temp.email('poisoned'), 'U*U'), 'invalid_credentials', 'A17: a cost bomb that is stored is never computed');
SELECT pg_temp.comes_true(format('SELECT EXISTS (SELECT FROM auth_private.audit_log WHERE user_id = %L AND reason = %L)', :'poisoned', 'unusable hash'), 'A17: which the audit log says');
SELECT is(pg_temp.hash(:'poisoned'), '$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'A17: nor replaced');

-- ---- what comes with it ----

CREATE FUNCTION pg_temp.events(of_user uuid) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(kind, ' ' ORDER BY id) FROM auth_private.outbox WHERE user_id = of_user
$$;
SELECT * FROM auth_admin.import_user(pg_temp.email('Ada'), pg_temp.phone(1), '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW',
	'0b9d2b5e-97a1-4d0c-8f2f-1d6f0c9b7a11', '{"name": "Ada"}', '{"plan": "pro"}', true, '2019-02-03 04:05:06+00') \gset ada_
SELECT is(:'ada_id'::uuid, '0b9d2b5e-97a1-4d0c-8f2f-1d6f0c9b7a11'::uuid, 'an account keeps its id');
SELECT is(:'ada_created_at'::timestamptz, '2019-02-03 04:05:06+00'::timestamptz, 'and its age');
SELECT is(concat_ws(' ', :'ada_status', :'ada_email', :'ada_phone', :'ada_info'), concat_ws(' ', 'active', pg_temp.email('Ada'), pg_temp.phone(1), '{"name": "Ada"}'), 'its addresses and info');
SELECT is(count(*), 2::bigint, 'both addresses are its own') FROM auth_private.identifiers WHERE user_id = :'ada_id' AND owned;
SELECT ok(email_confirmed_at IS NOT NULL AND phone_confirmed_at IS NOT NULL AND app = '{"plan": "pro"}', 'confirmed; and its app') FROM auth_private.accounts WHERE id = :'ada_id';
SELECT is(pg_temp.events(:'ada_id'), 'user_created', 'applications hear of it, and nobody is mailed');
SELECT is(actor || ' ' || result, session_user || ' ok', 'the operator is on record') FROM auth_private.audit_log WHERE user_id = :'ada_id' AND action = 'import_user';
SELECT is(pg_temp.claims((auth.signin(phone => pg_temp.phone(1), password => 'U*U')).access_token) -> 'app', '{"plan": "pro"}', 'it signs in by either address');
SELECT pg_temp.imported('bare', NULL) AS bare \gset
SELECT is(pg_temp.hash(:'bare'), NULL, 'one without a password has none');
SELECT is(pg_temp.signs_in(pg_temp.email('bare'), ''), 'invalid_credentials', 'nor is nothing its password');
SELECT auth.request_password_reset(pg_temp.email('bare')) \g /dev/null
SELECT auth.reset_password(pg_temp.email('bare'), pg_temp.code(pg_temp.email('bare'), 'password_reset'), 'one of its own') \g /dev/null
SELECT is(pg_temp.signs_in(pg_temp.email('bare'), 'one of its own'), 'signed in', 'a reset gives it one');

-- ---- ids ----

SELECT pg_temp.raises(format('SELECT auth_admin.import_user(%L, id => %L)', pg_temp.email('twice'), :'ada_id'), 'already_exists', 'an id is had once', 'id');
SELECT pg_temp.raises(format('SELECT auth_admin.import_user(%L, id => %L)', pg_temp.email('zeros'), '00000000-0000-0000-0000-000000000000'), 'invalid_request', 'zeros are nobody');
SELECT auth_admin.delete_user(:'ada_id');
SELECT is(count(*), 1::bigint, 'an account that is deleted') FROM auth_admin.deleted_users WHERE id = :'ada_id';
SELECT is((auth_admin.import_user(pg_temp.email('ada'), id => :'ada_id')).id, :'ada_id', 'can come back');
SELECT is(count(*), 0::bigint, 'and is not deleted then') FROM auth_admin.deleted_users WHERE id = :'ada_id';
INSERT INTO auth_private.revocations (user_id, session_id, id, weight, at, deleted)
VALUES ('0b9d2b5e-97a1-4d0c-8f2f-1d6f0c9b7a12', '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 1, now(), true);
SELECT pg_temp.raises(format('SELECT auth_admin.import_user(%L, id => %L)', pg_temp.email('early'), '0b9d2b5e-97a1-4d0c-8f2f-1d6f0c9b7a12'), 'busy', 'but not before all of it is gone');
DELETE FROM auth_private.revocations WHERE user_id = '0b9d2b5e-97a1-4d0c-8f2f-1d6f0c9b7a12';

-- After revoke_all, whose row counts for minutes.
SELECT auth_admin.revoke_all('2015-01-01') \g /dev/null
SELECT is((auth_admin.import_user(pg_temp.email('since'), created_at => '2014-01-01Z')).status, 'active', 'a revocation of everybody''s keeps no account out');
SELECT pg_temp.raises(format('SELECT auth_admin.import_user(%L, password_hash => %L, confirmed => false, created_at => ''2014-01-01Z'')', pg_temp.email('dead'), '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'),
	'busy', 'but a sign-up that it would end at once');

-- ---- addresses ----

SELECT pg_temp.raises(format('SELECT auth_admin.import_user(%L)', upper(pg_temp.email('ada'))), 'already_exists', 'an address is had once, in whatever case');
SELECT pg_temp.raises(format('SELECT auth_admin.import_user(%L, password_hash => %L, confirmed => false)', pg_temp.email('ada'), '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'), 'already_exists', 'nor is one claimed that is taken');
SELECT (auth.signup(pg_temp.email('squatted'), pg_temp.password())).id AS squatter \gset
SELECT isnt(pg_temp.imported('squatted', NULL), NULL, 'a pending sign-up keeps nobody out');
SELECT is(count(*), 0::bigint, 'and ends with it') FROM auth_private.accounts WHERE id = :'squatter';
SELECT pg_temp.raises('SELECT auth_admin.import_user()', 'invalid_request', 'there must be an address');
SELECT pg_temp.raises(format('SELECT auth_admin.import_user(%s)', bad), 'invalid_request', 'refused: ' || bad)
FROM unnest(ARRAY['''nobody''', 'phone => ''12''', '''a@pgtap.example'', confirmed => NULL', '''a@pgtap.example'', info => ''[]''', '''a@pgtap.example'', app => ''[]''',
	'''a@pgtap.example'', info => ''{"locale": "not a tag"}''', '''a@pgtap.example'', created_at => ''infinity''', '''a@pgtap.example'', created_at => ''-infinity''',
	'''a@pgtap.example'', created_at => now() + interval ''1 day''', '''a@pgtap.example'', confirmed => false']) AS bad;

-- ---- not confirmed: a sign-up ----

SELECT id AS pending FROM auth_admin.import_user(pg_temp.email('pending'), password_hash => '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', confirmed => false) \gset
SELECT is(status, 'pending', 'an account that is not confirmed is pending') FROM auth_admin.users WHERE id = :'pending';
SELECT is(pg_temp.events(:'pending'), 'confirm_email', 'and is sent its code');
SELECT is(pg_temp.signs_in(pg_temp.email('pending'), 'U*U'), 'invalid_credentials', 'until then it can''t sign in');
SELECT pg_temp.code(pg_temp.email('pending'), 'confirm_email') AS code \gset
SELECT is((auth.confirm(pg_temp.email('pending'), :'code', 'U*U')).status, 'active', 'its old password confirms it');
SELECT is(pg_temp.signs_in(pg_temp.email('pending'), 'U*U'), 'signed in', 'and signs it in');
SET LOCAL auth_session.require_confirmation = 'none';
SELECT is(concat_ws(' ', status, email_confirmed_at), 'active', 'where nothing is confirmed, it is active at once')
FROM auth_admin.import_user(pg_temp.email('open'), password_hash => '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', confirmed => false);
RESET auth_session.require_confirmation;

SELECT pg_temp.raises_when_read_only(format('SELECT auth_admin.import_user(%L)', pg_temp.email('standby')), 'a read-only transaction imports nobody');

SELECT * FROM finish();
ROLLBACK;
