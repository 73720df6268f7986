// walk.mjs: every flow of the examples, end to end, against one that runs.
//
//   node walk.mjs CLIENT_MODULE BASE_URL PREFIX [pages]
//
// Prints TAP. The mails are read from the outbox with psql (PGHOST and so on:
// of a superuser). PREFIX is of the addresses, so that several can be walked in
// one database; pages: those that the links lead to are served, too. FORWARDED in
// the environment: what a proxy in front would say of the client.
import { execFileSync } from 'node:child_process';

const [module, base, prefix, pages] = process.argv.slice(2);
const { Client } = await import(module);
const PASSWORD = 'correct horse battery staple';
const OTHER = 'another horse battery staple';
const sent = [];
let count = 0;

const fetched = globalThis.fetch;
globalThis.fetch = (url, options) => {
	sent.push(String(url));
	// As a proxy in front of it would.
	if (process.env.FORWARDED)
		options.headers['X-Forwarded-For'] = process.env.FORWARDED;
	return fetched(url, options);
};

function ok(is, name, got) {
	console.log(`${is ? '' : 'not '}ok ${++count} - ${name}`);
	if (!is)
		console.log(`# got ${JSON.stringify(got)}`);
}

const equals = (got, expected, name) =>
	ok(JSON.stringify(got) === JSON.stringify(expected), name, got);

// The promise is refused with that code; answers with the error.
async function refuses(promise, status, code, name) {
	try {
		const got = await promise;

		ok(false, name, got);
	} catch (error) {
		equals([error.status, error.code], [status, code], name);
		return error;
	}
}

// The newest link token of a kind to an address.
const mails = [];
function linkTo(address, kind) {
	const text = execFileSync('psql', ['-XAtqc', `
		WITH claimed AS (SELECT * FROM auth_admin.claim_notifications(1000, interval '1 hour')),
			settled AS (SELECT auth_admin.settle_notifications(array_agg(id)) FROM claimed)
		SELECT json_build_array(kind, recipient, payload ->> 'link_token')
		FROM claimed, settled ORDER BY created_at`], { encoding: 'utf8' });

	mails.push(...text.split('\n').filter(Boolean).map(line => JSON.parse(line)));
	return mails.findLast(mail => mail[0] === kind && mail[1] === address)?.[2];
}

async function page(kind, token) {
	const response = await fetched(`${base}/auth/${kind}?token=${token}`);
	const text = await response.text();

	ok(response.status === 200 && text.includes('type="password"'), `the link of ${kind} leads to a page`, text);
	equals([response.headers.get('referrer-policy'), response.headers.get('cache-control')],
		['no-referrer', 'no-store'], 'which keeps its token to itself');
	ok(!text.includes(token), 'and does not repeat it');
}

async function account(name) {
	const address = `${prefix}-${name}@example.org`;
	const client = new Client(base);

	await client.signup(address, PASSWORD);
	await refuses(client.signin(address, PASSWORD), 401, 'invalid_credentials', `${name} can't sign in unconfirmed`);
	const token = linkTo(address, 'confirm_email');

	if (pages)
		await page('confirm_email', token);
	await refuses(client.confirm(token, OTHER), 422, 'invalid_code',
		'the link alone, with another password, confirms nothing');
	equals((await client.confirm(token, PASSWORD)).status, 'active', 'the link and the password do');
	await client.signin(address, PASSWORD);
	return { address, client };
}

const { address, client: ada } = await account('ada');
const { client: bob } = await account('bob');
const nobody = new Client(base);

await refuses(nobody.signup(`${prefix}-eve@example.org`, 'password'), 422, 'weak_password', 'a weak password is refused');
await refuses(nobody.signin(address, OTHER), 401, 'invalid_credentials', 'so is a wrong one');

// Notes, and who sees them.
const note = await ada.addNote('mine');
equals((await ada.notes()).map(row => row.text), ['mine'], 'ada reads the note that she wrote');
equals(await bob.notes(), [], 'bob sees nothing');
await bob.deleteNote(note.id);
equals((await ada.notes()).length, 1, 'and deletes nothing');
const unsigned = await nobody.notes().catch(error => error);
equals(unsigned.status, 401, 'who is not signed in is told so');
ok((await nobody.addNote('of nobody').catch(error => error)).status === 401, 'and writes nothing');

// The access token ends, as it would by its time; however many calls meet
// that, the client renews once.
await new Client(base, ada.tokens).renew();
sent.length = 0;
const answers = await Promise.all([ada.notes(), ada.notes(), ada.sessions()]);
equals(answers.map(rows => rows.length), [1, 1, 1], 'an ended access token is renewed, and the calls repeated');
equals(sent.filter(url => url.endsWith('/renew')).length, 1, 'by one renewal');

// Devices.
const phone = new Client(base);
await phone.signin(address, PASSWORD);
const sessions = await ada.sessions();
equals(sessions.map(session => session.is_current), [false, true], 'both devices are listed');
equals(sessions.map(session => session.ip), ['127.0.0.1', '127.0.0.1'], 'with the address of the client');
await refuses(bob.endSession(sessions[0].id), 404, 'session_not_found', 'bob can end neither');
await ada.endSession(sessions[0].id);
await refuses(phone.notes(), 401, 'session_revoked', 'the other device is signed out at once');
equals(phone.tokens, null, 'and its client knows');
equals((await ada.sessions()).length, 1, 'this one is not');

// Logout.
const kept = { ...ada.tokens };
await ada.logout();
await refuses(new Client(base, kept).notes(), 401, 'session_revoked', 'after a logout the access token is refused');
await refuses(new Client(base, kept).renew(), 401, 'session_revoked', 'and so is the refresh token');

// Reset.
await ada.signin(address, PASSWORD);
await nobody.requestReset(address);
await nobody.requestReset(`${prefix}-unknown@example.org`);
const reset = linkTo(address, 'password_reset');
if (pages)
	await page('password_reset', reset);
await nobody.reset(reset, OTHER);
await refuses(ada.notes(), 401, 'session_revoked', 'a reset ends every session');
await refuses(nobody.reset(reset, OTHER), 422, 'invalid_code', 'its link is good once');
await refuses(ada.signin(address, PASSWORD), 401, 'invalid_credentials', 'the old password is not good any more');
await ada.signin(address, OTHER);
equals((await ada.notes()).map(row => row.text), ['mine'], 'the new one is, and the notes are there');
await ada.deleteNote(note.id);
equals(await ada.notes(), [], 'ada deletes her note');

// Attempts are counted by the client's address; then the answer says how long.
let refused = null;
for (let i = 0; i < 11 && refused?.status !== 429; i++)
	refused = await nobody.signin(`${prefix}-bob@example.org`, OTHER).catch(error => error);
equals([refused.status, refused.code], [429, 'throttled'], 'who tries too often has to wait');
ok(/^[1-9][0-9]*$/.test(refused.hint), 'and is told for how long', refused.hint);

console.log(`1..${count}`);
