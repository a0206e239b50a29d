/*
 * tickgen: writes made-up quotes as CSV, the same ones for the same options on every machine.
 *
 *	timestamp,instrument_id,symbol,bid,ask
 *
 * Each instrument's bid walks on its tick grid: most quotes repeat the price or move it by a tick
 * or two, as real ones do, and a weak pull towards the start keeps long walks in range.  Rows are
 * spread evenly over the span with a random offset inside their share, so they are in time order.
 * Prices and times are integers throughout: no floating point, no locale, no time zone.
 *
 * The generator is xorshift64* (S. Vigna, "An experimental exploration of Marsaglia's xorshift
 * generators, scrambled", 2016).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INSTRUMENTS 10000
#define USECS_PER_SEC INT64_C(1000000)
#define SECS_PER_DAY INT64_C(86400)

typedef struct Instrument
{
	char symbol[32];
	int64_t start; /* bid at the start, in ticks */
	int64_t bid;   /* bid now, in ticks */
	int decimals;
	int spread; /* usual distance of the ask, in ticks */
} Instrument;

typedef struct Options
{
	int64_t rows;
	int64_t instruments;
	int64_t start; /* seconds since 1970-01-01 UTC */
	int64_t span;  /* seconds */
	uint64_t seed;
} Options;

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

static void
usage(FILE *out)
{
	fprintf(out,
			"usage: tickgen [--rows=N] [--instruments=N] [--start=YYYY-MM-DD] [--days=N] "
			"[--seed=N]\n"
			"Writes quotes as CSV, a header line first. Defaults: 1000000 rows,\n"
			"3 instruments, from 2014-05-01, 31 days, seed 1.\n");
}

static void
fail(const char *what, const char *value)
{
	fprintf(stderr, "tickgen: %s \"%s\"\n", what, value);
	usage(stderr);
	exit(2);
}

static int64_t
parse_number(const char *option, const char *value, int64_t min, int64_t max)
{
	char *end;
	int64_t number;

	errno = 0;
	number = strtoll(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || number < min || number > max)
	{
		fprintf(stderr, "tickgen: %s must be between %" PRId64 " and %" PRId64 "\n", option, min,
				max);
		exit(2);
	}
	return number;
}

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar, and back. */
static int64_t
days_from_date(int64_t year, int64_t month, int64_t day)
{
	/* The year begins in March here, so that the leap day is its last. */
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
		719468;
}

static void
date_from_days(int64_t days, int *year, int *month, int *day)
{
	int64_t era = (days + 719468) / 146097;
	int64_t day_of_era = days + 719468 - era * 146097;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t m = (5 * day_of_year + 2) / 153;

	*day = (int) (day_of_year - (153 * m + 2) / 5 + 1);
	*month = (int) (m < 10 ? m + 3 : m - 9);
	*year = (int) (year_of_era + era * 400 + (*month <= 2));
}

static int64_t
parse_date(const char *value)
{
	int year;
	int month;
	int day;
	int back[3];
	char rest;

	if (sscanf(value, "%4d-%2d-%2d%c", &year, &month, &day, &rest) != 3 || year < 1970 ||
		month < 1 || month > 12 || day < 1 || day > 31)
		fail("not a date:", value);
	date_from_days(days_from_date(year, month, day), &back[0], &back[1], &back[2]);
	if (back[0] != year || back[1] != month || back[2] != day)
		fail("no such day:", value);
	return days_from_date(year, month, day) * SECS_PER_DAY;
}

static Options
parse_options(int argc, char **argv)
{
	Options options = {1000000, 3, days_from_date(2014, 5, 1) * SECS_PER_DAY, 31 * SECS_PER_DAY, 1};

	for (int i = 1; i < argc; i++)
	{
		const char *value = strchr(argv[i], '=');

		if (strcmp(argv[i], "--help") == 0)
		{
			usage(stdout);
			exit(0);
		}
		if (value == NULL)
			fail("unknown option", argv[i]);
		value++;
		if (strncmp(argv[i], "--rows=", 7) == 0)
			options.rows = parse_number("--rows", value, 0, INT64_C(1000000000000));
		else if (strncmp(argv[i], "--instruments=", 14) == 0)
			options.instruments = parse_number("--instruments", value, 1, MAX_INSTRUMENTS);
		else if (strncmp(argv[i], "--start=", 8) == 0)
			options.start = parse_date(value);
		else if (strncmp(argv[i], "--days=", 7) == 0)
			options.span = parse_number("--days", value, 1, 36500) * SECS_PER_DAY;
		else if (strncmp(argv[i], "--seed=", 7) == 0)
			options.seed = (uint64_t) parse_number("--seed", value, 0, INT64_MAX);
		else
			fail("unknown option", argv[i]);
	}
	return options;
}

/* The first three look like the currency and gold quotes that such systems trade. */
static void
make_instruments(Instrument *instruments, int64_t count)
{
	static const Instrument known[] = {
		{"EURUSD", 138655, 138655, 5, 12},
		{"NZDUSD", 86210, 86210, 5, 18},
		{"XAUUSD", 1291677, 1291677, 3, 350},
	};

	for (int64_t i = 0; i < count; i++)
	{
		if (i < (int64_t) (sizeof(known) / sizeof(known[0])))
		{
			instruments[i] = known[i];
			continue;
		}
		snprintf(instruments[i].symbol, sizeof(instruments[i].symbol), "SYM%05" PRId64, i + 1);
		instruments[i].start = 1000 + random_below(100000);
		instruments[i].bid = instruments[i].start;
		instruments[i].decimals = 2;
		instruments[i].spread = 1 + (int) random_below(5);
	}
}

/* Half of the quotes keep the price; the others move it, the more ticks the rarer. */
static void
step_price(Instrument *instrument)
{
	uint64_t bits = next_random() >> 40;
	int64_t move = 0;
	int64_t away = instrument->bid - instrument->start;

	while ((bits & 1) != 0)
	{
		move++;
		bits >>= 1;
	}
	if ((next_random() >> 63) != 0)
		move = -move;
	/* The pull is one tick, in a share of the quotes that grows with the distance. */
	if (random_below(instrument->start) < (away < 0 ? -away : away))
		move += away < 0 ? 1 : -1;
	instrument->bid += move;
	if (instrument->bid < 1)
		instrument->bid = 1;
}

static void
print_price(int64_t ticks, int decimals)
{
	int64_t scale = 1;

	for (int i = 0; i < decimals; i++)
		scale *= 10;
	printf("%" PRId64 ".%0*" PRId64, ticks / scale, decimals, ticks % scale);
}

static void
print_quote(int64_t usecs, int64_t id, const Instrument *instrument)
{
	int64_t secs = usecs / USECS_PER_SEC;
	int64_t in_day = secs % SECS_PER_DAY;
	int year;
	int month;
	int day;

	date_from_days(secs / SECS_PER_DAY, &year, &month, &day);
	printf("%04d-%02d-%02d %02d:%02d:%02d.%06d+00,%" PRId64 ",%s,", year, month, day,
		   (int) (in_day / 3600), (int) (in_day / 60 % 60), (int) (in_day % 60),
		   (int) (usecs % USECS_PER_SEC), id, instrument->symbol);
	print_price(instrument->bid, instrument->decimals);
	putchar(',');
	print_price(instrument->bid + instrument->spread + random_below(instrument->spread),
				instrument->decimals);
	putchar('\n');
}

int
main(int argc, char **argv)
{
	static Instrument instruments[MAX_INSTRUMENTS];
	Options options = parse_options(argc, argv);
	int64_t span = options.span * USECS_PER_SEC;
	int64_t share = options.rows > 0 ? span / options.rows : 0;

	/* xorshift never leaves zero; the constant is the golden ratio's. */
	state = options.seed ^ UINT64_C(0x9E3779B97F4A7C15);
	if (state == 0)
		state = 1;
	make_instruments(instruments, options.instruments);

	puts("timestamp,instrument_id,symbol,bid,ask");
	for (int64_t row = 0; row < options.rows; row++)
	{
		int64_t which = random_below(options.instruments);
		int64_t offset = share > 0 ? (int64_t) (next_random() >> 1) % share : 0;
		int64_t at = options.start * USECS_PER_SEC + share * row + offset;
		Instrument *instrument = &instruments[which];

		step_price(instrument);
		print_quote(at, which + 1, instrument);
	}
	if (fflush(stdout) != 0 || ferror(stdout))
	{
		fprintf(stderr, "tickgen: cannot write: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}
