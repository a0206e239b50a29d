/*-------------------------------------------------------------------------
 *
 * run.h
 *		What the steps of one run of maintenance have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_RUN_H
#define DBP_RUN_H

#include "postgres.h"

#include "utils/elog.h"

#include "partition/job.h"
#include "partition/maintain.h"
#include "partition/partition.h"

typedef struct DbpRun
{
	const DbpMaintainRequest *request;
	DbpMaintainResult *result;
	DbpJob job;
	instr_time started;
	DbpCost total;
	char *error; /* the first one */
	int steps;
	Datum *checked; /* oids of parents */
	int nchecked;
	List *retiring;		   /* oids of parents whose partitions are to be retired */
	List *finalized;	   /* oids of partitions whose detaching was tried already */
	List *held_up;		   /* of DbpHeldUp, see held.c: in their retiring */
	List *compress_held;   /* the same in their being compressed */
	MemoryContext context; /* outlives the transactions */
} DbpRun;

/* What ends the worker, or the server, so often is not tried again at once */
#define DBP_MAX_ATTEMPTS 3

typedef void (*DbpGuarded)(void *arg);

/*
 * Call a function in a subtransaction.  Returns NULL, or a copy of the error
 * that undid it.
 */
extern ErrorData *dbp_guarded(DbpGuarded function, void *arg);

/*
 * The same in limited time, if it is the worker that calls: a function of a
 * table's owner that never returns must not keep others from being served.
 * "what" completes the message "... took longer than n ms".
 */
extern ErrorData *dbp_guarded_in_time(const DbpRun *run, const DbpPolicy *policy,
									  DbpGuarded function, void *arg, const char *what);

/* The same with another limit for each of the two */
extern ErrorData *dbp_guarded_for(const DbpRun *run, int limit_ms, DbpGuarded function, void *arg,
								  const char *what);

/* End the transaction and begin the next, if the run commits as it goes */
extern void dbp_run_end_transaction(const DbpRun *run);

/*
 * The same for a transaction that did something.  Returns NULL, or a copy of
 * the error that undid it.
 */
extern ErrorData *dbp_run_commit(const DbpRun *run);

/* Is it time to stop, and leave the rest to the next run? */
extern bool dbp_run_slice_is_over(DbpRun *run);

extern void dbp_run_add_cost(DbpRun *run, const DbpCost *cost);
extern void dbp_run_due_at(DbpRun *run, TimestampTz at);

/* Tell who called of one step; partition and detail may be NULL */
extern void dbp_run_report(const DbpRun *run, Oid parent, const char *partition, const char *action,
						   const char *status, const char *detail);

/*
 * Does an error end the run, not only the step?  A function of the owner can
 * raise any SQLSTATE; a real cancel comes from the server's own check.
 */
extern bool dbp_ends_run(const ErrorData *error);

/* Record the end of a run in dbperf.job_runs */
extern void dbp_run_finish(DbpRun *run, const char *status);

/* Seconds after which what failed so often before is tried again */
extern int dbp_retry_seconds(int failures);

/* held.c: what holds up a parent, the gravest first */
typedef enum DbpHeldRank
{
	DBP_HELD_WAITS,
	DBP_HELD_PENDING, /* detached by half */
	DBP_HELD_BLOCKED,
	DBP_HELD_FAILED
} DbpHeldRank;

typedef struct DbpHeldUp
{
	Oid parent;
	DbpHeldRank rank;
	char *message;
	int messages;
	TimestampTz next_try;
} DbpHeldUp;

extern DbpHeldUp *dbp_held_find(List *held_up, Oid parent);
extern List *dbp_held_add(DbpRun *run, List *held_up, Oid parent, DbpHeldRank rank,
						  const char *message, int seconds);

/* retire.c */
extern Datum dbp_oid_array(List *oids);
extern void dbp_ask(const char *sql, List *oids);
extern List *dbp_retire_half_done(void);
extern void dbp_retire_run(DbpRun *run, List *parents, bool only_finalize);

/* compress.c */
extern void dbp_compress_run(DbpRun *run, List *parents);
extern void dbp_compress_look(DbpRun *run, List *parents);

#endif /* DBP_RUN_H */
