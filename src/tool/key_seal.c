/*
 * key_seal.c: secrets at rest, sealed under a master key.
 *
 * A stored secret says by its first byte what it is: open, or sealed by
 * libsodium's secretbox (XSalsa20 and Poly1305). What is sealed names the
 * master key by a digest of it, so that a wrong one is told from damage, and
 * is sealed under a key derived from the master key and the row's label: a
 * sealed secret moved to another row doesn't open.
 */
#include "tool/tool.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORM_OPEN   0
#define FORM_SEALED 1

/* form, id of the master key, nonce, box */
#define ID_AT    1
#define ID_BYTES AS_MASTER_KEY_ID_BYTES
#define NONCE_AT (ID_AT + ID_BYTES)
#define BOX_AT   (NONCE_AT + crypto_secretbox_NONCEBYTES)

#if AS_SEAL_OVERHEAD != 57
#error "the overhead is one form byte, an id, a nonce and a MAC"
#endif

#if AS_MASTER_KEY_ID_BYTES != crypto_generichash_BYTES_MIN
#error "the id is the shortest digest"
#endif

AsMasterKeyOutcome
as_master_key_read(const char *path, AsMasterKey *out)
{
	AsMasterKeyOutcome outcome = AS_MASTER_KEY_SIZE;
	uint8_t bytes[AS_MASTER_KEY_BYTES + 1];
	struct stat status;
	ssize_t got;
	int file;

	/* Never waits, whatever the path names. */
	file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file < 0)
		return AS_MASTER_KEY_MISSING;
	if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode))
		outcome = AS_MASTER_KEY_MISSING;
	else if ((status.st_uid != geteuid() && status.st_uid != 0) ||
	         (status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		outcome = AS_MASTER_KEY_MODE;
	else
	{
		got = read(file, bytes, sizeof(bytes));
		if (got == AS_MASTER_KEY_BYTES &&
		    !sodium_is_zero(bytes, AS_MASTER_KEY_BYTES))
		{
			memcpy(out->bytes, bytes, AS_MASTER_KEY_BYTES);
			outcome = AS_MASTER_KEY_OK;
		}
		as_wipe(bytes, sizeof(bytes));
	}
	close(file);
	return outcome;
}

const char *
as_master_key_fault(AsMasterKeyOutcome outcome)
{
	switch (outcome)
	{
		case AS_MASTER_KEY_OK:
			return NULL;
		case AS_MASTER_KEY_MISSING:
			return "It is no regular file that the server can read.";
		case AS_MASTER_KEY_MODE:
			return "It must belong to the user of the server and be of mode "
			       "0600.";
		case AS_MASTER_KEY_SIZE:
			break;
	}
	return "It must have exactly 32 bytes, not all of them zero.";
}

bool
as_key_is_sealed(const uint8_t *stored, size_t length)
{
	return length > 0 && stored[0] == FORM_SEALED;
}

/* BLAKE2b keyed with the master key, over purpose, NUL and label. */
static void
derive(const AsMasterKey *master, const char *purpose, const char *label,
       uint8_t *out, size_t length)
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, master->bytes, sizeof(master->bytes),
	                        length);
	crypto_generichash_update(&state, (const uint8_t *) purpose,
	                          strlen(purpose) + 1);
	crypto_generichash_update(&state, (const uint8_t *) label, strlen(label));
	crypto_generichash_final(&state, out, length);
	as_wipe(&state, sizeof(state));
}

void
as_master_key_id(const AsMasterKey *master, uint8_t id[AS_MASTER_KEY_ID_BYTES])
{
	derive(master, "auth_session master key", "", id, ID_BYTES);
}

size_t
as_key_seal(const AsMasterKey *master, const char *label, const void *secret,
            size_t length, uint8_t *out)
{
	uint8_t key[crypto_secretbox_KEYBYTES];

	if (master == NULL)
	{
		out[0] = FORM_OPEN;
		memcpy(out + 1, secret, length);
		return length + 1;
	}
	out[0] = FORM_SEALED;
	as_master_key_id(master, out + ID_AT);
	randombytes_buf(out + NONCE_AT, crypto_secretbox_NONCEBYTES);
	derive(master, "auth_session seal", label, key, sizeof(key));
	crypto_secretbox_easy(out + BOX_AT, secret, length, out + NONCE_AT, key);
	as_wipe(key, sizeof(key));
	return length + AS_SEAL_OVERHEAD;
}

AsSealOutcome
as_key_open(const AsMasterKey *master, const char *label, const uint8_t *stored,
            size_t stored_length, void *out, size_t room, size_t *length)
{
	uint8_t key[crypto_secretbox_KEYBYTES];
	uint8_t id[ID_BYTES];
	bool ok;

	if (stored_length < 1)
		return AS_SEAL_DAMAGED;
	if (stored[0] == FORM_OPEN)
	{
		if (stored_length - 1 > room)
			return AS_SEAL_DAMAGED;
		memcpy(out, stored + 1, stored_length - 1);
		*length = stored_length - 1;
		return AS_SEAL_OPENED;
	}
	if (stored[0] != FORM_SEALED || stored_length < AS_SEAL_OVERHEAD ||
	    stored_length - AS_SEAL_OVERHEAD > room)
		return AS_SEAL_DAMAGED;
	if (master == NULL)
		return AS_SEAL_NO_MASTER_KEY;
	as_master_key_id(master, id);
	if (sodium_memcmp(id, stored + ID_AT, sizeof(id)) != 0)
		return AS_SEAL_OTHER_MASTER_KEY;

	derive(master, "auth_session seal", label, key, sizeof(key));
	ok =
	    crypto_secretbox_open_easy(out, stored + BOX_AT, stored_length - BOX_AT,
	                               stored + NONCE_AT, key) == 0;
	as_wipe(key, sizeof(key));
	*length = stored_length - AS_SEAL_OVERHEAD;
	return ok ? AS_SEAL_OPENED : AS_SEAL_DAMAGED;
}
