// postgrest.mjs: a stand-in for PostgREST where that is not to be had: it reads
// the same configuration and sends a server what PostgREST 13 sends, for
//
//   POST, GET and HEAD of /rpc/NAME; GET, HEAD, POST, PATCH and DELETE of
//   /TABLE with select, order, limit and COLUMN=eq.VALUE; OPTIONS.
//
//   node test/lib/postgrest.mjs FILE        settings of FILE, and PGRST_DB_URI...
//
// One request is one transaction: BEGIN, one SELECT of set_config, the
// pre-request, one main statement, COMMIT. Role and claims are those of the
// first Authorization header, request.headers holds the last of each name.
// Keys come from db-pre-config, anew at NOTIFY pgrst. Needs npm's pg, on
// NODE_PATH; db-uri is empty or a URI, and else libpq's environment counts. One
// thing differs: a body is cast to json, where PostgREST's parameter is one.
import { createHmac, createPublicKey, timingSafeEqual, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const pg = createRequire(import.meta.url)('pg');

const settings = { 'db-uri': '', 'db-schemas': 'public', 'db-pool': 10, 'server-host': '127.0.0.1', 'server-port': 3000 };
for (const line of readFileSync(process.argv[2], 'utf8').split('\n')) {
	const [, name, value] = /^\s*([a-z-]+)\s*=\s*"?(.*?)"?\s*$/.exec(line) ?? [];

	if (name)
		settings[name] = value;
}
for (const [name, value] of Object.entries(process.env))
	if (name.startsWith('PGRST_'))
		settings[name.slice(6).toLowerCase().replaceAll('_', '-')] = value;

const SCHEMAS = settings['db-schemas'].split(',').map(name => name.trim());
const ANON = settings['db-anon-role'];
const connection = settings['db-uri'] ? { connectionString: settings['db-uri'] } : {};
const pool = new pg.Pool({ ...connection, max: Number(settings['db-pool']) });
const quoted = name => `"${name.replaceAll('"', '""')}"`;
const plain = value => value; // results stay as text

pool.on('error', () => {});
pool.on('connect', client => client.query(`SET client_encoding = 'UTF8'; SET client_min_messages TO WARNING`));

class Failure extends Error {
	constructor(status, code, message, details = null, hint = null) {
		super(message);
		Object.assign(this, { status, body: { code, details, hint, message } });
	}
}

/* ---- configuration from the database ---- */

let keys = [];
let audience;
let functions;
let tables;

async function load() {
	const client = await pool.connect();

	try {
		await client.query('BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY');
		if (settings['db-pre-config'])
			await client.query(`SELECT ${settings['db-pre-config'].split('.').map(quoted).join('.')}()`);
		const { rows: [row] } = await client.query(`SELECT current_setting('pgrst.jwt_secret', true) AS secret,
			current_setting('pgrst.jwt_aud', true) AS aud`);
		keys = row.secret ? JSON.parse(row.secret).keys : [];
		audience = row.aud || settings['jwt-aud'];
		functions = (await client.query(`
			SELECT n.nspname AS schema, p.proname AS name, p.proretset AS is_set, p.provolatile AS volatility,
				t.typtype = 'c' AS is_row, t.typname AS type, p.prorettype = 'void'::regtype AS is_void,
				coalesce(p.proargnames[1:p.pronargs], '{}') AS names, p.pronargs - p.pronargdefaults AS required,
				ARRAY(SELECT format_type(a, NULL) FROM unnest(p.proargtypes) AS a) AS types
			FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_type AS t ON t.oid = p.prorettype
			WHERE n.nspname = ANY ($1) AND p.prokind = 'f'`, [SCHEMAS])).rows;
		tables = (await client.query(`
			SELECT n.nspname AS schema, c.relname AS name,
				(SELECT json_object_agg(attname, format_type(atttypid, NULL)) FROM pg_attribute
				 WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns
			FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
			WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p', 'v')`, [SCHEMAS])).rows;
		await client.query('COMMIT');
		console.log(`verifies with ${keys.length} keys`);
	} finally {
		client.release(true);
	}
}

/* ---- tokens ---- */

const part = text => JSON.parse(Buffer.from(text, 'base64url').toString());

function isSigned(key, alg, signed, signature) {
	const bits = alg.slice(2);

	if (key.kty === 'oct') {
		const expected = createHmac(`sha${bits}`, Buffer.from(key.k, 'base64url')).update(signed).digest();

		return alg.startsWith('HS') && expected.length === signature.length && timingSafeEqual(expected, signature);
	}
	if (alg.startsWith('HS') || (key.alg && key.alg !== alg))
		return false;
	return verify(alg === 'EdDSA' ? null : `sha${bits}`, Buffer.from(signed),
		{ key: createPublicKey({ key, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }, signature);
}

// The claims of the first Authorization header; those of anon without one.
function claimsOf(header) {
	const [, token] = /^Bearer[ \t\v\f]+(.*)$/i.exec(header ?? '') ?? [];
	let claims, isGood;

	if (token === undefined)
		return { role: ANON };
	try {
		const [head, payload, signature] = token.split('.');
		const { alg, kid } = part(head);

		claims = part(payload);
		isGood = keys.filter(key => kid === undefined || key.kid === undefined || key.kid === kid)
			.some(key => isSigned(key, alg, `${head}.${payload}`, Buffer.from(signature, 'base64url')));
	} catch {
		throw new Failure(401, 'PGRST301', 'Expected 3 parts in JWT; got 1');
	}
	if (!isGood)
		throw new Failure(401, 'PGRST301', 'No suitable key or wrong key type');
	if (typeof claims.exp === 'number' && claims.exp + 30 < Date.now() / 1000)
		throw new Failure(401, 'PGRST303', 'JWT expired');
	if (audience && claims.aud !== undefined && ![].concat(claims.aud).includes(audience))
		throw new Failure(401, 'PGRST303', 'JWT not in audience');
	return { role: ANON, ...claims };
}

/* ---- the main statement ---- */

const TAIL = `nullif(current_setting('response.headers', true), '') AS response_headers, nullif(current_setting('response.status', true), '') AS response_status, '' AS response_inserted`;

function callOf(schema, name, request) {
	const found = functions.find(f => f.schema === schema && f.name === name);
	const isGet = request.method !== 'POST';
	const given = isGet ? Object.fromEntries([...request.query].filter(([key]) => key !== 'select'))
		: request.isForm ? Object.fromEntries(new URLSearchParams(request.body))
		: request.body === '' ? {} : JSON.parse(request.body);
	const names = Object.keys(Array.isArray(given) ? given[0] ?? {} : given).sort();
	const isKnown = found && names.every(key => found.names.includes(key)) &&
		found.names.slice(0, found.required).every(key => names.includes(key));

	if (!isKnown)
		throw new Failure(404, 'PGRST202', `Could not find the function ${schema}.${name}${names.length ? `(${names.join(', ')})` : ' without parameters'} in the schema cache`);
	const type = key => found.types[found.names.indexOf(key)];
	const called = `${quoted(schema)}.${quoted(name)}`;
	let from = '', args, values;

	if (isGet || request.isForm) {
		values = names.map(key => given[key]);
		args = names.map((key, i) => `${quoted(key)} := $${i + 1}::${type(key)}`).join(', ');
	} else {
		values = names.length ? [request.body] : [];
		args = names.map(key => `${quoted(key)} := pgrst_body.${quoted(key)}`).join(', ');
		if (names.length)
			from = `(SELECT $1::json AS json_data) pgrst_payload, LATERAL (SELECT ${names.map(quoted).join(', ')} FROM json_to_record${Array.isArray(given) ? 'set' : ''}(pgrst_payload.json_data) AS _(${names.map(key => `${quoted(key)} ${type(key)}`).join(', ')}) LIMIT 1) pgrst_body , LATERAL `;
	}
	const isReadOnly = request.method !== 'POST' || found.volatility !== 'v';
	const body = request.method === 'HEAD' ? `''::text`
		: found.is_set ? `coalesce(json_agg(_postgrest_t), '[]')`
		: `coalesce(json_agg(_postgrest_t${found.is_row ? '' : '.pgrst_scalar'})->0, 'null')`;
	const alias = quoted(found.is_row ? found.type : name);
	const columns = found.is_row && request.query.get('select')
		? request.query.get('select').split(',').map(text => {
			const [column, cast] = text.split('::');
			return cast ? `CAST( ${alias}.${quoted(column)} AS ${cast} )` : `${alias}.${quoted(column)}`;
		}).join(', ')
		: `${alias}.*`;
	const source = found.is_row
		? `SELECT "pgrst_call".* FROM ${from}${called}(${args}) pgrst_call`
		: `SELECT pgrst_call.pgrst_scalar FROM ${from}(SELECT ${called}(${args}) pgrst_scalar) pgrst_call`;

	return {
		isReadOnly, values, status: found.is_void ? 204 : 200,
		text: `WITH pgrst_source AS (${source}) SELECT null::bigint AS total_result_set, ${found.is_set ? 'pg_catalog.count(_postgrest_t)' : '1'} AS page_total, ${body} AS body, ${TAIL} FROM (SELECT ${columns} FROM "pgrst_source" AS ${alias}   ) _postgrest_t`,
	};
}

function tableOf(schema, name, request) {
	const table = tables.find(t => t.schema === schema && t.name === name);

	if (!table)
		throw new Failure(404, 'PGRST205', `Could not find the table '${schema}.${name}' in the schema cache`);
	const target = `${quoted(schema)}.${quoted(name)}`;
	const returns = /return=representation/.test(request.headers.prefer ?? '');
	const values = [];
	const known = column => {
		if (!(column in table.columns))
			throw new Failure(400, '42703', `column ${name}.${column} does not exist`);
		return quoted(column);
	};
	const filters = [...request.query].filter(([key]) => !['select', 'order', 'limit'].includes(key))
		.map(([key, value]) => `${target}.${known(key)} = $${values.push(value.replace(/^eq\./, ''))}::${table.columns[key]}`);
	const where = filters.length ? ` WHERE ${filters.join(' AND ')}` : '';
	const order = request.query.get('order')?.split(',').map(text => {
		const [column, direction] = text.split('.');
		return `${target}.${known(column)} ${direction === 'desc' ? 'DESC' : ''}`;
	});
	const limit = request.query.get('limit');
	const selected = request.query.get('select')?.split(',').map(column => `${target}.${known(column)}`).join(', ') ?? `${target}.*`;
	let source, status = 200;

	if (request.method === 'GET' || request.method === 'HEAD')
		source = `SELECT ${selected} FROM ${target}${where}${order ? ` ORDER BY ${order.join(', ')}` : ''}${limit ? ` LIMIT ${Number(limit)}` : ''}`;
	else if (request.method === 'DELETE') {
		source = `DELETE FROM ${target}${where} RETURNING ${returns ? selected : '1'}`;
		status = returns ? 200 : 204;
	} else {
		const given = request.isForm ? Object.fromEntries(new URLSearchParams(request.body)) : JSON.parse(request.body);
		const names = Object.keys(Array.isArray(given) ? given[0] ?? {} : given).sort();
		const columns = names.map(known).join(', ');
		const place = values.push(request.isForm ? JSON.stringify(given) : request.body);
		const body = `(SELECT $${place}::json AS json_data) pgrst_payload, LATERAL (SELECT ${columns || '*'} FROM json_to_record${Array.isArray(given) ? 'set' : ''}(pgrst_payload.json_data) AS _(${names.map(key => `${quoted(key)} ${table.columns[key]}`).join(', ')}) ) pgrst_body`;

		source = request.method === 'PATCH'
			? `UPDATE ${target} SET ${names.map(key => `${quoted(key)} = pgrst_body.${quoted(key)}`).join(', ')} FROM ${body}${where} RETURNING ${returns ? selected : '1'}`
			: `INSERT INTO ${target}(${columns}) SELECT ${columns} FROM ${body} RETURNING ${returns ? selected : '1'}`;
		status = request.method === 'POST' ? 201 : returns ? 200 : 204;
	}
	const hasBody = request.method === 'GET' || (returns && request.method !== 'HEAD');

	return {
		isReadOnly: request.method === 'GET' || request.method === 'HEAD', values, status,
		text: `WITH pgrst_source AS (${source}) SELECT '' AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, ${hasBody ? `coalesce(json_agg(_postgrest_t), '[]')` : `''::text`} AS body, ${TAIL} FROM (SELECT * FROM pgrst_source) _postgrest_t`,
	};
}

/* ---- a request ---- */

function statusOf(state, isAnonymous) {
	if (/^PT\d{3}$/.test(state))
		return Number(state.slice(2));
	if (state === '42501')
		return isAnonymous ? 401 : 403;
	return { '23505': 409, '23503': 409, '25006': 405, '53300': 503, '42883': 404, '42P01': 404 }[state]
		?? { '28': 403, '22': 400, '23': 400, '42': 400, 'P0': 400, '08': 503 }[state.slice(0, 2)] ?? 500;
}

async function run(schema, claims, request, main) {
	const client = await pool.connect();
	let broken;

	try {
		await client.query(`BEGIN ISOLATION LEVEL READ COMMITTED READ ${main.isReadOnly ? 'ONLY' : 'WRITE'}`);
		await client.query(`select set_config('search_path', $1, true), set_config('role', $2, true), set_config('request.jwt.claims', $3, true), set_config('request.method', $4, true), set_config('request.path', $5, true), set_config('request.headers', $6, true), set_config('request.cookies', $7, true)`, [
			[schema, 'public'].map(quoted).join(', '), claims.role, JSON.stringify(claims), request.method, request.path,
			JSON.stringify(request.passed), JSON.stringify(request.cookies)]);
		if (settings['db-pre-request'])
			await client.query(`select ${settings['db-pre-request'].split('.').map(quoted).join('.')}()`);
		const { rows: [row] } = await client.query({ text: main.text, values: main.values, types: { getTypeParser: () => plain } });
		await client.query('COMMIT');
		return row;
	} catch (error) {
		await client.query('ABORT').catch(lost => { broken = lost; });
		if (!error.code)
			throw error;
		throw new Failure(statusOf(error.code, claims.role === ANON), error.code, error.message, error.detail ?? null, error.hint ?? null);
	} finally {
		client.release(broken);
	}
}

// Of a cookie that is named twice the last counts.
function cookiesOf(header) {
	return Object.fromEntries((header ?? '').split(';').map(text => text.trim()).filter(text => text.includes('='))
		.map(text => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]));
}

async function read(request) {
	const url = new URL(request.url, 'http://localhost');
	const passed = {};
	let first, firstCookie;
	let body = '';

	for (let i = 0; i < request.rawHeaders.length; i += 2) {
		const name = request.rawHeaders[i].toLowerCase();

		if (name === 'authorization')
			first ??= request.rawHeaders[i + 1];
		if (name === 'cookie')
			firstCookie ??= request.rawHeaders[i + 1];
		else
			passed[name] = request.rawHeaders[i + 1];
	}
	request.setEncoding('utf8');
	for await (const text of request)
		body += text;
	return {
		method: request.method, headers: request.headers, path: url.pathname, query: url.searchParams, passed,
		authorization: first, cookies: cookiesOf(firstCookie), body,
		isForm: (request.headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded'),
	};
}

const ALLOWED = (settings['server-cors-allowed-origins'] ?? '').split(',').map(text => text.trim()).filter(Boolean);
function corsFor(origin) {
	if (!origin)
		return {};
	if (!ALLOWED.length)
		return { 'Access-Control-Allow-Origin': '*' };
	return ALLOWED.includes(origin) ? { 'Access-Control-Allow-Origin': origin, 'Access-Control-Allow-Credentials': 'true' } : {};
}

async function answer(request) {
	const asked = await read(request);
	const reads = asked.method === 'GET' || asked.method === 'HEAD';
	const schema = asked.headers[reads ? 'accept-profile' : 'content-profile'] ?? SCHEMAS[0];
	const [, rpc, name] = /^\/(rpc\/)?([^/]+)$/.exec(asked.path) ?? [];

	if (asked.method === 'OPTIONS')
		return { status: 200, body: '', headers: { 'Access-Control-Allow-Methods': 'GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD', 'Access-Control-Allow-Headers': 'Authorization, Content-Type, Content-Profile, Accept-Profile, Prefer, X-Session', 'Access-Control-Max-Age': '86400' } };
	if (!SCHEMAS.includes(schema))
		throw new Failure(406, 'PGRST106', `Invalid schema: ${schema}`, null, `Only the following schemas are exposed: ${SCHEMAS.join(', ')}`);
	const claims = claimsOf(asked.authorization);

	if (!name)
		throw new Failure(404, 'PGRST125', 'Invalid path specified in request URL');
	let main;
	try {
		main = rpc ? callOf(schema, name, asked) : tableOf(schema, name, asked);
	} catch (error) {
		throw error instanceof SyntaxError ? new Failure(400, 'PGRST102', 'Empty or invalid json') : error;
	}
	const row = await run(schema, claims, asked, main);
	const headers = JSON.parse(row.response_headers ?? '[]').flatMap(Object.entries);

	return { status: Number(row.response_status ?? main.status), body: main.status === 204 ? '' : row.body ?? '', headers };
}

const server = createServer(async (request, response) => {
	let answered;

	try {
		answered = await answer(request);
	} catch (error) {
		if (!(error instanceof Failure))
			console.error(error);
		const failure = error instanceof Failure ? error : new Failure(503, 'PGRST001', 'Database client error');

		answered = {
			status: failure.status, body: JSON.stringify(failure.body), headers: {
				...(failure.status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {}),
				...(failure.status === 503 ? { 'Retry-After': '0' } : {}),
			},
		};
	}
	for (const [name, value] of Object.entries(corsFor(request.headers.origin)))
		response.setHeader(name, value);
	if (answered.body !== '')
		response.setHeader('Content-Type', 'application/json; charset=utf-8');
	for (const [name, value] of Array.isArray(answered.headers) ? answered.headers : Object.entries(answered.headers))
		response.appendHeader ? response.appendHeader(name, value) : response.setHeader(name, value);
	response.writeHead(answered.status);
	response.end(request.method === 'HEAD' ? '' : answered.body);
});

// NOTIFY pgrst: keys and schema anew.
const listener = new pg.Client(connection);
await listener.connect();
await listener.query('LISTEN pgrst');
listener.on('notification', () => load().catch(error => console.error(error)));
await load();
server.listen(Number(settings['server-port']), settings['server-host'], () =>
	console.log(`listening on http://${settings['server-host']}:${server.address().port}`));

for (const signal of ['SIGINT', 'SIGTERM'])
	process.once(signal, () => server.close(async () => { await listener.end(); await pool.end(); }));
