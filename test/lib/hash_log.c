/*
 * hash_log.c: counts password hashes. Preloaded (LD_PRELOAD) into a server,
 * it writes one line per Argon2 computation to the file that HASH_LOG names:
 * what was computed and at which cost, no salt and no hash.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
write_line(const char *line, size_t length)
{
	const char *path = getenv("HASH_LOG");
	int file =
	    path == NULL ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);

	if (file < 0 || write(file, line, length) != (ssize_t) length)
		abort();
	close(file);
}

int
crypto_pwhash_str_alg(char out[crypto_pwhash_STRBYTES], const char *password,
                      unsigned long long length, unsigned long long passes,
                      size_t memory, int algorithm)
{
	int (*real)(char *, const char *, unsigned long long, unsigned long long,
	            size_t, int);
	char line[128];
	int n = snprintf(line, sizeof(line), "make m=%zu,t=%llu\n", memory / 1024,
	                 passes);

	write_line(line, (size_t) n);
	*(void **) &real = dlsym(RTLD_NEXT, "crypto_pwhash_str_alg");
	return real(out, password, length, passes, memory, algorithm);
}

/* How a password is verified, but for hashes that came from elsewhere. */
int
crypto_pwhash(unsigned char *out, unsigned long long out_length,
              const char *password, unsigned long long length,
              const unsigned char *salt, unsigned long long passes,
              size_t memory, int algorithm)
{
	int (*real)(unsigned char *, unsigned long long, const char *,
	            unsigned long long, const unsigned char *, unsigned long long,
	            size_t, int);
	char line[128];
	int n = snprintf(line, sizeof(line), "verify m=%zu,t=%llu,p=1\n",
	                 memory / 1024, passes);

	write_line(line, (size_t) n);
	*(void **) &real = dlsym(RTLD_NEXT, "crypto_pwhash");
	return real(out, out_length, password, length, salt, passes, memory,
	            algorithm);
}

int
crypto_pwhash_str_verify(const char stored[crypto_pwhash_STRBYTES],
                         const char *password, unsigned long long length)
{
	int (*real)(const char *, const char *, unsigned long long);
	const char *cost = strstr(stored, "m=");
	char line[128];
	int n = snprintf(line, sizeof(line), "verify %.*s\n",
	                 cost == NULL ? 0 : (int) strcspn(cost, "$"),
	                 cost == NULL ? "" : cost);

	write_line(line, (size_t) n);
	*(void **) &real = dlsym(RTLD_NEXT, "crypto_pwhash_str_verify");
	return real(stored, password, length);
}
