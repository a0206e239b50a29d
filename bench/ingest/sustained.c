/*
 * sustained.c: many clients with small batches, for some time.
 *
 * Every client takes the next rows of one stream, as feeds of one market do: all of them insert
 * near the same point of time, which is the right end of the same index. A row is a millisecond
 * after the one before it, so that a month is never used up, and no mode meets times that it has
 * been at before.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"

#define USECS_PER_ROW 1000
#define NSECS_PER_SEC INT64_C(1000000000)

/* What all clients share */
typedef struct Stream
{
	const char *conninfo;
	const char *target;
	Mode mode;
	Ticks ticks;
	int seconds;
	atomic_int_fast64_t next; /* row */
	pthread_barrier_t ready;
} Stream;

typedef struct Client
{
	Stream *stream;
	pthread_t thread;
	float *msecs; /* of each call */
	int64_t calls;
	int64_t size;
	int64_t cpu_nsecs;
	int64_t end;
} Client;

static void
take(Stream *stream, Tick *ticks)
{
	int rows = stream->mode.rows;
	int64_t first = atomic_fetch_add(&stream->next, rows);
	int64_t from = first % (stream->ticks.count - rows + 1);

	memcpy(ticks, &stream->ticks.rows[from], (size_t) rows * sizeof(Tick));
	for (int i = 0; i < rows; i++)
		ticks[i].at = stream->ticks.rows[0].at + (first + i) * USECS_PER_ROW;
}

static void
note(Client *client, int64_t nsecs)
{
	if (client->calls == client->size)
	{
		client->size = client->size * 2 + 1024;
		client->msecs = realloc(client->msecs, (size_t) client->size * sizeof(float));
		if (client->msecs == NULL)
			die("out of memory");
	}
	client->msecs[client->calls++] = (float) ((double) nsecs / 1e6);
}

/* Calls before the start fill the backend's caches and do not count. */
static void *
run(void *argument)
{
	Client *client = argument;
	Stream *stream = client->stream;
	Session *session = session_open(stream->conninfo, stream->target, stream->mode);
	Tick *ticks = allocate((size_t) stream->mode.rows * sizeof(Tick));
	int64_t deadline;
	int64_t now;

	for (int i = 0; i < 10; i++)
	{
		take(stream, ticks);
		session_insert(session, ticks, stream->mode.rows);
	}
	client->cpu_nsecs = -session_cpu_nsecs(session);
	pthread_barrier_wait(&stream->ready);
	now = clock_nsecs();
	deadline = now + stream->seconds * NSECS_PER_SEC;
	while (now < deadline)
	{
		int64_t start = now;

		take(stream, ticks);
		session_insert(session, ticks, stream->mode.rows);
		now = clock_nsecs();
		note(client, now - start);
	}
	client->end = now;
	client->cpu_nsecs += session_cpu_nsecs(session);
	session_close(session);
	free(ticks);
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	float left = *(const float *) a;
	float right = *(const float *) b;

	return (left > right) - (left < right);
}

static void
report(const Client *clients, int count, int64_t start, int rows)
{
	int64_t calls = 0;
	int64_t end = start;
	int64_t cpu = 0;
	int64_t at = 0;
	float *msecs;

	for (int i = 0; i < count; i++)
		calls += clients[i].calls;
	msecs = allocate((size_t) calls * sizeof(float));
	for (int i = 0; i < count; i++)
	{
		memcpy(&msecs[at], clients[i].msecs, (size_t) clients[i].calls * sizeof(float));
		at += clients[i].calls;
		cpu += clients[i].cpu_nsecs;
		end = clients[i].end > end ? clients[i].end : end;
	}
	qsort(msecs, (size_t) calls, sizeof(float), compare);
	printf("%" PRId64 " %.6f %.6f %.3f %.3f %.3f\n", calls * rows, (double) (end - start) / 1e9,
		   (double) cpu / 1e9, (double) msecs[calls / 2], (double) msecs[calls * 99 / 100],
		   (double) msecs[calls - 1]);
	free(msecs);
}

void
sustained(const char *conninfo, const char *target, Mode mode, Ticks ticks, int clients,
		  int seconds)
{
	Stream stream = {conninfo, target, mode, ticks, seconds, 0, {{0}}};
	Client *all = allocate((size_t) clients * sizeof(Client));
	int64_t start;

	if (mode.rows < 1 || mode.rows > ticks.count)
		die("a call must have 1 to %" PRId64 " rows", ticks.count);
	if (pthread_barrier_init(&stream.ready, NULL, (unsigned) clients + 1) != 0)
		die("cannot make a barrier");
	for (int i = 0; i < clients; i++)
	{
		all[i].stream = &stream;
		if (pthread_create(&all[i].thread, NULL, run, &all[i]) != 0)
			die("cannot make %d threads", clients);
	}
	pthread_barrier_wait(&stream.ready);
	start = clock_nsecs();
	for (int i = 0; i < clients; i++)
		pthread_join(all[i].thread, NULL);
	report(all, clients, start, mode.rows);
	for (int i = 0; i < clients; i++)
		free(all[i].msecs);
	free(all);
}
