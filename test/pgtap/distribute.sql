-- auth_admin.distribute, where it refuses; what it does, test/t/citus.pl has.
\ir helper/common.psql

-- Before pgTAP writes anything, in a transaction that has not.
SELECT pg_temp.failure('SELECT auth_admin.distribute()') AS without,
	pg_temp.failure('SELECT auth_admin.distribute(dry_run => true)') AS dry,
	pg_temp.failure('SELECT auth_admin.distribute(0)') AS none,
	pg_temp.failure('SELECT auth_admin.distribute(NULL)') AS unknown,
	pg_temp.failure('SELECT auth_admin.distribute(dry_run => NULL)') AS undecided \gset
SELECT count(*) AS roles FROM pg_roles WHERE rolname = 'auth_session_node' \gset

SELECT 'pgtap_notes_' || :'run' AS notes, 'pgtap_app_' || :'run' AS app \gset
CREATE TABLE public.:"notes" (owner uuid REFERENCES auth_private.accounts);
SELECT pg_temp.failure('SELECT auth_admin.distribute()') AS referred \gset
DROP TABLE public.:"notes";

CREATE ROLE :"app";
GRANT USAGE ON SCHEMA auth_admin TO :"app";
GRANT EXECUTE ON FUNCTION auth_admin.distribute TO :"app";
SET ROLE :"app";
SELECT pg_temp.failure('SELECT auth_admin.distribute()') AS unprivileged \gset
RESET ROLE;
DROP OWNED BY :"app";
DROP ROLE :"app";

BEGIN;
SELECT plan(10);

SELECT is(:'without'::jsonb ->> 'message', 'this database has no Citus', 'without Citus it says so');
SELECT is(:'without'::jsonb ->> 'sqlstate', '55000', 'as a state that has to be another');
SELECT is(:'dry'::jsonb, :'without'::jsonb, 'and so does a dry run');
SELECT is(:'roles'::int, 0, 'nothing has been done');
SELECT is(:'none'::jsonb ->> 'sqlstate', '22023', 'no shard is no number of shards');
SELECT is(:'unknown'::jsonb ->> 'sqlstate', '22023', 'nor is NULL');
SELECT is(:'undecided'::jsonb ->> 'sqlstate', '22023', 'whether it is a dry run has to be said');
SELECT is(:'referred'::jsonb ->> 'message', 'tables of the application reference those of auth_session',
	'a foreign key of the application''s is refused');
SELECT is(:'unprivileged'::jsonb ->> 'sqlstate', '42501', 'a role that was granted the function is not superuser for that');
SELECT is(pg_temp.failure('SELECT auth_admin.distribute()') ->> 'sqlstate', '25001',
	'a transaction that has written is refused');

SELECT * FROM finish();
ROLLBACK;
