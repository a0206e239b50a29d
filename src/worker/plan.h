/*-------------------------------------------------------------------------
 *
 * plan.h
 *		The launcher's plan: which databases there are, and when each is due.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_WORKER_PLAN_H
#define DBP_WORKER_PLAN_H

#include "shmem.h"

#define DBP_SECOND_MS 1000
#define DBP_MINUTE_MS (60 * DBP_SECOND_MS)

/* A database, as the launcher knows it */
typedef struct DbEntry
{
	Oid dboid; /* hash key */
	NameData name;
	bool present;	   /* the last scan of pg_database saw it */
	bool found;		   /* has the extension, as far as known */
	bool woken;		   /* wake(): run now, whatever the plan says */
	bool missing;	   /* an insert found no partition */
	bool error_logged; /* last_error is in the server log */
	int failures;	   /* failed runs in a row */
	int fruitless;	   /* requests in a row that made no partition */
	TimestampTz due_at;
	TimestampTz missing_at;		/* not before, for missing */
	TimestampTz last_end;		/* of a worker; 0: none was there yet */
	int gap_ms;					/* until the next one may come */
	bool to_compress;			/* there is something for an archiver */
	bool compress_woken;		/* found by a run that wake() called for */
	TimestampTz compress_since; /* databases take turns */
	TimestampTz compress_at;	/* not before */
	int compress_failures;		/* of archivers, in a row */
	char last_error[DBP_ERROR_LEN];
} DbEntry;

extern void dbp_plan_init(void);

/* Have pg_database read at the next occasion, whenever that was done last */
extern void dbp_plan_rescan(void);

/* Bring the plan up to date with pg_database and the requests of sessions */
extern void dbp_plan_refresh(TimestampTz now);

/* The database to start a worker for, and when; NULL: none, or no slot is left */
extern DbEntry *dbp_plan_first(TimestampTz now, TimestampTz *at);

/* Is that worker to look at every policy, or only at failed inserts? */
extern bool dbp_plan_is_full_run(const DbEntry *entry, TimestampTz now);

/* Draw the conclusions from what a worker left behind */
extern void dbp_plan_conclude(const DbpSlot *slot, TimestampTz now);

/*
 * The database to start an archiver for, and when; InvalidOid: none. Those that
 * are listed are left out.
 */
extern Oid dbp_plan_first_archive(TimestampTz now, const Oid *busy, int nbusy, TimestampTz *at,
								  bool *woken);

/* Draw the conclusions from what an archiver left behind */
extern void dbp_plan_conclude_archive(Oid dboid, const DbpReport *info, TimestampTz now);

/* The databases that have the extension; returns how many, at most max */
extern int dbp_plan_list_found(Oid *dboids, int max);

/* One of them has it no more, as was found out then */
extern void dbp_plan_lose(Oid dboid, TimestampTz since);

/* By a look at pg_database: is it still there, and has the extension as far as is known? */
extern bool dbp_plan_is_found(Oid dboid, TimestampTz now);

/* Show the plan to worker_status */
extern void dbp_plan_publish(TimestampTz now);

/* A moment some ms after another */
extern TimestampTz dbp_after_ms(TimestampTz start, int64 ms);

/* The pause after the n-th failure in a row: first, doubled each time, at most last */
extern int64 dbp_backoff_ms(int n, int64 first, int64 last);

/* The launcher looks around at least this often */
extern int64 dbp_scan_interval_ms(void);

#endif /* DBP_WORKER_PLAN_H */
