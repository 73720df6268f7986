/*
 * The tables. Every key and unique constraint of a per-user table contains
 * user_id (accounts: id), so that they can be distributed by user;
 * identifiers are distributed by identifier. Keys are uuids: a restore never
 * collides with what the extension makes, and no trigger or foreign key among
 * what is restored stands in its way.
 */

CREATE TABLE auth_private.accounts (
	id uuid PRIMARY KEY,
	status text NOT NULL CHECK (status IN ('pending', 'active')),
	email text,
	phone text,
	email_confirmed_at timestamptz,
	phone_confirmed_at timestamptz,
	pending_email text,
	pending_phone text,
	password_hash text,
	info jsonb NOT NULL,
	app jsonb NOT NULL,
	epoch bigint NOT NULL,
	key_epoch bigint NOT NULL DEFAULT 0,
	forgiven integer NOT NULL DEFAULT 0,
	banned_at timestamptz,
	banned_until timestamptz,
	ban_reason text,
	created_at timestamptz NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX accounts_pending ON auth_private.accounts (created_at, id) WHERE status = 'pending';
CREATE INDEX accounts_changing ON auth_private.accounts (id)
	WHERE pending_email IS NOT NULL OR pending_phone IS NOT NULL;
COMMENT ON TABLE auth_private.accounts IS
	'one row per account, the pending ones too, which end with their last link';
COMMENT ON COLUMN auth_private.accounts.email IS
	'as it was typed, which is where mail goes; whose it is, identifiers says';
COMMENT ON COLUMN auth_private.accounts.pending_email IS
	'the new address of a change that is not confirmed yet, for as long as its code is in codes; as pending_phone';
COMMENT ON COLUMN auth_private.accounts.app IS
	'what operators set; the app claim of access tokens';
COMMENT ON COLUMN auth_private.accounts.epoch IS
	'grows with whatever ends all sessions: those of an older one have ended';
COMMENT ON COLUMN auth_private.accounts.key_epoch IS
	'the same of what ends all API keys: a ban, a reset, a password that an operator set';
COMMENT ON COLUMN auth_private.accounts.forgiven IS
	'how often its failed passwords were forgiven: they are counted under this number, so that the next finds none';
COMMENT ON COLUMN auth_private.accounts.banned_at IS
	'since when it is banned; beside the status, which is what it was when the ban is over';
COMMENT ON COLUMN auth_private.accounts.banned_until IS
	'the end of the ban; NULL for one without end';
COMMENT ON COLUMN auth_private.accounts.ban_reason IS
	'what the operator said who banned it';

CREATE TABLE auth_private.identifiers (
	identifier text,
	user_id uuid,
	owned boolean NOT NULL,
	created_at timestamptz NOT NULL,
	PRIMARY KEY (identifier, user_id)
);
CREATE UNIQUE INDEX identifiers_owner ON auth_private.identifiers (identifier) WHERE owned;
CREATE INDEX identifiers_claims ON auth_private.identifiers (identifier, created_at DESC, user_id DESC)
	WHERE NOT owned;
COMMENT ON TABLE auth_private.identifiers IS
	'emails and phones in canonical form, and who claims or owns them';
COMMENT ON COLUMN auth_private.identifiers.owned IS
	'true once confirmed, for one account only; false while somebody merely claims it: then the newest three count';

CREATE TABLE auth_private.sessions (
	user_id uuid,
	id uuid,
	jti uuid NOT NULL,
	generation integer NOT NULL,
	refresh_digest bytea NOT NULL,
	created_at timestamptz NOT NULL,
	renewed_at timestamptz NOT NULL,
	access_expires_at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL,
	ends_at timestamptz,
	expiry_day date NOT NULL,
	ip inet,
	user_agent text,
	aal text NOT NULL,
	amr text[] NOT NULL,
	auth_time timestamptz NOT NULL,
	epoch bigint NOT NULL,
	actor text,
	PRIMARY KEY (user_id, id)
) WITH (fillfactor = 80);
CREATE INDEX sessions_expiry_day ON auth_private.sessions (expiry_day);
COMMENT ON TABLE auth_private.sessions IS
	'the sessions: one that is not here has ended, and so has one that a row of revocations ends';
COMMENT ON COLUMN auth_private.sessions.jti IS
	'the jti of the one access token that is good';
COMMENT ON COLUMN auth_private.sessions.generation IS
	'how many refresh tokens this session has had';
COMMENT ON COLUMN auth_private.sessions.refresh_digest IS
	'SHA-256 of the secret of the current refresh token';
COMMENT ON COLUMN auth_private.sessions.auth_time IS
	'when its user last showed who he is: at sign-in, or since';
COMMENT ON COLUMN auth_private.sessions.epoch IS
	'the epoch of the account as the sign-in saw it: the session lives while that is the epoch in force';
COMMENT ON COLUMN auth_private.sessions.actor IS
	'the role of the operator who acts for the user; NULL where it is the user';
COMMENT ON COLUMN auth_private.sessions.expiry_day IS
	'the UTC day of expires_at, for prune: as its index holds no column that a renew changes, renewals stay HOT';

CREATE TABLE auth_private.api_keys (
	user_id uuid,
	id uuid,
	digest bytea NOT NULL,
	name text NOT NULL,
	scopes text[] NOT NULL,
	role text,
	key_epoch bigint NOT NULL,
	created_at timestamptz NOT NULL,
	last_used_at timestamptz,
	expires_at timestamptz,
	PRIMARY KEY (user_id, id)
) WITH (fillfactor = 80);
CREATE INDEX api_keys_expires_at ON auth_private.api_keys (expires_at) WHERE expires_at IS NOT NULL;
COMMENT ON TABLE auth_private.api_keys IS
	'the API keys: one that is not here has ended, and so has one of another key_epoch than its account''s, or that a row of revocations ends';
COMMENT ON COLUMN auth_private.api_keys.digest IS
	'SHA-256 of the secret, which is 256 random bits and stored nowhere';
COMMENT ON COLUMN auth_private.api_keys.role IS
	'the role of its requests, one of api_key_roles; NULL for that of access tokens';
COMMENT ON COLUMN auth_private.api_keys.key_epoch IS
	'the key_epoch of the account when it was made: it lives while that is the one in force';
COMMENT ON COLUMN auth_private.api_keys.last_used_at IS
	'right to the hour: written by the recorder, and never by a request';

CREATE TABLE auth_private.revocations (
	user_id uuid,
	session_id uuid,
	id uuid,
	keep uuid,
	password_hash text,
	weight integer NOT NULL,
	at timestamptz NOT NULL,
	banned boolean,
	banned_until timestamptz,
	ban_reason text,
	deleted boolean NOT NULL DEFAULT false,
	forgives boolean NOT NULL DEFAULT false,
	ends_keys boolean NOT NULL DEFAULT false,
	made_before timestamptz,
	next_xid bigint,
	keeps_addresses boolean NOT NULL DEFAULT false,
	email text,
	phone text,
	PRIMARY KEY (user_id, session_id, id)
);
COMMENT ON TABLE auth_private.revocations IS
	'ends of sessions and API keys, bans and deletions whose rows somebody held: in force at once, worked into the rows by the recorder as soon as they are free';
COMMENT ON COLUMN auth_private.revocations.session_id IS
	'the session, or the API key, that has ended; all zeros for all sessions of the user';
COMMENT ON COLUMN auth_private.revocations.keep IS
	'the session that goes on where all others end';
COMMENT ON COLUMN auth_private.revocations.password_hash IS
	'the new password, where that ended the sessions; of several the newest counts';
COMMENT ON COLUMN auth_private.revocations.weight IS
	'what it adds to the epoch of the account: 1, or 0 where only epochs are to be compared';
COMMENT ON COLUMN auth_private.revocations.banned IS
	'true for a ban, false for the end of one, NULL for neither; of several the newest counts';
COMMENT ON COLUMN auth_private.revocations.keeps_addresses IS
	'the account has these addresses (email, phone: NULL for none) when the row is worked in: what was changed in a transaction that the new password did not see is changed back';
COMMENT ON COLUMN auth_private.revocations.deleted IS
	'the account is gone, and its row goes as soon as it is free';
COMMENT ON COLUMN auth_private.revocations.forgives IS
	'the failed passwords of the account are forgiven, once more than its row says';
COMMENT ON COLUMN auth_private.revocations.ends_keys IS
	'all API keys of the user have ended, too: it adds 1 to the key_epoch of the account';
COMMENT ON COLUMN auth_private.revocations.made_before IS
	'of a row of everybody''s (user_id all zeros): sessions, API keys, codes and pending sign-ups made before have ended';
COMMENT ON COLUMN auth_private.revocations.next_xid IS
	'of such a row: transactions below it may still commit what was made before; NULL once the recorder has worked it off';

/*
 * No foreign key: pg_restore -j loads both tables side by side, and the
 * constraints of an extension's tables are there before their rows.
 */
CREATE FUNCTION auth_private.account_deleted() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'auth_private_account_deleted';
COMMENT ON FUNCTION auth_private.account_deleted() IS
	'ends the sessions and API keys of an account that is deleted, frees its addresses, and notes that it is gone';
CREATE TRIGGER account_deleted
	AFTER DELETE ON auth_private.accounts
	FOR EACH ROW EXECUTE FUNCTION auth_private.account_deleted();
COMMENT ON TRIGGER account_deleted ON auth_private.accounts IS
	'no session outlives its account, and no address stays owned by one that is gone';

CREATE TABLE auth_private.deleted_users (
	user_id uuid PRIMARY KEY,
	deleted_at timestamptz NOT NULL
);
CREATE INDEX deleted_users_deleted_at ON auth_private.deleted_users (deleted_at);
COMMENT ON TABLE auth_private.deleted_users IS
	'accounts that were active and are gone, for as long as deleted_retention: what applications follow, since no foreign key crosses into these tables';

CREATE UNLOGGED TABLE auth_private.token_cache (
	user_id uuid,
	session_id uuid,
	jti uuid NOT NULL,
	expires_at timestamptz NOT NULL,
	expiry_day date NOT NULL,
	PRIMARY KEY (user_id, session_id),
	FOREIGN KEY (user_id, session_id) REFERENCES auth_private.sessions (user_id, id) ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX token_cache_expiry_day ON auth_private.token_cache (expiry_day);
COMMENT ON TABLE auth_private.token_cache IS
	'an allow-list of access tokens; a miss means nothing and is looked up in sessions';

CREATE TABLE auth_private.codes (
	user_id uuid,
	id uuid,
	purpose text NOT NULL,
	identifier text NOT NULL,
	created_at timestamptz NOT NULL,
	code_expires_at timestamptz NOT NULL,
	link_expires_at timestamptz NOT NULL,
	PRIMARY KEY (user_id, id)
);
CREATE INDEX codes_expiry ON auth_private.codes (link_expires_at);
COMMENT ON TABLE auth_private.codes IS
	'one-time codes waiting to be used; code and link token are derived from the id under a server key and stored nowhere';
COMMENT ON COLUMN auth_private.codes.created_at IS
	'of the codes for one user, purpose and identifier the newest counts';

CREATE TABLE auth_private.code_failures (
	identifier text,
	id uuid,
	purpose text NOT NULL,
	failed_at timestamptz NOT NULL,
	PRIMARY KEY (identifier, id)
);
CREATE INDEX code_failures_failed_at ON auth_private.code_failures (failed_at);
COMMENT ON TABLE auth_private.code_failures IS
	'wrong tries on the short codes of an address since the last success there: code_attempts of one purpose in each code_ttl, from 20 on only links are accepted; gone a day after the last try';
COMMENT ON COLUMN auth_private.code_failures.identifier IS
	'the address; of second factors the id of the user, then 5 in five minutes, and from 20 on only recovery codes';

CREATE TABLE auth_private.factors (
	user_id uuid,
	id uuid,
	secret bytea NOT NULL,
	created_at timestamptz NOT NULL,
	confirmed_at timestamptz,
	last_step bigint NOT NULL,
	PRIMARY KEY (user_id, id)
) WITH (fillfactor = 80);
CREATE INDEX factors_pending ON auth_private.factors (created_at) WHERE confirmed_at IS NULL;
COMMENT ON TABLE auth_private.factors IS
	'second factors: the secret that a user''s authenticator app shares (RFC 6238); at most one of a user is on';
COMMENT ON COLUMN auth_private.factors.secret IS
	'in its stored form, sealed where a master key is set, for this row only';
COMMENT ON COLUMN auth_private.factors.confirmed_at IS
	'since when it is on; NULL while no code of it was shown, which must be within an hour';
COMMENT ON COLUMN auth_private.factors.last_step IS
	'the newest step of 30 seconds since 1970 of which a code was taken: neither it nor an older one is taken again';

CREATE TABLE auth_private.recovery_codes (
	user_id uuid,
	id uuid,
	digest bytea NOT NULL,
	created_at timestamptz NOT NULL,
	PRIMARY KEY (user_id, id)
);
COMMENT ON TABLE auth_private.recovery_codes IS
	'what stands in for a lost second factor: codes that were not used yet';
COMMENT ON COLUMN auth_private.recovery_codes.digest IS
	'SHA-256 of 80 random bits, which no key is needed for';

CREATE TABLE auth_private.mfa_uses (
	user_id uuid,
	id uuid,
	expires_at timestamptz NOT NULL,
	PRIMARY KEY (user_id, id)
);
CREATE INDEX mfa_uses_expires_at ON auth_private.mfa_uses (expires_at);
COMMENT ON TABLE auth_private.mfa_uses IS
	'mfa tokens that were used, until they would have expired';

CREATE TABLE auth_private.devices (
	user_id uuid,
	device text,
	id uuid,
	seen_at timestamptz NOT NULL,
	PRIMARY KEY (user_id, device, id)
);
CREATE INDEX devices_seen_at ON auth_private.devices (seen_at);
COMMENT ON TABLE auth_private.devices IS
	'from where users have signed in within the last 90 days, kept while notify_new_signin is new_device';
COMMENT ON COLUMN auth_private.devices.device IS
	'a network (/24, or /48 of IPv6) and a family of user agents';

CREATE TABLE auth_private.outbox (
	user_id uuid DEFAULT '00000000-0000-0000-0000-000000000000',
	id uuid,
	created_at timestamptz NOT NULL,
	kind text NOT NULL,
	channel text NOT NULL CHECK (channel IN ('email', 'sms', 'event')),
	recipient text NOT NULL,
	code_id uuid,
	payload jsonb NOT NULL,
	attempts integer NOT NULL,
	due_at timestamptz NOT NULL,
	settled_at timestamptz,
	parked_at timestamptz,
	error text,
	lane integer NOT NULL GENERATED ALWAYS AS (CASE kind
		WHEN 'confirm_email' THEN 1 WHEN 'confirm_phone' THEN 2 WHEN 'password_reset' THEN 3
		WHEN 'signin_code' THEN 4 WHEN 'email_change' THEN 5 WHEN 'invitation' THEN 6
		WHEN 'account_exists' THEN 7 WHEN 'password_changed' THEN 8 WHEN 'email_changed' THEN 9
		WHEN 'phone_changed' THEN 10 WHEN 'mfa_changed' THEN 11 WHEN 'session_revoked' THEN 12
		WHEN 'api_key_created' THEN 13 WHEN 'new_signin' THEN 14 ELSE 0 END) STORED,
	PRIMARY KEY (user_id, id)
) WITH (fillfactor = 80);
CREATE INDEX outbox_due ON auth_private.outbox (channel, lane, due_at)
	WHERE settled_at IS NULL AND parked_at IS NULL;
CREATE INDEX outbox_id ON auth_private.outbox (id);
CREATE INDEX outbox_created ON auth_private.outbox (created_at);
CREATE INDEX outbox_parked ON auth_private.outbox (parked_at)
	WHERE parked_at IS NOT NULL AND settled_at IS NULL;
COMMENT ON TABLE auth_private.outbox IS
	'notifications on their way to the bridge, written with the change they tell of';
COMMENT ON COLUMN auth_private.outbox.user_id IS
	'whom it concerns; all zeros for nobody';
COMMENT ON COLUMN auth_private.outbox.lane IS
	'kinds have their turn in a claim by this, so that none keeps the others back; 0 comes last';
COMMENT ON COLUMN auth_private.outbox.code_id IS
	'the code row from which claim_notifications derives code and link token';
COMMENT ON COLUMN auth_private.outbox.due_at IS
	'not handed out before: the end of a lease, or of the pause after a failure';
COMMENT ON COLUMN auth_private.outbox.parked_at IS
	'when delivery was given up; release_notifications takes it up again';

CREATE TABLE auth_private.audit_log (
	user_id uuid DEFAULT '00000000-0000-0000-0000-000000000000',
	id uuid,
	at timestamptz NOT NULL,
	action text NOT NULL,
	actor text NOT NULL,
	result text NOT NULL,
	reason text,
	session_id uuid,
	ip inet,
	user_agent text,
	PRIMARY KEY (user_id, id)
);
CREATE INDEX audit_log_at ON auth_private.audit_log (at);
/* What auth_admin.audit_log shows as user_id, so that a user's rows are found there. */
CREATE INDEX audit_log_user ON auth_private.audit_log
	(NULLIF(user_id, '00000000-0000-0000-0000-000000000000'), at);
COMMENT ON TABLE auth_private.audit_log IS
	'what happened, one row per event; read through auth_admin.audit_log';
COMMENT ON COLUMN auth_private.audit_log.user_id IS
	'whose event it is; all zeros for nobody''s';
COMMENT ON COLUMN auth_private.audit_log.actor IS
	'who did it: user, system, or the role of an operator';

CREATE TABLE auth_private.mac_keys (
	id uuid PRIMARY KEY,
	key bytea NOT NULL,
	created_at timestamptz NOT NULL
);
COMMENT ON TABLE auth_private.mac_keys IS
	'the key that tags refresh tokens and derives codes, made on first use; the newest counts';

CREATE TABLE auth_private.common_passwords (
	word text PRIMARY KEY,
	is_builtin boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE auth_private.common_passwords IS
	'passwords that are refused, in canonical form (lower case); operators add words by auth_admin.forbid_password';

/* What a backup must bring back. The token cache is not of it. */
SELECT pg_catalog.pg_extension_config_dump('auth_private.accounts', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.identifiers', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.sessions', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.api_keys', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.revocations', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.deleted_users', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.codes', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.code_failures', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.factors', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.recovery_codes', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.mfa_uses', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.devices', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.outbox', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.audit_log', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.mac_keys', '');
SELECT pg_catalog.pg_extension_config_dump('auth_private.common_passwords', 'WHERE NOT is_builtin');
