/*
 * What operators and the bridge call. Nobody may until granted:
 *
 *     GRANT USAGE ON SCHEMA auth_admin TO bridge;
 *     GRANT EXECUTE ON FUNCTION auth_admin.claim_notifications,
 *         auth_admin.settle_notifications, auth_admin.release_notifications
 *         TO bridge;
 *
 * is all that the bridge needs.
 */

-- Secret: masked in the log.
CREATE FUNCTION auth_admin.claim_notifications(max integer, lease interval, channel text DEFAULT NULL)
RETURNS TABLE (id uuid, created_at timestamptz, kind text, channel text, recipient text, user_id uuid, payload jsonb)
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_claim_notifications';
COMMENT ON FUNCTION auth_admin.claim_notifications(integer, interval, text) IS
	'leases notifications that are due, with code and link token in their payload';
-- Reference: Leases up to max (1 to 10000) notifications that are due, of channel email, sms (NULL for both) or
-- event, codes before notices and no kind before all of another, for at most 24 hours, with code and link token in
-- their payload; what is not settled within the lease is handed out again. Locks them with SKIP LOCKED.

CREATE FUNCTION auth_admin.settle_notifications(ids uuid[])
RETURNS integer
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_settle_notifications';
COMMENT ON FUNCTION auth_admin.settle_notifications(uuid[]) IS
	'marks notifications as delivered; answers how many were not yet';

CREATE FUNCTION auth_admin.release_notifications(ids uuid[], error text, permanent boolean DEFAULT false)
RETURNS integer
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_release_notifications';
COMMENT ON FUNCTION auth_admin.release_notifications(uuid[], text, boolean) IS
	'gives notifications back, to be tried again after a pause of 10 seconds that grows to an hour';
-- Reference: After three days, or at once where the error is permanent, they are parked. One that is parked is
-- taken up again; without an error it was no try.

CREATE FUNCTION auth_admin.prune(batch integer DEFAULT 10000)
RETURNS integer
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_prune';
COMMENT ON FUNCTION auth_admin.prune(integer) IS
	'deletes a batch of what has ended; answers how many rows';
-- Reference: Deletes what has ended, at most batch (1 to 100000) rows of each kind: pending sign-ups, sessions,
-- API keys, token cache, codes, notifications, audit rows, deleted_users; answers how many. Skips rows that are locked, and
-- accounts that something of a superuser's keeps, which the log has.

/*
 * It commits, so it has no SET clause and runs as its caller: every name in it
 * is qualified. A transaction begins with its first statement: a CALL that
 * comes later is within a block.
 */
CREATE PROCEDURE auth_admin.maintain(for_at_most interval DEFAULT '50 s')
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
	ends_at constant pg_catalog.timestamptz :=
		pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) for_at_most;
	pruned pg_catalog.int4;
BEGIN
	IF pg_catalog.statement_timestamp() OPERATOR(pg_catalog.>) pg_catalog.now() THEN
		RAISE EXCEPTION 'auth_admin.maintain() cannot run inside a transaction block'
			USING ERRCODE = 'active_sql_transaction',
			HINT = 'It commits after each batch: run CALL auth_admin.maintain() alone.';
	END IF;
	IF ends_at IS NULL THEN
		RAISE EXCEPTION 'the time to work for is missing'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	COMMIT;
	LOOP
		pruned := auth_admin.prune();
		COMMIT;
		EXIT WHEN pruned OPERATOR(pg_catalog.=) 0
			OR pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) ends_at;
	END LOOP;
	-- Last: keys that can't be opened stop nothing else.
	PERFORM auth_admin.rotate_signing_key();
END
$$;
COMMENT ON PROCEDURE auth_admin.maintain(interval) IS
	'prunes batch after batch until nothing is due or the time is up, then rotates the signing key';
-- Reference: Prunes batch after batch, a COMMIT between, until nothing is due or the time is up, then rotates the
-- signing key where that is due. Runs as its caller, who needs EXECUTE on it, on auth_admin.prune and on
-- auth_admin.rotate_signing_key; not inside a transaction block.

CREATE FUNCTION auth_admin.forbid_password(word text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_forbid_password';
COMMENT ON FUNCTION auth_admin.forbid_password(text) IS
	'adds a word to those that are refused as passwords, in whatever case';

/*
 * pg_cron runs a job as the role that scheduled it, so these run as their
 * caller, who is the operator.
 */
CREATE FUNCTION auth_admin.schedule_maintenance(schedule text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY INVOKER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	statement constant text := 'CALL auth_admin.maintain()';
	cron_database text;
	elsewhere text;
	job bigint;
BEGIN
	IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		IF NOT has_schema_privilege('cron', 'USAGE') THEN
			RAISE EXCEPTION 'permission denied for schema cron'
				USING ERRCODE = 'insufficient_privilege',
				HINT = format('As a superuser run: GRANT USAGE ON SCHEMA cron TO %I;', current_user);
		END IF;
		EXECUTE 'SELECT cron.schedule($1, $2, $3)' INTO job
			USING 'auth_session maintenance', schedule, statement;
		RETURN job;
	END IF;
	elsewhere := format('SELECT cron.schedule_in_database(%L, %L, %L, %L, %L);',
		'auth_session maintenance of ' || current_database(), schedule, statement, current_database(), current_user);
	BEGIN
		cron_database := current_setting('cron.database_name', true);
	EXCEPTION WHEN insufficient_privilege THEN
		-- Only pg_read_all_settings sees it: both cases, then.
		RAISE EXCEPTION 'pg_cron is not in this database'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = format('As a superuser: where SHOW cron.database_name says %I, run here: CREATE EXTENSION pg_cron; otherwise run there: %s',
				current_database(), elsewhere);
	END;
	IF cron_database IS NULL THEN
		RAISE EXCEPTION 'pg_cron is not there to run the maintenance'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			DETAIL = 'pg_cron is not in shared_preload_libraries.',
			HINT = format('Install pg_cron, or let any scheduler run %L.', statement);
	END IF;
	IF cron_database = current_database() THEN
		RAISE EXCEPTION 'pg_cron is not there to run the maintenance'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			DETAIL = 'This is the database of pg_cron, but the extension is not created.',
			HINT = 'Run: CREATE EXTENSION pg_cron;';
	END IF;
	RAISE EXCEPTION 'pg_cron is in another database'
		USING ERRCODE = 'object_not_in_prerequisite_state',
		DETAIL = format('Its database is %I.', cron_database),
		HINT = 'As a superuser in that database run: ' || elsewhere;
END
$$;
COMMENT ON FUNCTION auth_admin.schedule_maintenance(text) IS
	'has pg_cron run CALL auth_admin.maintain() as the calling role at a schedule such as */5 * * * *';
-- Reference: Answers the job id. Where pg_cron is missing, or in another database, the error says what to run.

CREATE FUNCTION auth_admin.unschedule_maintenance()
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY INVOKER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	was_scheduled boolean := false;
BEGIN
	IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		EXECUTE 'SELECT count(cron.unschedule(jobid)) > 0 FROM cron.job WHERE jobname = $1 AND username = current_user'
			INTO was_scheduled USING 'auth_session maintenance';
	END IF;
	RETURN was_scheduled;
END
$$;
COMMENT ON FUNCTION auth_admin.unschedule_maintenance() IS
	'ends what schedule_maintenance scheduled for the calling role; answers whether there was anything';

CREATE VIEW auth_admin.users WITH (security_barrier) AS
SELECT id,
	CASE WHEN banned_at IS NOT NULL AND (banned_until IS NULL OR banned_until > pg_catalog.clock_timestamp())
		THEN 'banned' ELSE status END AS status,
	email, phone, email_confirmed_at, phone_confirmed_at,
	CASE WHEN pending_email IS NOT NULL AND EXISTS (
		SELECT FROM auth_private.codes WHERE codes.user_id = accounts.id AND purpose = 'email_change'
			AND link_expires_at > pg_catalog.clock_timestamp())
		THEN pending_email END AS pending_email,
	CASE WHEN pending_phone IS NOT NULL AND EXISTS (
		SELECT FROM auth_private.codes WHERE codes.user_id = accounts.id AND purpose = 'phone_change'
			AND link_expires_at > pg_catalog.clock_timestamp())
		THEN pending_phone END AS pending_phone,
	info, app, banned_at, banned_until, ban_reason, created_at
FROM auth_private.accounts;
COMMENT ON VIEW auth_admin.users IS
	'the accounts, without their password hashes; status is pending, active, or banned as long as that lasts. By id it is an index, and pages go by id (WHERE id > ... ORDER BY id LIMIT ...); by email or phone ask auth_admin.find_user, this view alone is a scan';

CREATE VIEW auth_admin.api_keys WITH (security_barrier) AS
SELECT k.user_id, k.id, k.name, k.scopes, k.role, k.created_at, k.last_used_at, k.expires_at
FROM auth_private.api_keys AS k JOIN auth_private.accounts AS a ON a.id = k.user_id
WHERE k.key_epoch = a.key_epoch + (SELECT pg_catalog.count(*) FROM auth_private.revocations AS r
		WHERE r.user_id = k.user_id AND r.ends_keys)
	AND NOT EXISTS (SELECT FROM auth_private.revocations AS r
		WHERE r.user_id = k.user_id AND r.session_id = k.id)
	AND NOT EXISTS (SELECT FROM auth_private.revocations AS for_all
		WHERE for_all.user_id = '00000000-0000-0000-0000-000000000000' AND for_all.made_before > k.created_at);
COMMENT ON VIEW auth_admin.api_keys IS
	'the API keys that have not been ended, without anything that is secret; expires_at may be over until prune has been; last_used_at is right to the hour';

CREATE VIEW auth_admin.deleted_users WITH (security_barrier) AS
SELECT user_id AS id, deleted_at
FROM auth_private.deleted_users;
COMMENT ON VIEW auth_admin.deleted_users IS
	'accounts that were active and are gone, and since when; kept deleted_retention. What an application''s own tables follow';

CREATE VIEW auth_admin.audit_log WITH (security_barrier) AS
SELECT id, at, action, actor, result, reason,
	NULLIF(user_id, '00000000-0000-0000-0000-000000000000') AS user_id, session_id, ip, user_agent
FROM auth_private.audit_log;
COMMENT ON VIEW auth_admin.audit_log IS
	'what happened: when, what, by whom (user, system or an operator''s role), with which result and why, whose, from where; ids ascend with time';

CREATE VIEW auth_admin.parked_notifications WITH (security_barrier) AS
SELECT id, kind, recipient, error, parked_at AS since
FROM auth_private.outbox
WHERE parked_at IS NOT NULL AND settled_at IS NULL;
COMMENT ON VIEW auth_admin.parked_notifications IS
	'notifications whose delivery was given up, why, and since when; release_notifications takes them up again';

/*
 * What happened is counted in shared memory, and auth_admin.stats must show it
 * to whoever may read the view, while nothing of this schema is granted: but a
 * function in a view has to be granted to its reader, and a type hasn't. So the
 * counts are the input of a type, whatever text is put in.
 */
CREATE TYPE auth_private.event_counts;
CREATE FUNCTION auth_private.event_counts_in(anything cstring) RETURNS auth_private.event_counts
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'auth_private_event_counts_in';
COMMENT ON FUNCTION auth_private.event_counts_in(cstring) IS
	'what has happened in this database since the server was started: an object, empty on a standby';
CREATE FUNCTION auth_private.event_counts_out(counts auth_private.event_counts) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'auth_private_event_counts_out';
COMMENT ON FUNCTION auth_private.event_counts_out(auth_private.event_counts) IS
	'the object as text';
CREATE TYPE auth_private.event_counts (
	INPUT = auth_private.event_counts_in,
	OUTPUT = auth_private.event_counts_out,
	LIKE = pg_catalog.jsonb
);
COMMENT ON TYPE auth_private.event_counts IS
	'for auth_admin.stats: to read any text as this type is to count';

/*
 * A monitor reads this every few seconds, so nothing here reads a whole table:
 * what is large is estimated, what waits is counted by an index, to 10,000.
 */
CREATE VIEW auth_admin.stats WITH (security_barrier) AS
SELECT
	estimated.accounts AS accounts_estimate,
	estimated.sessions AS sessions_estimate,
	waiting.count AS notifications_waiting,
	waiting.oldest AS notifications_oldest_waiting,
	(SELECT pg_catalog.count(*) FROM (SELECT FROM auth_private.outbox
		WHERE parked_at IS NOT NULL AND settled_at IS NULL LIMIT 10000) AS parked) AS notifications_parked,
	(SELECT error FROM auth_private.outbox WHERE parked_at IS NOT NULL AND settled_at IS NULL
		ORDER BY parked_at DESC LIMIT 1) AS notifications_last_parked_error,
	(SELECT pg_catalog.count(*) FROM (SELECT FROM auth_private.sessions
		-- Not the clock's: no index serves what is volatile.
		WHERE expiry_day < (pg_catalog.now() AT TIME ZONE 'UTC')::pg_catalog.date
		LIMIT 10000) AS due) AS sessions_due,
	(SELECT pg_catalog.clock_timestamp() - activated_at FROM auth_private.signing_keys WHERE state = 'active'
		ORDER BY activated_at DESC NULLS LAST LIMIT 1) AS signing_key_age,
	-- The first byte of a stored form says whether it is open (0).
	(SELECT pg_catalog.count(*) FROM auth_private.signing_keys
		WHERE pg_catalog.octet_length(secret) > 0 AND pg_catalog.get_byte(secret, 0) = 0)
		+ (SELECT pg_catalog.count(*) FROM auth_private.mac_keys WHERE pg_catalog.get_byte(key, 0) = 0) AS keys_unsealed,
	(events.counts ->> 'since')::timestamptz AS since,
	(events.counts ->> 'signins')::bigint AS signins,
	(events.counts ->> 'renewals')::bigint AS renewals,
	-- Nothing is counted where since is NULL.
	CASE WHEN events.counts ? 'since'
		THEN COALESCE((events.counts -> 'refusals' ->> 'refresh_token_reused')::bigint, 0) END AS refresh_tokens_reused,
	CASE WHEN events.counts ? 'since'
		THEN COALESCE((events.counts -> 'refusals' ->> 'throttled')::bigint, 0) END AS throttled,
	events.counts -> 'refusals' AS refusals,
	(events.counts ->> 'hash_waits')::bigint AS hash_waits,
	(events.counts ->> 'hashes_waiting')::integer AS hashes_waiting,
	(events.counts ->> 'records_waiting')::integer AS records_waiting,
	(events.counts ->> 'records_discarded')::bigint AS records_discarded,
	(events.counts ->> 'last_pruned')::timestamptz AS last_pruned
FROM (SELECT pg_catalog.text 'now'::auth_private.event_counts::pg_catalog.text::pg_catalog.jsonb AS counts OFFSET 0) AS events, (
	SELECT pg_catalog.max(reltuples) FILTER (WHERE relname = 'accounts')::bigint AS accounts,
		pg_catalog.max(reltuples) FILTER (WHERE relname = 'sessions')::bigint AS sessions
	FROM pg_catalog.pg_class
	WHERE relnamespace = 'auth_private'::pg_catalog.regnamespace AND relname IN ('accounts', 'sessions')
		AND reltuples >= 0
) AS estimated, (
	SELECT pg_catalog.count(*) AS count, pg_catalog.min(created_at) AS oldest
	FROM (SELECT created_at FROM auth_private.outbox
		WHERE settled_at IS NULL AND parked_at IS NULL LIMIT 10000) AS first_of_them
) AS waiting;
COMMENT ON VIEW auth_admin.stats IS
	'one row for monitoring, in milliseconds at any size: what waits, estimates, and what happened since the server was started';

/*
 * Operators on users. EXECUTE is all the authorisation there is; each change is
 * in the audit log with the role that called as its actor. What fails answers
 * user_not_found where there is no such user, busy and read_only like the rest.
 */

CREATE FUNCTION auth_admin.find_user(identifier text)
RETURNS SETOF auth_admin.users
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_find_user';
COMMENT ON FUNCTION auth_admin.find_user(text) IS
	'the account that owns an email or phone, and then up to three that are pending there, by an index';
-- Reference: Auth_admin.users by itself is a scan for anything but id. Fails with invalid_request.

-- Secret: masked in the log.
CREATE FUNCTION auth_admin.create_user(email text DEFAULT NULL, phone text DEFAULT NULL, password text DEFAULT NULL,
	info jsonb DEFAULT '{}', app jsonb DEFAULT '{}', confirmed boolean DEFAULT false)
RETURNS auth.account
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_create_user';
COMMENT ON FUNCTION auth_admin.create_user(text, text, text, jsonb, jsonb, boolean) IS
	'makes an account by the operator''s word, or invites a user';
-- Reference: Makes an account with at least one of email and phone, active at once where it is confirmed by the
-- operator's word. Without a password an invitation goes to the email, else the phone: a link, good for link_ttl,
-- that auth.confirm takes with a password of the user's choice. Fails with invalid_request, weak_password,
-- already_exists.

CREATE FUNCTION auth_admin.ban(user_id uuid, until timestamptz DEFAULT NULL, reason text DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_ban';
COMMENT ON FUNCTION auth_admin.ban(uuid, timestamptz, text) IS
	'bans a user until then, or without end: ends all sessions, API keys and codes at once, whoever holds the rows';
-- Reference: The reason (at most 1024 bytes) is for operators only. Fails with invalid_request, user_not_found.

CREATE FUNCTION auth_admin.unban(user_id uuid)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_unban';
COMMENT ON FUNCTION auth_admin.unban(uuid) IS
	'lifts a ban; silent where there is none. Fails with invalid_request, user_not_found';

CREATE FUNCTION auth_admin.unlock(user_id uuid)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_unlock';
COMMENT ON FUNCTION auth_admin.unlock(uuid) IS
	'forgives the failed sign-ins and codes of an account. Fails with invalid_request, user_not_found';

CREATE FUNCTION auth_admin.delete_user(user_id uuid)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_delete_user';
COMMENT ON FUNCTION auth_admin.delete_user(uuid) IS
	'deletes an account with its addresses, codes, sessions and API keys, at once, whoever holds the rows';
-- Reference: Fails with invalid_request, user_not_found.

-- Secret: masked in the log.
CREATE FUNCTION auth_admin.import_user(email text DEFAULT NULL, phone text DEFAULT NULL, password_hash text DEFAULT NULL, id uuid DEFAULT NULL,
	info jsonb DEFAULT '{}', app jsonb DEFAULT '{}', confirmed boolean DEFAULT true, created_at timestamptz DEFAULT NULL)
RETURNS auth.account
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_import_user';
COMMENT ON FUNCTION auth_admin.import_user(text, text, text, uuid, jsonb, jsonb, boolean, timestamptz) IS
	'an account of another system, with its id, age and password hash';
-- Reference: An account of another system, with its id (NULL: a new one), age and password hash: bcrypt (2a, 2b,
-- 2y), PBKDF2 with SHA-256 or SHA-512, scrypt, Firebase's scrypt, Argon2i, Argon2id or sha512crypt, of a cost that
-- this server pays; the first good sign-in replaces it by Argon2id, but for bcrypt and a password beyond the 72
-- bytes that it reads. Without a hash a reset gives it a password. Confirmed addresses are its own at once; else
-- it is a pending sign-up, which is sent its codes and ends with them. Waits for who is about to take the same id
-- or address. Fails with invalid_request, already_exists (its id or an address), busy, read_only.

-- Secret: masked in the log.
CREATE FUNCTION auth_admin.set_password(user_id uuid, password text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_set_password';
COMMENT ON FUNCTION auth_admin.set_password(uuid, text) IS
	'sets a password: ends all sessions, API keys and codes, forgives failures, and tells the user';
-- Reference: Fails with invalid_request, weak_password, user_not_found.

CREATE FUNCTION auth_admin.set_app(user_id uuid, app jsonb)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_set_app';
COMMENT ON FUNCTION auth_admin.set_app(uuid, jsonb) IS
	'sets the app claim, an object of at most 8 KiB';
-- Reference: Access tokens have it from their next renewal on. Fails with invalid_request, user_not_found.

CREATE FUNCTION auth_admin.set_email(user_id uuid, email text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_set_email';
COMMENT ON FUNCTION auth_admin.set_email(uuid, text) IS
	'sets the email, which counts as confirmed';
-- Reference: Codes of the account end, its sessions go on, and the address that was is told. Fails with
-- invalid_request, already_exists, user_not_found.

CREATE FUNCTION auth_admin.set_phone(user_id uuid, phone text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_set_phone';
COMMENT ON FUNCTION auth_admin.set_phone(uuid, text) IS
	'sets the phone, as set_email does the email. Fails with invalid_request, already_exists, user_not_found';

CREATE FUNCTION auth_admin.send_password_reset(user_id uuid)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_send_password_reset';
COMMENT ON FUNCTION auth_admin.send_password_reset(uuid) IS
	'sends a code and a link by which the user can choose a new password, to the confirmed email, else the phone';
-- Reference: No limit applies. Fails with invalid_request, user_not_found.

CREATE FUNCTION auth_admin.reset_second_factor(user_id uuid)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_reset_second_factor';
COMMENT ON FUNCTION auth_admin.reset_second_factor(uuid) IS
	'takes a second factor and its recovery codes away, for a user who has lost them';
-- Reference: Ends all sessions and tells the user; does nothing where none is on. Fails with invalid_request,
-- user_not_found, busy, read_only.

CREATE FUNCTION auth_admin.sessions(user_id uuid)
RETURNS SETOF auth.session
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_sessions';
COMMENT ON FUNCTION auth_admin.sessions(uuid) IS
	'the live sessions of a user, newest first. Fails with invalid_request, user_not_found';

CREATE FUNCTION auth_admin.revoke_session(user_id uuid, session_id uuid)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_revoke_session';
COMMENT ON FUNCTION auth_admin.revoke_session(uuid, uuid) IS
	'ends a session of a user. Fails with invalid_request, user_not_found, session_not_found';

CREATE FUNCTION auth_admin.revoke_sessions(user_id uuid)
RETURNS integer
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_revoke_sessions';
COMMENT ON FUNCTION auth_admin.revoke_sessions(uuid) IS
	'ends all sessions of a user, those too that are being opened';
-- Reference: Answers how many. Fails with invalid_request, user_not_found.

CREATE FUNCTION auth_admin.delete_api_key(user_id uuid, id uuid)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_delete_api_key';
COMMENT ON FUNCTION auth_admin.delete_api_key(uuid, uuid) IS
	'ends an API key of a user, whoever holds its row';
-- Reference: Fails with invalid_request, user_not_found, api_key_not_found.

-- Secret: masked in the log.
CREATE FUNCTION auth_admin.impersonate(user_id uuid, reason text)
RETURNS auth.tokens
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_impersonate';
COMMENT ON FUNCTION auth_admin.impersonate(uuid, text) IS
	'opens a session of ten minutes in which the calling role acts for a user';
-- Reference: Opens a session in which the calling role acts for a user: ten minutes, no refresh token, the role in
-- its claim act; it may read and log out, and whatever changes the account answers reauthentication_required. The
-- user sees it among the sessions; the reason (at most 1024 bytes) is for operators only. Fails with
-- invalid_request, user_not_found, not_confirmed, banned.

CREATE FUNCTION auth_admin.revoke_all(before timestamptz DEFAULT pg_catalog.clock_timestamp(), new_keys boolean DEFAULT false)
RETURNS bigint
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_admin_revoke_all';
COMMENT ON FUNCTION auth_admin.revoke_all(timestamptz, boolean) IS
	'after a restore or a leak: ends everybody''s sessions, API keys, codes and pending sign-ups; answers how many sessions';
-- Reference: After a restore or a leak: ends the sessions, API keys, codes and pending sign-ups of everybody that were made
-- before a time, those too that are still uncommitted; with new_keys fresh signing and MAC keys take the place of
-- all there are, and nothing made under those verifies. Waits for no session; holds the locks of the keys. Answers
-- how many sessions it ended. Fails with invalid_request, and with new_keys busy.
