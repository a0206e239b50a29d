/*-------------------------------------------------------------------------
 *
 * default.c
 *		New partitions beside a default partition that holds rows.
 *
 * ATTACH reads the whole default partition under an ACCESS EXCLUSIVE lock, to
 * see that none of its rows belongs into the new one.  Where that would take
 * long, a CHECK constraint that says so goes first: added without a look at
 * the rows, validated while reads and writes go on, and dropped again by the
 * transaction that attaches.  From its adding on, rows for the new partition
 * are refused for as long as the validation takes; so it is added only after
 * a look that found none, and in the next run all is taken up where it was
 * left.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "columnar/columnar.h"
#include "partition/partition.h"

/* Reading this much is a matter of a few milliseconds */
#define SMALL_BLOCKS 256

/* And so many rows, where they are compressed */
#define SMALL_ROWS 50000

#define GUARD_PREFIX "dbperf_guard_"

/* Of what is compressed, blocks tell little */
static bool
takes_long_to_read(Relation rel)
{
	return RelationGetNumberOfBlocks(rel) > SMALL_BLOCKS ||
		(dbp_is_columnar(rel) && dbp_count_rows(rel, -1) > SMALL_ROWS);
}

/*
 * Would ATTACH keep the default partition locked for long?
 */
bool
dbp_default_is_large(Oid defpart)
{
	Relation rel;
	bool large;

	if (!OidIsValid(defpart))
		return false;
	/* who keeps it locked keeps nobody waiting; the careful way is right in any case */
	if (!ConditionalLockRelationOid(defpart, AccessShareLock))
		return true;
	rel = try_relation_open(defpart, NoLock);
	if (rel == NULL)
	{
		UnlockRelationOid(defpart, AccessShareLock);
		return false;
	}
	large = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
		(RELKIND_HAS_STORAGE(rel->rd_rel->relkind) && takes_long_to_read(rel));
	relation_close(rel, AccessShareLock);
	return large;
}

/* One name for one range, so that a run that was cut short finds it again */
static char *
guard_name(const DbpRange *range)
{
	return psprintf(GUARD_PREFIX "%08x",
					hash_bytes((const unsigned char *) range, sizeof(DbpRange)));
}

/*
 * Is there a guard for this range, and is it validated?
 */
bool
dbp_default_is_guarded(Oid defpart, const DbpRange *range, bool *validated)
{
	Oid constraint = get_relation_constraint_oid(defpart, guard_name(range), true);
	HeapTuple tuple;

	*validated = false;
	if (!OidIsValid(constraint))
		return false;
	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	if (!HeapTupleIsValid(tuple))
		return false;
	*validated = ((Form_pg_constraint) GETSTRUCT(tuple))->convalidated;
	ReleaseSysCache(tuple);
	return true;
}

/*
 * The condition that ATTACH wants to see proven, or its opposite.  Literals
 * are rendered under the settings that dbp_become_owner() pins.
 */
char *
dbp_range_condition(const DbpPolicy *policy, const DbpRange *range, bool inside)
{
	const char *column = quote_identifier(policy->column);
	StringInfoData buf;
	DbpIdentity saved;

	initStringInfo(&buf);
	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	appendStringInfo(&buf, "%s IS %sNULL", column, inside ? "NOT " : "");
	if (range->lower != DBP_KEY_MIN)
		appendStringInfo(&buf, " %s %s %s %s", inside ? "AND" : "OR", column, inside ? ">=" : "<",
						 dbp_key_literal(policy, range->lower));
	if (range->upper != DBP_KEY_MAX)
		appendStringInfo(&buf, " %s %s %s %s", inside ? "AND" : "OR", column,
						 inside ? "<" : ">=", dbp_key_literal(policy, range->upper));
	dbp_restore_identity(&saved);
	return buf.data;
}

/*
 * Add the guard, after a look that nothing stands against it.
 */
void
dbp_default_guard(Oid defpart, const DbpPolicy *policy, const DbpRange *range, DbpCost *cost)
{
	char *name = dbp_qualified_name(defpart);

	dbp_lock_relation(policy, defpart, AccessShareLock, cost);
	dbp_execute_as_owner(policy,
						 psprintf("SELECT FROM %s WHERE %s LIMIT 1", name,
								  dbp_range_condition(policy, range, true)));
	if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("default partition %s holds rows that belong between %s and %s", name,
						dbp_key_display(policy, range->lower),
						dbp_key_display(policy, range->upper)),
				 errhint("Move them elsewhere, so that the partition can be made.")));
	dbp_lock_relation(policy, policy->parent, ShareUpdateExclusiveLock, cost);
	dbp_lock_relation(policy, defpart, AccessExclusiveLock, cost);
	dbp_execute_as_owner(policy,
						 psprintf("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s) NOT VALID", name,
								  guard_name(range), dbp_range_condition(policy, range, false)));
}

/*
 * Call a constraint valid that is known to be so, without a look at the rows.
 * The caller holds ACCESS EXCLUSIVE on its table.
 */
void
dbp_constraint_mark_valid(Oid constraint)
{
	Relation rel = table_open(ConstraintRelationId, RowExclusiveLock);
	HeapTuple tuple = SearchSysCacheCopy1(CONSTROID, ObjectIdGetDatum(constraint));
	Form_pg_constraint form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	form->convalidated = true;
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	CacheInvalidateRelcacheByRelid(form->conrelid);
	CommandCounterIncrement();
	heap_freetuple(tuple);
	table_close(rel, RowExclusiveLock);
}

/*
 * Add the guard when it is known to hold.  The caller holds ACCESS EXCLUSIVE
 * on the default partition, and has seen since that it has no row of the range.
 */
void
dbp_default_guard_known(Oid defpart, const DbpPolicy *policy, const DbpRange *range)
{
	bool validated;

	if (dbp_default_is_guarded(defpart, range, &validated) && validated)
		return;
	if (!dbp_default_is_guarded(defpart, range, &validated))
		dbp_execute_as_owner(policy,
							 psprintf("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s) NOT VALID",
									  dbp_qualified_name(defpart), guard_name(range),
									  dbp_range_condition(policy, range, false)));
	dbp_constraint_mark_valid(get_relation_constraint_oid(defpart, guard_name(range), false));
}

/*
 * Validate the guard: reads the whole default partition, keeping nobody from
 * reading or writing it.
 */
void
dbp_default_validate(Oid defpart, const DbpPolicy *policy, const DbpRange *range, DbpCost *cost)
{
	dbp_lock_relation(policy, defpart, ShareUpdateExclusiveLock, cost);
	dbp_execute_as_owner(policy,
						 psprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s",
								  dbp_qualified_name(defpart), guard_name(range)));
}

static void
drop_guard(Oid defpart, const DbpPolicy *policy, const char *guard, DbpCost *cost)
{
	dbp_lock_relation(policy, defpart, AccessExclusiveLock, cost);
	dbp_execute_as_owner(policy,
						 psprintf("ALTER TABLE %s DROP CONSTRAINT %s", dbp_qualified_name(defpart),
								  guard));
}

/*
 * Take the guard away again: the partition is there, or cannot be made.
 */
void
dbp_default_unguard(Oid defpart, const DbpPolicy *policy, const DbpRange *range, DbpCost *cost)
{
	drop_guard(defpart, policy, guard_name(range), cost);
}

static bool
is_planned(List *ranges, const char *guard)
{
	ListCell *cell;

	foreach(cell, ranges)
		if (strcmp(guard_name(lfirst(cell)), guard) == 0)
			return true;
	return false;
}

/*
 * Drop guards that a run left behind which was cut short, unless they are for
 * one of the ranges that are about to be made.  True when there were any: the
 * default partition is locked then.
 */
bool
dbp_default_sweep(Oid defpart, const DbpPolicy *policy, List *ranges)
{
	Relation rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	List *stale = NIL;
	ListCell *cell;

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(defpart));
	scan = systable_beginscan(rel, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		char *name = NameStr(((Form_pg_constraint) GETSTRUCT(tuple))->conname);

		if (strncmp(name, GUARD_PREFIX, strlen(GUARD_PREFIX)) == 0 && !is_planned(ranges, name))
			stale = lappend(stale, pstrdup(name));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	foreach(cell, stale)
	{
		DbpCost cost = {0};

		drop_guard(defpart, policy, quote_identifier(lfirst(cell)), &cost);
	}
	return stale != NIL;
}
