/*
 * qr_code.c: a text as a QR code (ISO/IEC 18004), by libqrencode.
 *
 * The text carries a secret, and so do the modules: the library's copy of them
 * is wiped before it is freed.
 */
#include "tool/tool.h"

#include <qrencode.h>
#include <string.h>

/* The least version that the text fits into is chosen. */
#define ANY_VERSION 0

bool
as_qr_code_make(const char *text, AsQrCode *out)
{
	QRcode *code =
	    QRcode_encodeData((int) strlen(text), (const unsigned char *) text,
	                      ANY_VERSION, QR_ECLEVEL_M);
	size_t modules;

	memset(out, 0, sizeof(*out));
	if (code == NULL)
		return false;
	modules = (size_t) code->width * (size_t) code->width;
	out->width = code->width;
	for (size_t i = 0; i < modules; i++)
		out->modules[i] = code->data[i] & 1;
	as_wipe(code->data, modules);
	QRcode_free(code);
	return true;
}
