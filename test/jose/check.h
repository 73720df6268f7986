/*
 * check.h: what the checks of the JOSE tools share. They link the tool floor
 * with libpgcommon, without a server, and print TAP.
 */
#ifndef CHECK_H
#define CHECK_H

#include "jose/jose.h"

/* One assertion of the plan that check_done prints. */
extern void check(bool passed, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether a token passes everything that asks for no claim, under a key. */
extern bool token_is_good(AsKey *key, const char *token, size_t length);

/*
 * A token with any header text, signed as it stands, in static memory: what
 * somebody who has the key could make.
 */
extern const char *token_make(AsKey *key, const char *header,
                              const char *payload, size_t payload_length);

/* The attacks of the checklist's section 4.2 that have to be computed. */
extern void check_attacks(void);

/* The texts under a tag: refresh tokens, link tokens, mfa tokens, codes. */
extern void check_tagged(void);

/* The coder of tokens and secrets, against libsodium's. */
extern void check_base64(void);

/* That a context of HMAC is rewound, by an OpenSSL that can't, too. */
extern void check_hmac(void);

/* Codes by time, base32 and QR codes. */
extern void check_totp(void);

/* That JSON written plainly is read as the server's parser reads it. */
extern void check_plain(void);

#endif /* CHECK_H */
