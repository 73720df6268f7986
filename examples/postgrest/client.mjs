// client.mjs: PostgREST with plain fetch; no package is needed. The same class
// as ../client.mjs, over /rpc/NAME and tables.
//
// A call that is refused since the access token has ended is repeated once, with
// the tokens of a renewal. However many calls meet that at the same time, there
// is one renewal: a refresh token is good once.

// An error has one of two shapes: of auth_session, with the SQLSTATE PTnnn as
// code and the failure's code in details; or of PostgREST, with PGRSTnnn.
export class Refused extends Error {
	constructor(status, { code, message, details, hint } = {}) {
		super(message ?? `status ${status}`);
		Object.assign(this, { status, code: /^PT\d{3}$/.test(code) ? details : code, hint });
	}

	// PGRST303 is PostgREST's own look at exp (PGRST301 before version 13).
	get isExpired() {
		return ['token_expired', 'PGRST303'].includes(this.code) ||
			(this.code === 'PGRST301' && this.message === 'JWT expired');
	}
}

export class Client {
	#base;
	#tokens = null;
	#renewal = null;

	// tokens: of another run, of which the application has kept them.
	constructor(base, tokens = null) {
		this.#base = base;
		this.#tokens = tokens;
	}

	get tokens() {
		return this.#tokens;
	}

	async #send(method, path, { body, token, profile } = {}) {
		const response = await fetch(this.#base + path, {
			method,
			headers: {
				...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
				...(token ? { Authorization: `Bearer ${token}` } : {}),
				...(profile ? { [method === 'GET' ? 'Accept-Profile' : 'Content-Profile']: profile } : {}),
				Prefer: 'return=representation',
			},
			body: body === undefined ? undefined : JSON.stringify(body),
		});
		const text = await response.text();
		const answer = text === '' ? null : JSON.parse(text);

		if (!response.ok)
			throw new Refused(response.status, answer ?? undefined);
		return answer;
	}

	// As nobody. No token is sent along: PostgREST would refuse one that has
	// ended before any function could do without it.
	#visit(name, body) {
		return this.#send('POST', `/rpc/${name}`, { body, profile: 'auth' });
	}

	// As the user.
	async #call(method, path, options) {
		const used = this.#tokens?.access_token;

		try {
			return await this.#send(method, path, { ...options, token: used });
		} catch (error) {
			if (error.isExpired && this.#tokens) {
				// Another call may have renewed while this one was under way.
				if (this.#tokens.access_token === used)
					await this.renew();
				return this.#send(method, path, { ...options, token: this.#tokens.access_token });
			}
			// The session is gone: signed out, and nothing brings it back.
			if (error.status === 401)
				this.#tokens = null;
			throw error;
		}
	}

	signup(email, password) {
		return this.#visit('signup', { email, password });
	}

	// token: of the link. password: of the sign-up.
	confirm(token, password) {
		return this.#visit('confirm', { code: token, password });
	}

	async signin(email, password) {
		this.#tokens = await this.#visit('signin', { email, password });
	}

	// Where the answer is lost on its way, the old token may be shown again for
	// ten seconds (refresh_reuse_grace): a failure of the network keeps it.
	renew() {
		this.#renewal ??= this.#visit('renew', { refresh_token: this.#tokens?.refresh_token })
			.then(tokens => { this.#tokens = tokens; })
			.catch(error => {
				if (error.status === 401)
					this.#tokens = null;
				throw error;
			})
			.finally(() => { this.#renewal = null; });
		return this.#renewal;
	}

	// By the refresh token: works with an access token that has expired, too.
	async logout() {
		const refresh_token = this.#tokens?.refresh_token;

		this.#tokens = null;
		if (refresh_token)
			await this.#visit('logout', { refresh_token });
	}

	sessions() {
		return this.#call('POST', '/rpc/sessions', { body: {}, profile: 'auth' });
	}

	// One device of the user's.
	endSession(session_id) {
		return this.#call('POST', '/rpc/logout', { body: { session_id }, profile: 'auth' });
	}

	requestReset(email) {
		return this.#visit('request_password_reset', { identifier: email });
	}

	reset(token, password) {
		return this.#visit('reset_password', { code: token, new_password: password });
	}

	notes() {
		return this.#call('GET', '/notes?order=created_at');
	}

	async addNote(text) {
		return (await this.#call('POST', '/notes', { body: { text } }))[0];
	}

	deleteNote(id) {
		return this.#call('DELETE', `/notes?id=eq.${encodeURIComponent(id)}`);
	}
}
