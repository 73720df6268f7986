// interop.mjs: tokens and keys between auth_session and libraries that were
// not written here: jose and jsonwebtoken.
//
//   node interop.mjs verify <input   verifies our tokens; prints TAP lines
//   node interop.mjs make <input     makes keys and tokens; prints JSON
//
// jsonwebtoken knows no EdDSA: that algorithm is jose's alone.
import { createPublicKey, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import * as jose from 'jose';

const jsonwebtoken = createRequire(import.meta.url)('jsonwebtoken');
const input = JSON.parse(readFileSync(0, 'utf8'));

let count = 0;

async function check(name, run) {
	let error = '';

	try {
		await run();
	} catch (caught) {
		error = ` (${caught.message})`;
	}
	count++;
	console.log(`${error === '' ? '' : 'not '}ok ${count} - ${name}${error}`);
}

function equal(actual, expected) {
	if (actual !== expected)
		throw new Error(`${actual} is not ${expected}`);
}

// input: { jwks, issuer, audience, tokens: [{ alg, token, sub, secret? }] }
async function verify() {
	const options = { issuer: input.issuer, audience: input.audience };
	const keySet = jose.createLocalJWKSet(input.jwks);

	for (const { alg, token, sub, secret } of input.tokens) {
		const key = secret ? await jose.importJWK(secret, alg) : keySet;

		await check(`jose verifies our ${alg}`, async () => {
			const { payload } = await jose.jwtVerify(token, key, { ...options, algorithms: [alg], typ: 'JWT' });

			equal(payload.sub, sub);
		});
		await check(`jose refuses our ${alg} with another payload`, async () => {
			const [header, payload, signature] = token.split('.');
			const changed = Buffer.from(payload, 'base64url').toString().replace(sub, '00000000-0000-4000-8000-000000000000');
			let verified = true;

			await jose.jwtVerify([header, Buffer.from(changed).toString('base64url'), signature].join('.'), key)
				.catch(() => { verified = false; });
			equal(verified, false);
		});
		if (alg === 'EdDSA')
			continue;
		await check(`jsonwebtoken verifies our ${alg}`, () => {
			const { kid } = jsonwebtoken.decode(token, { complete: true }).header;
			const jwk = input.jwks.keys.find((one) => one.kid === kid);
			const its = secret
				? Buffer.from(secret.k, 'base64url')
				: createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' });

			equal(jsonwebtoken.verify(token, its, { ...options, algorithms: [alg] }).sub, sub);
		});
	}
}

// input: { claims }; output: [{ by, alg, token, jwk, key, publicKey }], the
// keys in PEM, or the secret in JWK where there is no PEM.
async function make() {
	const made = [];

	for (const alg of ['HS256', 'HS384', 'HS512', 'RS256', 'ES256', 'EdDSA']) {
		const kid = `theirs-${alg}`;
		let key, jwk, texts;

		if (alg.startsWith('HS')) {
			key = randomBytes(64);
			jwk = { kty: 'oct', k: key.toString('base64url'), alg, kid };
			texts = { key: JSON.stringify(jwk), publicKey: JSON.stringify(jwk) };
		} else {
			const pair = await jose.generateKeyPair(alg, { extractable: true, crv: alg === 'EdDSA' ? 'Ed25519' : undefined });

			key = pair.privateKey;
			jwk = { ...(await jose.exportJWK(key)), alg, kid };
			texts = { key: await jose.exportPKCS8(key), publicKey: await jose.exportSPKI(pair.publicKey) };
		}
		made.push({
			by: 'jose', alg, jwk, ...texts,
			token: await new jose.SignJWT(input.claims).setProtectedHeader({ alg, kid, typ: 'JWT' }).sign(key),
		});
		if (alg !== 'EdDSA') {
			made.push({
				by: 'jsonwebtoken', alg, jwk, ...texts,
				token: jsonwebtoken.sign(input.claims, alg.startsWith('HS') ? key : texts.key,
					{ algorithm: alg, keyid: kid, noTimestamp: true }),
			});
		}
	}
	console.log(JSON.stringify(made));
}

await { verify, make }[process.argv[2]]();
