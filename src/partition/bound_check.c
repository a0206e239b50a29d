/*-------------------------------------------------------------------------
 *
 * bound_check.c
 *		The bound of a partition as a CHECK constraint, for the time after it.
 *
 * While a table is a partition, all its rows satisfy its bound, so that the
 * constraint is valid without a look at them, as PostgreSQL itself has it in
 * DETACH CONCURRENTLY.  With it, the table can be attached again without one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/heap.h"
#include "catalog/pg_constraint.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "utils/partcache.h"
#include "utils/rel.h"

#include "compat.h"
#include "partition/partition.h"

/*
 * Add the bound of a partition to it as a valid CHECK constraint, unless it is
 * there.  The caller holds SHARE UPDATE EXCLUSIVE or more on the partition, and
 * acts as its owner.
 */
void
dbp_bound_check_add(Oid partition)
{
	Relation rel;
	Constraint *check;
	List *bound;

	if (OidIsValid(get_relation_constraint_oid(partition, DBP_BOUND_CHECK, true)))
		return;
	rel = table_open(partition, ShareUpdateExclusiveLock);
	bound = RelationGetPartitionQual(rel);
	/* the only partition of a parent may have no bound at all */
	if (bound != NIL)
	{
		check = makeNode(Constraint);
		check->contype = CONSTR_CHECK;
		check->conname = DBP_BOUND_CHECK;
		check->location = -1;
		check->cooked_expr = nodeToString(make_ands_explicit(bound));
		check->initially_valid = true;
		check->skip_validation = true;
		dbp_constraint_enforced(check);
		(void) AddRelationNewConstraints(rel, NIL, list_make1(check), false, true, true, NULL);
		CommandCounterIncrement();
	}
	table_close(rel, NoLock);
}
