/*-------------------------------------------------------------------------
 *
 * sampler.h
 *		Samplers: processes that measure, judge and notify, one for a database.
 *
 * samplers.c has the list that launcher, samplers and sessions share, and the
 * launcher's part; alone.c has a sampler leave in time; sampler.c is the
 * process; callbacks.c has the functions of users called, in a process of its
 * own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_WORKER_SAMPLER_H
#define DBP_WORKER_SAMPLER_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "shmem.h"

typedef enum DbpSamplerState
{
	DBP_SAMPLER_FREE = 0,
	DBP_SAMPLER_WAITING, /* to be started, at not_before */
	DBP_SAMPLER_STARTING,
	DBP_SAMPLER_RUNNING,
	DBP_SAMPLER_OFF, /* sampling is switched off; who switches it on says so */
	DBP_SAMPLER_NO_EXTENSION
} DbpSamplerState;

typedef struct DbpSampler
{
	DbpSamplerState state;
	uint32 generation; /* a process that comes too late finds another one */
	Oid dboid;
	pid_t pid; /* 0 until the process has come */
	Latch *latch;
	bool woken;
	TimestampTz since; /* start of the present state */
	TimestampTz not_before;
	TimestampTz told_at;	   /* to leave; 0: it was not */
	int failures;			   /* of processes, in a row */
	char error[DBP_ERROR_LEN]; /* '': none */
} DbpSampler;

/* samplers.c, in the launcher */
extern void dbp_samplers_init(void);
extern int64 dbp_samplers_refresh(TimestampTz now);
extern void dbp_samplers_reconsider(void);
extern bool dbp_samplers_give_way(void);
extern void dbp_samplers_stop(TimestampTz now);

/* in a session */
extern bool dbp_samplers_make_way(Oid dboid);
extern void dbp_samplers_come_back(Oid dboid);

/* alone.c */
extern void dbp_alone_init(void);

/* in the sampler */
extern Oid dbp_sampler_arrive(int index, uint32 generation);
extern void dbp_sampler_set_error(const char *message);
extern bool dbp_sampler_take_wake(void);

/* How the process leaves; what remains when it does not say is that it died */
extern void dbp_sampler_set_outcome(DbpSamplerState state);

extern PGDLLEXPORT void dbp_sampler_main(Datum arg);

/*
 * callbacks.c, in the sampler: sees to the functions that alerts call for, in a
 * transaction or two of its own, and may throw. Pending: look again in a second,
 * or when the latch is set.
 */
extern void dbp_callbacks_step(void);
extern bool dbp_callbacks_pending(void);
extern PGDLLEXPORT void dbp_callbacks_main(Datum arg);

#endif /* DBP_WORKER_SAMPLER_H */
