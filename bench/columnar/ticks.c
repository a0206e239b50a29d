/*
 * ticks: writes made-up ticks of May 2014 as CSV, without a header, in the order in which they arrive;
 * the same ones for the same options on every machine.
 *
 *	id,timestamp,instrument_id,price,volume,bid,ask,bid_size,ask_size,open,high,low
 *
 *	ticks ROWS INSTRUMENTS SEED
 *
 * Times are drawn from the whole month, microseconds included, and sorted; fewer rows than ten millions take
 * less of it, so that the distances are the same.  Instruments are drawn with equal chances.  Each one's bid walks on its tick grid, where a weak pull towards its start
 * keeps long walks in range; the ask and the price of the trade are some ticks above it.  Volume is
 * one of 50 whole numbers, a size one of 25.  Open, high and low are those of the instrument's
 * day so far.  Prices and times are integers throughout: no floating point, no locale, no time zone.
 *
 * The generator is xorshift64* (S. Vigna, "An experimental exploration of Marsaglia's xorshift
 * generators, scrambled", 2016).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INSTRUMENTS 10000
#define USECS_PER_SEC INT64_C(1000000)
#define SECS_PER_DAY INT64_C(86400)
#define MONTH (31 * SECS_PER_DAY * USECS_PER_SEC)
#define ROWS_OF_MONTH INT64_C(10000000)
#define VOLUMES 50
#define SIZES 25

/* Prices are in ticks of 0.01. */
typedef struct Instrument
{
	int64_t start;
	int64_t bid;
	int day; /* of open, high and low; 0: none yet */
	int64_t open;
	int64_t high;
	int64_t low;
} Instrument;

/* Chances in percent, chosen so that each column has the entropy that the README names. */
static const int bid_chances[] = {4, 26, 40, 26, 4}; /* two ticks down to two up */
static const int ask_chances[] = {0, 50, 25, 15, 10};
static const int price_chances[] = {24, 24, 22, 18, 12};

static uint64_t state;

static uint64_t
next_random(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(2685821657736338717);
}

/* Uniform enough for bounds far below 2^32: the high bits are the good ones. */
static int64_t
random_below(int64_t bound)
{
	return (int64_t) ((next_random() >> 32) % (uint64_t) bound);
}

static int
draw(const int chances[5])
{
	int64_t left = random_below(100);
	int which = 0;

	while (left >= chances[which])
		left -= chances[which++];
	return which;
}

static int64_t
parse_number(const char *what, const char *value, int64_t min, int64_t max)
{
	char *end;
	int64_t number;

	errno = 0;
	number = strtoll(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || number < min || number > max)
	{
		fprintf(stderr, "ticks: %s must be between %" PRId64 " and %" PRId64 "\n", what, min, max);
		exit(2);
	}
	return number;
}

static int
compare_times(const void *a, const void *b)
{
	int64_t x = *(const int64_t *) a;
	int64_t y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

/* Microseconds since the month began, in order */
static int64_t *
make_times(int64_t rows)
{
	int64_t *times = malloc((size_t) rows * sizeof(int64_t));
	int64_t span = rows < ROWS_OF_MONTH ? MONTH / ROWS_OF_MONTH * rows : MONTH;

	if (times == NULL)
	{
		fprintf(stderr, "ticks: no memory\n");
		exit(1);
	}
	for (int64_t i = 0; i < rows; i++)
		times[i] = (int64_t) (next_random() >> 1) % span;
	qsort(times, (size_t) rows, sizeof(int64_t), compare_times);
	return times;
}

static void
step_bid(Instrument *instrument)
{
	int64_t away = instrument->bid - instrument->start;

	instrument->bid += draw(bid_chances) - 2;
	/* The pull is one tick, in a share of the ticks that grows with the distance. */
	if (random_below(instrument->start) < (away < 0 ? -away : away))
		instrument->bid += away < 0 ? 1 : -1;
	if (instrument->bid < 1)
		instrument->bid = 1;
}

static void
note_price(Instrument *instrument, int day, int64_t price)
{
	if (instrument->day != day)
	{
		instrument->day = day;
		instrument->open = instrument->high = instrument->low = price;
	}
	if (price > instrument->high)
		instrument->high = price;
	if (price < instrument->low)
		instrument->low = price;
}

static void
print_price(int64_t ticks)
{
	printf(",%" PRId64 ".%02d", ticks / 100, (int) (ticks % 100));
}

static void
print_tick(int64_t id, int64_t usecs, int64_t which, Instrument *instrument)
{
	int64_t secs = usecs / USECS_PER_SEC;
	int day = (int) (secs / SECS_PER_DAY) + 1;
	int64_t price = instrument->bid + draw(price_chances);

	note_price(instrument, day, price);
	printf("%" PRId64 ",2014-05-%02d %02d:%02d:%02d.%06d+00,%" PRId64, id, day,
		   (int) (secs % SECS_PER_DAY / 3600), (int) (secs / 60 % 60), (int) (secs % 60),
		   (int) (usecs % USECS_PER_SEC), which + 1);
	print_price(price);
	printf(",%" PRId64, 1 + random_below(VOLUMES));
	print_price(instrument->bid);
	print_price(instrument->bid + draw(ask_chances));
	printf(",%" PRId64, 100 * (1 + random_below(SIZES)));
	printf(",%" PRId64, 100 * (1 + random_below(SIZES)));
	print_price(instrument->open);
	print_price(instrument->high);
	print_price(instrument->low);
	putchar('\n');
}

int
main(int argc, char **argv)
{
	static Instrument instruments[MAX_INSTRUMENTS];
	int64_t rows;
	int64_t count;
	int64_t *times;

	if (argc != 4)
	{
		fprintf(stderr, "usage: ticks ROWS INSTRUMENTS SEED\n");
		return 2;
	}
	rows = parse_number("ROWS", argv[1], 1, INT64_C(1000000000));
	count = parse_number("INSTRUMENTS", argv[2], 1, MAX_INSTRUMENTS);
	/* xorshift never leaves zero; the constant is the golden ratio's. */
	state = (uint64_t) parse_number("SEED", argv[3], 0, INT64_MAX) ^ UINT64_C(0x9E3779B97F4A7C15);
	if (state == 0)
		state = 1;

	times = make_times(rows);
	for (int64_t i = 0; i < count; i++)
		instruments[i].start = instruments[i].bid = 1000 + random_below(100000);
	for (int64_t row = 0; row < rows; row++)
	{
		int64_t which = random_below(count);

		step_bid(&instruments[which]);
		print_tick(row + 1, times[row], which, &instruments[which]);
	}
	free(times);
	if (fflush(stdout) != 0 || ferror(stdout))
	{
		fprintf(stderr, "ticks: cannot write: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}
