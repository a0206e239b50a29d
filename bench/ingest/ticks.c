/*
 * ticks.c: quotes as CSV (timestamp,instrument_id,symbol,bid,ask) become rows of market_data in a
 * file that is mapped, so that nothing is parsed while the clock runs.
 *
 * The price is the mid; open, high and low are those of the instrument's day so far; volume and
 * sizes, which quotes do not have, are made up of the row's number.
 *
 * Over several months, every row goes to a month that is drawn for it, at the point of time that
 * lies as far into that month as its own does in May: each partition is filled in time order, and
 * rows next to each other are of different ones.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feed.h"

#define MAX_INSTRUMENTS 10000
#define USECS_PER_SEC INT64_C(1000000)
#define USECS_PER_DAY (86400 * USECS_PER_SEC)

/* 2014-01-01, in days since 2000-01-01, and the days of its months */
#define DAYS_TO_2014 5114
static const int month_days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

typedef struct Day
{
	int64_t day;
	double open;
	double high;
	double low;
} Day;

/* splitmix64 (G. Steele and others, "Fast splittable pseudorandom number generators", 2014) */
static uint64_t
hash(uint64_t x)
{
	x += UINT64_C(0x9E3779B97F4A7C15);
	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

static int64_t
month_start(int month)
{
	int64_t days = DAYS_TO_2014;

	for (int i = 0; i < month; i++)
		days += month_days[i];
	return days * USECS_PER_DAY;
}

/* Times are of May 2014, or they are put there: two digits each, from the day on. */
static int64_t
parse_time(const char *text)
{
	int day;
	int hour;
	int minute;
	int second;
	int usecs;

	if (sscanf(text, "2014-05-%2d %2d:%2d:%2d.%6d+00", &day, &hour, &minute, &second, &usecs) != 5)
		die("not a time of May 2014: \"%s\"", text);
	return month_start(4) + (day - 1) * USECS_PER_DAY +
		((hour * 60 + minute) * 60 + second) * USECS_PER_SEC + usecs;
}

static int64_t
scatter(int64_t at, int64_t row, int months)
{
	int month = (int) (hash((uint64_t) row) % (uint64_t) months);

	return month_start(month) + (at - month_start(4)) / month_days[4] * month_days[month];
}

static Tick
parse_line(char *line, int64_t row)
{
	static Day days[MAX_INSTRUMENTS];
	Tick tick = {0};
	uint64_t random = hash((uint64_t) row + UINT64_C(1000000007));
	char *fields[5];
	char *rest = line;
	Day *day;

	for (int i = 0; i < 5; i++)
	{
		fields[i] = strsep(&rest, ",\n");
		if (fields[i] == NULL)
			die("line %" PRId64 " of the quotes has too few fields", row + 2);
	}
	tick.at = parse_time(fields[0]);
	tick.instrument = atoi(fields[1]);
	tick.bid = strtod(fields[3], NULL);
	tick.ask = strtod(fields[4], NULL);
	tick.price = (tick.bid + tick.ask) / 2;
	tick.volume = 1 + (int64_t) (random % 1000);
	tick.bid_size = 100 * (1 + (int64_t) (random >> 16) % 50);
	tick.ask_size = 100 * (1 + (int64_t) (random >> 32) % 50);
	if (tick.instrument < 1 || tick.instrument >= MAX_INSTRUMENTS)
		die("instrument %d is out of range", tick.instrument);

	day = &days[tick.instrument];
	if (day->day != tick.at / USECS_PER_DAY)
		*day = (Day){tick.at / USECS_PER_DAY, tick.price, tick.price, tick.price};
	if (tick.price > day->high)
		day->high = tick.price;
	if (tick.price < day->low)
		day->low = tick.price;
	tick.open = day->open;
	tick.high = day->high;
	tick.low = day->low;
	return tick;
}

/* From standard input to standard output. */
void
ticks_prepare(int64_t rows, int months)
{
	char *line = NULL;
	size_t size = 0;

	if (getline(&line, &size, stdin) < 0 || strncmp(line, "timestamp,", 10) != 0)
		die("the quotes have no header line");
	for (int64_t row = 0; row < rows; row++)
	{
		Tick tick;

		if (getline(&line, &size, stdin) < 0)
			die("there are %" PRId64 " quotes only", row);
		tick = parse_line(line, row);
		if (months > 1)
			tick.at = scatter(tick.at, row, months);
		if (fwrite(&tick, sizeof(tick), 1, stdout) != 1)
			die("cannot write");
	}
	free(line);
	if (fflush(stdout) != 0)
		die("cannot write");
}

Ticks
ticks_map(const char *file)
{
	Ticks ticks;
	struct stat status;
	void *data;
	int fd = open(file, O_RDONLY);

	if (fd < 0 || fstat(fd, &status) != 0)
		die("cannot open %s", file);
	ticks.count = status.st_size / (int64_t) sizeof(Tick);
	if (ticks.count == 0 || status.st_size % (int64_t) sizeof(Tick) != 0)
		die("%s is no file of ticks", file);
	data = mmap(NULL, (size_t) status.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (data == MAP_FAILED)
		die("cannot map %s", file);
	close(fd);
	ticks.rows = data;
	return ticks;
}
