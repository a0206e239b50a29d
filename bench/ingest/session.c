/*
 * session.c: a connection that inserts in one way.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feed.h"

#define STATEMENT "feed"
#define COPY_CHUNK 65536
#define MAX_PARAMS 65535
#define MAX_BATCH_SIZE 100000

static const struct
{
	const char *name;
	Way way;
} ways[] = {
	{"values", WAY_VALUES},		 {"literals", WAY_LITERALS},	  {"unnest", WAY_UNNEST},
	{"copytext", WAY_COPY_TEXT}, {"copybinary", WAY_COPY_BINARY}, {"bulk", WAY_BULK},
	{"market", WAY_MARKET},
};

static bool
is_copy(Way way)
{
	return way == WAY_COPY_TEXT || way == WAY_COPY_BINARY;
}

/* WAY_ROWS, WAY_ROWSxBATCH, or WAY alone for one COPY of all rows. */
Mode
mode_parse(const char *name)
{
	Mode mode = {0};
	size_t length = strcspn(name, "_");
	bool known = false;
	int end = 0;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
	{
		if (strlen(ways[i].name) == length && strncmp(ways[i].name, name, length) == 0)
		{
			mode.way = ways[i].way;
			known = true;
		}
	}
	if (!known)
		die("unknown mode \"%s\"", name);
	if (name[length] == '\0' && is_copy(mode.way))
		return mode;
	if (sscanf(name + length, "_%d%n", &mode.rows, &end) != 1 || mode.rows < 1)
		die("mode \"%s\" does not say how many rows a call has", name);
	name += length + (size_t) end;
	mode.batch_size = mode.rows;
	if (*name != '\0' && (sscanf(name, "x%d%n", &mode.batch_size, &end) != 1 || name[end] != '\0'))
		die("cannot read \"%s\" of the mode", name);
	if (mode.way == WAY_VALUES && mode.rows > MAX_PARAMS / NCOLUMNS)
		die("a statement has at most %d parameters", MAX_PARAMS);
	if (mode.batch_size < 1 || mode.batch_size > MAX_BATCH_SIZE)
		die("a batch has 1 to %d rows", MAX_BATCH_SIZE);
	return mode;
}

static void
put_columns(Buffer *buffer)
{
	for (int i = 0; i < NCOLUMNS; i++)
		put_format(buffer, "%s%s", i == 0 ? "" : ", ", column_name(i));
}

static void
put_array_params(Buffer *buffer)
{
	for (int i = 0; i < NCOLUMNS; i++)
		put_format(buffer, "%s$%d::%s[]", i == 0 ? "" : ", ", i + 1, column_type(i));
}

static void
put_value_params(Buffer *buffer, int rows)
{
	for (int row = 0; row < rows; row++)
	{
		for (int i = 0; i < NCOLUMNS; i++)
			put_format(buffer, "%s$%d%s%s", i == 0 ? "(" : ",", row * NCOLUMNS + i + 1,
					   row == 0 ? "::" : "", row == 0 ? column_type(i) : "");
		put_string(buffer, row == rows - 1 ? ")" : "),");
	}
}

/* The statement to be prepared; NULL: none. The caller frees it. */
static char *
statement(const Session *session, const char *target)
{
	Buffer text = {0};

	switch (session->mode.way)
	{
		case WAY_VALUES:
			put_string(&text, session->insert);
			put_value_params(&text, session->mode.rows);
			break;
		case WAY_UNNEST:
			put_format(&text, "INSERT INTO %s (", target);
			put_columns(&text);
			put_string(&text, ") SELECT * FROM unnest(");
			put_array_params(&text);
			put_string(&text, ")");
			break;
		case WAY_BULK:
			put_format(&text, "SELECT inserted FROM dbperf.bulk_insert('%s', ARRAY[", target);
			for (int i = 0; i < NCOLUMNS; i++)
				put_format(&text, "%s'%s'", i == 0 ? "" : ", ",
						   i == 0 ? "timestamp" : column_name(i));
			put_string(&text, "]::name[], ");
			put_array_params(&text);
			put_format(&text, ", '{\"batch_size\": %d}'::jsonb)", session->mode.batch_size);
			break;
		case WAY_MARKET:
			put_string(&text, "SELECT inserted FROM dbperf.bulk_insert_market_data(");
			put_array_params(&text);
			put_format(&text, ", batch_size => %d, target => '%s')", session->mode.batch_size,
					   target);
			break;
		default:
			break;
	}
	return text.data;
}

static void
check(Session *session, PGresult *result, ExecStatusType expected, const char *what)
{
	if (PQresultStatus(result) != expected)
		die("%s failed: %s", what, PQerrorMessage(session->conn));
}

static char *
insert_text(const char *target)
{
	Buffer text = {0};

	put_format(&text, "INSERT INTO %s (", target);
	put_columns(&text);
	put_string(&text, ") VALUES ");
	return text.data;
}

static char *
copy_text(const char *target, Way way)
{
	Buffer text = {0};

	put_format(&text, "COPY %s (", target);
	put_columns(&text);
	put_format(&text, ") FROM STDIN (FORMAT %s)", way == WAY_COPY_BINARY ? "binary" : "text");
	return text.data;
}

Session *
session_open(const char *conninfo, const char *target, Mode mode)
{
	Session *session = allocate(sizeof(Session));
	bool arrays = mode.way == WAY_UNNEST || mode.way == WAY_BULK || mode.way == WAY_MARKET;
	char *text;

	session->mode = mode;
	session->conn = PQconnectdb(conninfo);
	if (PQstatus(session->conn) != CONNECTION_OK)
		die("cannot connect: %s", PQerrorMessage(session->conn));
	session->insert = insert_text(target);
	session->copy = copy_text(target, mode.way);

	if (arrays)
		session->nparams = NCOLUMNS;
	else if (mode.way == WAY_VALUES)
		session->nparams = NCOLUMNS * mode.rows;
	session->values = allocate((size_t) (session->nparams + 1) * sizeof(char *));
	session->lengths = allocate((size_t) (session->nparams + 1) * sizeof(int));
	session->formats = allocate((size_t) (session->nparams + 1) * sizeof(int));
	for (int i = 0; i < session->nparams; i++)
		session->formats[i] = 1;

	text = statement(session, target);
	if (text != NULL)
	{
		PGresult *result = PQprepare(session->conn, STATEMENT, text, 0, NULL);

		check(session, result, PGRES_COMMAND_OK, text);
		PQclear(result);
		free(text);
	}
	return session;
}

/* Buffers move while they grow, so parameters are pointed at when all are there. */
static void
point_at_params(Session *session)
{
	char *place = session->buffer.data;

	for (int i = 0; i < session->nparams; i++)
	{
		session->values[i] = place;
		place += session->lengths[i];
	}
}

static void
insert_prepared(Session *session, const Tick *ticks, int count)
{
	bool function = session->mode.way == WAY_BULK || session->mode.way == WAY_MARKET;
	PGresult *result;
	int64_t inserted;

	buffer_reset(&session->buffer);
	for (int i = 0; i < session->nparams; i++)
	{
		size_t before = session->buffer.length;

		if (session->mode.way == WAY_VALUES)
			put_value(&session->buffer, i % NCOLUMNS, &ticks[i / NCOLUMNS]);
		else
			put_array(&session->buffer, i, ticks, count);
		session->lengths[i] = (int) (session->buffer.length - before);
	}
	point_at_params(session);
	result = PQexecPrepared(session->conn, STATEMENT, session->nparams, session->values,
							session->lengths, session->formats, 0);
	check(session, result, function ? PGRES_TUPLES_OK : PGRES_COMMAND_OK, "the insert");
	inserted = atoll(function ? PQgetvalue(result, 0, 0) : PQcmdTuples(result));
	if (inserted != count)
		die("%" PRId64 " rows were inserted, not %d", inserted, count);
	PQclear(result);
}

static void
insert_literals(Session *session, const Tick *ticks, int count)
{
	PGresult *result;

	buffer_reset(&session->buffer);
	put_string(&session->buffer, session->insert);
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			put_string(&session->buffer, ",");
		put_literals(&session->buffer, &ticks[i]);
	}
	result = PQexec(session->conn, session->buffer.data);
	check(session, result, PGRES_COMMAND_OK, "the insert");
	PQclear(result);
}

static void
copy_chunk(Session *session)
{
	if (PQputCopyData(session->conn, session->buffer.data, (int) session->buffer.length) != 1)
		die("COPY failed: %s", PQerrorMessage(session->conn));
	buffer_reset(&session->buffer);
}

static void
insert_copy(Session *session, const Tick *ticks, int64_t count)
{
	static const char head[19] = "PGCOPY\n\377\r\n"; /* flags and extension: zero */
	bool binary = session->mode.way == WAY_COPY_BINARY;
	PGresult *result = PQexec(session->conn, session->copy);

	check(session, result, PGRES_COPY_IN, "COPY");
	PQclear(result);
	buffer_reset(&session->buffer);
	if (binary)
		put_bytes(&session->buffer, head, sizeof(head));
	for (int64_t i = 0; i < count; i++)
	{
		if (binary)
			put_copy_binary(&session->buffer, &ticks[i]);
		else
			put_copy_text(&session->buffer, &ticks[i]);
		if (session->buffer.length >= COPY_CHUNK)
			copy_chunk(session);
	}
	if (binary)
		put_int16(&session->buffer, -1);
	copy_chunk(session);
	if (PQputCopyEnd(session->conn, NULL) != 1)
		die("COPY failed: %s", PQerrorMessage(session->conn));
	result = PQgetResult(session->conn);
	check(session, result, PGRES_COMMAND_OK, "COPY");
	if (atoll(PQcmdTuples(result)) != count)
		die("COPY took %s rows, not %" PRId64, PQcmdTuples(result), count);
	PQclear(result);
	if (PQgetResult(session->conn) != NULL)
		die("COPY has another result");
}

/* One call: count is what the mode says, or all there is for one COPY. */
void
session_insert(Session *session, const Tick *ticks, int64_t count)
{
	if (is_copy(session->mode.way))
		insert_copy(session, ticks, count);
	else if (session->mode.way == WAY_LITERALS)
		insert_literals(session, ticks, (int) count);
	else
		insert_prepared(session, ticks, (int) count);
}

/* The one value of a query; the caller frees it. */
char *
session_value(Session *session, const char *query)
{
	PGresult *result = PQexec(session->conn, query);
	char *value;

	check(session, result, PGRES_TUPLES_OK, query);
	value = strdup(PQgetvalue(result, 0, 0));
	PQclear(result);
	return value;
}

/*
 * CPU time of the session's backend so far. The kernel brings it up to date when the process goes
 * to sleep, which is shortly after its answer is here.
 */
int64_t
session_cpu_nsecs(Session *session)
{
	char path[64];
	FILE *file;
	int64_t nsecs;
	unsigned long user;
	unsigned long system;

	usleep(2000);
	snprintf(path, sizeof(path), "/proc/%d/schedstat", PQbackendPID(session->conn));
	file = fopen(path, "r");
	if (file != NULL)
	{
		bool ok = fscanf(file, "%" SCNd64, &nsecs) == 1;

		fclose(file);
		if (ok)
			return nsecs;
	}
	snprintf(path, sizeof(path), "/proc/%d/stat", PQbackendPID(session->conn));
	file = fopen(path, "r");
	/* The command's name has blanks in it, and ends in the last parenthesis of the line. */
	if (file == NULL ||
		fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			   &system) != 2)
		die("cannot read the CPU time of the backend in %s", path);
	fclose(file);
	return (int64_t) (user + system) * (INT64_C(1000000000) / sysconf(_SC_CLK_TCK));
}

void
session_close(Session *session)
{
	PQfinish(session->conn);
	free(session->values);
	free(session->lengths);
	free(session->formats);
	free(session->buffer.data);
	free(session->copy);
	free(session->insert);
	free(session);
}
