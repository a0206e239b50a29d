/*-------------------------------------------------------------------------
 *
 * windows.c
 *		Counts and durations over the last 1, 5 and 15 minutes.
 *
 * An event is counted in one place, the slot of the ten seconds in which it
 * ends: a few atomic additions to two lines of the cache.  Who comes first to
 * a slot whose time has passed moves what is in it to the slot of its minute
 * and to the total, and takes the slot for the present.  It exchanges each
 * counter for 0, so that an event which is being added meanwhile is found
 * either in what was moved or in what is new: none is lost, none counts twice.
 *
 * The number of a slot is that of its time on the clock, in lengths of a slot.
 * "The last minute" are the ten seconds that have begun and the six before
 * them, "the last five minutes" the minute that has begun and five before it.
 *
 * The clock is one that is never set (CLOCK_MONOTONIC), so that a step of the
 * wall clock does no harm.  With dbperf.now_override, for tests, time may run
 * backwards; what is of the future is then left out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "portability/instr_time.h"
#include "storage/s_lock.h"

#include "guc.h"
#include "metrics/windows.h"

#define FINE_LENGTH (10 * USECS_PER_SEC)
#define FINE_PER_COARSE 6
#define COARSE_LENGTH (FINE_PER_COARSE * FINE_LENGTH)

/* A counter of a histogram that gets here has the histogram halved before it overflows */
#define HISTOGRAM_FULL (UINT32_C(1) << 31)

/*
 * Somebody else is moving a slot's counts, which takes a microsecond, unless
 * that process has to wait for a processor.  Nobody waits long for it.
 */
#define SPINS 100
#define NAPS 20
#define NAP_MICROSECONDS 1000

uint64
dbp_windows_clock(void)
{
	instr_time now;

	if (dbp_now_is_fixed())
		return (uint64) dbp_now();
	INSTR_TIME_SET_CURRENT(now);
	return INSTR_TIME_GET_MICROSEC(now);
}

/* Leaves the percentiles what they are.  Others may be adding. */
static void
halve_histogram(pg_atomic_uint32 *histogram)
{
	for (int i = 0; i < DBP_HISTOGRAM_SIZE; i++)
	{
		uint32 count = pg_atomic_read_u32(&histogram[i]);

		while (count > 0 &&
			   !pg_atomic_compare_exchange_u32(&histogram[i], &count, count - count / 2))
			;
	}
}

void
dbp_histogram_add(pg_atomic_uint32 *histogram, int bucket, uint32 calls)
{
	uint32 before = pg_atomic_fetch_add_u32(&histogram[bucket], calls);

	/* one process passes the mark */
	if (unlikely(before < HISTOGRAM_FULL && before + calls >= HISTOGRAM_FULL))
		halve_histogram(histogram);
}

void
dbp_counts_init(DbpSharedCounts *counts)
{
	pg_atomic_init_u64(&counts->calls, 0);
	pg_atomic_init_u64(&counts->rows, 0);
	pg_atomic_init_u64(&counts->errors, 0);
	pg_atomic_init_u64(&counts->microseconds, 0);
	pg_atomic_init_u64(&counts->max_microseconds, 0);
	for (int i = 0; i < DBP_HISTOGRAM_SIZE; i++)
		pg_atomic_init_u32(&counts->histogram[i], 0);
}

static void
raise_max(pg_atomic_uint64 *max, uint64 value)
{
	uint64 found = pg_atomic_read_u64(max);

	while (value > found && !pg_atomic_compare_exchange_u64(max, &found, value))
		;
}

void
dbp_counts_add(DbpSharedCounts *counts, uint64 rows, uint64 microseconds, bool error)
{
	int bucket = dbp_histogram_bucket(microseconds);

	pg_atomic_fetch_add_u64(&counts->calls, 1);
	if (rows > 0)
		pg_atomic_fetch_add_u64(&counts->rows, rows);
	if (error)
		pg_atomic_fetch_add_u64(&counts->errors, 1);
	pg_atomic_fetch_add_u64(&counts->microseconds, microseconds);
	raise_max(&counts->max_microseconds, microseconds);
	dbp_histogram_add(counts->histogram, bucket, 1);
}

/* pg_atomic_read_u64() does not take what is const everywhere */
void
dbp_counts_read(const DbpSharedCounts *counts, DbpCounts *copy)
{
	DbpSharedCounts *from = unconstify(DbpSharedCounts *, counts);

	copy->calls += pg_atomic_read_u64(&from->calls);
	copy->rows += pg_atomic_read_u64(&from->rows);
	copy->errors += pg_atomic_read_u64(&from->errors);
	copy->microseconds += pg_atomic_read_u64(&from->microseconds);
	copy->max_microseconds =
		Max(copy->max_microseconds, pg_atomic_read_u64(&from->max_microseconds));
	for (int i = 0; i < DBP_HISTOGRAM_SIZE; i++)
	{
		uint32 count = pg_atomic_read_u32(&from->histogram[i]);

		copy->histogram[i] += Min(count, PG_UINT32_MAX - copy->histogram[i]);
	}
}

/* Takes what is there away, and leaves what comes meanwhile */
static void
take_counts(DbpSharedCounts *counts, DbpCounts *taken)
{
	taken->calls = pg_atomic_exchange_u64(&counts->calls, 0);
	taken->rows = pg_atomic_exchange_u64(&counts->rows, 0);
	taken->errors = pg_atomic_exchange_u64(&counts->errors, 0);
	taken->microseconds = pg_atomic_exchange_u64(&counts->microseconds, 0);
	taken->max_microseconds = pg_atomic_exchange_u64(&counts->max_microseconds, 0);
	for (int i = 0; i < DBP_HISTOGRAM_SIZE; i++)
		taken->histogram[i] = pg_atomic_read_u32(&counts->histogram[i]) == 0
			? 0
			: pg_atomic_exchange_u32(&counts->histogram[i], 0);
}

static void
put_counts(DbpSharedCounts *counts, const DbpCounts *taken)
{
	pg_atomic_fetch_add_u64(&counts->calls, taken->calls);
	pg_atomic_fetch_add_u64(&counts->rows, taken->rows);
	pg_atomic_fetch_add_u64(&counts->errors, taken->errors);
	pg_atomic_fetch_add_u64(&counts->microseconds, taken->microseconds);
	raise_max(&counts->max_microseconds, taken->max_microseconds);
	for (int i = 0; i < DBP_HISTOGRAM_SIZE; i++)
		if (taken->histogram[i] > 0)
			dbp_histogram_add(counts->histogram, i, taken->histogram[i]);
}

static void
init_slots(DbpWindowSlot *slots, int n)
{
	for (int i = 0; i < n; i++)
	{
		pg_atomic_init_u64(&slots[i].number, 0);
		dbp_counts_init(&slots[i].counts);
	}
}

void
dbp_windows_init(DbpWindows *windows)
{
	pg_atomic_init_u32(&windows->moves, 0);
	dbp_counts_init(&windows->total);
	init_slots(windows->fine, DBP_FINE_SLOTS);
	init_slots(windows->coarse, DBP_COARSE_SLOTS);
}

static void
wait_a_little(int attempt)
{
	if (attempt < SPINS)
		SPIN_DELAY();
	else
		pg_usleep(NAP_MICROSECONDS);
}

/* False: somebody else is at it, and does not come to an end */
static bool
begin_move(DbpWindows *windows)
{
	for (int attempt = 0; attempt < SPINS + NAPS; attempt++)
	{
		uint32 moves = pg_atomic_read_u32(&windows->moves);

		if (moves % 2 == 0 && pg_atomic_compare_exchange_u32(&windows->moves, &moves, moves + 1))
			return true;
		wait_a_little(attempt);
	}
	return false;
}

static void
end_move(DbpWindows *windows)
{
	pg_atomic_fetch_add_u32(&windows->moves, 1);
}

/* Does a time lie in the minutes up to now?  Both are numbers of coarse slots. */
static bool
is_recent(uint64 minute, uint64 now, int minutes)
{
	return minute <= now && now - minute <= (uint64) minutes;
}

/*
 * May a slot of one time count for another?  Also when it is newer, by no more
 * than a window: a process that was held up does not turn the clock back.
 */
static inline bool
serves(uint64 found, uint64 number)
{
	return found - number <= FINE_PER_COARSE * DBP_COARSE_SLOTS;
}

static void
move_slot(DbpWindows *windows, DbpWindowSlot *slot, uint64 number)
{
	uint64 now = number / FINE_PER_COARSE;
	uint64 minute = pg_atomic_read_u64(&slot->number) / FINE_PER_COARSE;
	DbpCounts taken;

	/* also where there is no call: rows of one may come in after it has been moved */
	take_counts(&slot->counts, &taken);
	put_counts(&windows->total, &taken);
	if (is_recent(minute, now, DBP_COARSE_SLOTS - 1))
	{
		DbpWindowSlot *coarse = &windows->coarse[minute % DBP_COARSE_SLOTS];

		if (pg_atomic_read_u64(&coarse->number) != minute)
		{
			dbp_counts_init(&coarse->counts);
			pg_atomic_write_u64(&coarse->number, minute);
		}
		put_counts(&coarse->counts, &taken);
	}
	pg_write_barrier();
	pg_atomic_write_u64(&slot->number, number);
}

/*
 * Takes a slot for another time.  When that fails, what is added counts for
 * the time that the slot had.
 */
static void
renew_slot(DbpWindows *windows, DbpWindowSlot *slot, uint64 number)
{
	if (!begin_move(windows))
		return;
	if (!serves(pg_atomic_read_u64(&slot->number), number))
		move_slot(windows, slot, number);
	end_move(windows);
}

void
dbp_windows_add_at(DbpWindows *windows, uint64 now, uint64 rows, uint64 microseconds, bool error)
{
	uint64 number = now / FINE_LENGTH;
	DbpWindowSlot *slot = &windows->fine[number % DBP_FINE_SLOTS];
	uint64 found = pg_atomic_read_u64(&slot->number);

	if (unlikely(!serves(found, number)))
		renew_slot(windows, slot, number);
	dbp_counts_add(&slot->counts, rows, microseconds, error);
}

void
dbp_windows_add(DbpWindows *windows, uint64 rows, uint64 microseconds, bool error)
{
	dbp_windows_add_at(windows, dbp_windows_clock(), rows, microseconds, error);
}

static void
read_slots(const DbpWindows *windows, int minutes, DbpCounts *counts)
{
	DbpWindows *from = unconstify(DbpWindows *, windows);
	uint64 now = dbp_windows_clock() / FINE_LENGTH;

	if (minutes == 0)
		dbp_counts_read(&from->total, counts);
	for (int i = 0; i < DBP_FINE_SLOTS; i++)
	{
		uint64 number = pg_atomic_read_u64(&from->fine[i].number);

		if (minutes == 0 || (minutes == 1 && number <= now && now - number < DBP_FINE_SLOTS) ||
			(minutes > 1 && is_recent(number / FINE_PER_COARSE, now / FINE_PER_COARSE, minutes)))
			dbp_counts_read(&from->fine[i].counts, counts);
	}
	for (int i = 0; minutes > 1 && i < DBP_COARSE_SLOTS; i++)
		if (is_recent(pg_atomic_read_u64(&from->coarse[i].number), now / FINE_PER_COARSE, minutes))
			dbp_counts_read(&from->coarse[i].counts, counts);
}

void
dbp_counts_merge(DbpCounts *to, const DbpCounts *from)
{
	to->calls += from->calls;
	to->rows += from->rows;
	to->errors += from->errors;
	to->microseconds += from->microseconds;
	to->max_microseconds = Max(to->max_microseconds, from->max_microseconds);
	for (int i = 0; i < DBP_HISTOGRAM_SIZE; i++)
		to->histogram[i] += Min(from->histogram[i], PG_UINT32_MAX - to->histogram[i]);
}

void
dbp_windows_read(const DbpWindows *windows, int minutes, DbpCounts *counts)
{
	DbpWindows *from = unconstify(DbpWindows *, windows);
	DbpCounts copy;

	/* not while something is on its way from one place to another */
	for (int attempt = 0; attempt < SPINS + NAPS; attempt++)
	{
		uint32 moves = pg_atomic_read_u32(&from->moves);

		memset(&copy, 0, sizeof(copy));
		pg_read_barrier();
		read_slots(windows, minutes, &copy);
		pg_read_barrier();
		if (moves % 2 == 0 && pg_atomic_read_u32(&from->moves) == moves)
			break;
		wait_a_little(attempt);
	}
	dbp_counts_merge(counts, &copy);
}

double
dbp_windows_seconds(int minutes, uint64 since)
{
	uint64 now = dbp_windows_clock();
	uint64 elapsed = now > since ? now - since : 0;
	uint64 length = minutes * COARSE_LENGTH + now % (minutes == 1 ? FINE_LENGTH : COARSE_LENGTH);

	/* since may be of another clock, in tests */
	if (minutes == 0 || (elapsed > 0 && elapsed < length))
		length = elapsed;
	return length / 1e6;
}

static void
forget_slots(DbpWindowSlot *slots, int n)
{
	DbpCounts taken;

	for (int i = 0; i < n; i++)
		take_counts(&slots[i].counts, &taken);
}

void
dbp_windows_reset(DbpWindows *windows)
{
	DbpCounts taken;
	bool alone = begin_move(windows);

	forget_slots(windows->fine, DBP_FINE_SLOTS);
	forget_slots(windows->coarse, DBP_COARSE_SLOTS);
	take_counts(&windows->total, &taken);
	if (alone)
		end_move(windows);
}
