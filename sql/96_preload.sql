/*
 * Without the library preloaded everything is there and nothing works: said
 * now, and not by the first call of a user. Each function knows by itself.
 */

DO $$
BEGIN
	PERFORM auth.uid();
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	RAISE WARNING 'auth_session is not in shared_preload_libraries'
		USING DETAIL = 'Until it is, every function of it fails.',
		HINT = 'Add auth_session to shared_preload_libraries in postgresql.conf and restart the server.';
END
$$;
