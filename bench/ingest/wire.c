/*
 * wire.c: ticks as PostgreSQL takes them: binary parameters, arrays and COPY rows, and as text.
 */
#include <endian.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"

#define USECS_PER_SEC INT64_C(1000000)
#define SECS_PER_DAY INT64_C(86400)

/* OIDs of built-in types, which never change */
#define INT8OID 20
#define INT4OID 23
#define FLOAT8OID 701
#define TIMESTAMPTZOID 1184

typedef struct Column
{
	const char *name;
	const char *type;
	int32_t oid;
	int width;
	size_t offset;
} Column;

static const Column columns[NCOLUMNS] = {
	{"\"timestamp\"", "timestamptz", TIMESTAMPTZOID, 8, offsetof(Tick, at)},
	{"instrument_id", "integer", INT4OID, 4, offsetof(Tick, instrument)},
	{"price", "float8", FLOAT8OID, 8, offsetof(Tick, price)},
	{"volume", "bigint", INT8OID, 8, offsetof(Tick, volume)},
	{"bid", "float8", FLOAT8OID, 8, offsetof(Tick, bid)},
	{"ask", "float8", FLOAT8OID, 8, offsetof(Tick, ask)},
	{"bid_size", "bigint", INT8OID, 8, offsetof(Tick, bid_size)},
	{"ask_size", "bigint", INT8OID, 8, offsetof(Tick, ask_size)},
	{"open_price", "float8", FLOAT8OID, 8, offsetof(Tick, open)},
	{"high_price", "float8", FLOAT8OID, 8, offsetof(Tick, high)},
	{"low_price", "float8", FLOAT8OID, 8, offsetof(Tick, low)},
};

const char *
column_name(int column)
{
	return columns[column].name;
}

const char *
column_type(int column)
{
	return columns[column].type;
}

int
column_width(int column)
{
	return columns[column].width;
}

static char *
reserve(Buffer *buffer, size_t length)
{
	char *place;

	if (buffer->length + length > buffer->size)
	{
		buffer->size = 2 * (buffer->length + length);
		buffer->data = realloc(buffer->data, buffer->size);
		if (buffer->data == NULL)
			die("out of memory");
	}
	place = buffer->data + buffer->length;
	buffer->length += length;
	return place;
}

void
buffer_reset(Buffer *buffer)
{
	buffer->length = 0;
}

void
put_bytes(Buffer *buffer, const void *bytes, size_t length)
{
	memcpy(reserve(buffer, length), bytes, length);
}

/* Text ends in a zero that does not count. */
void
put_string(Buffer *buffer, const char *string)
{
	size_t length = strlen(string);

	memcpy(reserve(buffer, length + 1), string, length + 1);
	buffer->length--;
}

void
put_format(Buffer *buffer, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	if (vsnprintf(text, sizeof(text), format, args) >= (int) sizeof(text))
		die("text too long");
	va_end(args);
	put_string(buffer, text);
}

void
put_int16(Buffer *buffer, int16_t value)
{
	uint16_t bits = htobe16((uint16_t) value);

	memcpy(reserve(buffer, sizeof(bits)), &bits, sizeof(bits));
}

void
put_int32(Buffer *buffer, int32_t value)
{
	uint32_t bits = htobe32((uint32_t) value);

	memcpy(reserve(buffer, sizeof(bits)), &bits, sizeof(bits));
}

/* Integers, doubles and timestamps are all their bits, the highest byte first. */
static void
store_value(char *place, const Column *column, const Tick *tick)
{
	const char *member = (const char *) tick + column->offset;

	if (column->width == 4)
	{
		uint32_t bits;

		memcpy(&bits, member, sizeof(bits));
		bits = htobe32(bits);
		memcpy(place, &bits, sizeof(bits));
	}
	else
	{
		uint64_t bits;

		memcpy(&bits, member, sizeof(bits));
		bits = htobe64(bits);
		memcpy(place, &bits, sizeof(bits));
	}
}

void
put_value(Buffer *buffer, int column, const Tick *tick)
{
	store_value(reserve(buffer, (size_t) columns[column].width), &columns[column], tick);
}

void
put_array(Buffer *buffer, int column, const Tick *ticks, int count)
{
	const Column *c = &columns[column];
	uint32_t width = htobe32((uint32_t) c->width);
	size_t step = sizeof(width) + (size_t) c->width;
	char *place;

	put_int32(buffer, 1); /* dimensions */
	put_int32(buffer, 0); /* no nulls */
	put_int32(buffer, c->oid);
	put_int32(buffer, count);
	put_int32(buffer, 1); /* the first element's number */
	place = reserve(buffer, step * (size_t) count);
	for (int i = 0; i < count; i++)
	{
		memcpy(place, &width, sizeof(width));
		store_value(place + sizeof(width), c, &ticks[i]);
		place += step;
	}
}

/* Days since 2000-01-01 of the proleptic Gregorian calendar. */
static void
date_from_days(int64_t days, int *year, int *month, int *day)
{
	/* The year begins in March here, so that the leap day is its last. */
	int64_t day_of_era = days + 730425;
	int64_t era = day_of_era / 146097;
	int64_t year_of_era;
	int64_t day_of_year;
	int64_t m;

	day_of_era -= era * 146097;
	year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	m = (5 * day_of_year + 2) / 153;
	*day = (int) (day_of_year - (153 * m + 2) / 5 + 1);
	*month = (int) (m < 10 ? m + 3 : m - 9);
	*year = (int) (year_of_era + era * 400 + (*month <= 2));
}

/* The fewest digits that are read back as the same number */
static void
put_number(Buffer *buffer, double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.15g", value);
	if (strtod(text, NULL) != value)
		snprintf(text, sizeof(text), "%.17g", value);
	put_string(buffer, text);
}

static void
put_text_value(Buffer *buffer, const Column *column, const Tick *tick)
{
	const char *member = (const char *) tick + column->offset;

	if (column->oid == TIMESTAMPTZOID)
	{
		int64_t secs = tick->at / USECS_PER_SEC;
		int64_t in_day = secs % SECS_PER_DAY;
		int year;
		int month;
		int day;

		date_from_days(secs / SECS_PER_DAY, &year, &month, &day);
		put_format(buffer, "%04d-%02d-%02d %02d:%02d:%02d.%06d+00", year, month, day,
				   (int) (in_day / 3600), (int) (in_day / 60 % 60), (int) (in_day % 60),
				   (int) (tick->at % USECS_PER_SEC));
	}
	else if (column->oid == FLOAT8OID)
	{
		double value;

		memcpy(&value, member, sizeof(value));
		put_number(buffer, value);
	}
	else if (column->oid == INT8OID)
	{
		int64_t value;

		memcpy(&value, member, sizeof(value));
		put_format(buffer, "%" PRId64, value);
	}
	else
		put_format(buffer, "%" PRId32, tick->instrument);
}

/* As drivers without parameters write it: numbers bare, everything else quoted */
void
put_literals(Buffer *buffer, const Tick *tick)
{
	for (int i = 0; i < NCOLUMNS; i++)
	{
		const char *quote = columns[i].oid == TIMESTAMPTZOID ? "'" : "";

		put_string(buffer, i == 0 ? "(" : ",");
		put_string(buffer, quote);
		put_text_value(buffer, &columns[i], tick);
		put_string(buffer, quote);
	}
	put_string(buffer, ")");
}

void
put_copy_text(Buffer *buffer, const Tick *tick)
{
	for (int i = 0; i < NCOLUMNS; i++)
	{
		put_text_value(buffer, &columns[i], tick);
		put_string(buffer, i == NCOLUMNS - 1 ? "\n" : "\t");
	}
}

void
put_copy_binary(Buffer *buffer, const Tick *tick)
{
	put_int16(buffer, NCOLUMNS);
	for (int i = 0; i < NCOLUMNS; i++)
	{
		put_int32(buffer, columns[i].width);
		put_value(buffer, i, tick);
	}
}
