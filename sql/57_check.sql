/*
 * What pg_cron knows of the maintenance of this database. Runs as whoever asks
 * for the findings, and so shows what he may see; NULL where that is nothing.
 * Only pg_cron's own tables are read: anybody might have made others of their
 * names.
 */
CREATE FUNCTION auth_private.maintenance_jobs() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY INVOKER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
	jobs jsonb;
BEGIN
	IF (SELECT count(*) FROM pg_depend AS d JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
			JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE e.extname = 'pg_cron' AND d.deptype = 'e' AND n.nspname = 'cron' AND c.relname IN ('job', 'job_run_details')
			AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')) < 2
	THEN
		RETURN NULL;
	END IF;
	-- What pg_cron keeps of runs is never deleted: the newest must do.
	EXECUTE $query$
		SELECT coalesce(jsonb_agg(jsonb_build_object('id', job.jobid, 'user', job.username, 'active', job.active,
			'can_login', role.rolcanlogin,
			'may', has_schema_privilege(role.oid, 'auth_admin', 'USAGE')
				AND has_function_privilege(role.oid, 'auth_admin.maintain(interval)', 'EXECUTE')
				AND has_function_privilege(role.oid, 'auth_admin.prune(integer)', 'EXECUTE')
				AND has_function_privilege(role.oid, 'auth_admin.rotate_signing_key()', 'EXECUTE'),
			'status', run.status, 'message', left(split_part(run.return_message, E'\n', 1), 200)) ORDER BY job.jobid), '[]')
		FROM cron.job AS job
			JOIN pg_roles AS role ON role.rolname = job.username
			LEFT JOIN LATERAL (SELECT status, return_message FROM cron.job_run_details AS run
				WHERE run.jobid = job.jobid AND run.status IN ('succeeded', 'failed')
					AND run.runid > (SELECT max(runid) - 10000 FROM cron.job_run_details)
				ORDER BY run.runid DESC LIMIT 1) AS run ON true
		WHERE job.database = current_database() AND job.command ~ 'auth_admin[.]maintain'
	$query$ INTO jobs;
	RETURN jobs;
EXCEPTION WHEN lock_not_available THEN
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION auth_private.maintenance_jobs() IS
	'the jobs of pg_cron that maintain this database, as far as the caller may see them, with their last run; NULL where he may see none';

CREATE FUNCTION auth_admin.check_configuration()
RETURNS TABLE (finding text, risk text, cure text)
LANGUAGE c VOLATILE SECURITY INVOKER PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'auth_admin_check_configuration';
COMMENT ON FUNCTION auth_admin.check_configuration() IS
	'what an operator should know of: a row for each thing that is found, what may come of it, and what to do';
-- Reference: No row is good news. Changes nothing, and answers on a standby and where the library was not
-- preloaded, too.
