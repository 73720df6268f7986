/*
 * Of these tables every backend keeps something until it hears of a change.
 * ALWAYS: also for changes that arrive by replication or with a restore. The
 * function writes nothing.
 */
CREATE FUNCTION auth_private.table_changed() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'auth_private_table_changed';
COMMENT ON FUNCTION auth_private.table_changed() IS
	'makes every open backend, and every standby, drop what it keeps of a table';

CREATE TRIGGER signing_keys_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON auth_private.signing_keys
	FOR EACH STATEMENT EXECUTE FUNCTION auth_private.table_changed();
ALTER TABLE auth_private.signing_keys ENABLE ALWAYS TRIGGER signing_keys_changed;
COMMENT ON TRIGGER signing_keys_changed ON auth_private.signing_keys IS
	'a key that is retired is refused at once in every open backend';

CREATE TRIGGER mac_keys_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON auth_private.mac_keys
	FOR EACH STATEMENT EXECUTE FUNCTION auth_private.table_changed();
ALTER TABLE auth_private.mac_keys ENABLE ALWAYS TRIGGER mac_keys_changed;
COMMENT ON TRIGGER mac_keys_changed ON auth_private.mac_keys IS
	'a MAC key that is replaced is refused at once in every open backend';

CREATE TRIGGER revocations_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON auth_private.revocations
	FOR EACH STATEMENT EXECUTE FUNCTION auth_private.table_changed();
ALTER TABLE auth_private.revocations ENABLE ALWAYS TRIGGER revocations_changed;
COMMENT ON TRIGGER revocations_changed ON auth_private.revocations IS
	'a session that has ended is refused at once in every open backend';
