// What a real browser makes of the cookies: test/t/browser.pl runs it, and judges
// what it prints, an object of what was seen.
//
//   node browser.mjs CHROMIUM PORT EMAIL PASSWORD
//
// PORT is the stand-in's, with the API at /api. The application is at
// http://localhost:PORT. Two servers of its own are other people's: one on
// another port of localhost, which is the same site (a sibling domain would be,
// too), and the same by the address 127.0.0.1, which is another site.
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';

const [executablePath, port, email, password] = process.argv.slice(2);
const own = `http://localhost:${port}`;
const seen = {};

const others = createServer((request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' });
  response.end(`<!doctype html><form method="post" action="${own}/api/rpc/update_info"><input name="info" value='{"by":"another"}'></form>`);
});
await new Promise((resolve) => others.listen(0, '127.0.0.1', resolve));
const sameSite = `http://localhost:${others.address().port}`;
const crossSite = `http://127.0.0.1:${others.address().port}`;

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });

// One who is on the application's page.
async function visitor() {
  const context = await browser.newContext();
  const page = await context.newPage();

  await page.goto(own + '/');
  return {
    context,
    page,
    cookies: async () => (await context.cookies()).sort((a, b) => (a.name < b.name ? -1 : 1)),
    api: (path, body, headers = {}) => page.evaluate(async ([path, body, headers]) => {
      // The tables are in the second schema.
      const profile = path.startsWith('/rpc/') ? {} : { [body === undefined ? 'accept-profile' : 'content-profile']: 'public' };
      const response = await fetch('/api' + path, body === undefined ? { headers: { ...profile, ...headers } } : {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...profile, ...headers },
        body: JSON.stringify(body),
      });
      const text = await response.text();

      return { status: response.status, body: text === '' ? null : JSON.parse(text) };
    }, [path, body, headers]),
    // The names of the cookies that went with the next request to a path.
    sent: (path) => page.waitForRequest((request) => new URL(request.url()).pathname === path)
      .then((request) => request.allHeaders())
      .then((headers) => (headers.cookie ?? '').split('; ').map((pair) => pair.split('=')[0]).filter(Boolean).sort()),
  };
}

// A form that somebody else's page posts: what came back, and what went along.
async function posted(user, origin) {
  const page = await user.context.newPage();

  await page.goto(origin);
  const [request] = await Promise.all([
    page.waitForRequest((request) => request.method() === 'POST'),
    page.waitForNavigation(),
    page.evaluate(() => document.forms[0].submit()),
  ]);
  const headers = await request.allHeaders();
  const response = await request.response();
  const body = await response.json();

  await page.close();
  return { status: response.status(), code: body.details ?? body.code, site: headers['sec-fetch-site'], cookie: /__Host-access/.test(headers.cookie ?? '') };
}

try {
  const user = await visitor();
  const credentials = { email, password };
  const cookie = { 'x-session': 'cookie' };

  seen.nobody = (await user.api('/rpc/uid')).body;
  seen.signin = await user.api('/rpc/signin', credentials, cookie);
  seen.cookies = await user.cookies();
  seen.script = await user.page.evaluate(() => document.cookie);
  seen.uid = (await user.api('/rpc/uid')).body;
  const read = user.sent('/api/notes');
  seen.empty = await user.api('/notes');
  seen.sentToRead = await read;
  seen.written = (await user.api('/notes', { body: 'mine' })).status;
  seen.read = (await user.api('/notes')).body.map((row) => row.body);

  seen.sameSiteForm = await posted(user, sameSite);
  seen.crossSiteForm = await posted(user, crossSite);
  seen.info = (await user.api('/rpc/account')).body.info;

  // Signing somebody in from elsewhere takes a header, which takes a preflight.
  const intruder = await user.context.newPage();
  await intruder.goto(sameSite);
  seen.signedInFromElsewhere = await intruder.evaluate(([url, body]) => fetch(url, {
    method: 'POST',
    credentials: 'include',
    headers: { 'content-type': 'application/json', 'x-session': 'cookie' },
    body: JSON.stringify(body),
  }).then((response) => response.status, () => 'not sent'), [own + '/api/rpc/signin', credentials]);
  await intruder.close();

  const renewed = user.sent('/api/rpc/renew');
  seen.renew = await user.api('/rpc/renew', {});
  seen.sentToRenew = await renewed;
  const after = await user.cookies();
  seen.renewed = after.map((cookie, i) => cookie.value !== seen.cookies[i].value);
  seen.stillThere = (await user.api('/rpc/uid')).body;

  // Signed out from another device: the page learns it, and signs in again.
  const device = await visitor();
  await device.api('/rpc/signin', credentials, cookie);
  seen.logoutAll = (await device.api('/rpc/logout_all', {})).body;
  seen.clearedOnDevice = (await device.cookies()).length;
  seen.dead = await user.api('/notes');
  seen.deadCookies = (await user.cookies()).length;
  seen.again = (await user.api('/rpc/signin', credentials, cookie)).status;
  seen.readAgain = (await user.api('/notes')).body.map((row) => row.body);

  seen.logout = (await user.api('/rpc/logout', {})).status;
  seen.left = (await user.cookies()).length;
  seen.nobodyAgain = (await user.api('/rpc/uid')).body;
} finally {
  await browser.close();
  others.close();
}
console.log(JSON.stringify(seen));
