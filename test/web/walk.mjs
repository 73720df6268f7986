// walk.mjs: a person at the page of examples/web, in a real browser.
//
//   node walk.mjs CHROMIUM URL [SCREENSHOT]
//
// Prints TAP. Everything is done by what is on the page: labels, buttons, and the
// links in the pane of mails.
import { createHmac } from 'node:crypto';
import { chromium } from 'playwright-core';

const [executablePath, url, screenshot] = process.argv.slice(2);
const PASSWORD = 'correct horse battery staple';
const OTHER = 'another horse battery staple';
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const complaints = [];
let count = 0;

function ok(is, name, got) {
	console.log(`${is ? '' : 'not '}ok ${++count} - ${name}`);
	if (!is)
		console.log(`# got ${JSON.stringify(got)}`);
}

async function visitor() {
	const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
	const page = await context.newPage();

	page.on('pageerror', error => complaints.push(error.message));
	page.on('console', message => {
		// A refusal is logged by the browser as well; it is what was asked for.
		if (message.type() === 'error' && !/status of 4\d\d/.test(message.text()))
			complaints.push(message.text());
	});
	await page.goto(url);
	return { context, page };
}

// Fills a form by its labels and sends it by its button.
async function send(page, form, fields, name) {
	for (const [label, text] of Object.entries(fields))
		await page.locator(form).getByLabel(label, { exact: true }).fill(text);
	await page.locator(form).getByRole('button', { name, exact: true }).click();
}

// Whether something is there in time, or comes.
async function comes(locator) {
	await locator.waitFor({ timeout: 30000 }).catch(() => {});
	return locator.isVisible();
}

async function sees(page, text, name) {
	ok(await comes(page.getByText(text).first()), name, await page.locator('main').innerText());
}

// The newest mail of a subject to an address.
function newest(page, subject, address) {
	return page.locator('#mails li').filter({ hasText: subject }).filter({ hasText: `to ${address}` }).first();
}

async function mail(page, subject, address) {
	const item = newest(page, subject, address);

	await item.waitFor({ timeout: 30000 });
	return item;
}

async function followed(page, subject, address, password, button) {
	await (await mail(page, subject, address)).getByRole('link').click();
	await page.getByRole('button', { name: button, exact: true }).waitFor();
	ok(!page.url().includes('token'), `the link of "${subject}" leaves no token in the address bar`, page.url());
	await send(page, '#follow', { Password: password }, button);
	await sees(page, 'Done. You can sign in now.', `and works, with the password`);
}

const signIn = (page, email, password) => send(page, '#signin', { Email: email, Password: password }, 'Sign in');

async function newcomer(page, email) {
	await send(page, '#signup', { Email: email, Password: PASSWORD }, 'Sign up');
	await sees(page, `Follow the link in the mail to ${email}`, `${email} signs up`);
	await followed(page, 'Confirm your email address', email, PASSWORD, 'Confirm');
	await signIn(page, email, PASSWORD);
	await sees(page, `Signed in as ${email}`, 'and is signed in');
}

// RFC 6238, as an app does it; of a step after the last one, which is used up.
let lastStep = 0;
function totp(secret) {
	const bits = [...secret].map(c => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
	const key = Buffer.from(bits.match(/.{8}/g).map(byte => parseInt(byte, 2)));
	const counter = Buffer.alloc(8);

	lastStep = Math.max(Math.floor(Date.now() / 30000), lastStep + 1);
	counter.writeBigUInt64BE(BigInt(lastStep));
	const mac = createHmac('sha1', key).update(counter).digest();
	return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1000000).padStart(6, '0');
}

try {
	const { page, context } = await visitor();

	await signIn(page, 'ada@example.org', PASSWORD);
	await sees(page, 'the credentials are not valid', 'who has no account is refused, and told so');
	await newcomer(page, 'ada@example.org');
	ok(await page.evaluate(() => document.cookie) === '', 'no script can read the session');

	await send(page, '#note', { 'New note': 'buy milk' }, 'Add');
	await sees(page, 'buy milk', 'a note is kept');
	const bob = await visitor();
	await newcomer(bob.page, 'bob@example.org');
	ok(await bob.page.getByText('buy milk').count() === 0, 'and nobody else sees it');

	// Another device, and its end.
	const phone = await visitor();
	await signIn(phone.page, 'ada@example.org', PASSWORD);
	await sees(phone.page, 'Signed in as ada@example.org', 'a second device signs in');
	await page.reload();
	await page.locator('#sessions').getByRole('button', { name: /^Log out of/ }).click();
	await sees(page, 'That device is signed out.', 'the first one ends it');
	await phone.page.reload();
	await phone.page.getByRole('heading', { name: 'Sign in' }).waitFor();
	ok(await phone.page.getByText('Signed in as').isHidden(), 'and it is signed out');

	// Password and address.
	await send(page, '#change_password', { Current: PASSWORD, New: OTHER }, 'Change password');
	await sees(page, 'The password is changed', 'the password is changed');
	await send(page, '#change_email', { 'New email': 'ada@example.com', Password: OTHER }, 'Change email');
	const code = /\b\d{6}\b/.exec(await (await mail(page, 'Confirm your new email address', 'ada@example.com')).innerText())[0];
	await send(page, '#confirm_email', { Code: code }, 'Confirm');
	await sees(page, 'Signed in as ada@example.com', 'the address, too, by the code that was sent there');
	ok(await comes(newest(page, 'Your email address was changed', 'ada@example.org')), 'and the old one is told');

	// A second factor.
	await page.getByRole('button', { name: 'Set up an app' }).click();
	ok(await comes(page.locator('#qr')) && await page.locator('#qr').evaluate(image => image.decode().then(() => image.naturalWidth > 0)),
		'a QR code is shown');
	if (screenshot)
		await page.screenshot({ path: screenshot, fullPage: true });
	const secret = await page.locator('#secret').innerText();
	await send(page, '#confirm_totp', { 'Code that it shows': totp(secret) }, 'Turn on');
	await page.locator('#codes li').nth(9).waitFor();
	ok(await page.locator('#codes li').count() === 10, 'the app is confirmed, and ten recovery codes are shown');
	await page.getByRole('button', { name: 'Log out', exact: true }).click();
	await sees(page, 'Signed out.', 'a logout');
	ok((await context.cookies()).length === 0, 'leaves no cookie', await context.cookies());
	await signIn(page, 'ada@example.com', OTHER);
	await send(page, '#factor', { 'Code of your app, or a recovery code': totp(secret) }, 'Go on');
	await sees(page, 'Signed in as ada@example.com', 'signing in takes a code of the app');
	await sees(page, /aal2/, 'and the session knows');
	await sees(page, 'confirm_totp', 'the user reads what happened to the account');

	// A forgotten password.
	await page.getByRole('button', { name: 'Log out', exact: true }).click();
	await send(page, '#forgot', { Email: 'ada@example.com' }, 'Send me a link');
	await followed(page, 'Reset your password', 'ada@example.com', PASSWORD, 'Save');
	await signIn(page, 'ada@example.com', PASSWORD);
	ok(await comes(page.locator('#factor')), 'the new password is good, and the second factor stays');

	// Every field has a name, and every picture a text.
	const unnamed = await page.evaluate(() => [...document.querySelectorAll('input')].filter(input => !input.labels.length)
		.concat([...document.querySelectorAll('img:not([alt])')]).length);
	ok(unnamed === 0, 'every field has a label, every picture a text', unnamed);
	ok(complaints.length === 0, 'the browser has nothing to complain about', complaints);
} catch (error) {
	ok(false, `the walk ends: ${error.message.split('\n')[0]}`);
} finally {
	await browser.close();
}
console.log(`1..${count}`);
