/*
 * clock.c: times, as the standards count them, and a clock that only runs
 * forward.
 */
#include "base/base.h"

#include "portability/instr_time.h"

/* Between 1970, where Unix counts from, and 2000, where the server does. */
#define EPOCH_DAYS (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)

int64
as_unix_seconds(TimestampTz at)
{
	int64 seconds = at / USECS_PER_SEC - (at % USECS_PER_SEC < 0 ? 1 : 0);

	return seconds + (int64) EPOCH_DAYS * SECS_PER_DAY;
}

TimestampTz
as_from_unix_seconds(int64 seconds)
{
	return (seconds - (int64) EPOCH_DAYS * SECS_PER_DAY) * USECS_PER_SEC;
}

uint64
as_unix_milliseconds(TimestampTz at)
{
	return (uint64) (at / 1000 + (int64) EPOCH_DAYS * SECS_PER_DAY * 1000);
}

TimestampTz
as_after_seconds(TimestampTz from, int64 seconds)
{
	return from + seconds * USECS_PER_SEC;
}

int64
as_interval_seconds(const Interval *interval)
{
	int64 days = (int64) interval->month * DAYS_PER_MONTH + interval->day;

	return days * SECS_PER_DAY + interval->time / USECS_PER_SEC;
}

int64
as_clock_ms(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MICROSEC(now) / 1000;
}
