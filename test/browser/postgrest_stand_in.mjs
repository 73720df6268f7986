// Stands in for PostgREST 13, which no distribution packages: for each HTTP
// request it sends the server what PostgREST sends, and answers as that does, as
// far as a browser can tell. For tests and shows on one's own machine only.
//
//   node postgrest_stand_in.mjs [OPTION...]
//     --port N        listens on 127.0.0.1; 0 (default) for a free one, which the
//                     first line of output tells: "listening on N"
//     --schemas LIST  the exposed schemas (auth,public)
//     --prefix PATH   where the API is, as behind a proxy; "" (default): at /
//     --files DIR     served for GET at any path that is not the API's
//     --pool N        connections (2)
//     --no-check      without db-pre-request = auth.check_request
//
// The server is that of PGHOST, PGPORT and PGDATABASE; PGUSER is the
// authenticator. It does what is needed: functions by POST (JSON and forms) and
// GET, tables by GET, HEAD and POST, no filters. The signature of a bearer token
// it leaves to auth.check_request.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';

const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    schemas: { type: 'string', default: 'auth,public' },
    prefix: { type: 'string', default: '' },
    files: { type: 'string' },
    pool: { type: 'string', default: '2' },
    'no-check': { type: 'boolean', default: false },
  },
});
const schemas = options.schemas.split(',');
const pool = new pg.Pool({ max: Number(options.pool) });
// A body goes on as it came.
pg.types.setTypeParser(pg.types.builtins.JSON, (text) => text);
const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
const TAIL = `nullif(current_setting('response.headers', true), '') AS response_headers, nullif(current_setting('response.status', true), '') AS response_status, '' AS response_inserted`;

class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// ---- the schema cache ----

const FUNCTIONS = `
  SELECT n.nspname AS schema, p.proname AS name, p.proretset AS is_set, p.provolatile AS volatility,
    p.prorettype = 'void'::regtype AS is_void, t.typtype = 'c' OR t.typname = 'record' AS is_row, t.typname AS type,
    coalesce((SELECT json_object_agg(a.name, format_type(a.type, NULL)) FROM unnest(p.proargnames, p.proargtypes::oid[]) AS a (name, type)
      WHERE a.type IS NOT NULL), '{}') AS arguments
  FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_type AS t ON t.oid = p.prorettype
  WHERE n.nspname = ANY ($1)`;
const TABLES = `
  SELECT n.nspname AS schema, c.relname AS name, json_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)) AS columns
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'v', 'p') GROUP BY 1, 2`;
let cache;

async function load() {
  const [functions, tables] = await Promise.all([pool.query(FUNCTIONS, [schemas]), pool.query(TABLES, [schemas])]);
  const byName = (rows) => new Map(rows.map((row) => [
    row.schema + '.' + row.name,
    { ...row, arguments: JSON.parse(row.arguments ?? '{}'), columns: JSON.parse(row.columns ?? '{}') },
  ]));

  return { functions: byName(functions.rows), tables: byName(tables.rows) };
}

// ---- one request to SQL ----

// RFC 6265 section 5.4; of a name that comes twice the last.
function cookiesOf(header) {
  const cookies = {};

  for (const pair of (header ?? '').split(';')) {
    const at = pair.indexOf('=');
    if (at > 0) cookies[pair.slice(0, at).trim()] = pair.slice(at + 1).trim();
  }
  return cookies;
}

function claimsOf(authorization) {
  const token = /^bearer\s+(\S+)$/i.exec(authorization ?? '')?.[1];

  if (!token) return { role: 'anon' };
  try {
    return JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
  } catch {
    throw new HttpError(401, 'the token is no JWT');
  }
}

const record = (names, types) => names.map((name) => `${quoted(name)} ${types[name]}`).join(', ');

function checkNames(names, types, what) {
  for (const name of names) {
    if (!(name in types)) throw new HttpError(404, `${what} has no ${name}`);
  }
}

// The main statement of a call, and its parameters.
function callOf(fn, args, body) {
  const names = Object.keys(args ?? body ?? {});
  const columns = names.map(quoted).join(', ');
  let call, from = '', values = [];

  checkNames(names, fn.arguments, fn.name);
  if (args) {
    values = names.map((name) => args[name]);
    call = names.map((name, i) => `${quoted(name)} := $${i + 1}::${fn.arguments[name]}`).join(', ');
  } else {
    call = names.map((name) => `${quoted(name)} := pgrst_body.${quoted(name)}`).join(', ');
    if (names.length > 0) {
      values = [JSON.stringify(body)];
      from = `(SELECT $1::json AS json_data) pgrst_payload, LATERAL (SELECT ${columns} FROM json_to_record(pgrst_payload.json_data) AS _(${record(names, fn.arguments)}) LIMIT 1) pgrst_body , LATERAL `;
    }
  }
  call = `${quoted(fn.schema)}.${quoted(fn.name)}(${call})`;
  if (!fn.is_row) {
    const rows = fn.is_set ? `coalesce(json_agg(_postgrest_t.pgrst_scalar), '[]')` : `coalesce(json_agg(_postgrest_t.pgrst_scalar)->0, 'null')`;

    return [`WITH pgrst_source AS (SELECT pgrst_call.pgrst_scalar FROM ${from}(SELECT ${call} pgrst_scalar) pgrst_call) SELECT null::bigint AS total_result_set, 1 AS page_total, ${rows} AS body, ${TAIL} FROM (SELECT ${quoted(fn.name)}.* FROM "pgrst_source" AS ${quoted(fn.name)}   ) _postgrest_t`, values];
  }
  const rows = fn.is_set ? `coalesce(json_agg(_postgrest_t), '[]')` : `coalesce(json_agg(_postgrest_t)->0, 'null')`;
  return [`WITH pgrst_source AS (SELECT "pgrst_call".* FROM ${from}${call} pgrst_call) SELECT null::bigint AS total_result_set, 1 AS page_total, ${rows} AS body, ${TAIL} FROM (SELECT ${quoted(fn.type)}.* FROM "pgrst_source" AS ${quoted(fn.type)}   ) _postgrest_t`, values];
}

function tableOf(table, method, body) {
  const name = `${quoted(table.schema)}.${quoted(table.name)}`;

  if (method === 'POST') {
    const names = Object.keys(body ?? {});
    const columns = names.map(quoted).join(', ');

    checkNames(names, table.columns, table.name);
    return [`WITH pgrst_source AS (INSERT INTO ${name}(${columns}) SELECT ${columns} FROM (SELECT $1::json AS json_data) pgrst_payload, LATERAL (SELECT ${columns} FROM json_to_record(pgrst_payload.json_data) AS _(${record(names, table.columns)}) ) pgrst_body  RETURNING 1) SELECT '' AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, '' AS body, ${TAIL} FROM (SELECT * FROM pgrst_source) _postgrest_t`, [JSON.stringify(body)]];
  }
  if (method !== 'GET' && method !== 'HEAD') throw new HttpError(405, 'no such method here');
  const rows = method === 'HEAD' ? `''::text` : `coalesce(json_agg(_postgrest_t), '[]')::text`;
  return [`WITH pgrst_source AS ( SELECT ${name}.* FROM ${name}   )  SELECT null::bigint AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, ${rows} AS body, ${TAIL} FROM ( SELECT * FROM pgrst_source ) _postgrest_t`, []];
}

// ---- one request to HTTP ----

async function read(request) {
  const chunks = [];

  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  const type = (request.headers['content-type'] ?? 'application/json').split(';')[0].trim();

  if (type === 'application/x-www-form-urlencoded') return { args: Object.fromEntries(new URLSearchParams(text)) };
  if (type !== 'application/json') throw new HttpError(415, `${type} is not taken`);
  try {
    return { body: text === '' ? {} : JSON.parse(text) };
  } catch {
    throw new HttpError(400, 'the body is no JSON');
  }
}

// Of the schemas the client's choice, else the first that has it.
function find(kind, name, profile) {
  const among = profile ? [profile] : schemas;

  for (const schema of among) {
    const found = cache[kind].get(schema + '.' + name);
    if (found) return found;
  }
  throw new HttpError(404, `there is no ${name}`);
}

async function statementOf(request, path, query) {
  const method = request.method;
  const profile = request.headers[method === 'POST' ? 'content-profile' : 'accept-profile'];
  const rpc = /^\/rpc\/([^/]+)$/.exec(path)?.[1];

  if (!rpc) {
    const table = find('tables', path.slice(1), profile);
    const { args, body } = method === 'POST' ? await read(request) : {};

    return { found: table, statement: tableOf(table, method, args ?? body) };
  }
  const fn = find('functions', rpc, profile);
  const { args, body } = method === 'POST' ? await read(request) : { args: Object.fromEntries(query) };

  return { found: fn, statement: callOf(fn, args, body) };
}

function statusOf(error, isAnonymous) {
  const code = error.code ?? '';

  if (/^PT[2-5]\d\d$/.test(code)) return Number(code.slice(2));
  if (code === '42501') return isAnonymous ? 401 : 403;
  if (code === '25006') return 405;
  if (code.startsWith('28')) return 403;
  if (code === '23505') return 409;
  return /^(22|23|P0001|42)/.test(code) ? 400 : 500;
}

async function answer(request, response, path, query) {
  const { found, statement } = await statementOf(request, path, query);
  const { cookie, ...headers } = request.headers;
  const claims = claimsOf(headers.authorization);
  const readOnly = request.method === 'GET' || request.method === 'HEAD' || (found.volatility ?? 'v') !== 'v';
  const searchPath = [found.schema, ...schemas.filter((name) => name !== found.schema)].map(quoted).join(', ');
  const client = await pool.connect();
  let row;

  try {
    await client.query(`BEGIN ISOLATION LEVEL READ COMMITTED READ ${readOnly ? 'ONLY' : 'WRITE'}`);
    await client.query(
      `select set_config('search_path', $1, true), set_config('role', $2, true), set_config('request.jwt.claims', $3, true), set_config('request.method', $4, true), set_config('request.path', $5, true), set_config('request.headers', $6, true), set_config('request.cookies', $7, true)`,
      [searchPath, claims.role, JSON.stringify(claims), request.method, path, JSON.stringify(headers), JSON.stringify(cookiesOf(cookie))],
    );
    if (!options['no-check']) await client.query('select "auth"."check_request"()');
    row = (await client.query(...statement)).rows[0];
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    const { code, message, detail, hint } = error;
    return send(response, statusOf(error, claims.role === 'anon'), { code, message, details: detail ?? null, hint: hint ?? null });
  } finally {
    client.release();
  }
  for (const header of JSON.parse(row.response_headers ?? '[]')) {
    for (const [name, value] of Object.entries(header)) response.appendHeader(name, value);
  }
  if (found.is_void) return response.writeHead(Number(row.response_status ?? 204)).end();
  const created = !('volatility' in found) && request.method === 'POST';
  response.setHeader('Content-Type', 'application/json; charset=utf-8');
  response.writeHead(Number(row.response_status ?? (created ? 201 : 200)));
  return response.end(row.body);
}

function send(response, status, body) {
  response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8' });
  response.end(JSON.stringify(body));
}

// ---- files, for a page of the same origin ----

const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

async function sendFile(response, path) {
  const name = join(options.files, normalize('/' + decodeURIComponent(path === '/' ? '/index.html' : path)));

  try {
    const data = await readFile(name);
    response.writeHead(200, { 'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream' });
    response.end(data);
  } catch {
    send(response, 404, { message: 'there is no such file' });
  }
}

async function handle(request, response) {
  const url = new URL(request.url, 'http://localhost');
  const isApi = url.pathname.startsWith(options.prefix + '/');
  const path = url.pathname.slice(options.prefix.length);
  const isFile = options.files !== undefined && request.method === 'GET' &&
    (!isApi || (options.prefix === '' && !path.startsWith('/rpc/') && !schemas.some((schema) => cache.tables.has(schema + path.replace('/', '.')))));

  try {
    if (isFile) return await sendFile(response, url.pathname);
    if (!isApi) throw new HttpError(404, 'there is nothing here');
    // PostgREST answers by itself: no CORS, so no other origin may.
    if (request.method === 'OPTIONS') return response.writeHead(200, { Allow: 'OPTIONS,GET,HEAD,POST' }).end();
    return await answer(request, response, path, url.searchParams);
  } catch (error) {
    if (!(error instanceof HttpError)) console.error(error);
    return send(response, error.status ?? 500, { message: error.message });
  }
}

cache = await load();
const server = createServer(handle);
server.listen(Number(options.port), '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
