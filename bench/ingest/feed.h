/*
 * feed.h: what the parts of feed share.
 *
 * A Session is a connection that inserts ticks in one way; ways differ in the statement and in how
 * the values travel, never in the values.
 */
#ifndef FEED_H
#define FEED_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A row. Every member is a column. */
typedef struct Tick
{
	int64_t at; /* microseconds since 2000-01-01 UTC, as PostgreSQL has it */
	double price;
	double bid;
	double ask;
	double open;
	double high;
	double low;
	int64_t volume;
	int64_t bid_size;
	int64_t ask_size;
	int32_t instrument;
	int32_t unused; /* no padding without a value in the file */
} Tick;

typedef struct Ticks
{
	const Tick *rows;
	int64_t count;
} Ticks;

typedef enum Way
{
	WAY_VALUES,		 /* INSERT … VALUES, prepared, a binary parameter for each value */
	WAY_LITERALS,	 /* INSERT … VALUES, the values in the statement's text */
	WAY_UNNEST,		 /* INSERT … SELECT unnest(…), prepared, a binary array for each column */
	WAY_COPY_TEXT,	 /* COPY … FROM STDIN */
	WAY_COPY_BINARY, /* COPY … FROM STDIN (FORMAT binary) */
	WAY_BULK,		 /* dbperf.bulk_insert(), prepared, a binary array for each column */
	WAY_MARKET		 /* dbperf.bulk_insert_market_data(), the same */
} Way;

typedef struct Mode
{
	Way way;
	int rows;		/* of a call, which is a transaction; 0: all in one, for COPY only */
	int batch_size; /* that a call of bulk_insert() is told */
} Mode;

typedef struct Buffer
{
	char *data;
	size_t length;
	size_t size;
} Buffer;

typedef struct Session
{
	PGconn *conn;
	Mode mode;
	int nparams;
	const char **values; /* of the parameters */
	int *lengths;
	int *formats;
	Buffer buffer; /* what the parameters point into; the statement; a chunk of COPY */
	char *copy;	   /* COPY's statement */
	char *insert;  /* INSERT's, up to its values */
} Session;

/* feed.c */
extern void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
extern void *allocate(size_t size);

/* ticks.c */
extern void ticks_prepare(int64_t rows, int months);
extern Ticks ticks_map(const char *file);

/* wire.c */
#define NCOLUMNS 11
extern const char *column_name(int column);
extern const char *column_type(int column);
extern int column_width(int column);
extern void buffer_reset(Buffer *buffer);
extern void put_bytes(Buffer *buffer, const void *bytes, size_t length);
extern void put_string(Buffer *buffer, const char *string);
extern void put_format(Buffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
extern void put_int16(Buffer *buffer, int16_t value);
extern void put_int32(Buffer *buffer, int32_t value);
extern void put_value(Buffer *buffer, int column, const Tick *tick);
extern void put_array(Buffer *buffer, int column, const Tick *ticks, int count);
extern void put_literals(Buffer *buffer, const Tick *tick);
extern void put_copy_text(Buffer *buffer, const Tick *tick);
extern void put_copy_binary(Buffer *buffer, const Tick *tick);

/* session.c */
extern Mode mode_parse(const char *name);
extern Session *session_open(const char *conninfo, const char *target, Mode mode);
extern void session_insert(Session *session, const Tick *ticks, int64_t count);
extern char *session_value(Session *session, const char *query);
extern int64_t session_cpu_nsecs(Session *session);
extern void session_close(Session *session);

/* sustained.c */
extern void sustained(const char *conninfo, const char *target, Mode mode, Ticks ticks, int clients,
					  int seconds);

extern int64_t clock_nsecs(void);

#endif /* FEED_H */
