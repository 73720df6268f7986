/*
 * Past one machine: the tables on the nodes of a Citus cluster.
 *
 * What is a user's lies in one shard, by the user's id, and what is an
 * address's by the address; keys and revocations, which every statement needs,
 * are on every node. token_cache saves a look at rows of this server's, and has
 * no use where they are another's.
 *
 * Nodes reach each other as auth_session_node, which may read and write the
 * rows of these tables and nothing else: the owner of the functions stays a
 * role that nobody logs in as.
 */

CREATE FUNCTION auth_private.make_keys() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'auth_private_make_keys';
COMMENT ON FUNCTION auth_private.make_keys() IS
	'makes the keys that there are not yet, as their first use would';

-- What would be done to have the role that nodes connect as.
CREATE FUNCTION auth_private.node_role_steps() RETURNS SETOF text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	node pg_roles;
	name text;
	value text;
BEGIN
	SELECT * INTO node FROM pg_roles WHERE rolname = 'auth_session_node';
	IF node.rolname IS NULL THEN
		-- On workers at once, as what it is granted there is; they are to tell no other node.
		RETURN NEXT format('SELECT auth_private.run_on_workers(%L)',
			'DO $do$ BEGIN PERFORM pg_catalog.set_config(''citus.enable_ddl_propagation'', ''off'', true); '
			'CREATE ROLE auth_session_node LOGIN; EXCEPTION WHEN duplicate_object THEN END $do$');
		RETURN NEXT 'CREATE ROLE auth_session_node LOGIN';
		RETURN NEXT 'COMMENT ON ROLE auth_session_node IS '
			'''as which the nodes of a cluster read and write the tables of auth_session''';
	ELSIF NOT node.rolcanlogin OR node.rolsuper OR node.rolcreaterole OR node.rolcreatedb
		OR node.rolreplication OR node.rolbypassrls
		OR EXISTS (SELECT FROM pg_auth_members WHERE node.oid IN (roleid, member))
	THEN
		RAISE EXCEPTION 'role "auth_session_node" exists and is not safe to use'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			DETAIL = 'It must be LOGIN, without special attributes, without members, and a member of nothing.';
	END IF;

	-- Values are in the statements that a node is sent; what bounds a wait here
	-- must bound it there; and no operator of somebody's may be meant.
	FOR name, value IN VALUES
		('log_statement', 'none'),
		('log_duration', 'off'),
		('log_min_duration_statement', '-1'),
		('log_min_duration_sample', '-1'),
		('log_transaction_sample_rate', '0'),
		('log_min_error_statement', 'panic'),
		('track_activities', 'off'),
		('lock_timeout', current_setting('auth_session.lock_wait')),
		('synchronous_commit', 'on'),
		('search_path', 'pg_catalog, pg_temp')
	LOOP
		IF NOT COALESCE(format('%s=%s', name, value) = ANY (node.rolconfig), false) THEN
			RETURN NEXT format('ALTER ROLE auth_session_node SET %I = %s', name,
				CASE name WHEN 'search_path' THEN value ELSE quote_literal(value) END);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION auth_private.node_role_steps() IS
	'the statements that auth_session_node still wants; none of them has a secret';

-- Runs a statement on every worker, in a transaction of its own there.
CREATE FUNCTION auth_private.run_on_workers(statement text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	failed record;
BEGIN
	SELECT nodename, nodeport, result INTO failed FROM run_command_on_workers(statement) WHERE NOT success LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'a node refuses: %', statement
			USING ERRCODE = 'external_routine_exception',
			DETAIL = format('%s:%s: %s', failed.nodename, failed.nodeport, failed.result);
	END IF;
END
$$;
COMMENT ON FUNCTION auth_private.run_on_workers(text) IS
	'runs a statement on every worker; raises where one of them fails';

CREATE FUNCTION auth_private.is_so_on_nodes(condition text) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	here boolean;
BEGIN
	EXECUTE condition INTO here;
	RETURN here AND NOT EXISTS (SELECT FROM run_command_on_workers(condition) WHERE NOT success OR result <> 't');
END
$$;
COMMENT ON FUNCTION auth_private.is_so_on_nodes(text) IS
	'whether a query answers true here and on every worker';

-- What would be done for the rights of auth_session_node. CREATE EXTENSION made
-- schemas and views on each node, and Citus carries no GRANT on them there.
CREATE FUNCTION auth_private.node_grant_steps() RETURNS SETOF text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	exists_here boolean = EXISTS (SELECT FROM pg_roles WHERE rolname = 'auth_session_node');
	made record;
	step text;
BEGIN
	FOR made IN
		SELECT 'USAGE' AS rights, 'USAGE' AS last, 'SCHEMA ' || nspname AS object, true AS is_made_by_extension,
			'schema' AS kind, nspname::text AS name
		FROM pg_namespace WHERE nspname IN ('auth_admin', 'auth_private')
		UNION ALL
		SELECT CASE relkind WHEN 'v' THEN 'SELECT' ELSE 'SELECT, INSERT, UPDATE, DELETE' END,
			CASE relkind WHEN 'v' THEN 'SELECT' ELSE 'DELETE' END, c.oid::regclass::text, relkind = 'v',
			'table', c.oid::regclass::text
		FROM pg_class AS c
		WHERE relnamespace IN ('auth_admin'::regnamespace, 'auth_private'::regnamespace)
			AND relkind IN ('r', 'v') AND relname <> 'token_cache'
		ORDER BY kind, name
	LOOP
		CONTINUE WHEN exists_here AND auth_private.is_so_on_nodes(format(
			'SELECT pg_catalog.has_%s_privilege(%L, %L, %L)', made.kind, 'auth_session_node', made.name, made.last));
		step = format('GRANT %s ON %s TO auth_session_node', made.rights, made.object);
		RETURN NEXT step;
		IF made.is_made_by_extension THEN
			RETURN NEXT format('SELECT auth_private.run_on_workers(%L)', step);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION auth_private.node_grant_steps() IS
	'the statements by which auth_session_node gets the rights that it lacks on some node';

-- What would be done for the tables. They are taken from the catalog, and by
-- what their keys begin with: user_id, or identifier.
CREATE FUNCTION auth_private.table_steps(shard_count integer) RETURNS SETOF text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kept record;
	name text;
BEGIN
	-- token_cache is not looked at any more; its rows would outlive sessions
	-- that end on another node.
	FOR name IN
		SELECT conname FROM pg_constraint
		WHERE conrelid = 'auth_private.token_cache'::regclass AND contype = 'f'
	LOOP
		RETURN NEXT 'TRUNCATE auth_private.token_cache';
		RETURN NEXT format('ALTER TABLE auth_private.token_cache DROP CONSTRAINT %I', name);
	END LOOP;
	-- On a shard it could not reach what lies elsewhere: the functions do its work.
	IF EXISTS (SELECT FROM pg_trigger
		WHERE tgrelid = 'auth_private.accounts'::regclass AND tgname = 'account_deleted')
	THEN
		RETURN NEXT 'DROP TRIGGER account_deleted ON auth_private.accounts';
	END IF;

	FOR kept IN
		SELECT c.oid::regclass AS name, a.attname AS key,
			CASE WHEN c.relname IN ('signing_keys', 'mac_keys', 'common_passwords', 'revocations') THEN 1
				WHEN c.relname = 'accounts' THEN 2
				WHEN c.relname = 'identifiers' THEN 3
				ELSE 4 END AS place
		FROM pg_class AS c JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
			JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
		WHERE c.relnamespace = 'auth_private'::regnamespace AND c.relkind = 'r' AND c.relname <> 'token_cache'
			AND NOT EXISTS (SELECT FROM pg_dist_partition AS p WHERE p.logicalrelid = c.oid)
		ORDER BY place, c.relname
	LOOP
		IF kept.place = 4 AND kept.key NOT IN ('user_id', 'identifier') THEN
			RAISE EXCEPTION 'table % has a key that begins with neither user_id nor identifier', kept.name
				USING ERRCODE = 'object_not_in_prerequisite_state';
		END IF;
		RETURN NEXT CASE
			WHEN kept.place = 1 THEN
				format('SELECT pg_catalog.create_reference_table(%L)', kept.name)
			WHEN kept.place IN (2, 3) THEN
				format('SELECT pg_catalog.create_distributed_table(%L, %L, colocate_with => %L, shard_count => %s)',
					kept.name, kept.key, 'none', shard_count)
			ELSE
				format('SELECT pg_catalog.create_distributed_table(%L, %L, colocate_with => %L)', kept.name, kept.key,
					CASE kept.key WHEN 'user_id' THEN 'auth_private.accounts'
						WHEN 'identifier' THEN 'auth_private.identifiers' END)
			END;
		-- The rows that were copied, hashes and keys among them.
		RETURN NEXT format('SELECT pg_catalog.truncate_local_data_after_distributing_table(%L)', kept.name);
	END LOOP;
END
$$;
COMMENT ON FUNCTION auth_private.table_steps(integer) IS
	'the statements that the tables still want, in the order in which they must run';

CREATE FUNCTION auth_admin.distribute(shard_count integer DEFAULT 32, dry_run boolean DEFAULT false)
RETURNS SETOF text
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	step text;
	referring text;
BEGIN
	IF NOT current_setting('is_superuser')::boolean THEN
		RAISE EXCEPTION 'only a superuser may distribute the tables of auth_session'
			USING ERRCODE = 'insufficient_privilege';
	END IF;
	IF shard_count IS NULL OR shard_count NOT BETWEEN 1 AND 64000 OR dry_run IS NULL THEN
		RAISE EXCEPTION 'shard_count must be between 1 and 64000, and dry_run true or false'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
		RAISE EXCEPTION 'the tables can''t be distributed in a transaction that has written'
			USING ERRCODE = 'active_sql_transaction',
			HINT = 'Call the function as a statement of its own.';
	END IF;
	SELECT string_agg(format('%s (%s)', conrelid::regclass, conname), ', ' ORDER BY conrelid::regclass::text, conname)
	INTO referring
	FROM pg_constraint JOIN pg_class AS referred ON referred.oid = confrelid
		JOIN pg_class AS own ON own.oid = conrelid
	WHERE contype = 'f' AND referred.relnamespace = 'auth_private'::regnamespace
		AND own.relnamespace <> 'auth_private'::regnamespace;
	IF referring IS NOT NULL THEN
		RAISE EXCEPTION 'tables of the application reference those of auth_session'
			USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = referring,
			HINT = 'Drop these foreign keys, and follow auth_admin.deleted_users.';
	END IF;
	IF to_regclass('pg_catalog.pg_dist_partition') IS NULL THEN
		RAISE EXCEPTION 'this database has no Citus'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'Install Citus on every node, run CREATE EXTENSION citus in this database, and add the nodes.';
	END IF;
	-- Nodes are told of changes to keys by the rows that they hold themselves.
	IF NOT EXISTS (SELECT FROM pg_dist_node WHERE groupid = 0) OR NOT citus_is_coordinator() THEN
		RAISE EXCEPTION 'the tables are distributed from a coordinator that is one of its own nodes'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'Run citus_set_coordinator_host on the coordinator, then this function there.';
	END IF;
	IF EXISTS (SELECT FROM pg_dist_node WHERE noderole = 'primary' AND NOT (isactive AND hasmetadata AND metadatasynced)) THEN
		RAISE EXCEPTION 'not all nodes are active and have the metadata of the cluster'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'Look at pg_dist_node, and run start_metadata_sync_to_all_nodes.';
	END IF;

	-- Triggers that tell of a change to the keys fire on every node's own rows.
	PERFORM set_config('citus.enable_unsafe_triggers', 'on', true);
	IF NOT dry_run THEN
		PERFORM auth_private.make_keys();
	END IF;
	FOR step IN
		SELECT * FROM auth_private.node_role_steps()
		UNION ALL
		SELECT * FROM auth_private.table_steps(shard_count)
		UNION ALL
		SELECT * FROM auth_private.node_grant_steps()
	LOOP
		IF NOT dry_run THEN
			EXECUTE step;
		END IF;
		RETURN NEXT step;
	END LOOP;
END
$$;
COMMENT ON FUNCTION auth_admin.distribute(integer, boolean) IS
	'puts the tables on the nodes of a Citus cluster; answers the statements that it ran';
-- Reference: By user and by address, with what is in the tables; answers no statement where all is done, and with
-- dry_run those that it would run. For superusers, on the coordinator, as a statement of its own; locks the tables
-- until it ends. Run it again when a node was added. Afterwards give auth_session_node a way to log in: doc/scale.md.
