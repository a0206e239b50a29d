/*-------------------------------------------------------------------------
 *
 * bounds.c
 *		What partitions there are, and which are missing.
 *
 * Bounds are read from the catalogs: no partition is locked or opened, and no
 * comparison function of the user's runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "partition/partition.h"

static int64
bound_key(List *datums, Oid keytype)
{
	PartitionRangeDatum *datum = linitial_node(PartitionRangeDatum, datums);
	Datum		value;

	if (datum->kind == PARTITION_RANGE_DATUM_MINVALUE)
		return DBP_KEY_MIN;
	if (datum->kind == PARTITION_RANGE_DATUM_MAXVALUE)
		return DBP_KEY_MAX;
	value = castNode(Const, datum->value)->constvalue;
	switch (keytype)
	{
		case INT4OID:
			return DatumGetInt32(value);
		case DATEOID:
			if (DATE_IS_NOBEGIN(DatumGetDateADT(value)))
				return DBP_KEY_MIN;
			if (DATE_IS_NOEND(DatumGetDateADT(value)))
				return DBP_KEY_MAX;
			return DatumGetDateADT(value);
		default:
			return DatumGetInt64(value);
	}
}

static int
by_lower(const void *a, const void *b)
{
	int64		x = ((const DbpPart *) a)->lower;
	int64		y = ((const DbpPart *) b)->lower;

	return (x > y) - (x < y);
}

/*
 * Read one partition's bound.  False when it has none, since it was detached
 * or dropped in the meantime.
 */
static bool
read_bound(Oid relid, Oid keytype, DbpPart *part, bool *is_default)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	PartitionBoundSpec *spec;
	bool		isnull;
	Datum		bound;

	if (!HeapTupleIsValid(tuple))
		return false;
	bound = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relpartbound, &isnull);
	if (isnull)
	{
		ReleaseSysCache(tuple);
		return false;
	}
	spec = castNode(PartitionBoundSpec, stringToNode(TextDatumGetCString(bound)));
	ReleaseSysCache(tuple);

	part->relid = relid;
	*is_default = spec->is_default;
	if (!spec->is_default)
	{
		part->lower = bound_key(spec->lowerdatums, keytype);
		part->upper = bound_key(spec->upperdatums, keytype);
	}
	return true;
}

/*
 * The partitions of a parent with their bounds, sorted.
 */
void
dbp_parts_read(Oid parent, Oid keytype, DbpParts *parts)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			room = 64;

	parts->part = palloc(room * sizeof(DbpPart));
	parts->n = 0;
	parts->defpart = InvalidOid;

	ScanKeyInit(&key, Anum_pg_inherits_inhparent, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(parent));
	scan = systable_beginscan(inherits, InheritsParentIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_inherits form = (Form_pg_inherits) GETSTRUCT(tuple);
		DbpPart		part;
		bool		is_default;

		if (!read_bound(form->inhrelid, keytype, &part, &is_default))
			continue;
		if (is_default)
		{
			parts->defpart = form->inhrelid;
			continue;
		}
		part.detaching = form->inhdetachpending;
		if (parts->n == room)
			parts->part = repalloc(parts->part, (room *= 2) * sizeof(DbpPart));
		parts->part[parts->n++] = part;
	}
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	qsort(parts->part, parts->n, sizeof(DbpPart), by_lower);
}

/*
 * The type of the column that a table is partitioned by, or InvalidOid when
 * it is not partitioned by RANGE on one column of a supported type.
 */
Oid
dbp_partition_key_type(Oid parent)
{
	HeapTuple	tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(parent));
	Form_pg_partitioned_table form;
	Oid			type = InvalidOid;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	form = (Form_pg_partitioned_table) GETSTRUCT(tuple);
	if (form->partstrat == PARTITION_STRATEGY_RANGE && form->partnatts == 1 &&
		form->partattrs.values[0] != 0)
		type = get_atttype(parent, form->partattrs.values[0]);
	ReleaseSysCache(tuple);
	if (type != TIMESTAMPTZOID && type != TIMESTAMPOID && type != DATEOID && type != INT4OID &&
		type != INT8OID)
		type = InvalidOid;
	return type;
}

/* The first partition that ends above a key */
static int
first_above(const DbpParts *parts, int64 key)
{
	int			low = 0;
	int			high = parts->n;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (parts->part[middle].upper > key)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/*
 * What no partition covers between two keys: a list of DbpRange.  An
 * interrupted detach still holds its range.
 */
List *
dbp_parts_uncovered(const DbpParts *parts, int64 lower, int64 upper)
{
	List	   *ranges = NIL;

	for (int i = first_above(parts, lower); lower < upper; i++)
	{
		int64		end = i < parts->n ? Min(parts->part[i].lower, upper) : upper;

		if (lower < end)
		{
			DbpRange   *range = palloc(sizeof(DbpRange));

			range->lower = lower;
			range->upper = end;
			ranges = lappend(ranges, range);
		}
		if (i >= parts->n)
			break;
		lower = parts->part[i].upper;
	}
	return ranges;
}

/*
 * The cells of the grid from the one that holds key "from" until "to" is
 * reached, less what partitions cover of them.
 */
List *
dbp_missing_cells(const DbpPolicy *policy, const DbpParts *parts, int64 from, int64 to)
{
	List	   *missing = NIL;
	int64		k;
	int64		lower;
	int64		upper;

	if (!dbp_grid_cell(policy, from, &k) || !dbp_grid_bound(policy, k, &lower))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("no partition of table \"%s\" can hold key %s", policy->table,
						dbp_key_display(policy, from)),
				 errhint("Its bounds would lie outside the range of the key's type.")));
	do
	{
		CHECK_FOR_INTERRUPTS();
		if (!dbp_grid_bound(policy, ++k, &upper))
			break;
		missing = list_concat(missing, dbp_parts_uncovered(parts, lower, upper));
		lower = upper;
	} while (lower < to);
	return missing;
}

/*
 * Is a relation without rows?  A real look, not an estimate; as cheap as the
 * first visible row.  When its lock cannot be had at once, *known is false.
 * The caller is the extension itself: nothing of the rows is shown.
 */
bool
dbp_relation_is_empty(Oid relid, bool *known)
{
	Relation	rel;
	bool		empty = true;

	*known = ConditionalLockRelationOid(relid, AccessShareLock);
	if (!*known)
		return false;
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		return true;
	}
	if (rel->rd_rel->relkind == RELKIND_RELATION && RelationGetNumberOfBlocks(rel) > 0)
	{
		Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
		TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
		TupleTableSlot *slot = table_slot_create(rel, NULL);

		empty = !table_scan_getnextslot(scan, ForwardScanDirection, slot);
		ExecDropSingleTupleTableSlot(slot);
		table_endscan(scan);
		UnregisterSnapshot(snapshot);
	}
	else
		*known = rel->rd_rel->relkind == RELKIND_RELATION;
	relation_close(rel, AccessShareLock);
	return empty;
}

/*
 * The key that inserts are at: the clock, or for plain numbers the lower
 * bound of the highest partition that has rows (of the lowest one, when none
 * has).  False when there is nothing to tell it by.
 */
bool
dbp_current_key(const DbpPolicy *policy, const DbpParts *parts, int64 *key)
{
	bool		known;

	if (policy->by_time)
	{
		*key = dbp_key_from_time(policy, dbp_now());
		return true;
	}
	if (parts->n == 0)
	{
		*key = policy->anchor_key;
		return true;
	}
	for (int i = parts->n - 1; i > 0; i--)
	{
		if (dbp_relation_is_empty(parts->part[i].relid, &known) && known)
			continue;
		if (!known || parts->part[i].lower == DBP_KEY_MIN)
			continue;
		*key = parts->part[i].lower;
		return true;
	}
	*key = parts->part[0].lower == DBP_KEY_MIN ? parts->part[0].upper - 1 : parts->part[0].lower;
	return parts->part[0].lower != DBP_KEY_MIN || parts->part[0].upper != DBP_KEY_MAX;
}

/*
 * What has to be made now: the current cell and the policy's number of cells
 * after it, less what is covered, less what already lies in the past.
 */
List *
dbp_missing_ahead(const DbpPolicy *policy, const DbpParts *parts)
{
	List	   *missing = NIL;
	int64		current;
	int64		k;
	int64		from;
	int64		to;
	ListCell   *cell;

	if (!dbp_current_key(policy, parts, &current) || !dbp_grid_cell(policy, current, &k) ||
		!dbp_grid_bound(policy, k, &from) || !dbp_grid_bound(policy, k + 1, &to))
		return NIL;
	for (int i = 0; i < policy->premake; i++)
		if (!dbp_grid_bound(policy, k + 2 + i, &to))
			break;
	foreach(cell, dbp_missing_cells(policy, parts, from, to))
	{
		DbpRange   *range = lfirst(cell);

		if (range->upper > current)
			missing = lappend(missing, range);
	}
	return missing;
}
