// server.mjs: a back end of notes over auth_session, with pg and nothing else.
//
//   npm install && PGHOST=... PGDATABASE=app PGUSER=notes_app npm start
//
// Every request is one transaction. Its first statement says whose it is: the
// headers that count are set for this transaction and, where the route is for
// users, checked in the same round trip. From then on auth.uid() is the caller,
// and the policies do the rest: no query here has a WHERE for its owner.
//
// Nothing is kept between requests, so any number of these can run side by side.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import pg from 'pg';

const BODY_MAX = 65536;
const PORT = Number(process.env.PORT ?? 8000);
const EXAMPLES = new URL('../', import.meta.url);

// A call that hashes a password holds a connection for as long: keep max above
// auth_session.max_concurrent_hashes, or sign-ins starve everything else.
const pool = new pg.Pool({ max: 10, connectionTimeoutMillis: 5000 });
pool.on('error', error => console.error('an idle connection was lost:', error.code));

// Who is not signed in, or signs in. No Authorization here: a token that has
// ended must keep nobody from getting a new one.
const AS_VISITOR = `SELECT set_config('request.headers', $1, true)`;

// A user. check_request refuses a token that is forged, expired or revoked;
// require_aal refuses who shows none, where policies would just show no row.
const AS_USER = `SELECT auth.check_request(), auth.require_aal('aal1')
                   FROM set_config('request.headers', $1, true) AS headers`;

// transaction(REQUEST, FIRST, WORK): what WORK answers, committed. WORK is given
// a function that runs one statement and answers the first column of its rows.
async function transaction(request, first, work) {
	const headers = {
		// Of the connection, never of what the client sent. Behind a proxy of
		// yours take the last entry of its x-forwarded-for here.
		'x-forwarded-for': request.socket.remoteAddress,
		'user-agent': request.headers['user-agent'],
	};
	const client = await pool.connect();
	let broken;

	if (first === AS_USER)
		headers.authorization = request.headers.authorization;
	try {
		await client.query('BEGIN');
		await client.query(first, [JSON.stringify(headers)]);
		const answer = await work(async (text, values) => {
			const { rows } = await client.query({ text, values, rowMode: 'array' });
			return rows.map(row => row[0]);
		});
		await client.query('COMMIT');
		return answer;
	} catch (error) {
		await client.query('ROLLBACK').catch(lost => { broken = lost; });
		throw error;
	} finally {
		client.release(broken);
	}
}

// A route is who may call it, its statement, and the members of the body that
// are the statement's arguments. One row or, where it ends in [], all.
const ROUTES = {
	'POST /signup': [AS_VISITOR, 'SELECT to_jsonb(a) FROM auth.signup($1, $2) AS a', 'email', 'password'],
	'POST /confirm': [AS_VISITOR, 'SELECT to_jsonb(a) FROM auth.confirm(code => $1, password => $2) AS a', 'token', 'password'],
	'POST /signin': [AS_VISITOR, 'SELECT to_jsonb(t) FROM auth.signin($1, $2) AS t', 'email', 'password'],
	'POST /renew': [AS_VISITOR, 'SELECT to_jsonb(t) FROM auth.renew($1) AS t', 'refresh_token'],
	'POST /request_reset': [AS_VISITOR, 'SELECT auth.request_password_reset($1)', 'email'],
	'POST /reset': [AS_VISITOR, 'SELECT auth.reset_password(code => $1, new_password => $2)', 'token', 'password'],
	// By the refresh token: works with an access token that has expired, too.
	'POST /logout': [AS_VISITOR, 'SELECT auth.logout(refresh_token => $1)', 'refresh_token'],

	'GET /sessions[]': [AS_USER, 'SELECT to_jsonb(s) FROM auth.sessions() AS s'],
	'POST /end_session': [AS_USER, 'SELECT auth.logout($1)', 'session_id'],
	'GET /notes[]': [AS_USER, 'SELECT to_jsonb(n) FROM app.notes AS n ORDER BY created_at'],
	'POST /notes': [AS_USER, 'INSERT INTO app.notes (text) VALUES ($1) RETURNING to_jsonb(notes)', 'text'],
	'POST /delete_note': [AS_USER, 'DELETE FROM app.notes WHERE id = $1', 'id'],
};

// The pages that links in mails lead to (auth_session.site_url + /auth/KIND),
// and what they load. They ask for a password before they call anything: a
// mail scanner that follows a link uses up nothing.
const FILES = {
	'/auth/confirm_email': ['pages/confirm_email.html', 'text/html'],
	'/auth/password_reset': ['pages/password_reset.html', 'text/html'],
	'/page.mjs': ['pages/page.mjs', 'text/javascript'],
	'/client.mjs': ['client.mjs', 'text/javascript'],
};

// Of a body's member: a text, or nothing.
function argument(value) {
	if (value === undefined || value === null)
		return null;
	if (typeof value !== 'string')
		throw Object.assign(new Error('the body has a member that is no text'), { code: 'PT400', detail: 'invalid_request' });
	return value;
}

async function bodyOf(request) {
	let text = '';

	if (request.method === 'GET')
		return {};
	request.setEncoding('utf8');
	for await (const part of request)
		if ((text += part).length > BODY_MAX)
			throw Object.assign(new Error('the body is too long'), { code: 'PT413', detail: 'too_long' });
	try {
		return Object(JSON.parse(text || '{}'));
	} catch {
		throw Object.assign(new Error('the body is no JSON'), { code: 'PT400', detail: 'invalid_request' });
	}
}

// The status is in the SQLSTATE (PT401), the code for programs in the detail,
// and at 429 the seconds to wait in the hint.
function refusal(error) {
	const state = error.code ?? '';
	const status = /^PT\d{3}$/.test(state) ? Number(state.slice(2))
		: state === '42501' ? 403
		: /^2[23]/.test(state) ? 400
		: 500;

	// Not the message: another driver's could quote what was passed.
	if (status === 500)
		console.error('a request failed:', state || error.name);
	return {
		status,
		body: state.startsWith('PT')
			? { code: error.detail, message: error.message, hint: error.hint }
			: { code: status === 500 ? 'internal_error' : 'refused', message: 'the request was refused' },
		headers: status === 429 ? { 'Retry-After': error.hint ?? '1' } : {},
	};
}

function answer(response, status, body, headers = {}) {
	response.writeHead(status, {
		'Content-Type': 'application/json',
		'Cache-Control': 'no-store',
		'Referrer-Policy': 'no-referrer',
		'X-Content-Type-Options': 'nosniff',
		'Content-Security-Policy': "default-src 'self'; frame-ancestors 'none'",
		...headers,
	});
	response.end(headers['Content-Type'] ? body : JSON.stringify(body));
}

async function handle(request, response) {
	const path = request.url.split('?', 1)[0];
	const many = ROUTES[`${request.method} ${path}[]`];
	const route = many ?? ROUTES[`${request.method} ${path}`];

	try {
		if (FILES[path]) {
			const [name, type] = FILES[path];

			answer(response, 200, await readFile(new URL(name, EXAMPLES)), { 'Content-Type': type });
		} else if (route) {
			const [first, statement, ...names] = route;
			const body = await bodyOf(request);
			const values = names.map(name => argument(body[name]));
			const rows = await transaction(request, first, run => run(statement, values));

			answer(response, 200, many ? rows : rows[0] || null);
		} else {
			answer(response, 404, { code: 'not_found' });
		}
	} catch (error) {
		const refused = refusal(error);

		answer(response, refused.status, refused.body, refused.headers);
	}
}

const server = createServer(handle).listen(PORT, '127.0.0.1', () =>
	console.log(`listening on http://127.0.0.1:${server.address().port}`));

for (const signal of ['SIGINT', 'SIGTERM'])
	process.once(signal, () => server.close(() => pool.end()));
