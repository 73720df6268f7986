/*
 * What messages lack until it is set: a NOTICE would not be seen, CREATE
 * EXTENSION shows warnings only.
 */

DO $$
BEGIN
	IF COALESCE(pg_catalog.current_setting('auth_session.site_url', true), '') OPERATOR(pg_catalog.=) '' THEN
		RAISE WARNING 'auth_session.site_url is not set'
			USING DETAIL = 'Until it is, messages have codes but no links.',
			HINT = 'Set it to the application''s URL: ALTER DATABASE ... SET auth_session.site_url = ''https://...''.';
	END IF;
END
$$;
