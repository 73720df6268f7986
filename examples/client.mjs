// client.mjs: what a browser or another program calls the back ends of node/
// and python/ with. Plain fetch; no package is needed.
//
// A call that is refused with token_expired is repeated once, with the tokens
// of a renewal. However many calls meet that at the same time, there is one
// renewal: a refresh token is good once.

export class Refused extends Error {
	constructor(status, { code, message, hint } = {}) {
		super(message ?? `status ${status}`);
		Object.assign(this, { status, code, hint });
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

	async #send(method, path, body, token) {
		const response = await fetch(this.#base + path, {
			method,
			headers: {
				...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
				...(token ? { Authorization: `Bearer ${token}` } : {}),
			},
			body: body === undefined ? undefined : JSON.stringify(body),
		});
		const text = await response.text();
		const answer = text === '' ? null : JSON.parse(text);

		if (!response.ok)
			throw new Refused(response.status, answer ?? undefined);
		return answer;
	}

	// As nobody: no token is sent along.
	#visit(path, body) {
		return this.#send('POST', path, body);
	}

	// As the user.
	async #call(method, path, body) {
		const used = this.#tokens?.access_token;

		try {
			return await this.#send(method, path, body, used);
		} catch (error) {
			if (error.code === 'token_expired' && this.#tokens) {
				// Another call may have renewed while this one was under way.
				if (this.#tokens.access_token === used)
					await this.renew();
				return this.#send(method, path, body, this.#tokens.access_token);
			}
			// The session is gone: signed out, and nothing brings it back.
			if (error.status === 401)
				this.#tokens = null;
			throw error;
		}
	}

	signup(email, password) {
		return this.#visit('/signup', { email, password });
	}

	// token: of the link. password: of the sign-up.
	confirm(token, password) {
		return this.#visit('/confirm', { token, password });
	}

	async signin(email, password) {
		this.#tokens = await this.#visit('/signin', { email, password });
	}

	// Where the answer is lost on its way, the old token may be shown again for
	// ten seconds (refresh_reuse_grace): a failure of the network keeps it.
	renew() {
		this.#renewal ??= this.#visit('/renew', { refresh_token: this.#tokens?.refresh_token })
			.then(tokens => { this.#tokens = tokens; })
			.catch(error => {
				if (error.status === 401)
					this.#tokens = null;
				throw error;
			})
			.finally(() => { this.#renewal = null; });
		return this.#renewal;
	}

	async logout() {
		const refresh_token = this.#tokens?.refresh_token;

		this.#tokens = null;
		if (refresh_token)
			await this.#visit('/logout', { refresh_token });
	}

	sessions() {
		return this.#call('GET', '/sessions');
	}

	// One device of the user's.
	endSession(session_id) {
		return this.#call('POST', '/end_session', { session_id });
	}

	requestReset(email) {
		return this.#visit('/request_reset', { email });
	}

	reset(token, password) {
		return this.#visit('/reset', { token, password });
	}

	notes() {
		return this.#call('GET', '/notes');
	}

	addNote(text) {
		return this.#call('POST', '/notes', { text });
	}

	deleteNote(id) {
		return this.#call('POST', '/delete_note', { id });
	}
}
