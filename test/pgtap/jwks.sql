-- auth.jwks(): which keys it publishes, and what of them.

BEGIN;
SELECT plan(16);

CREATE FUNCTION pg_temp.kids() RETURNS text[] LANGUAGE sql AS
$$ SELECT coalesce(array_agg(key ->> 'kid' ORDER BY n), '{}') FROM jsonb_array_elements(auth.jwks() -> 'keys') WITH ORDINALITY AS k (key, n) $$;

SELECT is(auth.jwks(), '{"keys": []}', 'RFC 7517 section 5: a set without keys is a set');
SELECT auth_admin.create_signing_key('RS256') AS rs256, auth_admin.create_signing_key('ES256') AS es256,
    auth_admin.create_signing_key('EdDSA') AS eddsa, auth_admin.create_signing_key('HS256') AS hs256 \gset
SELECT bag_eq('SELECT unnest(pg_temp.kids())', format('VALUES (%L), (%L), (%L)', :'rs256', :'es256', :'eddsa'), 'F22: next keys are in it, HMAC keys never');
SELECT is((SELECT array_agg(DISTINCT name ORDER BY name) FROM jsonb_array_elements(auth.jwks() -> 'keys') AS key, jsonb_object_keys(key) AS name),
    '{alg,crv,e,kid,kty,n,use,x,y}', 'F22: no member d, p, q, dp, dq, qi or k');
SELECT is((SELECT key FROM jsonb_array_elements(auth.jwks() -> 'keys') AS key WHERE key ->> 'kid' = :'es256') - '{x,y}'::text[],
    jsonb_build_object('kty', 'EC', 'crv', 'P-256', 'alg', 'ES256', 'use', 'sig', 'kid', :'es256'), 'RFC 7518 section 6.2: an EC key says all it must');
SELECT is((SELECT key FROM jsonb_array_elements(auth.jwks() -> 'keys') AS key WHERE key ->> 'kid' = :'eddsa') - 'x',
    jsonb_build_object('kty', 'OKP', 'crv', 'Ed25519', 'alg', 'EdDSA', 'use', 'sig', 'kid', :'eddsa'), 'RFC 8037 section 2: an Ed25519 key too');
SELECT is((SELECT key FROM jsonb_array_elements(auth.jwks() -> 'keys') AS key WHERE key ->> 'kid' = :'rs256') - 'n',
    jsonb_build_object('kty', 'RSA', 'e', 'AQAB', 'alg', 'RS256', 'use', 'sig', 'kid', :'rs256'), 'RFC 7518 section 6.3: an RSA key too');

SELECT auth_admin.activate_signing_key(:'es256');
SELECT is((pg_temp.kids())[1], :'es256'::text, 'the active key comes first');
SELECT auth_admin.activate_signing_key(:'eddsa');
SELECT is((pg_temp.kids())[1], :'eddsa'::text, 'also when it has changed');
SELECT ok(:'es256' = ANY (pg_temp.kids()), 'F21: a retiring key stays');
SELECT auth_admin.retire_signing_key(:'es256');
SELECT ok(NOT :'es256' = ANY (pg_temp.kids()), 'F21: a retired one goes at once');
SELECT auth_admin.activate_signing_key(:'hs256');
SELECT ok(NOT :'hs256' = ANY (pg_temp.kids()), 'F22: an active HMAC key is not in it');
SELECT is(auth_admin.import_signing_key('{"kty":"EC","crv":"P-256","kid":"theirs","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}'),
    'theirs', 'an imported private key');
SELECT is((SELECT key FROM jsonb_array_elements(auth.jwks() -> 'keys') AS key WHERE key ->> 'kid' = 'theirs'),
    '{"kty":"EC","crv":"P-256","kid":"theirs","alg":"ES256","use":"sig","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
    'F13: is published without its private part');
SELECT is(auth_admin.import_signing_key('{"kty":"OKP","crv":"Ed25519","alg":"Ed25519","key_ops":["sign"],"ext":true,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'),
    'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k', 'a key as WebCrypto exports it, alg Ed25519 (RFC 9864), kid as in RFC 8037 A.3');
SELECT is((SELECT key ->> 'alg' FROM jsonb_array_elements(auth.jwks() -> 'keys') AS key WHERE key ->> 'kid' = 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k'),
    'EdDSA', 'which is EdDSA');
CREATE ROLE jwks_reader;
SET LOCAL ROLE jwks_reader;
SELECT is(jsonb_typeof(auth.jwks() -> 'keys'), 'array', 'anybody may ask');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
