/*
 * record_file.c: what is queued while the server is down.
 *
 * Written by the postmaster when it has stopped in good order, as the last
 * process, and read and removed when it starts: so a restart loses no
 * record. The file has a header and the records as they are in memory; it is
 * as private as the data directory, and holds no secret. One of another
 * format is left alone, with a line in the log.
 */
#include "shared/shared.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"

#define FILE_NAME "pg_stat/auth_session.records"
#define TEMP_NAME FILE_NAME ".tmp"

/* Changes with the layout or the meaning of AsRecord. */
#define FORMAT 2

typedef struct Header
{
	char magic[8];
	uint32 format;
	uint32 record_size;
	uint32 count;
} Header;

static const char magic[] = "asrecord";

static void
log_file_error(const char *path, const char *verb)
{
	ereport(LOG, (errcode_for_file_access(),
	              errmsg("could not %s file \"%s\": %m", verb, path)));
}

void
as_record_file_write(const AsRecord *records, int count)
{
	Header header = {.format = FORMAT,
	                 .record_size = sizeof(AsRecord),
	                 .count = (uint32) count};
	FILE *file = AllocateFile(TEMP_NAME, PG_BINARY_W);

	memcpy(header.magic, magic, sizeof(header.magic));
	if (file == NULL)
	{
		log_file_error(TEMP_NAME, "create");
		return;
	}
	if (fwrite(&header, sizeof(header), 1, file) != 1 ||
	    fwrite(records, sizeof(AsRecord), (size_t) count, file) !=
	        (size_t) count)
	{
		log_file_error(TEMP_NAME, "write");
		(void) FreeFile(file);
		(void) unlink(TEMP_NAME);
		return;
	}
	if (FreeFile(file) != 0)
	{
		log_file_error(TEMP_NAME, "close");
		(void) unlink(TEMP_NAME);
		return;
	}
	(void) durable_rename(TEMP_NAME, FILE_NAME, LOG);
}

int
as_record_file_read(AsRecord *records, int most)
{
	Header header;
	FILE *file = AllocateFile(FILE_NAME, PG_BINARY_R);
	bool good;

	if (file == NULL)
	{
		if (errno != ENOENT)
			log_file_error(FILE_NAME, "open");
		return 0;
	}
	good = fread(&header, sizeof(header), 1, file) == 1 &&
	       memcmp(header.magic, magic, sizeof(header.magic)) == 0 &&
	       header.format == FORMAT && header.record_size == sizeof(AsRecord) &&
	       header.count <= (uint32) most &&
	       fread(records, sizeof(AsRecord), header.count, file) == header.count;
	(void) FreeFile(file);
	if (!good)
	{
		ereport(LOG, (errmsg("file \"%s\" is not one that this version of "
		                     "auth_session can read, and is left alone",
		                     FILE_NAME)));
		return 0;
	}
	if (durable_unlink(FILE_NAME, LOG) != 0)
		return 0;
	return (int) header.count;
}
