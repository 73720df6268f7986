/*
 * jose.c: operations per second of processor time, ours and OpenSSL's own.
 *
 *   jose-bench WHAT SECONDS
 *
 * WHAT is sign or verify of HS256, ES256 or EdDSA ("HS256-sign"), or
 * "bare-sign" and "bare-verify": OpenSSL's HMAC under a context that is kept,
 * as ours is, and OpenSSL's base64, on the same bytes. A token has the claims
 * of an ordinary access token; to verify one is to take it apart, find its
 * key by its header, check the signature and decode the payload.
 */
#include "jose/jose.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char claims[] =
    "{\"iss\":\"auth_session\",\"aud\":\"authenticated\","
    "\"sub\":\"1033981c-41f9-4492-9789-416d2f2942ae\","
    "\"session_id\":\"01a20c74-5139-7949-8ed0-0b8e0d9f5d10\","
    "\"jti\":\"0b331458-da4d-4f2c-ba2d-da9e487cce09\",\"iat\":1795505279,"
    "\"exp\":1795506179,\"role\":\"authenticated\",\"email\":\"a@example.org\","
    "\"aal\":\"aal1\",\"amr\":[\"pwd\"],\"app\":{}}";

static AsKey *key;
static char header[AS_JWT_OWN_HEADER_ROOM];
static size_t header_length;
static char token[4096];
static size_t token_length;
static EVP_MAC_CTX *mac;

static void
fail(const char *what)
{
	fprintf(stderr, "jose-bench: %s\n", what);
	exit(2);
}

static void
ours_sign(void)
{
	token_length = as_jwt_sign(key, header, header_length, claims,
	                           sizeof(claims) - 1, token);
	if (token_length == 0)
		fail("could not sign");
}

static void
ours_verify(void)
{
	AsJwt jwt;
	char payload[4096];
	size_t length;

	if (!as_jwt_split(token, token_length, AS_JWT_MAX, &jwt) ||
	    jwt.header_length != header_length ||
	    memcmp(jwt.header, header, header_length) != 0 ||
	    !as_jwt_verify(key, &jwt) ||
	    !as_jwt_payload(&jwt, payload, sizeof(payload), &length))
		fail("could not verify");
}

static void
bare_mac(size_t length, unsigned char *out)
{
	size_t written;

	if (EVP_MAC_init(mac, NULL, 0, NULL) != 1 ||
	    EVP_MAC_update(mac, (const unsigned char *) token, length) != 1 ||
	    EVP_MAC_final(mac, out, &written, 32) != 1)
		fail("OpenSSL could not compute an HMAC");
}

static void
bare_sign(void)
{
	unsigned char digest[32];
	size_t length = header_length;

	memcpy(token, header, header_length);
	token[length++] = '.';
	length += (size_t) EVP_EncodeBlock((unsigned char *) token + length,
	                                   (const unsigned char *) claims,
	                                   sizeof(claims) - 1);
	bare_mac(length, digest);
	token[length++] = '.';
	EVP_EncodeBlock((unsigned char *) token + length, digest, sizeof(digest));
}

static void
bare_verify(void)
{
	unsigned char digest[32];
	unsigned char out[4096];
	size_t payload = (sizeof(claims) - 1 + 2) / 3 * 4;

	bare_mac(header_length + 1 + payload, digest);
	EVP_DecodeBlock(out, (const unsigned char *) token + header_length + 1,
	                (int) payload);
	EVP_DecodeBlock(
	    out, (const unsigned char *) token + header_length + payload + 2, 44);
	if (CRYPTO_memcmp(out, digest, sizeof(digest)) != 0)
		fail("OpenSSL could not verify an HMAC");
}

static double
processor_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void
prepare(const char *name, size_t length)
{
	static const unsigned char secret[32] = "a secret of thirty-two bytes...";
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0),
	    OSSL_PARAM_construct_end()};
	AsAlgorithm algorithm = as_algorithm_parse(name, length);

	if (algorithm == AS_ALGORITHM_NONE)
		algorithm = AS_HS256;
	key = as_key_generate(algorithm);
	header_length = as_jwt_header_write(
	    algorithm, "37f61ee2-2c2c-4258-abbf-5d765aae19d5", header);
	mac = EVP_MAC_CTX_new(EVP_MAC_fetch(NULL, "HMAC", NULL));
	if (key == NULL || mac == NULL ||
	    EVP_MAC_init(mac, secret, sizeof(secret), params) != 1)
		fail("could not make a key");
}

int
main(int argc, char **argv)
{
	void (*run)(void);
	const char *dash;
	double begin;
	double spent;
	double seconds;
	long count = 0;

	if (argc != 3 || (dash = strchr(argv[1], '-')) == NULL)
		fail("usage: jose-bench WHAT SECONDS");
	seconds = atof(argv[2]);
	prepare(argv[1], (size_t) (dash - argv[1]));
	if (strncmp(argv[1], "bare", 4) == 0)
	{
		bare_sign();
		run = strcmp(dash, "-sign") == 0 ? bare_sign : bare_verify;
	}
	else
	{
		ours_sign();
		run = strcmp(dash, "-sign") == 0 ? ours_sign : ours_verify;
	}

	begin = processor_seconds();
	do
	{
		for (int i = 0; i < 100; i++)
			run();
		count += 100;
		spent = processor_seconds() - begin;
	} while (spent < seconds);
	printf("%.0f\n", (double) count / spent);
	return 0;
}
