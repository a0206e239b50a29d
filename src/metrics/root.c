/*-------------------------------------------------------------------------
 *
 * root.c
 *		The topmost table that a partition belongs to.
 *
 * Asked for with each statement that is counted, so the answers are kept until
 * any relation of the database changes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "nodes/pg_list.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "metrics/counters.h"

#define KEPT_ROOTS 64

static struct
{
	Oid relid;
	Oid root;
} roots[KEPT_ROOTS];
static bool roots_valid = false;
static bool callback_registered = false;

static void
forget_roots(Datum arg, Oid relid)
{
	roots_valid = false;
}

static Oid
look_up_root(Oid relid)
{
	List *ancestors;
	Oid root = relid;

	if (!get_rel_relispartition(relid))
		return relid;
	ancestors = get_partition_ancestors(relid);
	/* none while it is being detached */
	if (ancestors != NIL)
		root = llast_oid(ancestors);
	list_free(ancestors);
	return root;
}

/*
 * The topmost table that a relation is a partition of; the relation itself if
 * it is none.
 */
Oid
dbp_root_of(Oid relid)
{
	int place = relid % KEPT_ROOTS;
	Oid root;

	if (roots_valid && roots[place].relid == relid)
		return roots[place].root;

	if (!callback_registered)
	{
		CacheRegisterRelcacheCallback(forget_roots, (Datum) 0);
		callback_registered = true;
	}
	if (!roots_valid)
		memset(roots, 0, sizeof(roots));
	roots_valid = true;
	root = look_up_root(relid);
	/* what was found while a change came in is not kept */
	if (roots_valid)
	{
		roots[place].relid = relid;
		roots[place].root = root;
	}
	return root;
}
