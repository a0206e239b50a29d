/*-------------------------------------------------------------------------
 *
 * connections.c
 *		The last connections of clients: whose they were, and how long it took.
 *
 * The time is that from the start of the server process to the end of
 * authentication, the answers of the client included.  Connections that
 * pg_hba.conf refuses, or that authentication_timeout ends, never get here,
 * and a client that leaves when it is asked for a password (as psql does, to
 * ask its user) has not failed.
 *
 * Refused connections have a ring of their own, so that whoever tries
 * passwords does not push out the others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

/*
 * libpq-be.h would include headers of Kerberos, which building an extension
 * should not need.  A Port is laid out the same without them.
 */
#undef ENABLE_GSS

#include "fmgr.h"
#include "funcapi.h"
#include "libpq/auth.h"
#include "libpq/libpq-be.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "replication/walsender.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "dbperf.h"
#include "metrics/pools.h"

#define TRANCHE_NAME DBP_LIBRARY_NAME "_connections"

/* That of the accepted is known to the view pool_status, too */
#define ACCEPTED_PLACES 2048
#define REFUSED_PLACES 256

/* Older ones are not shown */
#define SHOWN_SECONDS (15 * 60)

PG_FUNCTION_INFO_V1(dbperf_recent_connections);

typedef struct Connection
{
	uint64 at; /* of a clock that is never set */
	uint64 microseconds;
	/* as the client gave them, in whatever encoding */
	char database[NAMEDATALEN];
	char username[NAMEDATALEN];
	char application_name[NAMEDATALEN];
} Connection;

typedef struct SharedConnections
{
	LWLock *lock;
	/* all there have been; the next goes to that place of the ring */
	uint64 accepted_count;
	uint64 refused_count;
	Connection accepted[ACCEPTED_PLACES];
	Connection refused[REFUSED_PLACES];
} SharedConnections;

static SharedConnections *connections = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;
static ClientAuthentication_hook_type prev_client_authentication_hook = NULL;

/* Not that of dbperf.now_override: a connection has no settings before it is authenticated */
static uint64
monotonic_microseconds(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return INSTR_TIME_GET_MICROSEC(now);
}

static void
copy_name(char *place, const char *name)
{
	strlcpy(place, name != NULL ? name : "", NAMEDATALEN);
}

static void
note_connection(const Port *port, bool accepted)
{
	/* the clock may have been set back meanwhile */
	uint64 microseconds = Max(GetCurrentTimestamp() - MyStartTimestamp, 0);
	Connection *place;

	LWLockAcquire(connections->lock, LW_EXCLUSIVE);
	if (accepted)
		place = &connections->accepted[connections->accepted_count++ % ACCEPTED_PLACES];
	else
		place = &connections->refused[connections->refused_count++ % REFUSED_PLACES];
	place->at = monotonic_microseconds();
	place->microseconds = microseconds;
	copy_name(place->database, port->database_name);
	copy_name(place->username, port->user_name);
	copy_name(place->application_name, port->application_name);
	LWLockRelease(connections->lock);
}

static void
client_authentication(Port *port, int status)
{
	/* before others, who may take their time, or end it */
	if (connections != NULL && !am_walsender && status != STATUS_EOF)
		note_connection(port, status == STATUS_OK);
	if (prev_client_authentication_hook)
		prev_client_authentication_hook(port, status);
}

/* A client may send names that are no text in the encoding of this database */
static Datum
client_text(const char *name)
{
	char *copy = pstrdup(name);

	if (!pg_verifymbstr(copy, strlen(copy), true))
		for (char *c = copy; *c != '\0'; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
	return CStringGetTextDatum(copy);
}

static void
put_connection(ReturnSetInfo *result, const Connection *connection, double age, bool failed)
{
	enum
	{
		COL_AGE_SECONDS,
		COL_DATABASE,
		COL_USERNAME,
		COL_APPLICATION_NAME,
		COL_FAILED,
		COL_ESTABLISH_MS,
		NUM_COLS
	};
	Datum values[NUM_COLS];
	bool nulls[NUM_COLS] = {false};

	values[COL_AGE_SECONDS] = Float8GetDatum(age);
	values[COL_DATABASE] = client_text(connection->database);
	values[COL_USERNAME] = client_text(connection->username);
	values[COL_APPLICATION_NAME] = client_text(connection->application_name);
	values[COL_FAILED] = BoolGetDatum(failed);
	values[COL_ESTABLISH_MS] = Float8GetDatum(connection->microseconds / 1000.0);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static double
age_of(const Connection *connection, uint64 now)
{
	return now > connection->at ? (now - connection->at) / (double) USECS_PER_SEC : 0;
}

static void
put_ring(ReturnSetInfo *result, const Connection *ring, uint64 count, int places, uint64 now,
		 bool failed)
{
	for (uint64 back = 1; back <= Min(count, (uint64) places); back++)
	{
		const Connection *connection = &ring[(count - back) % places];
		double age = age_of(connection, now);

		if (age > SHOWN_SECONDS)
			break;
		put_connection(result, connection, age, failed);
	}
}

/*
 * recent_connections(): the last connections of clients to the server, of the
 * last 15 minutes; none where the library is not preloaded.
 */
Datum
dbperf_recent_connections(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SharedConnections *copy;
	uint64 now;

	InitMaterializedSRF(fcinfo, 0);
	if (connections == NULL)
		return (Datum) 0;

	/* so that nobody who connects waits for a tuple store */
	copy = palloc(sizeof(SharedConnections));
	LWLockAcquire(connections->lock, LW_SHARED);
	memcpy(copy, connections, sizeof(SharedConnections));
	LWLockRelease(connections->lock);

	now = monotonic_microseconds();
	put_ring(result, copy->accepted, copy->accepted_count, ACCEPTED_PLACES, now, false);
	put_ring(result, copy->refused, copy->refused_count, REFUSED_PLACES, now, true);
	pfree(copy);
	return (Datum) 0;
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(sizeof(SharedConnections));
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
startup_shmem(void)
{
	bool found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	connections =
		ShmemInitStruct(DBP_LIBRARY_NAME " connections", sizeof(SharedConnections), &found);
	if (!found)
	{
		memset(connections, 0, sizeof(SharedConnections));
		connections->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * While shared_preload_libraries is processed.
 */
void
dbp_connections_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
	prev_client_authentication_hook = ClientAuthentication_hook;
	ClientAuthentication_hook = client_authentication;
}
