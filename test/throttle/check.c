/*
 * check.c: the throttle without a server, its clock in our hands: windows
 * that end, databases without number, floods. Prints TAP; exit status 0 only
 * when every line passed.
 */
#include "shared/shared.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ADDRESS AS_LIMIT_SIGNIN_ADDRESS
#define ACCOUNT AS_LIMIT_SIGNIN_ACCOUNT
#define DAY     (24 * 60 * 60)

/* ---- what the server has of it ---- */

Oid MyDatabaseId = 1;

/* As it is where another system starts: not at 0. */
static int64 clock_ms = 5000000;

int64
as_clock_ms(void)
{
	return clock_ms;
}

void
as_shared_area_add(const AsSharedArea *area)
{
	static void *memory;

	memory = calloc(1, area->size);
	area->attach(memory, true);
}

int
s_lock(volatile slock_t *lock, const char *file, int line, const char *function)
{
	abort();
}

#if PG_VERSION_NUM >= 160000
void
ExceptionalCondition(const char *condition, const char *file, int line)
#else
void
ExceptionalCondition(const char *condition, const char *type, const char *file,
                     int line)
#endif
{
	abort();
}

/* ---- the checks ---- */

static int checks = 0;
static int failures = 0;
static int wait_s;

static void
check(bool passed, const char *format, ...)
{
	va_list args;

	checks++;
	failures += !passed;
	printf("%sok %d - ", passed ? "" : "not ", checks);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static AsFailure
count(AsLimit limit, const char *key, int allowed, int window_s)
{
	return as_throttle_count(limit, key, strlen(key), allowed, window_s,
	                         &wait_s);
}

static AsFailure
take(const char *key, int allowed, int window_s, AsThrottleTicket *ticket)
{
	return as_throttle_take(ACCOUNT, key, strlen(key), allowed, window_s,
	                        ticket, &wait_s);
}

static AsFailure
look(const char *key, int allowed, int window_s)
{
	return as_throttle_look(ACCOUNT, key, strlen(key), allowed, window_s,
	                        &wait_s);
}

/* How many of so many attempts are counted. */
static int
counted(AsLimit limit, const char *key, int allowed, int window_s, int times)
{
	int passed = 0;

	while (times-- > 0)
		passed += count(limit, key, allowed, window_s) == AS_OK;
	return passed;
}

/* To the first moment of the next window of that length. */
static void
next_window(int window_s)
{
	int64 since = clock_ms - 5000000;

	clock_ms += (int64) window_s * 1000 - since % ((int64) window_s * 1000);
}

static void
check_counts(void)
{
	next_window(60);
	check(counted(ADDRESS, "a", 5, 60, 8) == 5,
	      "five of eight are within five");
	check(wait_s == 60, "and the wait is the whole window at its start");
	check(counted(ADDRESS, "b", 5, 60, 8) == 5, "another key has its own");
	check(counted(ACCOUNT, "a", 5, 60, 8) == 5, "and so has another limit");
	check(count(ADDRESS, "a", 6, 60) == AS_OK, "a higher limit lets one pass");
	check(counted(ADDRESS, "c", 0, 60, 9) == 9, "0 is no limit");
	check(counted(ADDRESS, "c", 1, 60, 2) == 1, "and was not counted");
	clock_ms += 59400;
	check(count(ADDRESS, "a", 5, 60) == AS_THROTTLED && wait_s == 1,
	      "the wait is never 0");
	clock_ms += 500;
	check(count(ADDRESS, "a", 5, 60) == AS_THROTTLED, "to the window's end");
	clock_ms += 100;
	check(counted(ADDRESS, "a", 5, 60, 8) == 5, "where it starts anew");
	check(as_throttle_look(ADDRESS, "d", 1, 1, 60, &wait_s) == AS_OK &&
	          as_throttle_look(ADDRESS, "d", 1, 1, 60, &wait_s) == AS_OK &&
	          counted(ADDRESS, "d", 1, 60, 2) == 1,
	      "a look counts nothing");
	check(as_throttle_look(ADDRESS, "d", 1, 1, 60, &wait_s) == AS_THROTTLED &&
	          wait_s == 60,
	      "and sees what was counted");
}

static void
check_windows(void)
{
	next_window(DAY);
	check(count(ADDRESS, "w", 1, DAY) == AS_OK, "a day is a window");
	clock_ms += (int64) DAY * 1000 - 100;
	check(count(ADDRESS, "w", 1, DAY) == AS_THROTTLED, "which lasts");
	clock_ms += 100;
	check(count(ADDRESS, "w", 1, DAY) == AS_OK, "and ends");
	check(count(ADDRESS, "w", 1, 1) == AS_THROTTLED && wait_s == DAY,
	      "a shorter one ends no longer one");
	next_window(1);
	check(counted(ADDRESS, "s", 1, 1, 3) == 1, "a second is one, too");
	next_window(1);
	check(counted(ADDRESS, "s", 1, 1, 3) == 1, "and ends");
}

/* One that counts goes on to count no longer than its window. */
static void
check_grid(void)
{
	next_window(60);
	clock_ms += 10000;
	check(count(ADDRESS, "g", 2, 60) == AS_OK &&
	          count(ADDRESS, "g", 2, 60) == AS_OK,
	      "two attempts in a window");
	check(count(ADDRESS, "g", 2, 60) == AS_THROTTLED && wait_s == 50,
	      "wait for the rest of it");
	clock_ms += 40000;
	check(count(ADDRESS, "g", 3, 60) == AS_OK, "one more near its end");
	clock_ms += 10000;
	check(counted(ADDRESS, "g", 2, 60, 3) == 2, "keeps nobody out of the next");
}

static void
check_cooldown(void)
{
	for (int i = 0; i < 4; i++)
	{
		char key[2] = {(char) ('0' + i), '\0'};

		clock_ms += 17300;
		check(count(AS_LIMIT_RESEND, key, 1, 60) == AS_OK &&
		          count(AS_LIMIT_RESEND, key, 1, 60) == AS_THROTTLED &&
		          wait_s == 60,
		      "a cooldown is whole, whenever it begins");
	}
	clock_ms += 59800;
	check(count(AS_LIMIT_RESEND, "3", 1, 60) == AS_THROTTLED && wait_s == 1,
	      "it lasts to its end");
	clock_ms += 1000;
	check(count(AS_LIMIT_RESEND, "3", 1, 60) == AS_OK,
	      "and after the wait that was told it is over");
}

static void
check_tries(void)
{
	AsThrottleTicket a, b, c;

	next_window(60);
	check(take("t", 2, 60, &a) == AS_OK && take("t", 2, 60, &b) == AS_OK,
	      "as many tries as may fail go on at once");
	check(take("t", 2, 60, &c) == AS_BUSY && wait_s == 1,
	      "one more is put off for a moment");
	check(look("t", 2, 60) == AS_BUSY, "and looks so");
	as_throttle_return(&c);
	check(take("t", 2, 60, &c) == AS_BUSY, "who has none gives none back");
	as_throttle_return(&a);
	check(take("t", 2, 60, &a) == AS_OK, "one that was right makes room");
	as_throttle_fail(&a);
	check(take("t", 2, 60, &c) == AS_BUSY,
	      "one that was wrong does not: the other may be, too");
	as_throttle_fail(&b);
	check(take("t", 2, 60, &c) == AS_THROTTLED && wait_s == 60,
	      "with as many wrong it is for the window");
	as_throttle_fail(&b);
	as_throttle_return(&b);
	as_throttle_return(&a);
	check(counted(ACCOUNT, "t", 3, 60, 3) == 1,
	      "a ticket is settled once, a failure stays");

	check(take("p", 1, 60, &a) == AS_OK, "a try at the end of a window");
	next_window(60);
	check(take("p", 1, 60, &b) == AS_OK, "bars none in the next");
	as_throttle_return(&a);
	check(take("p", 1, 60, &c) == AS_BUSY,
	      "and takes no other's count away when it turns out right");
	as_throttle_return(&b);
	check(take("p", 1, 60, &a) == AS_OK, "its own is its own");
	next_window(60);
	check(take("p", 2, 60, &b) == AS_OK, "(in the next)");
	as_throttle_fail(&a);
	check(take("p", 2, 60, &c) == AS_BUSY,
	      "wrong, it counts in the window in which it is found");
	as_throttle_fail(&b);
	check(take("p", 2, 60, &c) == AS_THROTTLED, "beside the others");

	for (int i = 0; i < 4095; i++)
		if (take("m", 1000000, 60, &a) != AS_OK)
			check(false, "thousands of tries at once");
	check(take("m", 1000000, 60, &a) == AS_BUSY,
	      "tries without number don't run over");
	check(counted(ACCOUNT, "n", 10000000, 60, 1100000) == 1048575,
	      "nor do failures");
}

static void
check_clear(void)
{
	AsThrottleTicket ticket;

	next_window(60);
	(void) counted(ACCOUNT, "c", 5, 60, 5);
	(void) counted(ACCOUNT, "d", 5, 60, 5);
	as_throttle_clear(ACCOUNT, "c", 1);
	check(counted(ACCOUNT, "c", 5, 60, 8) == 5, "what is cleared starts anew");
	check(count(ACCOUNT, "d", 5, 60) == AS_THROTTLED, "alone");
	as_throttle_clear(ACCOUNT, "c", 1);
	check(take("c", 1, 60, &ticket) == AS_OK, "(a try)");
	as_throttle_clear(ACCOUNT, "c", 1);
	check(look("c", 1, 60) == AS_BUSY, "a try is not cleared");
	as_throttle_fail(&ticket);
	check(look("c", 1, 60) == AS_THROTTLED, "and still counts when it fails");
	next_window(60);
	as_throttle_clear(ACCOUNT, "c", 1);
	check(counted(ACCOUNT, "c", 5, 60, 8) == 5, "what is over clears nothing");
}

/* Failures of so many different keys in this database. */
static void
flood(AsLimit limit, int keys, int allowed)
{
	for (int i = 0; i < keys; i++)
		(void) as_throttle_count(limit, &i, sizeof(i), allowed, DAY, &wait_s);
}

/* Of 10,000 keys that never failed, how many are refused. */
static int
refused(AsLimit limit, int allowed)
{
	int number = 0;

	for (int i = 0; i < 10000; i++)
	{
		int64 key = INT64CONST(1) << 40 | i;

		number += as_throttle_look(limit, &key, sizeof(key), allowed, DAY,
		                           &wait_s) != AS_OK;
	}
	return number;
}

static void
check_floods(void)
{
	next_window(DAY);
	flood(ACCOUNT, 100000, 10);
	check(refused(ACCOUNT, 10) == 0,
	      "H9: 100,000 failures of others refuse nobody");
	flood(ACCOUNT, 1000000, 10);
	check(refused(ACCOUNT, 10) > 9000, "(a million do)");
	check(refused(ADDRESS, 10) == 0, "H9: by another limit nobody");
	for (Oid database = 2; database <= 7; database++)
	{
		MyDatabaseId = database;
		clock_ms += 1000;
		check(refused(ACCOUNT, 10) == 0, "H9: in database %u nobody", database);
		flood(ACCOUNT, 1000, 10);
	}
	MyDatabaseId = 1;
	check(refused(ACCOUNT, 10) > 9000, "H9: where it is the flood goes on");

	/* The eighth and the ninth share what is left. */
	MyDatabaseId = 8;
	check(refused(ACCOUNT, 10) == 0, "H9: in the eighth nobody");
	check(counted(ACCOUNT, "x", 5, DAY, 8) == 5, "though it counts there, too");
	clock_ms += 1000;
	MyDatabaseId = 9;
	check(counted(ACCOUNT, "x", 5, DAY, 8) == 5,
	      "the ninth has counts of its own");
	MyDatabaseId = 1;
	check(refused(ACCOUNT, 10) > 9000, "H9: and the first has lost nothing");
	next_window(DAY);
	check(counted(ACCOUNT, "x", 5, DAY, 8) == 5, "a database that counts");
	clock_ms += (int64) DAY * 900;
	check(count(ACCOUNT, "x", 5, DAY) == AS_THROTTLED, "goes on counting");

	/* All but the first have counted nothing for more than a day. */
	clock_ms += (int64) DAY * 900;
	(void) count(ACCOUNT, "y", 1, DAY);
	for (Oid database = 20; database < 26; database++)
	{
		MyDatabaseId = database;
		flood(ACCOUNT, 500000, 10);
	}
	MyDatabaseId = 8;
	check(refused(ACCOUNT, 10) == 0,
	      "H9: who counts nothing for a day makes room for another database");
	MyDatabaseId = 1;
	check(count(ACCOUNT, "y", 1, DAY) == AS_THROTTLED,
	      "and who counts keeps its counts");
	check(refused(ACCOUNT, 10) == 0, "H9: untouched by the new ones");
}

int
main(void)
{
	as_throttle_init();
	check_counts();
	check_windows();
	check_grid();
	check_cooldown();
	check_tries();
	check_clear();
	check_floods();
	printf("1..%d\n", checks);
	return failures > 0;
}
