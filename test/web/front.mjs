// front.mjs: what stands in front of PostgREST: the application's files at /, its
// API at /api, and, for the second pane of the page, the mails.
//
//   node front.mjs PORT FILES API MAILS
//
// FILES is the directory of the page, API PostgREST's URL, MAILS the file into
// which the bridge writes (--to file:MAILS). Adds the client's address to
// x-forwarded-for, as nginx does. For one's own machine: whoever opens the page
// reads everybody's mails.
import { readFile } from 'node:fs/promises';
import { createServer, request as ask } from 'node:http';

const [port, files, api, mails] = process.argv.slice(2);
const PAGES = {
	'/': 'index.html', '/index.html': 'index.html', '/app.mjs': 'app.mjs', '/style.css': 'style.css',
};
const TYPES = { html: 'text/html; charset=utf-8', mjs: 'text/javascript', css: 'text/css' };
const HEADERS = {
	'Content-Security-Policy': "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
	'Referrer-Policy': 'no-referrer',
	'X-Content-Type-Options': 'nosniff',
	'Cache-Control': 'no-store',
};

function pass(request, response) {
	const forwarded = [request.headers['x-forwarded-for'], request.socket.remoteAddress].filter(Boolean).join(', ');
	const passed = ask(api + request.url.slice('/api'.length), {
		method: request.method,
		headers: { ...request.headers, 'x-forwarded-for': forwarded },
	}, answer => {
		response.writeHead(answer.statusCode, answer.headers);
		answer.pipe(response);
	});

	passed.on('error', () => response.writeHead(502).end());
	request.pipe(passed);
}

// A message a line, as the bridge writes them; a line under way is left out.
async function mailsSoFar() {
	const text = await readFile(mails, 'utf8').catch(() => '');

	return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter(Boolean);
}

async function answer(request, response) {
	const path = request.url.split('?', 1)[0];
	// The page itself reads what link it is.
	const name = PAGES[path] ?? (/^\/auth\/\w+$/.test(path) ? 'index.html' : undefined);

	if (path.startsWith('/api/'))
		pass(request, response);
	else if (path === '/mails')
		response.writeHead(200, { ...HEADERS, 'Content-Type': 'application/json' })
			.end(`[${(await mailsSoFar()).join(',')}]`);
	else if (name)
		response.writeHead(200, { ...HEADERS, 'Content-Type': TYPES[name.split('.').pop()] })
			.end(await readFile(`${files}/${name}`));
	else
		response.writeHead(404, HEADERS).end();
}

const server = createServer((request, response) =>
	answer(request, response).catch(() => response.writeHead(500).end()));
server.listen(Number(port), '127.0.0.1', () => console.log(`listening on http://localhost:${server.address().port}`));
for (const signal of ['SIGINT', 'SIGTERM'])
	process.once(signal, () => process.exit(0));
