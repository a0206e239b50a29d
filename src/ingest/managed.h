/*-------------------------------------------------------------------------
 *
 * managed.h
 *		Managed tables by their bare names.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_MANAGED_H
#define DBP_MANAGED_H

#include "postgres.h"

/*
 * The one managed table of that name, in whatever schema; for callers who may
 * not read dbperf.policy, too.  Raises undefined_table when there is none, and
 * ambiguous_alias when there are several.
 */
extern Oid dbp_managed_table(const char *name);

#endif /* DBP_MANAGED_H */
