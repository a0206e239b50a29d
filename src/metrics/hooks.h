/*-------------------------------------------------------------------------
 *
 * hooks.h
 *		Between hooks.c and utility.c: what both see of one statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_METRICS_HOOKS_H
#define DBP_METRICS_HOOKS_H

#include "postgres.h"

#include "executor/execdesc.h"
#include "nodes/plannodes.h"

#include "metrics/statements.h"

/* hooks.c */

/* Statements being executed, one inside the other; 0: none */
extern int dbp_execution_depth;

/* Has a client sent it?  Asked where nothing is being executed. */
extern bool dbp_is_from_client(const PlannedStmt *plan);

/* utility.c */
extern void dbp_utility_hook_init(void);

/*
 * Is it what the utility statement that is being executed is about, which
 * counts as that?  Or (*is_copy) the query of COPY (query) TO?
 */
extern bool dbp_utility_brings(const QueryDesc *query, bool *is_copy);

/* It has been taken for that: there is no other */
extern void dbp_utility_brought(QueryDesc *query);

/* Where its text lies, if it does not know that itself */
extern void dbp_utility_text(DbpStatementText *text);

#endif /* DBP_METRICS_HOOKS_H */
