// app.mjs: an application without a back end: this page, PostgREST at /api, and
// the session in cookies that no script can read (../../doc/cookies.md).
const $ = id => document.getElementById(id);
const shown = { visitor: $('visitor'), factor: $('factor'), link: $('link'), user: $('user') };

// What page shows, and no other part.
function show(name) {
	for (const [key, element] of Object.entries(shown))
		element.hidden = key !== name;
}

function say(text) {
	$('status').textContent = text;
	$('problem').textContent = '';
}

function complain(text) {
	$('status').textContent = '';
	$('problem').textContent = text;
}

/* ---- the API ---- */

class Refused extends Error {
	constructor(status, { code, details, message, hint } = {}) {
		super(message ?? `status ${status}`);
		Object.assign(this, { status, code: /^PT\d/.test(code) ? details : code, hint });
	}
}

async function send(method, path, body, headers = {}) {
	const response = await fetch(`/api${path}`, {
		method,
		headers: { ...(body && { 'Content-Type': 'application/json' }), ...headers },
		body: body && JSON.stringify(body),
	});
	const text = await response.text();
	const answer = text === '' ? null : JSON.parse(text);

	if (!response.ok)
		throw new Refused(response.status, answer ?? undefined);
	return answer;
}

const AUTH = { 'Content-Profile': 'auth' };

// One renewal for however many calls, and tabs, find that the token has ended.
let renewal;
function renew() {
	renewal ??= send('POST', '/rpc/renew', {}, AUTH).finally(() => { renewal = undefined; });
	return renewal;
}

async function call(method, path, body, headers) {
	try {
		return await send(method, path, body, headers);
	} catch (error) {
		if (error.code !== 'token_expired')
			throw error;
		await renew();
		return send(method, path, body, headers);
	}
}

const auth = (name, body = {}) => call('POST', `/rpc/${name}`, body, AUTH);
// What answers tokens: as cookies.
const enter = (name, body) => send('POST', `/rpc/${name}`, body, { ...AUTH, 'x-session': 'cookie' });

/* ---- what is on the page ---- */

function list(parent, rows) {
	parent.replaceChildren(...rows.map(parts => {
		const item = document.createElement(parent.tagName === 'TBODY' ? 'tr' : 'li');

		item.append(...parts);
		return item;
	}));
}

function cell(text) {
	const element = document.createElement('td');

	element.textContent = text;
	return element;
}

function button(text, label, action) {
	const element = document.createElement('button');

	element.type = 'button';
	element.textContent = text;
	element.setAttribute('aria-label', label);
	element.addEventListener('click', () => attempt(action));
	return element;
}

const when = text => new Date(text).toLocaleString();

// Shows what is now; of several under way the last.
let turn = 0;
async function refresh() {
	const mine = ++turn;
	let account, notes, sessions, kept;

	try {
		account = await auth('account');
		[notes, sessions, kept] = await Promise.all([
			call('GET', '/notes?order=created_at'), auth('sessions'), auth('export_account')]);
	} catch (error) {
		if (mine !== turn)
			return;
		if (error.status !== 401)
			throw error;
		show('visitor');
		return;
	}
	if (mine !== turn)
		return;

	$('email').textContent = account.email;
	$('pending').textContent = account.pending_email;
	$('confirm_email').hidden = !account.pending_email;
	list($('notes'), notes.map(note => [`${note.text} `,
		button('Delete', `Delete the note ${note.text}`, () => call('DELETE', `/notes?id=eq.${note.id}`))]));
	list($('sessions'), sessions.map(session => [
		`${session.user_agent ?? 'unknown device'}, since ${when(session.created_at)}, ${session.aal}`,
		session.is_current ? ' (this one)' : button('Log out', `Log out of the session since ${when(session.created_at)}`,
			async () => {
				await auth('logout', { session_id: session.id });
				say('That device is signed out.');
			})]));
	list($('audit'), kept.audit_log.map(row => [cell(when(row.at)), cell(row.action), cell(row.result)]));
	show('user');
}

// Does something, says why it was refused, and shows what is now.
async function attempt(action) {
	try {
		await action();
	} catch (error) {
		complain(error.code === 'throttled' || error.code === 'busy'
			? `Too often. Wait ${error.hint} seconds.`
			: `${error.message}.`);
	}
	if (shown.link.hidden && shown.factor.hidden)
		await refresh().catch(error => complain(error.message));
}

function onSubmit(id, action) {
	$(id).addEventListener('submit', event => {
		event.preventDefault();
		attempt(async () => {
			await action(Object.fromEntries(new FormData(event.target)));
			event.target.reset();
		});
	});
}

/* ---- the flows ---- */

let mfaToken;

onSubmit('signup', async ({ email, password }) => {
	await auth('signup', { email, password });
	say(`Follow the link in the mail to ${email}.`);
});

onSubmit('signin', async ({ email, password }) => {
	const tokens = await enter('signin', { email, password });

	say('');
	if (tokens.mfa_token) {
		mfaToken = tokens.mfa_token;
		show('factor');
	}
});

onSubmit('signin_totp', async ({ code }) => {
	await enter('signin_totp', { mfa_token: mfaToken, code });
	mfaToken = undefined;
	say('');
	show('user');
});

onSubmit('forgot', async ({ email }) => {
	await auth('request_password_reset', { identifier: email });
	say(`If there is an account of ${email}, a link is on its way.`);
});

onSubmit('note', ({ text }) => call('POST', '/notes', { text }));

onSubmit('change_password', async passwords => {
	await auth('change_password', passwords);
	say('The password is changed, and every other device is signed out.');
});

onSubmit('change_email', async ({ new_email, password }) => {
	await auth('change_email', { new_email, password });
	say('A code is on its way to the new address.');
});

onSubmit('confirm_email', async ({ code }) => {
	await auth('confirm', { identifier: $('pending').textContent, code });
	say('The address is changed.');
});

$('enroll').addEventListener('click', () => attempt(async () => {
	const { secret, qr_svg } = await auth('enroll_totp');

	$('secret').textContent = secret;
	$('qr').src = `data:image/svg+xml,${encodeURIComponent(qr_svg)}`;
	$('enrollment').hidden = false;
}));

onSubmit('confirm_totp', async ({ code }) => {
	const codes = await auth('confirm_totp', { code });

	list($('codes'), codes.map(text => [text]));
	$('enrollment').hidden = true;
	$('recovery').hidden = false;
	say('From now on signing in takes a code of the app, too.');
});

$('logout').addEventListener('click', () => attempt(async () => {
	await auth('logout');
	$('recovery').hidden = true;
	$('codes').replaceChildren();
	say('Signed out.');
}));

/* ---- links in mails: /auth/KIND?token=... ---- */

const LINKS = {
	confirm_email: ['Confirm your address', 'Confirm', 'current-password', (code, password) => auth('confirm', { code, password })],
	password_reset: ['Choose a new password', 'Save', 'new-password', (code, new_password) => auth('reset_password', { code, new_password })],
};
const kind = /^\/auth\/(\w+)$/.exec(location.pathname)?.[1];
const token = new URLSearchParams(location.search).get('token');
const link = LINKS[kind];

// Out of the address bar, the history and every bookmark.
history.replaceState(null, '', '/');
if (link && token) {
	$('link-title').textContent = link[0];
	$('follow').elements.password.autocomplete = link[2];
	$('follow').querySelector('button').textContent = link[1];
	show('link');
	onSubmit('follow', async ({ password }) => {
		await link[3](token, password);
		say('Done. You can sign in now.');
		show('visitor');
	});
} else {
	attempt(() => {});
}

/* ---- the second pane: of the demonstration only ---- */

// A text whose links to this page can be followed.
function linked(text) {
	const element = document.createElement('p');

	for (const part of text.trim().split(/(https?:\/\/\S+)/)) {
		if (part.startsWith(location.origin)) {
			const anchor = document.createElement('a');

			anchor.href = part;
			anchor.textContent = 'this link';
			element.append(anchor);
		} else {
			element.append(part);
		}
	}
	element.className = 'mail';
	return element;
}

let seen = '';
async function mails() {
	const response = await fetch('/mails').catch(() => undefined);
	const text = response?.ok ? await response.text() : seen;

	// What is there stays as it is, with its focus and selection.
	if (text === seen)
		return;
	seen = text;
	list($('mails'), JSON.parse(text).reverse().map(({ recipient, message }) => {
		const title = document.createElement('strong');

		title.textContent = message.subject;
		return [title, document.createElement('br'), `to ${recipient}`, linked(message.text)];
	}));
}
mails();
setInterval(mails, 1000);
