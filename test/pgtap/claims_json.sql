-- What auth.verify answers is the jsonb of what was signed, whichever of the two
-- ways the text took (plain_jsonb.c): as jsonb's own input makes it.
\ir helper/common.psql

BEGIN;
SELECT plan(27);

SELECT '{"kty":"oct","alg":"HS256","kid":"claims_json","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}' AS oct \gset
SELECT auth_admin.import_signing_key(:'oct') \g /dev/null
SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT auth.verify(access_token) - ARRAY['app', 'amr'] AS claims FROM pg_temp.signin(pg_temp.email('ada')) \gset

-- The claims of a live token and one more, as it is written here.
CREATE FUNCTION pg_temp.with_claim(claims text, more text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT rtrim(claims, '}') || ', "x": ' || more || '}'
$$;

SELECT is(jsonb_send(auth.verify(auth.jwt_sign(text::json, :'oct'))), jsonb_send(text::jsonb), says)
FROM (VALUES
	('nothing', 'null'),
	('true', 'true'),
	('false', 'false'),
	('zero', '0'),
	('a negative zero', '-0'),
	('a negative number', '-12'),
	('a fraction whose zeros count', '1.50'),
	('an exponent', '1.5e3'),
	('an exponent that makes it long', '1E+40'),
	('as many digits as are quick to read', '999999999999999999'),
	('one more', '9223372036854775808'),
	('a string', '"x y"'),
	('an empty string', '""'),
	('a string with an escape', '"a\"b\\c\n"'),
	('a string beyond ASCII', '"é😀"'),
	('an escape beyond ASCII', '"\u00e9"'),
	('an empty object', '{}'),
	('an empty array', '[]'),
	('a nested object, not in order', '{"bb": 1, "a": {"c": [1, "2", null, {"d": true}], "b": false}}'),
	('a name that occurs twice inside: the last counts', '{"a": 1, "b": 2, "a": {"c": 3}}'),
	('white space', E'[ 1 ,\t{ "a" : [ ] } ]'),
	('an array longer than the quick reader takes', '[' || repeat('1,', 99) || '1]'),
	('an object of more members, deep inside', '{"a":[{' || (SELECT string_agg(format('"m%s":%s', i, i), ',') FROM generate_series(1, 70) AS i) || '}]}'),
	('as deep as it may nest', repeat('[', 31) || repeat(']', 31))) AS cases (says, more),
	pg_temp.with_claim(:'claims', more) AS text;

-- And is asked as any jsonb.
SELECT pg_temp.with_claim(:'claims', '{"z": 1, "aa": [10, "k"], "y": "w"}') AS text \gset
SELECT auth.jwt_sign(:'text', :'oct') AS token \gset
SELECT is(auth.verify(:'token') #>> '{x,aa,1}', 'k', 'its members are found');
SELECT is(auth.verify(:'token') @> :'text'::jsonb AND :'text'::jsonb @> auth.verify(:'token'), true, 'it contains what it should and no more');
SELECT is(ARRAY(SELECT jsonb_object_keys(auth.verify(access_token))), ARRAY(SELECT jsonb_object_keys(convert_from(decode(
		rpad(translate(payload, '-_', '+/'), (length(payload) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::jsonb)),
	'a token of our own says all that it was given to say')
FROM pg_temp.signin(pg_temp.email('ada')), split_part(access_token, '.', 2) AS payload;

SELECT * FROM finish();
ROLLBACK;
