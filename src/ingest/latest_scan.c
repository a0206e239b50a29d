/*-------------------------------------------------------------------------
 *
 * latest_scan.c
 *		Finds the last row of each key by reading a table from its end.
 *
 * Partitions are read from the newest one on.  What is found in one need not be
 * looked for in those before it, as all that is there is older.  Rows of the
 * default partition may be of any time, so that one comes last, and is read as
 * far back as it can matter.
 *
 * A partition is read backwards by an index that is led by the time.  If the
 * index has the key, too, only rows that are wanted are looked at themselves.
 * Keys that had their last row long ago, or never, would have all of it read.
 * So when many rows were read in vain, an index led by the key is tried, and
 * for a key with few rows in the partition that is the end of it.  If it has
 * many, reading goes on by time; then twice as many rows are tried, and so on:
 * whichever index is better for a key, what is read is not more than a few times
 * of what it would have taken.  An index of key and time leads to the row at once.
 *
 * Compressed partitions are read by their zone maps (latest_columnar.c).
 *
 * Everything is read through the table's access method under the active
 * snapshot, as the executor does; partitions as the relation cache has them for
 * that snapshot; locks are those of a query.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "catalog/pg_namespace.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "columnar/columnar.h"
#include "compat.h"
#include "ingest/latest.h"
#include "ingest/latest_columnar.h"
#include "partition/drain.h"

/* Rows that are read by time before an index led by the key is tried */
#define FIRST_ROWS 2048

/* Rows that one key is tried with at least, by an index led by it */
#define FIRST_ROWS_OF_KEY 64

/* Reading by time without end */
#define ALL_ROWS PG_INT64_MAX

typedef struct PartScan
{
	DbpLatest *latest;
	Relation rel;
	Snapshot snapshot;
	TupleConversionMap *map; /* to the table's row type; NULL: it is the same */
	TupleTableSlot *slot;

	/* numbers of columns in the partition */
	AttrNumber by;
	AttrNumber time;
	AttrNumber deleted;

	/* indexes that may be used; NULL: none */
	Relation by_time; /* led by the time */
	int by_in_time;	  /* position of the key in it; 0: it does not have it */
	Relation by_key;  /* led by the key */
	Relation by_both; /* led by key and time */

	int wanted; /* keys that are not settled */
	bool bounded;
	Datum floor; /* if bounded: what is older is not wanted */

	/* reading by time */
	IndexScanDesc scan;
	bool ended;
	int64 group;		 /* number of the group of equal times that is being read */
	Datum group_time;	 /* if group is not 0 */
	MemoryContext times; /* of group_time */
} PartScan;

static AttrNumber
part_attnum(const PartScan *part, AttrNumber attnum)
{
	return part->map == NULL || attnum == InvalidAttrNumber
		? attnum
		: part->map->attrMap->attnums[attnum - 1];
}

/* Is a column of an index ordered as rows are compared here? */
static bool
index_column_fits(Relation index, int position, AttrNumber attnum, const DbpLatestColumn *column)
{
	return position < IndexRelationGetNumberOfKeyAttributes(index) &&
		index->rd_index->indkey.values[position] == attnum &&
		index->rd_opfamily[position] == column->order->btree_opf &&
		index->rd_indcollation[position] == column->collation;
}

/* May a snapshot of this transaction rely on the index?  As the planner asks. */
static bool
index_is_usable(Relation index)
{
	Form_pg_index form = index->rd_index;

	return index->rd_rel->relam == BTREE_AM_OID && form->indisvalid && form->indisready &&
		form->indislive && RelationGetIndexPredicate(index) == NIL &&
		(!form->indcheckxmin ||
		 TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data),
							   TransactionXmin));
}

/* The position, from 1, of a column that the index can give back; or 0 */
static int
index_position(const PartScan *part, Relation index, AttrNumber attnum)
{
	TupleDesc desc = RelationGetDescr(index);

	for (int i = 0; i < IndexRelationGetNumberOfAttributes(index); i++)
		if (index->rd_index->indkey.values[i] == attnum && index_can_return(index, i + 1) &&
			TupleDescAttr(desc, i)->atttypid ==
				TupleDescAttr(RelationGetDescr(part->rel), attnum - 1)->atttypid)
			return i + 1;
	return 0;
}

static bool
take_index(PartScan *part, Relation index)
{
	const DbpLatest *latest = part->latest;
	bool taken = false;

	if (!index_is_usable(index))
		return false;
	if (index_column_fits(index, 0, part->time, &latest->time) &&
		index_position(part, index, part->time) == 1)
	{
		int position = index_position(part, index, part->by);

		if (part->by_time == NULL || (part->by_in_time == 0 && position > 0))
		{
			part->by_time = index;
			part->by_in_time = position;
			taken = true;
		}
	}
	if (index_column_fits(index, 0, part->by, &latest->by))
	{
		if (part->by_both == NULL && index_column_fits(index, 1, part->time, &latest->time))
		{
			part->by_both = index;
			taken = true;
		}
		if (part->by_key == NULL)
		{
			part->by_key = index;
			taken = true;
		}
	}
	return taken;
}

/* The list of those that are open */
static List *
open_indexes(PartScan *part)
{
	List *indexes = NIL;
	ListCell *cell;

	foreach(cell, RelationGetIndexList(part->rel))
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		if (take_index(part, index))
			indexes = lappend(indexes, index);
		else
			index_close(index, AccessShareLock);
	}
	return indexes;
}

static void
close_indexes(List *indexes)
{
	ListCell *cell;

	foreach(cell, indexes)
		index_close((Relation) lfirst(cell), AccessShareLock);
}

static DbpLatestKey *
find_key(const DbpLatest *latest, Datum value)
{
	int low = 0;
	int high = latest->nkeys - 1;

	while (low <= high)
	{
		int middle = low + (high - low) / 2;
		int order = dbp_latest_compare(&latest->by, value, latest->keys[middle].value);

		if (order == 0)
			return &latest->keys[middle];
		if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return NULL;
}

/* NULL comes before everything */
static int
compare_column(const DbpLatestColumn *column, Datum a, bool a_is_null, Datum b, bool b_is_null)
{
	if (a_is_null || b_is_null)
		return (int) b_is_null - (int) a_is_null;
	return dbp_latest_compare(column, a, b);
}

/* How the row in the slot stands to the best one of its key by now */
static int
compare_row(const PartScan *part, const DbpLatestColumn *column, HeapTuple best)
{
	bool a_is_null;
	bool b_is_null;
	Datum a = slot_getattr(part->slot, part_attnum(part, column->attnum), &a_is_null);
	Datum b = heap_getattr(best, column->attnum, RelationGetDescr(part->latest->rel), &b_is_null);

	return compare_column(column, a, a_is_null, b, b_is_null);
}

static bool
is_better(const PartScan *part, HeapTuple best)
{
	int order = compare_row(part, &part->latest->time, best);

	for (int i = 0; order == 0 && i < part->latest->nties; i++)
		order = compare_row(part, &part->latest->ties[i], best);
	return order > 0;
}

static HeapTuple
copy_row(const PartScan *part)
{
	TupleDesc desc = RelationGetDescr(part->rel);
	HeapTuple tuple;
	HeapTuple mapped;

	if (part->map == NULL)
	{
		tuple = ExecCopySlotHeapTuple(part->slot);
		/* columns that came later have defaults that may be the partition's own */
		if (HeapTupleHeaderGetNatts(tuple->t_data) == desc->natts)
			return tuple;
		heap_freetuple(tuple);
		slot_getallattrs(part->slot);
		return heap_form_tuple(desc, part->slot->tts_values, part->slot->tts_isnull);
	}
	tuple = ExecCopySlotHeapTuple(part->slot);
	mapped = execute_attr_map_tuple(tuple, part->map);
	heap_freetuple(tuple);
	return mapped;
}

/* Takes the row in the slot for the best of its key, unless it is not; false: it is deleted */
static bool
take_row(PartScan *part, DbpLatestKey *key)
{
	if (part->deleted != InvalidAttrNumber && !slot_attisnull(part->slot, part->deleted))
		return false;
	if (key->best == NULL || is_better(part, key->best))
	{
		/* rows may come oldest first: there can be many */
		if (key->best != NULL)
			heap_freetuple(key->best);
		key->best = copy_row(part);
	}
	return true;
}

static void
settle(PartScan *part, DbpLatestKey *key, int64 group)
{
	if (!key->settled)
		part->wanted--;
	key->settled = true;
	key->group = group;
}

static void
key_of_scan(ScanKey scankey, Relation index, int position, StrategyNumber strategy,
			const DbpLatestColumn *column, Datum value)
{
	Oid type = column->order->btree_opintype;
	Oid op = get_opfamily_member(column->order->btree_opf, type, type, strategy);

	ScanKeyEntryInitialize(scankey, 0, position, strategy, InvalidOid,
						   index->rd_indcollation[position - 1], get_opcode(op), value);
}

static void
begin_by_time(PartScan *part)
{
	ScanKeyData floor;

	part->scan =
		dbp_index_beginscan(part->rel, part->by_time, part->snapshot, part->bounded ? 1 : 0);
	part->scan->xs_want_itup = true;
	if (part->bounded)
		key_of_scan(&floor, part->by_time, 1, BTGreaterEqualStrategyNumber, &part->latest->time,
					part->floor);
	index_rescan(part->scan, part->bounded ? &floor : NULL, part->bounded ? 1 : 0, NULL, 0);
	part->times = AllocSetContextCreate(CurrentMemoryContext, "dbperf time", ALLOCSET_SMALL_SIZES);
}

/* Does the index' row belong to another group of equal times than the one before? */
static bool
begins_group(PartScan *part, Datum time)
{
	const DbpLatestColumn *column = &part->latest->time;
	MemoryContext caller;

	if (part->group > 0 && dbp_latest_compare(column, time, part->group_time) == 0)
		return false;
	part->group++;
	caller = MemoryContextSwitchTo(part->times);
	MemoryContextReset(part->times);
	part->group_time = datumCopy(time, column->order->typbyval, column->order->typlen);
	MemoryContextSwitchTo(caller);
	return true;
}

/* Is a row of this key to be looked at? */
static bool
is_wanted(const PartScan *part, const DbpLatestKey *key)
{
	if (key == NULL || key->answered)
		return false;
	return !key->settled || (key->group == part->group && part->latest->nties > 0);
}

static void
visit_by_time(PartScan *part)
{
	DbpLatestKey *key;
	bool isnull;
	Datum value;

	if (part->by_in_time > 0)
	{
		value =
			index_getattr(part->scan->xs_itup, part->by_in_time, part->scan->xs_itupdesc, &isnull);
		key = isnull ? NULL : find_key(part->latest, value);
		if (!is_wanted(part, key) || !index_fetch_heap(part->scan, part->slot))
			return;
	}
	else
	{
		if (!index_fetch_heap(part->scan, part->slot))
			return;
		value = slot_getattr(part->slot, part->by, &isnull);
		key = isnull ? NULL : find_key(part->latest, value);
		if (!is_wanted(part, key))
			return;
	}
	if (take_row(part, key))
		settle(part, key, part->group);
}

/*
 * Goes on reading by time, for so many rows.  True when no more is wanted, or
 * there is no more.
 */
static bool
read_by_time(PartScan *part, int64 rows)
{
	bool descending = (part->by_time->rd_indoption[0] & INDOPTION_DESC) != 0;
	ScanDirection direction = descending ? ForwardScanDirection : BackwardScanDirection;

	if (part->scan == NULL)
		begin_by_time(part);
	for (; rows > 0 && !part->ended; rows--)
	{
		bool isnull;
		Datum time;

		CHECK_FOR_INTERRUPTS();
		/* without ties, the first row of a key is as good as any */
		if (part->wanted == 0 && part->latest->nties == 0)
			break;
		if (index_getnext_tid(part->scan, direction) == NULL)
		{
			part->ended = true;
			break;
		}
		time = index_getattr(part->scan->xs_itup, 1, part->scan->xs_itupdesc, &isnull);
		/* the time is not null, but for rows that nobody has seen since it may not be */
		if (isnull)
			continue;
		if (begins_group(part, time) && part->wanted == 0)
			break;
		visit_by_time(part);
	}
	return part->ended || rows > 0;
}

/*
 * Reads rows of one key by an index led by it.  True when that was all that
 * matter, false after too many.
 */
static bool
read_key(PartScan *part, Relation index, DbpLatestKey *key, int64 rows)
{
	bool in_order = index == part->by_both;
	ScanDirection direction = ForwardScanDirection;
	IndexScanDesc scan = dbp_index_beginscan(part->rel, index, part->snapshot, 1);
	bool found = false;
	ScanKeyData equal;

	if (in_order && (index->rd_indoption[1] & INDOPTION_DESC) == 0)
		direction = BackwardScanDirection;
	key_of_scan(&equal, index, 1, BTEqualStrategyNumber, &part->latest->by, key->value);
	index_rescan(scan, &equal, 1, NULL, 0);
	for (; rows > 0; rows--)
	{
		CHECK_FOR_INTERRUPTS();
		if (!index_getnext_slot(scan, direction, part->slot))
			break;
		/* the best one may be of another partition: not every row that counts is taken */
		if (found && in_order && compare_row(part, &part->latest->time, key->best) < 0)
			break;
		found |= take_row(part, key);
		if (found && in_order && part->latest->nties == 0)
			break;
	}
	index_endscan(scan);
	return rows > 0;
}

/* Tries so many rows of all that is not settled, by an index led by the key */
static void
read_keys(PartScan *part, Relation index, int64 rows)
{
	DbpLatest *latest = part->latest;
	int64 each = Max(rows / Max(part->wanted, 1), FIRST_ROWS_OF_KEY);

	for (int i = 0; i < latest->nkeys; i++)
	{
		DbpLatestKey *key = &latest->keys[i];

		/* no group has the number 0 */
		if (!key->answered && !key->settled &&
			read_key(part, index, key, rows == ALL_ROWS ? ALL_ROWS : each))
			settle(part, key, 0);
	}
}

/* Without any index */
static void
read_all(PartScan *part)
{
	TableScanDesc scan = table_beginscan(part->rel, part->snapshot, 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, part->slot))
	{
		bool isnull;
		Datum value = slot_getattr(part->slot, part->by, &isnull);
		DbpLatestKey *key = isnull ? NULL : find_key(part->latest, value);

		CHECK_FOR_INTERRUPTS();
		if (key != NULL && !key->answered && !key->settled)
			(void) take_row(part, key);
	}
	table_endscan(scan);
}

/* How a time stands to that of the best row of a key by now; later where there is none */
static int
compare_time(const PartScan *part, const DbpLatestKey *key, Datum time)
{
	const DbpLatest *latest = part->latest;
	bool isnull;
	Datum best;

	if (key->best == NULL)
		return 1;
	best = heap_getattr(key->best, latest->time.attnum, RelationGetDescr(latest->rel), &isnull);
	return compare_column(&latest->time, time, false, best, isnull);
}

static bool
columnar_may_want(void *arg, const Datum *least_by, const Datum *greatest_by, const Datum *latest)
{
	const PartScan *part = arg;
	const DbpLatestColumn *by = &part->latest->by;

	for (int i = 0; i < part->latest->nkeys; i++)
	{
		const DbpLatestKey *key = &part->latest->keys[i];

		if (key->answered || key->settled ||
			(least_by != NULL && dbp_latest_compare(by, key->value, *least_by) < 0) ||
			(greatest_by != NULL && dbp_latest_compare(by, key->value, *greatest_by) > 0))
			continue;
		if (latest == NULL || compare_time(part, key, *latest) >= 0)
			return true;
	}
	return false;
}

static bool
columnar_wants(void *arg, Datum by, Datum time)
{
	const PartScan *part = arg;
	const DbpLatestKey *key = find_key(part->latest, by);

	return key != NULL && !key->answered && !key->settled && compare_time(part, key, time) >= 0;
}

static void
columnar_take(void *arg)
{
	PartScan *part = arg;
	bool isnull;
	Datum by = slot_getattr(part->slot, part->by, &isnull);

	CHECK_FOR_INTERRUPTS();
	(void) take_row(part, find_key(part->latest, by));
}

/* Its indexes do not have all rows */
static void
read_columnar(PartScan *part)
{
	DbpColumnarVisitor visitor = {.by = part->by,
								  .time = part->time,
								  .may_want = columnar_may_want,
								  .wants = columnar_wants,
								  .take = columnar_take,
								  .arg = part};

	dbp_latest_read_columnar(part->rel, part->snapshot, part->slot, &visitor);
}

/*
 * Finds the best rows of a partition.  "early": keys that are still looked for
 * are likely to have few rows or none, since a newer partition did not have them.
 */
static void
read_by_indexes(PartScan *part, bool early)
{
	Relation by_key = part->by_both != NULL ? part->by_both : part->by_key;
	int64 rows = FIRST_ROWS;

	if (part->by_time == NULL && by_key == NULL)
	{
		read_all(part);
		return;
	}
	if (part->by_time == NULL)
	{
		read_keys(part, by_key, ALL_ROWS);
		return;
	}
	if (by_key == NULL)
	{
		(void) read_by_time(part, ALL_ROWS);
		return;
	}
	if (early)
		read_keys(part, by_key, 0);
	while (!read_by_time(part, rows))
	{
		read_keys(part, by_key, part->by_both != NULL ? ALL_ROWS : rows);
		rows = Min(rows * 2, ALL_ROWS / 4);
	}
}

/*
 * What is not to be found in any other partition is not wanted of the default
 * partition, either, if it is older than all that was found.
 */
static void
bound_by_best(PartScan *part)
{
	const DbpLatest *latest = part->latest;

	for (int i = 0; i < latest->nkeys; i++)
	{
		const DbpLatestKey *key = &latest->keys[i];
		bool isnull;
		Datum time;

		if (key->answered)
			continue;
		if (key->best == NULL)
		{
			part->bounded = false;
			return;
		}
		time = heap_getattr(key->best, latest->time.attnum, RelationGetDescr(latest->rel), &isnull);
		if (!part->bounded || dbp_latest_compare(&latest->time, time, part->floor) < 0)
			part->floor = datumCopy(time, latest->time.order->typbyval, latest->time.order->typlen);
		part->bounded = true;
	}
}

static void
want_keys(PartScan *part, bool is_default)
{
	DbpLatest *latest = part->latest;

	for (int i = 0; i < latest->nkeys; i++)
	{
		DbpLatestKey *key = &latest->keys[i];

		key->settled = !is_default && key->best != NULL;
		key->group = 0;
		if (!key->answered && !key->settled)
			part->wanted++;
	}
	if (is_default)
		bound_by_best(part);
}

static bool
is_empty(Relation rel)
{
	return rel->rd_rel->relam == HEAP_TABLE_AM_OID && RelationGetNumberOfBlocks(rel) == 0;
}

/*
 * Finds what a partition has of the keys that it may have the last row of.
 * False when only a statement can read it.  *early: see read_by_indexes().
 */
static bool
scan_partition(DbpLatest *latest, Oid relid, bool is_default, bool *early)
{
	PartScan part = {.latest = latest, .snapshot = GetActiveSnapshot()};
	List *indexes;

	part.rel = try_table_open(relid, AccessShareLock);
	/* detached and dropped by now */
	if (part.rel == NULL)
		return true;
	if (part.rel->rd_rel->relkind != RELKIND_RELATION)
	{
		table_close(part.rel, NoLock);
		return false;
	}
	want_keys(&part, is_default);
	if (part.wanted > 0 && !is_empty(part.rel))
	{
		part.map =
			convert_tuples_by_name(RelationGetDescr(part.rel), RelationGetDescr(latest->rel));
		part.by = part_attnum(&part, latest->by.attnum);
		part.time = part_attnum(&part, latest->time.attnum);
		part.deleted = part_attnum(&part, latest->deleted);
		part.slot = table_slot_create(part.rel, NULL);
		indexes = dbp_is_columnar(part.rel) ? NIL : open_indexes(&part);
		if (dbp_is_columnar(part.rel))
			read_columnar(&part);
		else
			read_by_indexes(&part, *early);
		*early = true;
		if (part.scan != NULL)
		{
			index_endscan(part.scan);
			MemoryContextDelete(part.times);
		}
		ExecDropSingleTupleTableSlot(part.slot);
		close_indexes(indexes);
	}
	/* locks on tables stay, as those of a query do */
	table_close(part.rel, NoLock);
	return true;
}

static bool
all_found(const DbpLatest *latest)
{
	for (int i = 0; i < latest->nkeys; i++)
		if (!latest->keys[i].answered && latest->keys[i].best == NULL)
			return false;
	return true;
}

bool
dbp_latest_may_read(const DbpLatest *latest)
{
	Relation rel = latest->rel;
	Oid relid = RelationGetRelid(rel);

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE || IsolationIsSerializable() ||
		!ActiveSnapshotSet() || !IsMVCCSnapshot(GetActiveSnapshot()) || RELATION_IS_OTHER_TEMP(rel))
		return false;
	/* who is to hear of every access hears of statements */
	return ExecutorCheckPerms_hook == NULL && dbp_may_use_schema(RelationGetNamespace(rel)) &&
		pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED;
}

bool
dbp_latest_can_scan(const DbpLatest *latest)
{
	PartitionKey key = RelationGetPartitionKey(latest->rel);

	return key->strategy == PARTITION_STRATEGY_RANGE && key->partnatts == 1 &&
		key->partattrs[0] == latest->time.attnum &&
		key->partopfamily[0] == latest->time.order->btree_opf &&
		key->partcollation[0] == latest->time.collation;
}

bool
dbp_latest_scan(DbpLatest *latest)
{
	TupleDesc desc = RelationGetDescr(latest->rel);
	PartitionDesc parts;
	Oid *relids;
	Oid defpart;
	int count;
	bool early = false;
	bool readable = true;

	dbp_fence_check(RelationGetRelid(latest->rel), GetActiveSnapshot());
	parts = RelationGetPartitionDesc(latest->rel, true);
	defpart = get_default_oid_from_partdesc(parts);
	/* a row without a time is nowhere in the order that indexes are read in here */
	if (OidIsValid(defpart) && !TupleDescAttr(desc, latest->time.attnum - 1)->attnotnull)
		return false;
	/* in the order of bounds; copied, as waiting for a lock may have it made anew */
	count = parts->nparts;
	relids = palloc(Max(count, 1) * sizeof(Oid));
	memcpy(relids, parts->oids, count * sizeof(Oid));
	for (int i = count - 1; readable && i >= 0 && !all_found(latest); i--)
		if (relids[i] != defpart)
			readable = scan_partition(latest, relids[i], false, &early);
	if (readable && OidIsValid(defpart))
		readable = scan_partition(latest, defpart, true, &early);
	pfree(relids);
	return readable;
}
