-- What a superuser hung on our tables runs in a security-restricted operation:
-- it can't become somebody else, plant objects in the caller's session, or wait
-- for the caller's COMMIT.
\ir helper/common.psql

BEGIN;
SELECT plan(5);

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset

CREATE TABLE public.seen (what text);
GRANT ALL ON public.seen TO PUBLIC;
CREATE FUNCTION public.hung_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE current_setting('test.statement');
	INSERT INTO public.seen VALUES (current_user);
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	INSERT INTO public.seen VALUES (SQLSTATE);
	RETURN NULL;
END
$$;
CREATE TRIGGER hung_on AFTER INSERT ON auth_private.sessions FOR EACH ROW EXECUTE FUNCTION public.hung_on();

CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM public.seen;
	PERFORM set_config('test.statement', statement, true);
	PERFORM auth.signin(pg_temp.email('ada'), pg_temp.password());
	RETURN (SELECT string_agg(what, ',') FROM public.seen);
END
$$;

SELECT is(pg_temp.attempt('SELECT 1'), 'auth_session_owner', 'H3: a trigger of a superuser''s runs as our owner');
SELECT is(pg_temp.attempt('SET ROLE pg_read_all_data'), '42501', 'who becomes nobody else');
SELECT is(pg_temp.attempt('SET SESSION AUTHORIZATION DEFAULT'), '42501', 'nor the caller');
SELECT is(pg_temp.attempt('CREATE TEMP TABLE accounts (id uuid)'), '42501', 'and plants nothing in the session');

DROP TRIGGER hung_on ON auth_private.sessions;
CREATE CONSTRAINT TRIGGER hung_on AFTER INSERT ON auth_private.sessions
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.hung_on();
SELECT throws_ok('SELECT auth.signin(pg_temp.email(''ada''), pg_temp.password())', '42501', NULL,
	'H3: nothing of it waits for the caller''s COMMIT');

SELECT * FROM finish();
ROLLBACK;
