/*
 * feed: inserts ticks in one way and prints what it took.
 *
 *	feed prepare ROWS MONTHS <quotes.csv >FILE
 *	feed load CONNINFO TABLE MODE FILE ROWS
 *		prints rows, seconds, CPU seconds of the backend, bytes of WAL, full-page images
 *	feed sustained CONNINFO TABLE MODE FILE CLIENTS SECONDS
 *		prints rows, seconds, CPU seconds of the backends, p50, p99 and highest milliseconds
 *
 * MODE is a way to insert and the number of rows of a call, which is a transaction: values_1000,
 * literals_1000, unnest_1000, copytext_1000, copybinary_1000, bulk_1000, market_1000; copytext and
 * copybinary alone are one COPY of everything; bulk_10000x1000 is 10,000 rows in batches of 1,000.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "feed.h"

void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("feed: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

void *
allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL)
		die("out of memory");
	return memory;
}

int64_t
clock_nsecs(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t
number(const char *text, int64_t max)
{
	char *end;
	int64_t value = strtoll(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < 1 || value > max)
		die("not a number from 1 to %" PRId64 ": \"%s\"", max, text);
	return value;
}

/* Figures of the session's own WAL reach the statistics when it is asked to hand them in. */
static int64_t
page_images(Session *session)
{
	char *value;
	int64_t count;

	free(session_value(session, "SELECT pg_stat_force_next_flush()"));
	value = session_value(session, "SELECT wal_fpi FROM pg_stat_wal");
	count = atoll(value);
	free(value);
	return count;
}

/* Rows that do not fill a call are left out. */
static void
load(const char *conninfo, const char *target, Mode mode, Ticks ticks, int64_t rows)
{
	Session *session = session_open(conninfo, target, mode);
	int64_t call = mode.rows > 0 ? mode.rows : rows;
	int64_t start;
	int64_t nsecs;
	int64_t cpu;
	int64_t images;
	char *lsn;
	char query[128];
	char *wal;

	rows -= rows % call;
	if (rows == 0 || rows > ticks.count)
		die("the file has %" PRId64 " rows, and a call %" PRId64, ticks.count, call);
	images = page_images(session);
	lsn = session_value(session, "SELECT pg_current_wal_insert_lsn()");
	cpu = session_cpu_nsecs(session);
	start = clock_nsecs();
	for (int64_t row = 0; row < rows; row += call)
		session_insert(session, &ticks.rows[row], call);
	nsecs = clock_nsecs() - start;
	cpu = session_cpu_nsecs(session) - cpu;
	snprintf(query, sizeof(query), "SELECT pg_current_wal_insert_lsn() - '%s'", lsn);
	wal = session_value(session, query);
	images = page_images(session) - images;
	printf("%" PRId64 " %.6f %.6f %s %" PRId64 "\n", rows, (double) nsecs / 1e9, (double) cpu / 1e9,
		   wal, images);
	free(lsn);
	free(wal);
	session_close(session);
}

int
main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "prepare") == 0)
		ticks_prepare(number(argv[2], 1000000000), (int) number(argv[3], 12));
	else if (argc == 7 && strcmp(argv[1], "load") == 0)
		load(argv[2], argv[3], mode_parse(argv[4]), ticks_map(argv[5]), number(argv[6], INT64_MAX));
	else if (argc == 8 && strcmp(argv[1], "sustained") == 0)
		sustained(argv[2], argv[3], mode_parse(argv[4]), ticks_map(argv[5]),
				  (int) number(argv[6], 1000), (int) number(argv[7], 86400));
	else
	{
		fprintf(stderr,
				"usage: feed prepare ROWS MONTHS <CSV >FILE\n"
				"       feed load CONNINFO TABLE MODE FILE ROWS\n"
				"       feed sustained CONNINFO TABLE MODE FILE CLIENTS SECONDS\n");
		return 2;
	}
	return 0;
}
