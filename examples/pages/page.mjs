// page.mjs: of the pages that a link in a mail leads to. The token comes out of
// the address bar at once, so that it is in no history and no bookmark, and is
// used when the form is sent, not before.
import { Client } from '/client.mjs';

const token = new URLSearchParams(location.search).get('token');
const form = document.querySelector('form');
const status = document.querySelector('[role=status]');
const client = new Client('');

history.replaceState(null, '', location.pathname);

form.addEventListener('submit', async event => {
	event.preventDefault();
	try {
		await client[form.dataset.call](token, form.elements.password.value);
		status.textContent = 'Done. You can sign in now.';
		form.remove();
	} catch (error) {
		status.textContent = error.code === 'invalid_code'
			? 'The password is not the one of this link, or the link is no longer good. You can ask for a new one.'
			: `That did not work: ${error.message}.`;
	}
});
