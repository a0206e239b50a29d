/*-------------------------------------------------------------------------
 *
 * shmem.h
 *		The shared memory through which launcher, workers and sessions talk.
 *
 * One lock, dbp_shmem->lock, protects everything here. It is held for a few
 * copies only, never across anything that can throw or wait.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_WORKER_SHMEM_H
#define DBP_WORKER_SHMEM_H

#include "datatype/timestamp.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#include "guc.h"

#define DBP_MAX_WAKES 64   /* databases with a wake-up call; more wake all */
#define DBP_MAX_MISSING 64 /* inserts that found no partition; more are dropped */
#define DBP_MAX_MISSING_PER_TABLE 4
#define DBP_MAX_DATABASES 128 /* databases whose plan worker_status can show */

#define DBP_ERROR_LEN 256
#define DBP_KEY_LEN 80 /* the server cuts key values at 64 bytes */
#define DBP_DATESTYLE_LEN 32
#define DBP_TIMEZONE_LEN 256

/* An insert that found no partition, as the failing session saw it */
typedef struct DbpMissing
{
	Oid dboid;
	char schema[NAMEDATALEN];
	char table[NAMEDATALEN];
	bool has_key; /* false: the session may not read the key column */
	char key[DBP_KEY_LEN];
	char datestyle[DBP_DATESTYLE_LEN];
	char timezone[DBP_TIMEZONE_LEN];
} DbpMissing;

/* README.md tells who moves a slot from which state to which */
typedef enum DbpSlotState
{
	DBP_SLOT_FREE = 0,
	DBP_SLOT_STARTING,
	DBP_SLOT_RUNNING,
	DBP_SLOT_DONE
} DbpSlotState;

typedef enum DbpJobOutcome
{
	DBP_OUTCOME_DIED = 0, /* what remains when nothing else was reported */
	DBP_OUTCOME_DONE,
	DBP_OUTCOME_NO_EXTENSION,
	DBP_OUTCOME_FAILED,
	DBP_OUTCOME_CANCELED
} DbpJobOutcome;

typedef struct DbpReport
{
	DbpJobOutcome outcome;
	bool more;		  /* the time slice ended before the work did */
	bool to_compress; /* there is something for an archiver */
	int created;
	int64 delay_ms; /* until something will fall due */
	int sqlerrcode; /* of the failure */
	char error[DBP_ERROR_LEN];
} DbpReport;

/* One worker process: the order that the launcher gave it, and its answer */
typedef struct DbpSlot
{
	DbpSlotState state;
	uint32 generation; /* a worker that comes too late finds another one */
	Oid dboid;
	bool full_run;		 /* ordered: look at every policy */
	bool woken;			 /* ordered by wake(), not by the clock */
	pid_t pid;			 /* 0 until the worker has come */
	TimestampTz ordered; /* when the launcher asked for it */
	TimestampTz since;	 /* start of the present state */
	DbpReport result;
} DbpSlot;

/* The launcher's plan for a database, for worker_status */
typedef struct DbpPlan
{
	Oid dboid;
	TimestampTz next_run;
	int failures; /* in a row */
	char last_error[DBP_ERROR_LEN];
} DbpPlan;

typedef struct DbpShmem
{
	LWLock *lock;

	/* launcher; its pid is 0 while there is none */
	pid_t launcher_pid;
	Latch *launcher_latch;
	TimestampTz launcher_started_at;
	TimestampTz launcher_left_at;
	TimestampTz last_alive;
	TimestampTz no_slots_since; /* 0: the server had a free worker slot */
	char launcher_error[DBP_ERROR_LEN];

	/* requests of the sessions */
	bool wake_all;
	int nwakes;
	Oid wakes[DBP_MAX_WAKES];
	int nmissing;
	DbpMissing missing[DBP_MAX_MISSING];

	int nplans;
	DbpPlan plans[DBP_MAX_DATABASES];

	int nslots;
	DbpSlot slots[FLEXIBLE_ARRAY_MEMBER];
} DbpShmem;

/* NULL when the library was not loaded by shared_preload_libraries */
extern DbpShmem *dbp_shmem;

/* True in the launcher and in every worker, a session's (remote.h) too */
extern bool dbp_is_worker_process;

/* shmem.c */
extern void dbp_shmem_init(void);
extern void dbp_shmem_wake(Oid dboid);
extern void dbp_shmem_wake_all(void);
extern bool dbp_shmem_add_missing(const DbpMissing *missing);
extern bool dbp_shmem_take_missing(Oid dboid, DbpMissing *missing);

/* missing.c */
extern void dbp_missing_init(void);

/* Settings of the launcher's timing, in ms */
#define DBP_SLICE_MS 2000	/* a worker's time; DROP DATABASE waits 5 s for sessions */
#define DBP_GAP_MS 300		/* that DROP DATABASE, looking each 100 ms, will find */
#define DBP_SHORT_MS 100	/* a worker that was gone this soon was in nobody's way, */
#define DBP_SHORT_GAP_MS 20 /* so that the next one, which clients may wait for, can come */

extern PGDLLEXPORT void dbp_launcher_main(Datum arg);
extern PGDLLEXPORT void dbp_worker_main(Datum arg);

#endif /* DBP_WORKER_SHMEM_H */
