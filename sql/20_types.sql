/*
 * What the functions of auth answer. Named types, so that an upgrade can add
 * a field.
 */

CREATE TYPE auth.account AS (
	id uuid,
	email text,
	phone text,
	email_confirmed_at timestamptz,
	phone_confirmed_at timestamptz,
	pending_email text,
	pending_phone text,
	info jsonb,
	created_at timestamptz,
	status text
);
COMMENT ON TYPE auth.account IS
	'an account as its owner sees it; status is pending, active or banned';

CREATE TYPE auth.tokens AS (
	access_token text,
	token_type text,
	expires_in integer,
	expires_at timestamptz,
	refresh_token text,
	session_id uuid,
	user_id uuid,
	mfa_token text
);
COMMENT ON TYPE auth.tokens IS
	'the tokens of a session (names of RFC 6749 section 5.1); expires_in is in seconds';

CREATE TYPE auth.session AS (
	id uuid,
	created_at timestamptz,
	renewed_at timestamptz,
	expires_at timestamptz,
	ip inet,
	user_agent text,
	aal text,
	amr text[],
	is_current boolean
);
COMMENT ON TYPE auth.session IS
	'a live session as its user sees it; is_current marks the one that asks';

CREATE TYPE auth.totp_enrollment AS (
	secret text,
	uri text,
	qr_svg text
);
COMMENT ON TYPE auth.totp_enrollment IS
	'what an authenticator app needs (RFC 6238), three times: the secret in base32 to type in, the otpauth URI (Key URI Format), and that as a QR code';

CREATE TYPE auth.new_api_key AS (
	id uuid,
	key text,
	name text,
	scopes text[],
	role text,
	expires_at timestamptz
);
COMMENT ON TYPE auth.new_api_key IS
	'an API key when it is made: key is shown this once; role is NULL for that of access tokens, expires_at for a key without end';

CREATE TYPE auth.api_key AS (
	id uuid,
	name text,
	scopes text[],
	role text,
	created_at timestamptz,
	last_used_at timestamptz,
	expires_at timestamptz
);
COMMENT ON TYPE auth.api_key IS
	'a live API key as its user sees it; last_used_at is right to the hour';
