-- auth.confirm: a code, or a link, proves an address; the password picks the
-- sign-up.
\ir helper/common.psql

BEGIN;
SELECT plan(87);

-- ---- by code ----

SELECT id AS ada FROM auth.signup(pg_temp.email('Ada'), pg_temp.password(), info => '{"n": 1}') \gset
SELECT pg_temp.code(pg_temp.email('Ada')) AS code, pg_temp.link(pg_temp.email('Ada')) AS link \gset

SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('ada'), pg_temp.wrong(:'code')),
	'invalid_code', 'C5: a wrong code confirms nothing');
SELECT is((SELECT status FROM auth_admin.users WHERE id = :'ada'), 'pending', 'and leaves the account as it is');

SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('ada'), :'code'),
	'password_required', 'the right code needs the password of the sign-up, also where it is the only one');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link'), 'password_required', 'and so does the link');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('ada'), :'code'),
	'password_required', 'which uses neither up');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('ada'), pg_temp.wrong(:'code'), pg_temp.password()),
	'invalid_code', 'C5: the right password makes no code right');
CREATE TEMP TABLE answer ON COMMIT DROP AS SELECT * FROM auth.confirm(upper(pg_temp.email('ada')), :'code', pg_temp.password());
SELECT is(id, :'ada', 'a code confirms the account that signed up') FROM answer;
SELECT is(status, 'active', 'which is active from then on') FROM answer;
SELECT ok(email_confirmed_at BETWEEN now() AND clock_timestamp(), 'and says when it was confirmed') FROM answer;
SELECT is(email, pg_temp.email('Ada'), 'B9: the address stays as it was stored') FROM answer;
SELECT is(info, '{"n": 1}', 'and so does the info') FROM answer;
SELECT results_eq(
	format($$SELECT result FROM auth_admin.audit_log WHERE user_id = %L AND action = 'confirm' AND result = 'ok'$$, :'ada'),
	ARRAY['ok'], 'G6: the confirmation is in the audit log');
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'ada'), 0::bigint, 'confirming signs nobody in');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('ada'), :'code'),
	'invalid_code', 'C1: a code works once');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link'),
	'invalid_code', 'C1: and takes its link with it');
SELECT isnt((pg_temp.signin(pg_temp.email('ada'))).access_token, NULL, 'the account can sign in');

-- ---- by link ----

SELECT id AS bob FROM auth.signup(pg_temp.email('bob'), pg_temp.password()) \gset
SELECT pg_temp.code(pg_temp.email('bob')) AS code, pg_temp.link(pg_temp.email('bob')) AS link \gset
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('ada'), :'link'),
	'invalid_code', 'C6: a link doesn''t prove another address');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L, password => %L)', overlay(:'link' PLACING
		CASE substr(:'link', at, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM at FOR 1), pg_temp.password()),
	'invalid_code', format('C3: a link with one character changed is none: the %s', what))
FROM (VALUES (1, 'prefix'), (10, 'user''s id'), (35, 'code''s id'), (60, 'MAC'), (91, 'end')) AS place (at, what);
SELECT is((SELECT count(*) FROM auth_admin.audit_log WHERE action = 'confirm' AND result = 'invalid_code' AND user_id = :'bob'), 1::bigint,
	'C3: and refused for its MAC, without a look-up: only the genuine one above left an audit row');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', left(:'link', -1)),
	'invalid_code', 'C3: nor is one cut short');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link' || 'A'),
	'invalid_code', 'C3: nor one that goes on');
SELECT is((auth.confirm(code => :'link', password => pg_temp.password())).id, :'bob', 'a link needs no identifier');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link'), 'invalid_code', 'C1: a link works once');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('bob'), :'code'),
	'invalid_code', 'C1: and takes its code with it');

SELECT id AS cyd FROM auth.signup(pg_temp.email('cyd'), pg_temp.password()) \gset
SELECT is((auth.confirm(pg_temp.email('CYD'), pg_temp.link(pg_temp.email('cyd')), pg_temp.password())).id, :'cyd',
	'a link may come with its identifier');

-- ---- bound to one address ----

SELECT auth.signup(pg_temp.email('dan'), pg_temp.password()), auth.signup(pg_temp.email('eve'), pg_temp.password()) \g /dev/null
SELECT pg_temp.code(pg_temp.email('dan')) AS dan_code, pg_temp.code(pg_temp.email('eve')) AS eve_code \gset
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('dan'), pg_temp.wrong(:'eve_code', (:'dan_code' = :'eve_code')::integer)),
	'invalid_code', 'C6: a code of another address is wrong');

SELECT is(
	pg_temp.failure(format('SELECT auth.confirm(%L, %L)', pg_temp.email('nobody'), :'dan_code')),
	pg_temp.failure(format('SELECT auth.confirm(%L, %L)', pg_temp.email('dan'), pg_temp.wrong(:'dan_code'))),
	'B1: an unknown address answers as a wrong code does');
SELECT is(
	pg_temp.failure(format('SELECT auth.confirm(%L, %L)', pg_temp.email('ada'), :'dan_code')),
	pg_temp.failure(format('SELECT auth.confirm(%L, %L)', pg_temp.email('dan'), pg_temp.wrong(:'dan_code'))),
	'B1: and so does one that is confirmed already');

-- ---- several sign-ups at one address ----

SELECT id AS mallory FROM auth.signup(pg_temp.email('victim'), 'the attacker''s word', info => '{"by": "mallory"}') \gset
SELECT pg_temp.code(pg_temp.email('victim')) AS first_code \gset
SELECT id AS victim FROM auth.signup(pg_temp.email('victim'), 'the victim''s word', info => '{"by": "victim"}') \gset
SELECT pg_temp.code(pg_temp.email('victim')) AS second_code, pg_temp.link(pg_temp.email('victim')) AS link \gset
SELECT id AS late FROM auth.signup(pg_temp.email('victim'), 'a latecomer''s word', info => '{"by": "late"}') \gset

SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('victim'), wrong),
	'invalid_code', 'B1: who has no code doesn''t hear that several are pending')
FROM (SELECT min(code) AS wrong FROM unnest(ARRAY['000000', '111111', '222222', '333333']) AS code
	WHERE code NOT IN (:'first_code', :'second_code', pg_temp.code(pg_temp.email('victim')))) AS wrong;
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('victim'), code),
	'password_required', 'C13: where several are pending the code alone picks none')
FROM unnest(ARRAY[:'first_code', :'second_code']) AS code;
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link'),
	'password_required', 'C13: nor does the link');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('victim'), :'second_code', 'nobody''s word'),
	'invalid_code', 'C13: a password of none of them picks none');
SELECT is((SELECT count(*) FROM auth_admin.users WHERE email = pg_temp.email('victim') AND status = 'pending'), 3::bigint,
	'all of them are still pending');

-- The code of the attacker's sign-up, mailed to the victim, with the victim's password.
CREATE TEMP TABLE kept ON COMMIT DROP AS
SELECT * FROM auth.confirm(pg_temp.email('victim'), :'first_code', 'the victim''s word');
SELECT is(id, :'victim', 'C13: any code of the address proves it, the password picks the sign-up') FROM kept;
SELECT is(info, '{"by": "victim"}', 'C13: which keeps its own info') FROM kept;
SELECT is((SELECT array_agg(id) FROM auth_admin.users WHERE email = pg_temp.email('victim')), ARRAY[:'victim'::uuid],
	'C13: the others are gone');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('victim'), word),
	'invalid_credentials', 'C13: and so are their passwords: ' || word)
FROM unnest(ARRAY['the attacker''s word', 'a latecomer''s word']) AS word;
SELECT isnt((pg_temp.signin(pg_temp.email('victim'), 'the victim''s word')).access_token, NULL,
	'C13: the victim''s own is the password');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('victim'), :'second_code', 'the victim''s word'),
	'invalid_code', 'C13: no code of the address works any more');

-- One pending sign-up, and a password that is not its own.
SELECT auth.signup(pg_temp.email('single'), pg_temp.password()) \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('single'), pg_temp.code(pg_temp.email('single')), 'not the password'),
	'invalid_code', 'a password that is given must be right, also of a single sign-up');
SELECT is((auth.confirm(pg_temp.email('single'), pg_temp.code(pg_temp.email('single')), pg_temp.password())).status, 'active',
	'and when it is, the sign-up is confirmed');

-- ---- an address that was lost meanwhile ----

SELECT id AS loser FROM auth.signup(pg_temp.email('lost'), pg_temp.password()) \gset
SELECT pg_temp.code(pg_temp.email('lost')) AS code \gset
INSERT INTO auth_private.identifiers VALUES (pg_temp.email('lost'), :'bob', true, now());
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('lost'), :'code', pg_temp.password()),
	'already_exists', 'a confirmation that lost its address meanwhile says so');
SELECT is((SELECT status FROM auth_admin.users WHERE id = :'loser'), 'pending', 'and confirms nothing');

-- ---- two identifiers ----

SELECT id AS two FROM auth.signup(pg_temp.email('two'), pg_temp.password(), pg_temp.phone(1)) \gset
SELECT is((auth.confirm(pg_temp.email('two'), pg_temp.code(pg_temp.email('two')), pg_temp.password())).status, 'pending',
	'with all to confirm, one of two is not enough');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('two'), pg_temp.password()),
	'not_confirmed', 'which the owner hears after the right password');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('two'), 'a wrong password'),
	'invalid_credentials', 'B1: and nobody else');
SELECT pg_temp.raises(format('SELECT auth.signin(phone => %L, password => %L)', pg_temp.phone(1), pg_temp.password()),
	'invalid_credentials', 'B1: nor by the address that is not confirmed');
SELECT is((SELECT array_agg(identifier) FROM auth_private.codes WHERE user_id = :'two'), ARRAY[pg_temp.phone(1)],
	'C6: the address that is confirmed has no code');
SELECT is((auth.confirm(pg_temp.phone(1), pg_temp.code(pg_temp.phone(1)), pg_temp.password())).status, 'active', 'the second makes it whole');
SELECT isnt((auth.signin(phone => pg_temp.phone(1), password => pg_temp.password())).access_token, NULL,
	'and both are good for signing in');

-- Half of a sign-up is confirmed when its password is forgotten.
SELECT id AS half FROM auth.signup(pg_temp.email('half'), pg_temp.password(), pg_temp.phone(9)) \gset
SELECT auth.confirm(pg_temp.email('half'), pg_temp.code(pg_temp.email('half')), pg_temp.password()) \g /dev/null
SELECT auth.request_password_reset(pg_temp.email('half')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('half'), 'password_reset') AS link \gset
SELECT auth.reset_password(code => :'link', new_password => 'chosen after a reset') \g /dev/null
SELECT auth_admin.prune() \g /dev/null
SELECT is((SELECT status FROM auth_admin.users WHERE id = :'half'), 'pending', 'a reset of a pending sign-up does not end it');
SELECT auth_admin.send_password_reset(:'half') \g /dev/null
SELECT pg_temp.link(pg_temp.email('half'), 'password_reset') AS link \gset
SELECT auth_admin.set_password(:'half', 'chosen by an operator') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => ''another good one'')', :'link'), 'invalid_code', 'C11: an operator''s password ends a reset that is under way there');
SELECT is((auth.confirm(pg_temp.phone(9), pg_temp.code(pg_temp.phone(9), 'confirm_phone'), 'chosen by an operator')).status, 'active', 'and the address that is left can still be confirmed');

SET LOCAL auth_session.require_confirmation = 'any';
SELECT auth.signup(pg_temp.email('any'), pg_temp.password(), pg_temp.phone(2)) \g /dev/null
SELECT is((auth.confirm(pg_temp.phone(2), pg_temp.code(pg_temp.phone(2)), pg_temp.password())).status, 'active',
	'with any to confirm, one of two is enough');
SELECT is(claims ->> 'phone' || coalesce(claims ->> 'email', ''), pg_temp.phone(2), 'and only the confirmed one is in the token')
FROM auth.signin(phone => pg_temp.phone(2), password => pg_temp.password()) AS t, pg_temp.claims(t.access_token) AS claims;
SELECT results_eq($$SELECT channel, recipient FROM auth_private.outbox WHERE kind = 'new_signin' AND user_id = (SELECT id FROM auth_admin.users WHERE email = pg_temp.email('any'))$$,
	$$VALUES ('sms', pg_temp.phone(2))$$, 'and only the confirmed one is told anything');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('any'), pg_temp.password()),
	'invalid_credentials', 'B1: and signs one in');
SELECT ok(email_confirmed_at >= phone_confirmed_at, 'the other can be confirmed later')
FROM auth.confirm(pg_temp.email('any'), pg_temp.code(pg_temp.email('any')), pg_temp.password());
SELECT is((SELECT c ->> 'email' FROM pg_temp.claims((pg_temp.signin(pg_temp.email('any'))).access_token) AS c), pg_temp.email('any'), 'and counts from then on');
RESET auth_session.require_confirmation;

SELECT id AS banned FROM auth.signup(pg_temp.email('banned'), pg_temp.password()) \gset
UPDATE auth_private.accounts SET banned_at = clock_timestamp() WHERE id = :'banned';
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('banned'), pg_temp.code(pg_temp.email('banned')), pg_temp.password()),
	'invalid_code', 'B11: a banned account confirms nothing');

-- ---- a stranger's sign-up with somebody's email beside a phone of his own ----

SELECT id AS stranger FROM auth.signup(pg_temp.email('prey'), 'the stranger''s word', pg_temp.phone(3)) \gset
SELECT pg_temp.link(pg_temp.email('prey'), 'confirm_email') AS link \gset
SELECT auth.confirm(pg_temp.phone(3), pg_temp.code(pg_temp.phone(3), 'confirm_phone'), 'the stranger''s word') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'link'), 'password_required',
	'C13: who follows the link in a mail that he never asked for confirms nothing');
SELECT is((SELECT status FROM auth_admin.users WHERE id = :'stranger'), 'pending', 'C13: and lets nobody in');
SELECT pg_temp.raises(format('SELECT auth.signin(phone => %L, password => %L)', pg_temp.phone(3), 'the stranger''s word'), 'not_confirmed',
	'C13: not by the stranger''s own phone');
SELECT id AS prey FROM auth.signup(pg_temp.email('prey'), 'a word of the owner') \gset
SELECT is((auth.confirm(code => pg_temp.link(pg_temp.email('prey'), 'confirm_email'), password => 'a word of the owner')).id, :'prey',
	'C13: the owner''s own sign-up is confirmed by its password');
SELECT is((SELECT array_agg(user_id) FROM auth_private.identifiers WHERE identifier = pg_temp.email('prey')), ARRAY[:'prey'::uuid],
	'C13: and the stranger has no part in the address');

-- ---- a code of another address that is one of this account ----

SELECT auth.signup(pg_temp.email('pair'), pg_temp.password(), pg_temp.phone(4)) \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('pair'), pg_temp.link(pg_temp.phone(4)), pg_temp.password()),
	'invalid_code', 'C6: the link of the phone proves no email of the same account');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('pair'), code, pg_temp.password()),
	'invalid_code', 'C6: nor does its code')
FROM pg_temp.code(pg_temp.phone(4)) AS code WHERE code <> pg_temp.code(pg_temp.email('pair'));

-- ---- how many passwords ----

SET LOCAL auth_session.rate_window = '1d'; -- which doesn't end during this file
SELECT auth.signup(pg_temp.email('words'), pg_temp.password()) \g /dev/null
SELECT pg_temp.code(pg_temp.email('words')) AS code, pg_temp.link(pg_temp.email('words')) AS link \gset
SELECT is(string_agg(DISTINCT pg_temp.failure(format('SELECT auth.confirm(code => %L, password => %L)', :'link', 'a guess of ' || n)) ->> 'detail', ','),
	'invalid_code', 'ten wrong passwords beside a link') FROM generate_series(1, 10) AS n;
SELECT is(string_agg(DISTINCT pg_temp.failure(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('words'), :'code', 'a guess of ' || n)) ->> 'detail', ','),
	'invalid_code', 'and nine beside the code, which are no wrong tries of it') FROM generate_series(1, 9) AS n;
SAVEPOINT before;
SELECT is((auth.confirm(pg_temp.email('words'), :'code', pg_temp.password())).status, 'active', 'the right one is none of them');
ROLLBACK TO before;
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('words'), :'code', 'one more guess'),
	'invalid_code', 'the twentieth');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('words'), :'code', pg_temp.password()),
	'throttled', 'C5: after twenty wrong passwords none is looked at, by code', '^[1-9][0-9]{0,4}$');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L, password => %L)', :'link', pg_temp.password()),
	'throttled', 'C5: nor by link');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('words'), pg_temp.wrong(:'code'), pg_temp.password()),
	'invalid_code', 'B1: which nobody hears who has no right code');
SELECT is((SELECT count(*) FROM auth_private.code_failures WHERE identifier = pg_temp.email('words')), 1::bigint,
	'and only that one was a wrong try of the code');
RESET auth_session.rate_window;

-- ---- what is refused ----

SELECT pg_temp.raises('SELECT auth.confirm()', 'invalid_request', 'a confirmation needs a code', 'code');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L)', pg_temp.email('dan')), 'invalid_request', 'also with an identifier', 'code');
SELECT pg_temp.raises('SELECT auth.confirm(code => ''123456'')', 'invalid_request', 'a short code needs its identifier', 'identifier');
SELECT pg_temp.raises('SELECT auth.confirm(''nonsense'', ''123456'')', 'invalid_request', 'which must be one', 'identifier');
SELECT pg_temp.raises_when_read_only(format('SELECT auth.confirm(%L, %L)', pg_temp.email('dan'), :'dan_code'),
	'a confirmation in a read-only transaction says so');
SELECT is((auth.confirm(pg_temp.email('dan'), :'dan_code', pg_temp.password())).status, 'active', 'after all that the right code still works');

SELECT * FROM finish();
ROLLBACK;
