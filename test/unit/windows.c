/*-------------------------------------------------------------------------
 *
 * windows.c
 *		Tests src/metrics/windows.c, without a server; prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <pthread.h>

#include "guc.h"
#include "metrics/windows.h"

/* the server's own is in a library of it */
#undef printf

#define SECOND INT64CONST(1000000)
#define MINUTE (60 * SECOND)
#define NTHREADS 4
#define NEVENTS 400000

static int tests = 0;
static int failed = 0;
static DbpWindows windows;

static void
ok(bool passed, const char *name)
{
	printf("%sok %d - %s\n", passed ? "" : "not ", ++tests, name);
	failed += !passed;
}

/* The clock that windows.c goes by */
static int64 fixed_now = 0;

bool
dbp_now_is_fixed(void)
{
	return true;
}

TimestampTz
dbp_now(void)
{
	return __atomic_load_n(&fixed_now, __ATOMIC_RELAXED);
}

void
pg_usleep(long microseconds)
{
	struct timespec time = {0, microseconds * 1000};

	nanosleep(&time, NULL);
}

static DbpCounts
in_the_last(int minutes)
{
	DbpCounts counts = {0};

	dbp_windows_read(&windows, minutes, &counts);
	return counts;
}

static uint64
calls(int minutes)
{
	return in_the_last(minutes).calls;
}

static uint64
in_histogram(const DbpCounts *counts)
{
	uint64 sum = 0;

	for (int i = 0; i < DBP_HISTOGRAM_SIZE; i++)
		sum += counts->histogram[i];
	return sum;
}

static bool
are_calls(uint64 one, uint64 five, uint64 fifteen, uint64 total)
{
	if (calls(1) == one && calls(5) == five && calls(15) == fifteen && calls(0) == total)
		return true;
	printf("# 1: %lu, 5: %lu, 15: %lu, all: %lu\n", (unsigned long) calls(1),
		   (unsigned long) calls(5), (unsigned long) calls(15), (unsigned long) calls(0));
	return false;
}

static void
test_counts(void)
{
	DbpCounts counts;

	dbp_windows_init(&windows);
	ok(are_calls(0, 0, 0, 0), "nothing at first");
	dbp_windows_add(&windows, 3, 1000, false);
	dbp_windows_add(&windows, 0, 5000, true);
	dbp_windows_add(&windows, 4, 0, false);
	counts = in_the_last(1);
	ok(counts.calls == 3 && counts.rows == 7 && counts.errors == 1 && counts.microseconds == 6000,
	   "calls, rows, errors, time");
	ok(counts.max_microseconds == 5000, "the longest");
	ok(in_histogram(&counts) == 3 && counts.histogram[dbp_histogram_bucket(5000)] == 1,
	   "a histogram");
	dbp_windows_read(&windows, 0, &counts);
	ok(counts.calls == 6 && counts.max_microseconds == 5000, "is added to what is there");

	/* the call has been moved while the rest of it was being added */
	pg_atomic_exchange_u64(&windows.fine[fixed_now / (10 * SECOND) % DBP_FINE_SLOTS].counts.calls,
						   0);
	fixed_now += 70 * SECOND;
	dbp_windows_add(&windows, 0, 0, false);
	counts = in_the_last(0);
	ok(counts.rows == 7 && counts.errors == 1 && counts.microseconds == 6000 &&
		   in_the_last(5).rows == 7,
	   "what comes in after its call has been moved is moved, too");
	dbp_windows_reset(&windows);
	ok(are_calls(0, 0, 0, 0) && in_the_last(0).max_microseconds == 0, "forgotten");
}

static void
test_time(void)
{
	fixed_now = 20000 * MINUTE + SECOND;
	dbp_windows_init(&windows);
	dbp_windows_add(&windows, 1, 100, false);
	fixed_now += 60 * SECOND;
	ok(are_calls(1, 1, 1, 1), "after 60 s");
	fixed_now += 10 * SECOND;
	ok(are_calls(0, 1, 1, 1), "after 70 s");
	dbp_windows_add(&windows, 1, 100, false);
	ok(are_calls(1, 2, 2, 2), "the slot is used again");
	fixed_now += 4 * MINUTE;
	ok(are_calls(0, 2, 2, 2), "after five minutes");
	fixed_now += MINUTE;
	ok(are_calls(0, 1, 2, 2), "after six minutes, of the first");
	fixed_now += MINUTE;
	ok(are_calls(0, 0, 2, 2), "after six minutes, of the second");
	fixed_now += 9 * MINUTE;
	ok(are_calls(0, 0, 1, 2), "after sixteen minutes, of the first");
	for (int i = 0; i < 3000; i++)
	{
		dbp_windows_add(&windows, 1, 100, false);
		fixed_now += SECOND;
	}
	/* the clock is 11 s into a minute, 1 s into ten, and has just been moved on */
	fixed_now -= SECOND;
	ok(are_calls(60 + 1, 300 + 11, 900 + 11, 3002), "one each second");
	ok(dbp_windows_seconds(1, 0) == 60 && dbp_windows_seconds(5, 0) == 310 &&
		   dbp_windows_seconds(15, 0) == 910,
	   "and so many seconds");
	ok(dbp_windows_seconds(0, fixed_now - SECOND / 2) == 0.5 &&
		   dbp_windows_seconds(15, fixed_now - 3 * SECOND) == 3,
	   "no more than there have been");
	fixed_now += 1000 * MINUTE;
	ok(are_calls(0, 0, 0, 3002), "nothing for a long time");
	dbp_windows_add(&windows, 1, 100, false);
	ok(are_calls(1, 1, 1, 3003), "and then something");
}

static void
test_steps(void)
{
	fixed_now = 30000 * MINUTE;
	dbp_windows_init(&windows);
	dbp_windows_add(&windows, 1, 100, false);
	fixed_now -= 100 * MINUTE;
	ok(are_calls(0, 0, 0, 1), "the future does not count");
	for (int i = 0; i < 100; i++)
	{
		dbp_windows_add(&windows, 1, 100, false);
		fixed_now += 10 * SECOND;
	}
	ok(are_calls(6, 30 + 4, 90 + 4, 101), "the present does");
	fixed_now -= 100;
	/* 7 slots back: a process that had been asleep */
	dbp_windows_add_at(&windows, fixed_now - 70 * SECOND, 1, 100, false);
	ok(calls(0) == 102 && calls(1) == 8, "what comes late counts as what is now");
}

static void
test_overflow(void)
{
	DbpCounts counts;

	dbp_windows_init(&windows);
	for (int i = 0; i < 10; i++)
	{
		dbp_windows_add(&windows, 0, 100, false);
		dbp_histogram_add(windows.total.histogram, 7, UINT32_C(1) << 30);
		dbp_histogram_add(windows.total.histogram, 9, UINT32_C(1) << 29);
	}
	counts = in_the_last(0);
	ok(counts.calls == 10 && counts.histogram[7] > UINT32_C(1) << 29 &&
		   Abs((int64) counts.histogram[7] - 2 * (int64) counts.histogram[9]) < UINT32_C(1) << 30,
	   "a full histogram keeps its shape");
}

static int at_work = 0;

static void *
add_events(void *arg)
{
	for (uint64 i = 0; i < NEVENTS; i++)
		dbp_windows_add(&windows, 2, i % 1000, i % 10 == 0);
	__atomic_fetch_sub(&at_work, 1, __ATOMIC_SEQ_CST);
	return arg;
}

/* The clock goes on by fourteen minutes while others add, and never has anything been counted less */
static void
test_together(void)
{
	pthread_t threads[NTHREADS];
	uint64 all = (uint64) NTHREADS * NEVENTS;
	uint64 last[2] = {0, 0};
	bool grows = true;
	DbpCounts counts;
	DbpCounts total;

	fixed_now = 40000 * MINUTE;
	dbp_windows_init(&windows);
	at_work = NTHREADS;
	for (int i = 0; i < NTHREADS; i++)
		if (pthread_create(&threads[i], NULL, add_events, NULL) != 0)
			exit(1);
	for (int i = 0; __atomic_load_n(&at_work, __ATOMIC_SEQ_CST) > 0; i++)
	{
		counts = in_the_last(15);
		total = in_the_last(0);
		grows &= counts.calls >= last[0] && total.calls >= last[1];
		last[0] = counts.calls;
		last[1] = total.calls;
		if (i % 10 == 0 && fixed_now < 40014 * MINUTE)
			__atomic_fetch_add(&fixed_now, 10 * SECOND, __ATOMIC_RELAXED);
	}
	for (int i = 0; i < NTHREADS; i++)
		pthread_join(threads[i], NULL);
	printf("# the clock went on by %d slots\n",
		   (int) ((fixed_now - 40000 * MINUTE) / (10 * SECOND)));
	ok(fixed_now > 40001 * MINUTE + 10 * SECOND, "slots were used again meanwhile");
	ok(grows, "nothing is missing while it is moved");
	counts = in_the_last(15);
	total = in_the_last(0);
	ok(total.calls == all && total.rows == 2 * all && total.errors == all / 10 &&
		   in_histogram(&total) == all,
	   "everything was counted once");
	ok(counts.calls == all && in_histogram(&counts) == all, "also in the windows");
	ok(total.microseconds == all / 1000 * (999 * 1000 / 2) && total.max_microseconds == 999,
	   "and so was the time");
}

int
main(void)
{
	test_counts();
	test_time();
	test_steps();
	test_overflow();
	test_together();
	printf("1..%d\n", tests);
	return failed > 0;
}
