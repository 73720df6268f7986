-- Signing keys: made, imported, activated, retired, rotated; and what
-- auth.verify makes of tokens that one of them signed.

BEGIN;
SELECT plan(144);

SET LOCAL auth_session.require_confirmation = 'none';

CREATE FUNCTION pg_temp.unb64u(segment text) RETURNS bytea LANGUAGE sql AS
$$ SELECT decode(rpad(translate(segment, '-_', '+/'), (length(segment) + 3) / 4 * 4, '='), 'base64') $$;

CREATE FUNCTION pg_temp.b64u(bytes bytea) RETURNS text LANGUAGE sql AS
$$ SELECT translate(encode(bytes, 'base64'), E'+/=\n', '-_') $$;

CREATE FUNCTION pg_temp.header(token text) RETURNS jsonb LANGUAGE sql AS
$$ SELECT convert_from(pg_temp.unb64u(split_part(token, '.', 1)), 'UTF8')::jsonb $$;

CREATE FUNCTION pg_temp.state(kid text) RETURNS text LANGUAGE sql AS
$$ SELECT state FROM auth_admin.signing_keys AS k WHERE k.kid = $1 $$;

-- What auth.verify says: the code, or "live".
CREATE FUNCTION pg_temp.says(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM auth.verify(token);
    RETURN 'live';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN detail;
END
$$;

-- The claims of a live session, some replaced (null: left out), signed with
-- any key in JWK.
CREATE FUNCTION pg_temp.signed(claims jsonb, changes jsonb, jwk text, algorithm text) RETURNS text LANGUAGE sql AS
$$ SELECT auth.jwt_sign(jsonb_strip_nulls(claims || changes)::json, jwk, algorithm) $$;

-- RFC 2104 with SHA-256, for secrets of at most 64 bytes.
CREATE FUNCTION pg_temp.hmac(message bytea, secret bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    inner_pad bytea := decode(repeat('36', 64), 'hex');
    outer_pad bytea := decode(repeat('5c', 64), 'hex');
BEGIN
    FOR i IN 0 .. length(secret) - 1 LOOP
        inner_pad := set_byte(inner_pad, i, get_byte(inner_pad, i) # get_byte(secret, i));
        outer_pad := set_byte(outer_pad, i, get_byte(outer_pad, i) # get_byte(secret, i));
    END LOOP;
    RETURN sha256(outer_pad || sha256(inner_pad || message));
END
$$;

-- A token whose header is any text, under the MAC of a key of HS256: what
-- somebody who has the key could make.
CREATE FUNCTION pg_temp.forged(header text, claims text, jwk jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT signed || '.' || pg_temp.b64u(pg_temp.hmac(convert_to(signed, 'UTF8'), pg_temp.unb64u(jwk ->> 'k')))
      FROM (SELECT pg_temp.b64u(convert_to(header, 'UTF8')) || '.' || pg_temp.b64u(convert_to(claims, 'UTF8'))) AS s (signed)
$$;

-- first use

-- Other files may have made a key; that an installation has none is test/sql/install.sql's.
DELETE FROM auth_private.signing_keys;
SELECT is(auth.jwks(), '{"keys": []}', 'F22: and publishes none');
SELECT id AS user_id FROM auth.signup('keys@example.org', 'correct horse battery staple') \gset
SELECT access_token AS first, refresh_token AS refresh FROM auth.signin('keys@example.org', 'correct horse battery staple') \gset
SELECT results_eq('SELECT algorithm, state, can_sign, is_sealed, is_imported FROM auth_admin.signing_keys',
    $$ VALUES ('HS256', 'active', true, false, false) $$, 'the first sign-in makes an active HS256 key');
SELECT kid AS hs256 FROM auth_admin.signing_keys \gset
SELECT is(pg_temp.header(:'first'), jsonb_build_object('alg', 'HS256', 'typ', 'JWT', 'kid', :'hs256'), 'the header has alg, typ and kid');
SELECT matches(:'hs256'::text, '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$', 'the kid of an HMAC key is a random id');
SELECT is(length((SELECT secret FROM auth_private.signing_keys)), 33, 'F12: the secret is as long as the hash (and a byte that says it is open)');
SELECT auth.verify(:'first') AS claims \gset
SELECT is(pg_temp.says(:'first'), 'live', 'the token is live');
SELECT is(auth.jwks(), '{"keys": []}', 'F22: an HMAC key is published by nobody');
SELECT is((auth.jwt_verify(:'first', auth_admin.jwt_secret()::text)).valid, true, 'jwt_secret() is the JWK that verifies it');
SELECT is(auth_admin.jwt_secret()::jsonb - 'k', jsonb_build_object('kty', 'oct', 'alg', 'HS256', 'use', 'sig', 'kid', :'hs256'), 'and says what it is for');

-- making

SELECT auth_admin.create_signing_key('HS384') AS hs384, auth_admin.create_signing_key('HS512') AS hs512,
    auth_admin.create_signing_key('RS256') AS rs256, auth_admin.create_signing_key('ES256') AS es256,
    auth_admin.create_signing_key('EdDSA') AS eddsa \gset
SELECT is(pg_temp.state(kid), 'next', algorithm || ' is made as next') FROM auth_admin.signing_keys WHERE kid <> :'hs256' ORDER BY algorithm;
SELECT throws_ok(format('SELECT auth_admin.create_signing_key(%L)', name), 'PT400', NULL, 'F2: no key of algorithm ' || name)
FROM unnest('{none,hs256,PS256,ES512,""}'::text[]) AS name;
SELECT is((SELECT bool_and(pg_temp.header(:'first') ->> 'kid' = :'hs256')), true, 'a key that is next does not sign');
SELECT is(key ->> 'kid', pg_temp.b64u(sha256(convert_to(CASE key ->> 'kty'
        WHEN 'RSA' THEN format('{"e":"%s","kty":"RSA","n":"%s"}', key ->> 'e', key ->> 'n')
        WHEN 'EC' THEN format('{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}', key ->> 'x', key ->> 'y')
        ELSE format('{"crv":"Ed25519","kty":"OKP","x":"%s"}', key ->> 'x') END, 'UTF8'))),
    'F22: the kid of ' || (key ->> 'alg') || ' is its RFC 7638 thumbprint')
FROM jsonb_array_elements(auth.jwks() -> 'keys') AS key ORDER BY key ->> 'alg';
SELECT is((SELECT length(pg_temp.unb64u(key ->> 'n')) FROM jsonb_array_elements(auth.jwks() -> 'keys') AS key WHERE key ->> 'kty' = 'RSA'), 384,
    'F12: RSA is made with 3072 bits');

-- activating: each algorithm in turn

CREATE TEMP TABLE token (algorithm text, kid text, token text);
CREATE FUNCTION pg_temp.activate_and_renew(algorithm text, kid text, refresh text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    tokens auth.tokens;
BEGIN
    PERFORM auth_admin.activate_signing_key(kid);
    tokens := auth.renew(refresh);
    INSERT INTO token VALUES (algorithm, kid, tokens.access_token);
    RETURN tokens.refresh_token;
END
$$;
SET LOCAL auth_session.leeway = 30;
CREATE TEMP TABLE switched ON COMMIT DROP AS SELECT clock_timestamp() + interval '15 minutes' + interval '30 s' + interval '1 minute' AS was_until;
SELECT pg_temp.activate_and_renew('HS384', :'hs384', :'refresh') AS refresh \gset
RESET auth_session.leeway;
SELECT is((SELECT says FROM token, pg_temp.says(token) AS says WHERE algorithm = 'HS384'), 'live', 'HS384 signs and verifies');
SELECT is(pg_temp.state(:'hs256'), 'retiring', 'the key before it is retiring');
SELECT is(pg_temp.says(:'first'), 'token_expired', 'F21: and still knows its token, which a renewal has replaced');
SELECT is((SELECT verifies_until >= was_until FROM auth_admin.signing_keys, switched WHERE kid = :'hs256'), true,
    'F21: it verifies until its last token has expired, by clocks that are off and though its sign-in commits late');
SELECT pg_temp.activate_and_renew('HS512', :'hs512', :'refresh') AS refresh \gset
SELECT is((SELECT says FROM token, pg_temp.says(token) AS says WHERE algorithm = 'HS512'), 'live', 'HS512 signs and verifies');
SELECT pg_temp.activate_and_renew('RS256', :'rs256', :'refresh') AS refresh \gset
SELECT is((SELECT says FROM token, pg_temp.says(token) AS says WHERE algorithm = 'RS256'), 'live', 'RS256 signs and verifies');
SELECT pg_temp.activate_and_renew('ES256', :'es256', :'refresh') AS refresh \gset
SELECT is((SELECT says FROM token, pg_temp.says(token) AS says WHERE algorithm = 'ES256'), 'live', 'ES256 signs and verifies');
SELECT pg_temp.activate_and_renew('EdDSA', :'eddsa', :'refresh') AS refresh \gset
SELECT is((SELECT says FROM token, pg_temp.says(token) AS says WHERE algorithm = 'EdDSA'), 'live', 'EdDSA signs and verifies');
SELECT is(pg_temp.header(token), jsonb_build_object('alg', algorithm, 'typ', 'JWT', 'kid', kid), algorithm || ': the header names the key')
FROM token ORDER BY algorithm;
SELECT is((auth.jwt_verify(token, key::text, algorithm)).valid, true, algorithm || ': the published key verifies the token')
FROM token JOIN jsonb_array_elements(auth.jwks() -> 'keys') AS key ON key ->> 'kid' = kid ORDER BY algorithm;
SELECT throws_ok('SELECT auth_admin.jwt_secret()', 'PT400', NULL, 'there is no secret to give where the active key is public');
SELECT is((SELECT count(*) FROM auth_admin.signing_keys WHERE state = 'active'), 1::bigint, 'one key is active');
SELECT lives_ok(format('SELECT auth_admin.activate_signing_key(%L)', :'eddsa'), 'activating the active key changes nothing');
SELECT is(pg_temp.state(:'eddsa'), 'active', 'it is active still');

-- what a header may say

SELECT auth.verify(token) AS claims FROM token WHERE algorithm = 'EdDSA' \gset
SELECT '{"kty":"oct","alg":"HS256","kid":"known","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}' AS oct,
    '{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}' AS ec,
    '{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}' AS ed \gset
SELECT is(pg_temp.says(pg_temp.signed(:'claims', '{}', :'oct', 'HS256')), 'invalid_token', 'F5: a token of an unknown key is refused');
SELECT is(auth_admin.import_signing_key(:'oct'), 'known', 'an imported key keeps its kid');
SELECT is(pg_temp.says(pg_temp.signed(:'claims', '{}', :'oct', 'HS256')), 'live', 'F21: an imported key verifies at once, a token without kid too');
SELECT is(pg_temp.says(pg_temp.signed(:'claims', '{}', (:'oct'::jsonb - 'alg')::text, 'HS384')), 'invalid_token', 'F3: under its one algorithm only');
-- The right MAC of the right key: all that is wrong is what the header calls it.
SELECT is(pg_temp.says(pg_temp.forged(header, :'claims', :'oct')), expected, 'F3: ' || says)
FROM (VALUES
    ('a MAC of HS256 under a header that says so, in words of its own', '{"kid":"known","alg":"HS256"}', 'live'),
    ('the key''s algorithm counts, never the header''s: HS384', '{"alg":"HS384","kid":"known"}', 'invalid_token'),
    ('nor HS512', '{"alg":"HS512","typ":"JWT","kid":"known"}', 'invalid_token'),
    ('nor ES256', '{"alg":"ES256","kid":"known"}', 'invalid_token'),
    ('nor HS512 without a kid', '{"alg":"HS512"}', 'invalid_token'),
    ('nor none', '{"alg":"none","kid":"known"}', 'invalid_token')) AS v (says, header, expected);
SELECT throws_ok(format('SELECT auth_admin.import_signing_key(%L)', :'oct'), 'PT409', NULL, 'F13: a kid that exists is refused');
SELECT is(auth_admin.import_signing_key(:'ec'), 'oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U', 'without a kid it gets its thumbprint');
SELECT is(auth_admin.import_signing_key((:'ed'::jsonb - 'd')), 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k', 'RFC 8037 A.3: a public key is imported too');
SELECT is(pg_temp.says(pg_temp.signed(:'claims', '{}', :'ec', 'ES256')), 'live', 'ES256: an imported key verifies');
SELECT is(pg_temp.says(pg_temp.signed(:'claims', '{}', :'ed', 'EdDSA')), 'live', 'EdDSA: an imported public key verifies');
SELECT throws_ok($$ SELECT auth_admin.activate_signing_key('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k') $$, 'PT400', NULL, 'a public key can not sign');
SELECT is(pg_temp.state('known'), 'next', 'an imported key waits to sign');

-- keys that are refused

SELECT throws_ok(format('SELECT auth_admin.import_signing_key(%L)', jwk), 'PT400', NULL, says)
FROM (VALUES
    ('F12: an HMAC key shorter than its hash', jsonb_build_object('kty', 'oct', 'alg', 'HS256', 'k', pg_temp.b64u(substr(sha256('a'), 1, 31)))),
    ('F12: an HMAC key of HS512 as long as that of HS256', jsonb_build_object('kty', 'oct', 'alg', 'HS512', 'k', pg_temp.b64u(sha256('a')))),
    ('F12: an all-zero HMAC key', jsonb_build_object('kty', 'oct', 'alg', 'HS256', 'k', repeat('A', 43))),
    ('F12: an empty HMAC key', '{"kty":"oct","alg":"HS256","k":""}'),
    ('CVE-2026-22817: an HMAC key without alg', '{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}'),
    ('F12: RSA of 1024 bits', jsonb_build_object('kty', 'RSA', 'alg', 'RS256', 'e', 'AQAB', 'n', 'w' || repeat('x', 170))),
    ('F13: a point off the curve', :'ec'::jsonb || '{"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a4"}'),
    ('F13: a coordinate of a wrong length', :'ec'::jsonb || '{"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5Q"}'),
    ('F13: a private part of another key', :'ec'::jsonb || '{"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}'),
    ('F13: mixed key: EC and oct', :'ec'::jsonb || '{"k":"AAAA"}'),
    ('F13: an Ed25519 point of small order', jsonb_build_object('kty', 'OKP', 'crv', 'Ed25519', 'x', repeat('A', 43))),
    ('F3: an EC key for HS256', :'ec'::jsonb || '{"alg":"HS256"}'),
    ('F2: a key of alg none', :'oct'::jsonb || '{"alg":"none"}'),
    ('a key for encryption', :'ec'::jsonb || '{"use":"enc"}'),
    ('a set of keys', jsonb_build_object('keys', jsonb_build_array(:'ec'::jsonb))),
    ('P-384', :'ec'::jsonb || '{"crv":"P-384"}'),
    ('an array', '[]'),
    ('a string', '"oct"'),
    ('a JWK of 1 MB', :'oct'::jsonb || jsonb_build_object('x5c', repeat('a', 1000000)))) AS v (says, jwk);

-- claims: a key of ours signed each of these

SELECT is(pg_temp.says(pg_temp.signed(:'claims', changes, :'oct', 'HS256')), expected, says)
FROM (VALUES
    ('F14: no exp', '{"exp":null}'::jsonb, 'invalid_token'),
    ('F14: exp as a string', '{"exp":"4102444800"}', 'invalid_token'),
    ('H12: exp with a fraction', '{"exp":4102444800.5}', 'live'),
    ('F14: NumericDate overflow', '{"exp":18446744073709551617}', 'invalid_token'),
    ('F14: exp passed', '{"exp":1}', 'token_expired'),
    ('F14: nbf to come', '{"nbf":4102444800}', 'invalid_token'),
    ('F14: nbf passed', '{"nbf":1}', 'live'),
    ('F16: another issuer (CVE-2026-31813)', '{"iss":"other"}', 'invalid_token'),
    ('F16: no issuer', '{"iss":null}', 'invalid_token'),
    ('F16: another audience', '{"aud":"other"}', 'invalid_token'),
    ('F16: no audience', '{"aud":null}', 'invalid_token'),
    ('F16: one of several audiences', '{"aud":["other","authenticated"]}', 'live'),
    ('F16: an unknown user', '{"sub":"00000000-0000-4000-8000-000000000000"}', 'session_revoked'),
    ('F16: a sub that is no UUID', '{"sub":"admin"}', 'invalid_token'),
    ('F19: another jti', '{"jti":"00000000-0000-4000-8000-000000000000"}', 'token_expired'),
    ('no session', '{"session_id":null}', 'invalid_token')) AS v (says, changes, expected);

-- retiring

SELECT throws_ok(format('SELECT auth_admin.retire_signing_key(%L)', :'eddsa'), 'PT400', NULL, 'the active key is never retired');
SELECT lives_ok($$ SELECT auth_admin.retire_signing_key('known') $$, 'another one is');
SELECT is(pg_temp.says(pg_temp.signed(:'claims', '{}', :'oct', 'HS256')), 'invalid_token', 'F21: and refused at once');
SELECT is((SELECT secret FROM auth_private.signing_keys WHERE kid = 'known'), NULL, 'its secret is gone');
SELECT throws_ok(format('SELECT auth_admin.%s', call), 'PT400', NULL, call) FROM unnest(ARRAY[
    'retire_signing_key(''known'')', 'activate_signing_key(''known'')', 'retire_signing_key(''no such key'')', 'activate_signing_key(''no such key'')']) AS call;
SELECT throws_ok(format('SELECT auth_admin.%s(NULL)', function), 'PT400', NULL, 'no key at all is not taken for one: ' || function)
FROM unnest(ARRAY['create_signing_key', 'import_signing_key', 'activate_signing_key', 'retire_signing_key']) AS function;
SELECT throws_ok(format('SELECT auth_admin.import_signing_key(%L)', :'oct'), 'PT409', NULL, 'F21: a retired key does not come back by its kid');

-- a key whose time is over

SELECT is(pg_temp.says((SELECT token FROM token WHERE algorithm = 'ES256')), 'token_expired', 'a retiring key knows its replaced token');
UPDATE auth_private.signing_keys SET verifies_until = clock_timestamp() WHERE kid = :'es256';
SELECT is(pg_temp.says((SELECT token FROM token WHERE algorithm = 'ES256')), 'invalid_token', 'F21: past its time it is unknown, before maintenance comes by');
SELECT ok(NOT auth.jwks() @> jsonb_build_object('keys', jsonb_build_array(jsonb_build_object('kid', :'es256'))), 'and published no more');
SELECT is(auth_admin.rotate_signing_key(), NULL, 'maintenance, where no rotation is due,');
SELECT is(pg_temp.state(:'es256'), 'retired', 'it is retired');

-- nothing stays of what was rolled back

SAVEPOINT before;
SELECT auth_admin.create_signing_key('ES256') AS undone \gset
SELECT auth_admin.activate_signing_key(:'undone');
SELECT is(pg_temp.header((auth.renew(:'refresh')).access_token) ->> 'kid', :'undone', 'a key signs in the transaction that made it');
ROLLBACK TO before;
SELECT is(pg_temp.header((auth.renew(:'refresh')).access_token) ->> 'kid', :'eddsa', 'F21: rolled back, it does not');
SELECT is(pg_temp.says(pg_temp.signed(:'claims', '{}', :'ec', 'ES256')) IN ('live', 'token_expired'), true, 'the other keys are as they were');

-- what PostgREST is given

SELECT auth_admin.jwt_keys() AS set \gset
SELECT set_eq(format('SELECT value ->> ''kid'' FROM jsonb_array_elements(%L::jsonb -> ''keys'')', :'set'),
    'SELECT kid FROM auth_admin.signing_keys WHERE state IN (''active'', ''next'') OR (state = ''retiring'' AND verifies_until > clock_timestamp())',
    'F22: jwt_keys() has every key that verifies or will, and no other');
SELECT is(:'set'::jsonb -> 'keys' -> 0 ->> 'kid', (SELECT kid FROM auth_admin.signing_keys WHERE state = 'active'), 'the one that signs first');
SELECT is_empty(format('SELECT value FROM jsonb_array_elements(%L::jsonb -> ''keys'') WHERE value ?| ARRAY[''d'', ''p'', ''q'', ''dp'', ''dq'', ''qi'']', :'set'), 'F22: of no key pair the private part');
SELECT auth_admin.create_signing_key('HS256') AS shared \gset
SELECT is((SELECT count(*) FROM jsonb_array_elements(auth_admin.jwt_keys() -> 'keys') AS k WHERE k ->> 'kid' = :'shared' AND length(k ->> 'k') >= 43), 1::bigint, 'but the secret of an HMAC key, also of the next one');
SELECT auth_admin.retire_signing_key(:'shared') \g /dev/null
SELECT is((SELECT count(*) FROM jsonb_array_elements(auth_admin.jwt_keys() -> 'keys') AS k WHERE k ->> 'kid' = :'shared'), 0::bigint, 'F21: not of a retired one');
SAVEPOINT settings;
SET TRANSACTION READ ONLY;
SELECT auth_admin.postgrest_settings() \g /dev/null
SELECT is(current_setting('pgrst.jwt_secret')::jsonb, auth_admin.jwt_keys(), 'postgrest_settings() sets them for PostgREST, in a read-only transaction, too');
SELECT is(current_setting('pgrst.jwt_aud'), current_setting('auth_session.audience'), 'with the audience');
ROLLBACK TO settings;
SELECT is(COALESCE(current_setting('pgrst.jwt_secret', true), ''), '', 'and for no longer');

-- a restore brings another active key: two of them, of which one signs

SAVEPOINT before;
SELECT auth_admin.create_signing_key('HS384') AS other \gset
UPDATE auth_private.signing_keys AS k SET state = 'active', activated_at = a.activated_at - interval '1 day'
FROM auth_private.signing_keys AS a WHERE k.kid = :'other' AND a.kid = :'eddsa';
SELECT is(pg_temp.header((auth.renew(:'refresh')).access_token) ->> 'kid', :'eddsa', 'F21: beside an older active key the newest signs');
UPDATE auth_private.signing_keys AS k SET activated_at = a.activated_at + interval '1 second'
FROM auth_private.signing_keys AS a WHERE k.kid = :'other' AND a.kid = :'eddsa';
SELECT is(pg_temp.header((auth.renew(:'refresh')).access_token) ->> 'kid', :'other', 'F21: and the other, once it is the newest');
ROLLBACK TO before;

-- rotation

SELECT is(current_setting('auth_session.key_rotation_interval'), '0', 'rotation is off');
UPDATE auth_private.signing_keys SET activated_at = clock_timestamp() - interval '2 days' WHERE kid = :'eddsa';
SELECT lives_ok('SELECT auth_admin.rotate_signing_key()', 'maintenance without rotation');
SELECT is(pg_temp.state(:'eddsa'), 'active', 'keeps the key');
SET LOCAL auth_session.key_rotation_interval = '3d';
SELECT lives_ok('SELECT auth_admin.rotate_signing_key()', 'maintenance before the key is due');
SELECT is(pg_temp.state(:'eddsa'), 'active', 'keeps the key too');
SELECT kid AS ahead FROM auth_admin.signing_keys WHERE state = 'next' AND algorithm = 'EdDSA' AND NOT is_imported \gset
SELECT ok(auth.jwks() @> jsonb_build_object('keys', jsonb_build_array(jsonb_build_object('kid', :'ahead'))), 'F21: but publishes the next one ahead');
SET LOCAL auth_session.key_rotation_interval = '1d';
SELECT lives_ok('SELECT auth_admin.rotate_signing_key()', 'maintenance when the key is due');
SELECT is(pg_temp.state(:'ahead'), 'active', 'activates the next one, never an imported one');
SELECT is(pg_temp.state(:'eddsa'), 'retiring', 'and lets the old one run out');
SELECT is(pg_temp.header((auth.renew(:'refresh')).access_token) ->> 'kid', :'ahead', 'the new key signs');


-- one by one: no key signs that was not published by the run before
UPDATE auth_private.signing_keys SET activated_at = clock_timestamp() - interval '2 days' WHERE kid = :'ahead';
UPDATE auth_private.signing_keys SET state = 'retired', secret = NULL WHERE state = 'next' AND algorithm = 'EdDSA';
SELECT is(auth_admin.rotate_signing_key(), NULL, 'F21: where none was published, a run does that');
SELECT kid AS published FROM auth_admin.signing_keys WHERE state = 'next' AND algorithm = 'EdDSA' \gset
SELECT is(pg_temp.state(:'ahead'), 'active', 'and the key that signs goes on');
SELECT is(auth_admin.rotate_signing_key(), :'published', 'the next run has that one sign');

-- what a restore brings counts too: loaded with session_replication_role = replica

SELECT results_eq($$ SELECT tgrelid::regclass::text, tgenabled FROM pg_trigger WHERE tgfoid = 'auth_private.table_changed'::regproc ORDER BY 1 $$,
    $$ VALUES ('auth_private.mac_keys', 'A'::"char"), ('auth_private.revocations', 'A'), ('auth_private.signing_keys', 'A') $$,
    'F21: every table of which a backend keeps something tells of its changes in every mode');

-- who may see what

SELECT is_empty($$ SELECT column_name FROM information_schema.columns WHERE table_schema = 'auth_admin' AND table_name = 'signing_keys' AND column_name ~ 'secret|private|jwk' $$,
    'the view has no secret');
SELECT is_empty($$ SELECT p.proname FROM pg_proc AS p WHERE p.pronamespace = 'auth_admin'::regnamespace AND p.proname ~ 'key|secret' AND has_function_privilege('public', p.oid, 'EXECUTE') $$,
    'G1: no key function is for everybody');
SELECT ok(NOT has_table_privilege('public', 'auth_admin.signing_keys', 'SELECT') AND NOT has_table_privilege('public', 'auth_private.signing_keys', 'SELECT'), 'G1: nor are the keys');

SELECT * FROM finish();
ROLLBACK;
