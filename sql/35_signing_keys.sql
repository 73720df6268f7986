-- The keys that sign and verify access tokens. Rows are configuration: a dump
-- has them, and no unique index names "the" active key, so that restored rows
-- and a key made meanwhile can stand side by side; the newest one signs.

CREATE TABLE auth_private.signing_keys (
	kid text NOT NULL PRIMARY KEY,
	algorithm text NOT NULL
		CHECK (algorithm IN ('HS256', 'HS384', 'HS512', 'RS256', 'ES256', 'EdDSA')),
	state text NOT NULL
		CHECK (state IN ('next', 'active', 'retiring', 'retired')),
	secret bytea,
	public_jwk jsonb,
	created_at timestamptz NOT NULL,
	activated_at timestamptz,
	verifies_until timestamptz,
	is_imported boolean NOT NULL DEFAULT false
);

COMMENT ON TABLE auth_private.signing_keys IS 'keys of access tokens; next, active and retiring ones verify, the newest active one signs';
COMMENT ON COLUMN auth_private.signing_keys.kid IS 'key id in the header of tokens: RFC 7638 thumbprint, or a random id for HMAC';
COMMENT ON COLUMN auth_private.signing_keys.algorithm IS 'the one algorithm of the key (RFC 7518 section 3.1)';
COMMENT ON COLUMN auth_private.signing_keys.state IS 'next: verifies; active: signs; retiring: verifies until verifies_until; retired: refused';
COMMENT ON COLUMN auth_private.signing_keys.secret IS 'private key in its stored form, sealed where a master key is set; NULL for a key that only verifies and for a retired one';
COMMENT ON COLUMN auth_private.signing_keys.public_jwk IS 'public key (RFC 7517); NULL for HMAC';
COMMENT ON COLUMN auth_private.signing_keys.created_at IS 'when the key was made or imported';
COMMENT ON COLUMN auth_private.signing_keys.activated_at IS 'when the key last began to sign';
COMMENT ON COLUMN auth_private.signing_keys.verifies_until IS 'when the last token of a retiring key has expired';
COMMENT ON COLUMN auth_private.signing_keys.is_imported IS 'whether it came from outside; rotation never activates such a key';

SELECT pg_catalog.pg_extension_config_dump('auth_private.signing_keys', '');
