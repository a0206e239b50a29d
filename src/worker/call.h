/*-------------------------------------------------------------------------
 *
 * call.h
 *		What worker processes share: settings, signals, transactions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_WORKER_CALL_H
#define DBP_WORKER_CALL_H

#include "postgres.h"

#include "utils/portal.h"

/*
 * To be called once, when the connection to the database stands: signals, and
 * the settings that maintenance relies on.
 */
extern void dbp_call_init(const char *application_name);

/* Before that: a SIGTERM that comes while connecting is noted, to be heeded then */
extern void dbp_call_init_early(void);

/* Cancels what is being done, and has the process end then; for signal handlers too */
extern void dbp_call_request_end(void);

/* True since then, or since the first SIGTERM, which does the same */
extern bool dbp_call_is_to_end(void);

/* Raises query_canceled when the process is to end. */
extern void dbp_call_check_termination(void);

/* A transaction with SPI connected, in which SPI can commit as in a CALL */
extern Portal dbp_call_begin(void);
extern void dbp_call_end(Portal portal);

/* A transaction that does nothing more than one look or one change */
extern void dbp_simple_begin(void);
extern void dbp_simple_end(void);

/* Closes the row of job_runs that a run of this process could not close itself, in a transaction of its own */
extern void dbp_call_settle_run(const char *status, const char *error);

/*
 * Runs a function that makes such transactions. When it throws: rolls back, and
 * returns a copy of the error in that memory context. NULL: it did not.
 */
extern ErrorData *dbp_call_guarded(void (*function)(void), MemoryContext context);

#endif /* DBP_WORKER_CALL_H */
