/*-------------------------------------------------------------------------
 *
 * archiver.h
 *		Archivers: processes that compress partitions, as policies say.
 *
 * A partition takes minutes, for which a worker of maintenance has no time.
 * archivers.c has the list that launcher, archivers and sessions share, and
 * the launcher's part; archiver.c is the process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_WORKER_ARCHIVER_H
#define DBP_WORKER_ARCHIVER_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "shmem.h"

/* Time of a process, until it gives others their turn; a partition is finished in any case */
#define DBP_ARCHIVE_TURN_MS (60 * 1000)

/* archivers.c, in the launcher */
extern void dbp_archivers_init(void);
extern int64 dbp_archivers_refresh(TimestampTz now);
extern void dbp_archivers_stop(void);

/* In a session that wants to be alone with a database; false: nobody has to go */
extern bool dbp_archivers_make_way(Oid dboid);
extern void dbp_archivers_come_back(Oid dboid);

/* In maintenance, for which a partition that is being compressed is in the way */
extern bool dbp_archivers_interrupt(pid_t pid);

/* In the archiver: its order, or false when nobody wants it any more; and its answer */
extern bool dbp_archiver_arrive(int index, uint32 generation, Oid *dboid, bool *woken);
extern void dbp_archiver_report(const DbpReport *report);

extern PGDLLEXPORT void dbp_archiver_main(Datum arg);

#endif /* DBP_WORKER_ARCHIVER_H */
