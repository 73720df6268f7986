// hashes.mjs: the same as hashes.py, of npm's bcryptjs and better-auth
// (package.json). better-auth's line has its hash as it stands in its table.
import bcrypt from 'bcryptjs';
import { hashPassword } from 'better-auth/crypto';

for (const password of ['correct horse battery', 'pass wörd ✓ 长密码'])
{
	const lines = {
		'bcryptjs': bcrypt.hashSync(password, 6),
		// Supabase's GoTrue writes 2a.
		'bcryptjs 2a': bcrypt.hashSync(password, bcrypt.genSaltSync(6).replace('$2b$', '$2a$')),
		'better-auth': await hashPassword(password),
	};

	for (const [maker, hash] of Object.entries(lines))
		console.log([maker, password, hash].join('\t'));
}
