/*-------------------------------------------------------------------------
 *
 * remote.h
 *		What a session cannot do itself, done for it by a background worker.
 *
 * A function runs inside its caller's transaction and cannot commit. So it has
 * a dynamic background worker of the same database do the work in transactions
 * of its own, and waits for it. This needs no preloaded library.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_WORKER_REMOTE_H
#define DBP_WORKER_REMOTE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "nodes/execnodes.h"

typedef enum DbpRemoteKind
{
	DBP_REMOTE_RETIRE,
	DBP_REMOTE_DETACH,
	DBP_REMOTE_DROP,
	DBP_REMOTE_DRAIN,
	DBP_REMOTE_MISSING,
	DBP_REMOTE_COMPRESS,
	DBP_REMOTE_DECOMPRESS,
	DBP_REMOTE_RECOMPRESS
} DbpRemoteKind;

#define DBP_REMOTE_MAX_KEYS 100

typedef struct DbpRemoteRequest
{
	DbpRemoteKind kind;
	Oid userid; /* GetUserId() of the caller: rights are checked again as this role */
	/* RETIRE: parent, or InvalidOid for all; DETACH, DROP: partition; COMPRESS etc.: table; else parent */
	Oid relid;
	bool compress;		  /* RETIRE: compress what is due, and retire nothing */
	int batch_size;		  /* DRAIN */
	int patience_ms;	  /* MISSING: how long to try to get the locks */
	TimestampTz asked_at; /* MISSING: since when */
	int nkeys;			  /* MISSING: one for each partition; COMPRESS etc.: attnums to sort by */
	int64 keys[DBP_REMOTE_MAX_KEYS];
	pid_t caller_pid;		 /* its snapshot and locks are not waited for */
	char actor[NAMEDATALEN]; /* session_user of the caller, for the audit trail; may be cut there */
	char now[64];			 /* dbperf.now_override of the caller; '': none */
} DbpRemoteRequest;

/* Columns of a row: parent oid, then partition, action, status, detail as text */
#define DBP_REMOTE_COLUMNS 5

/*
 * Fills in who asks: userid, caller_pid, actor, now. The rest is zeroed.
 */
extern void dbp_remote_request_init(DbpRemoteRequest *request, DbpRemoteKind kind, Oid relid);

/*
 * In the calling session: has a background worker serve the request and waits
 * for it. Rows go to rows->setResult, a materialized set of DBP_REMOTE_COLUMNS
 * columns (InitMaterializedSRF() makes it). Returns what the first row has as
 * partition, palloc'd, or NULL; that is all that is kept when rows is NULL.
 *
 * The worker's error is raised here, with its code, detail, hint and context;
 * its notices are passed on. Whatever ends the wait ends the worker.
 *
 * The caller must hold no lock that the worker will need.
 */
extern char *dbp_remote_call(const DbpRemoteRequest *request, ReturnSetInfo *rows);

typedef enum DbpRemoteOutcome
{
	DBP_REMOTE_SERVED,
	DBP_REMOTE_FAILED,	   /* the worker has raised an error */
	DBP_REMOTE_NO_PROCESS, /* all of max_worker_processes are in use */
	DBP_REMOTE_TOO_LATE,
	DBP_REMOTE_NEVER_CAME, /* the server log says why */
	DBP_REMOTE_LOST
} DbpRemoteOutcome;

/*
 * The same for who can go on without: does not wait for a free process, nor
 * for the worker any longer than wait_ms, and a moment for it to end. Its
 * notices are dropped; its error is left in *error, palloc'd.
 *
 * Unlike that of dbp_remote_call(), the caller's snapshot is one that others
 * have to reckon with. Raises errors other than those: of cancels, and where
 * no worker may be asked at all.
 */
extern DbpRemoteOutcome dbp_remote_try(const DbpRemoteRequest *request, int wait_ms,
									   ErrorData **error);

/*
 * In the worker. Rows and notices reach the caller at once; strings may be
 * NULL. In other processes, notices are raised here and rows are ignored.
 */
extern void dbp_remote_row(Oid parent, const char *partition, const char *action,
						   const char *status, const char *detail);
extern void dbp_remote_notice(const char *message);

/* Entry point of the worker */
extern PGDLLEXPORT void dbp_remote_main(Datum arg);

/*
 * Serves the request; in partition/retire.c. Called in a transaction where SPI
 * is connected and can commit, as in a CALL.
 */
extern void dbp_retire_serve(const DbpRemoteRequest *request);

#endif /* DBP_WORKER_REMOTE_H */
