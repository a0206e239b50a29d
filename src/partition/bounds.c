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
#include "catalog/partition.h"
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
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "columnar/columnar.h"
#include "partition/partition.h"

static int64
bound_key(List *datums, Oid keytype)
{
	PartitionRangeDatum *datum = linitial_node(PartitionRangeDatum, datums);

	if (datum->kind == PARTITION_RANGE_DATUM_MINVALUE)
		return DBP_KEY_MIN;
	if (datum->kind == PARTITION_RANGE_DATUM_MAXVALUE)
		return DBP_KEY_MAX;
	return dbp_key_from_datum(keytype, castNode(Const, datum->value)->constvalue);
}

static int
by_lower(const void *a, const void *b)
{
	int64 x = ((const DbpPart *) a)->lower;
	int64 y = ((const DbpPart *) b)->lower;

	return (x > y) - (x < y);
}

/*
 * Read one partition's bound.  False when it has none, since it was detached
 * or dropped in the meantime.
 */
static bool
read_bound(Oid relid, Oid keytype, DbpPart *part)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	PartitionBoundSpec *spec;
	bool isnull;
	Datum bound;

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
	if (spec->is_default)
		return false;

	part->relid = relid;
	part->lower = bound_key(spec->lowerdatums, keytype);
	part->upper = bound_key(spec->upperdatums, keytype);
	return true;
}

/*
 * Parsing a bound is what reading one costs, and maintenance reads those of
 * one parent again for every partition that it makes.  So those of the parent
 * that was read last are kept.  A bound changes only through DETACH and
 * ATTACH, which leave another row in pg_inherits: the same row, the same bound.
 */
typedef struct KnownBound
{
	Oid relid;			 /* key of the hash table */
	TransactionId xmin;	 /* of the row in pg_inherits */
	ItemPointerData tid; /* of the same */
	int64 lower;
	int64 upper;
} KnownBound;

static HTAB *known_bounds = NULL;
static Oid known_parent = InvalidOid;

static void
know_bounds_of(Oid parent)
{
	HASHCTL ctl = {0};

	if (known_bounds != NULL && known_parent == parent)
		return;
	if (known_bounds != NULL)
		hash_destroy(known_bounds);
	known_bounds = NULL;
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(KnownBound);
	known_bounds = hash_create("dbperf bounds", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	known_parent = parent;
}

/* A child as pg_inherits has it */
typedef struct Child
{
	Oid relid;
	TransactionId xmin;
	ItemPointerData tid;
	bool detaching;
} Child;

static bool
child_bound(const Child *child, Oid keytype, MemoryContext scratch, DbpPart *part)
{
	KnownBound *known = hash_search(known_bounds, &child->relid, HASH_FIND, NULL);
	MemoryContext caller;
	bool found;

	part->detaching = child->detaching;
	if (known != NULL && known->xmin == child->xmin &&
		ItemPointerEquals(&known->tid, (ItemPointer) &child->tid))
	{
		part->relid = child->relid;
		part->lower = known->lower;
		part->upper = known->upper;
		return true;
	}
	caller = MemoryContextSwitchTo(scratch);
	found = read_bound(child->relid, keytype, part);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(scratch);
	if (!found)
		return false;
	known = hash_search(known_bounds, &child->relid, HASH_ENTER, NULL);
	known->xmin = child->xmin;
	known->tid = child->tid;
	known->lower = part->lower;
	known->upper = part->upper;
	return true;
}

static int
newest_first(const void *a, const void *b)
{
	Oid x = ((const Child *) a)->relid;
	Oid y = ((const Child *) b)->relid;

	return (x < y) - (x > y);
}

/*
 * The children of a parent but for one, the newest first.
 */
static Child *
read_children(Oid parent, Oid except, int *count)
{
	Relation inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	int room = 64;
	Child *children = palloc(room * sizeof(Child));

	*count = 0;
	ScanKeyInit(&key, Anum_pg_inherits_inhparent, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(parent));
	scan = systable_beginscan(inherits, InheritsParentIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_inherits form = (Form_pg_inherits) GETSTRUCT(tuple);
		Child *child;

		if (form->inhrelid == except)
			continue;
		if (*count == room)
			children = repalloc(children, (room *= 2) * sizeof(Child));
		child = &children[(*count)++];
		child->relid = form->inhrelid;
		child->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
		child->tid = tuple->t_self;
		child->detaching = form->inhdetachpending;
	}
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	qsort(children, *count, sizeof(Child), newest_first);
	return children;
}

/* How much of a range one partition covers; partitions never overlap */
static uint64
covered_length(const DbpRange *range, const DbpPart *part)
{
	int64 lower = Max(range->lower, part->lower);
	int64 upper = Min(range->upper, part->upper);

	return lower < upper ? (uint64) upper - (uint64) lower : 0;
}

/*
 * The partitions of a parent with their bounds, sorted.  With "enough", it
 * may be only those that were made last, if they leave nothing of that range
 * uncovered.
 */
static void
read_parts(Oid parent, Oid keytype, const DbpRange *enough, DbpParts *parts)
{
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf bound", ALLOCSET_DEFAULT_SIZES);
	uint64 uncovered = enough ? (uint64) enough->upper - (uint64) enough->lower : 1;
	int count;
	Child *children;

	parts->defpart = get_default_partition_oid(parent);
	children = read_children(parent, parts->defpart, &count);
	parts->part = palloc(Max(count, 1) * sizeof(DbpPart));
	parts->n = 0;
	parts->detaching = false;
	for (int i = 0; i < count; i++)
		parts->detaching |= children[i].detaching;
	know_bounds_of(parent);
	for (int i = 0; i < count && uncovered > 0; i++)
	{
		DbpPart *part = &parts->part[parts->n];

		if (!child_bound(&children[i], keytype, scratch, part))
			continue;
		parts->n++;
		if (enough)
			uncovered -= covered_length(enough, part);
	}
	qsort(parts->part, parts->n, sizeof(DbpPart), by_lower);
	pfree(children);
	MemoryContextDelete(scratch);
}

/*
 * The partitions of a parent with their bounds, sorted.
 */
void
dbp_parts_read(Oid parent, Oid keytype, DbpParts *parts)
{
	read_parts(parent, keytype, NULL, parts);
}

/*
 * The type of the column that a table is partitioned by, or InvalidOid when
 * it is not partitioned by RANGE on one column of a supported type.
 */
Oid
dbp_partition_key_type(Oid parent)
{
	HeapTuple tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(parent));
	Form_pg_partitioned_table form;
	Oid type = InvalidOid;

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
int
dbp_parts_first_above(const DbpParts *parts, int64 key)
{
	int low = 0;
	int high = parts->n;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

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
	List *ranges = NIL;

	for (int i = dbp_parts_first_above(parts, lower); lower < upper; i++)
	{
		int64 end = i < parts->n ? Min(parts->part[i].lower, upper) : upper;

		if (lower < end)
		{
			DbpRange *range = palloc(sizeof(DbpRange));

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
	List *missing = NIL;
	int64 k;
	int64 lower;
	int64 upper;

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

static bool
table_is_empty(Oid relid, bool *known)
{
	Relation rel;
	bool empty = true;

	*known = ConditionalLockRelationOid(relid, AccessShareLock);
	if (!*known)
		return false;
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		return true;
	}
	/* rows of a compressed table may be on their way into it, in this very transaction */
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		(RelationGetNumberOfBlocks(rel) > 0 || dbp_is_columnar(rel)))
	{
		Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
		TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
		TupleTableSlot *slot = table_slot_create(rel, NULL);

		empty = !table_scan_getnextslot(scan, ForwardScanDirection, slot);
		ExecDropSingleTupleTableSlot(slot);
		table_endscan(scan);
		UnregisterSnapshot(snapshot);
	}
	else
		*known = rel->rd_rel->relkind == RELKIND_RELATION ||
			rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	relation_close(rel, AccessShareLock);
	return empty;
}

/*
 * Is a relation, with all that is below it, without rows?  A real look, not an
 * estimate; as cheap as the first visible row.  When that cannot be said at
 * once, be it that a lock is in the way, *known is false.  The caller is the
 * extension itself: nothing of the rows is shown.
 */
bool
dbp_relation_is_empty(Oid relid, bool *known)
{
	bool all_known = true;
	ListCell *cell;

	foreach(cell, find_all_inheritors(relid, NoLock, NULL))
	{
		if (!table_is_empty(lfirst_oid(cell), known) && *known)
			return false;
		all_known &= *known;
	}
	*known = all_known;
	return all_known;
}

/*
 * The key that inserts are at: the clock, or for plain numbers the lower
 * bound of the highest partition that has rows (of the lowest one, when none
 * has).  False when there is nothing to tell it by.
 */
bool
dbp_current_key(const DbpPolicy *policy, const DbpParts *parts, int64 *key)
{
	bool known;

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
 * The same for plain numbers, for who must not be led astray by one row with a
 * key that is far too high: a partition that was made for it stands alone
 * above a gap, and does not count if a lower one has rows.
 */
bool
dbp_settled_key(const DbpPolicy *policy, const DbpParts *parts, int64 *key)
{
	bool found = false;
	bool known;

	for (int i = parts->n - 1; i >= 0; i--)
	{
		if (parts->part[i].lower == DBP_KEY_MIN ||
			dbp_relation_is_empty(parts->part[i].relid, &known) || !known)
			continue;
		*key = parts->part[i].lower;
		found = true;
		if (i > 0 && parts->part[i - 1].upper == parts->part[i].lower)
			break;
	}
	return found;
}

/*
 * From the current key to the end of the last cell that is to be ready; false
 * when there is nothing to tell it by.
 */
static bool
range_ahead(const DbpPolicy *policy, int64 current, DbpRange *range)
{
	int64 k;

	if (!dbp_grid_cell(policy, current, &k) || !dbp_grid_bound(policy, k + 1, &range->upper))
		return false;
	for (int i = 0; i < policy->premake; i++)
		if (!dbp_grid_bound(policy, k + 2 + i, &range->upper))
			break;
	range->lower = current;
	return true;
}

/*
 * What has to be made now: the current cell and the policy's number of cells
 * after it, less what is covered, less what already lies in the past.
 */
List *
dbp_missing_ahead(const DbpPolicy *policy, const DbpParts *parts)
{
	List *missing = NIL;
	int64 current;
	DbpRange ahead;
	ListCell *cell;

	if (!dbp_current_key(policy, parts, &current) || !range_ahead(policy, current, &ahead))
		return NIL;
	foreach(cell, dbp_missing_cells(policy, parts, ahead.lower, ahead.upper))
	{
		DbpRange *range = lfirst(cell);

		if (range->upper > current)
			missing = lappend(missing, range);
	}
	return missing;
}

/*
 * The same, for who has not read the partitions yet.  Mostly nothing is
 * missing, and the newest few partitions are enough to know it: so *parts is
 * complete only when something is.
 */
List *
dbp_parts_read_ahead(const DbpPolicy *policy, DbpParts *parts)
{
	int64 current;
	DbpRange ahead;
	bool bounded = policy->by_time && dbp_current_key(policy, NULL, &current) &&
		range_ahead(policy, current, &ahead);

	read_parts(policy->parent, policy->keytype, bounded ? &ahead : NULL, parts);
	return dbp_missing_ahead(policy, parts);
}
