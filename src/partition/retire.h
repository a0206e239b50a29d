/*-------------------------------------------------------------------------
 *
 * retire.h
 *		What is due for retiring.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_RETIRE_H
#define DBP_RETIRE_H

#include "nodes/execnodes.h"
#include "nodes/pg_list.h"

#include "partition/partition.h"

/* A row of dbperf.retire_steps() */
typedef struct DbpStep
{
	Oid parent;
	Oid partition;
	char *name; /* qualified and quoted; NULL: it has gone */
	char *action;
	bool concurrent;
	char *decision;
	char *reason;
} DbpStep;

extern List *dbp_retire_steps(List *parents);
extern DbpPolicy *dbp_policy_of_partition(Oid partition);

/* retire_sql.c */
extern void dbp_check_can_leave(const DbpPolicy *policy, Oid partition);
extern void dbp_retire_remotely(Oid parent, ReturnSetInfo *rows);
extern DbpPolicy *dbp_policy_of_detached(Oid relid);
extern bool dbp_can_detach_concurrently(Oid parent);

#endif /* DBP_RETIRE_H */
