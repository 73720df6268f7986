-- Tokens of any issuer, and the operator's keys.

-- Secret: masked in the log.
CREATE FUNCTION auth.jwt_sign(payload json, secret text, algorithm text DEFAULT 'HS256') RETURNS text
	LANGUAGE c STRICT VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'auth_jwt_sign';

COMMENT ON FUNCTION auth.jwt_sign(json, text, text) IS 'signs a payload as a compact JWT: an HMAC secret, or a private key in PEM or JWK';

-- Secret: masked in the log.
CREATE FUNCTION auth.jwt_verify(token text, secret text, algorithm text DEFAULT 'HS256',
	OUT header json, OUT payload json, OUT valid boolean)
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'auth_jwt_verify';

COMMENT ON FUNCTION auth.jwt_verify(text, text, text) IS
	'header, payload and validity of a compact JWT: an HMAC secret, or a key in PEM or JWK';
-- Reference: Valid is false for any malformed token. Fails with invalid_request where the key can't be read, and
-- the hint says why.

CREATE FUNCTION auth.jwks() RETURNS jsonb
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'auth_jwks';

COMMENT ON FUNCTION auth.jwks() IS 'the public keys that verify access tokens (RFC 7517); PostgREST takes it as its jwt-secret';

CREATE FUNCTION auth_admin.create_signing_key(algorithm text) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'auth_admin_create_signing_key';

COMMENT ON FUNCTION auth_admin.create_signing_key(text) IS 'makes a key that verifies and can be activated; returns its kid';

-- Secret: masked in the log.
CREATE FUNCTION auth_admin.import_signing_key(jwk jsonb) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'auth_admin_import_signing_key';

COMMENT ON FUNCTION auth_admin.import_signing_key(jsonb) IS 'takes over a key that verifies at once and, with a private part, can be activated; returns its kid';

CREATE FUNCTION auth_admin.activate_signing_key(kid text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'auth_admin_activate_signing_key';

COMMENT ON FUNCTION auth_admin.activate_signing_key(text) IS 'makes a key sign; the former one verifies until its last token has expired';

CREATE FUNCTION auth_admin.retire_signing_key(kid text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'auth_admin_retire_signing_key';

COMMENT ON FUNCTION auth_admin.retire_signing_key(text) IS 'refuses a key''s tokens at once everywhere; never the active key';

CREATE FUNCTION auth_admin.rotate_signing_key() RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'auth_admin_rotate_signing_key';

COMMENT ON FUNCTION auth_admin.rotate_signing_key() IS
	'a step of maintenance: retires signing keys, and activates the next one where that is due';
-- Reference: A step of maintenance: retires keys that verify no longer, and activates the next one where
-- key_rotation_interval has passed; returns its kid, NULL where none was due.

CREATE FUNCTION auth_admin.seal_keys(previous_master_key_file text DEFAULT NULL) RETURNS integer
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'auth_admin_seal_keys';

COMMENT ON FUNCTION auth_admin.seal_keys(text) IS
	'seals keys, and secrets of second factors, under today''s master key; returns how many';
-- Reference: Seals keys, and secrets of second factors, that were stored open, or sealed under the master key of
-- the file given, under today's master key; returns how many.

-- Secret: masked in the log.
CREATE FUNCTION auth_admin.jwt_secret() RETURNS jsonb
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'auth_admin_jwt_secret';

COMMENT ON FUNCTION auth_admin.jwt_secret() IS 'the active HMAC key as a JWK, for PostgREST''s jwt-secret';

-- Secret: masked in the log.
CREATE FUNCTION auth_admin.jwt_keys() RETURNS jsonb
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'auth_admin_jwt_keys';

COMMENT ON FUNCTION auth_admin.jwt_keys() IS
	'a JWK set of every key that verifies or will, HMAC keys with their secrets';
-- Reference: The first is made by the first call, later ones only read. Fails with read_only where there is none.

CREATE FUNCTION auth_admin.postgrest_settings() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'auth_admin_postgrest_settings';

COMMENT ON FUNCTION auth_admin.postgrest_settings() IS
	'PostgREST''s db-pre-config: sets pgrst.jwt_secret to jwt_keys() and pgrst.jwt_aud for this transaction';
-- Reference: Grant it to the authenticator. After each change of keys NOTIFY pgrst has PostgREST load them again.
-- Fails as jwt_keys does.

CREATE VIEW auth_admin.signing_keys AS
	SELECT kid, algorithm, state,
		   secret IS NOT NULL AS can_sign,
		   pg_catalog.get_byte(secret, 0) = 1 AS is_sealed,
		   is_imported, created_at, activated_at, verifies_until
	  FROM auth_private.signing_keys;

COMMENT ON VIEW auth_admin.signing_keys IS 'the signing keys without their secrets';
