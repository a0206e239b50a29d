/*-------------------------------------------------------------------------
 *
 * default_status.c
 *		What a default partition holds, range by range.
 *
 * One pass over the rows, whose keys are all that is looked at; nothing of the
 * owner's runs for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "partition/drain.h"

PG_FUNCTION_INFO_V1(dbperf_partition_default_status);

/* Ranges of a default partition with their rows, sorted by the lower bound */
typedef struct DbpCounts
{
	const DbpPolicy *policy;
	const DbpParts *parts;
	bool has_current;
	int64 current;
	DbpHeld *held;
	int n;
	int room;
	int last; /* found last */
	int64 null_keys;
	int64 no_cell; /* outside all that the type of the key can hold bounds for */
	int64 not_sane;
} DbpCounts;

/* The first range that ends above the key */
static int
find_held(const DbpCounts *counts, int64 key)
{
	int low = 0;
	int high = counts->n;

	if (counts->last < counts->n && counts->held[counts->last].range.lower <= key &&
		key < counts->held[counts->last].range.upper)
		return counts->last;
	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (counts->held[middle].range.upper > key)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void
insert_held(DbpCounts *counts, int at, const DbpRange *range)
{
	if (counts->n == counts->room)
	{
		counts->room = Max(64, counts->room * 2);
		counts->held = counts->held == NULL
			? palloc(counts->room * sizeof(DbpHeld))
			: repalloc_huge(counts->held, counts->room * sizeof(DbpHeld));
	}
	memmove(&counts->held[at + 1], &counts->held[at], (counts->n - at) * sizeof(DbpHeld));
	memset(&counts->held[at], 0, sizeof(DbpHeld));
	counts->held[at].range = *range;
	counts->n++;
}

/*
 * The range that a partition for a key would have; false: none can be made,
 * and *counter says why.
 */
static bool
range_of_key(DbpCounts *counts, int64 key, DbpRange *range, int64 **counter)
{
	*counter = &counts->no_cell;
	if (!dbp_drain_range(counts->policy, counts->parts, key, range))
		return false;
	*counter = &counts->not_sane;
	return !counts->has_current || key <= counts->current ||
		dbp_key_is_sane(counts->policy, key, counts->current);
}

static void
count_key(DbpCounts *counts, int64 key)
{
	int at = find_held(counts, key);
	DbpRange range;
	int64 *counter;

	if (at >= counts->n || counts->held[at].range.lower > key)
	{
		if (!range_of_key(counts, key, &range, &counter))
		{
			(*counter)++;
			return;
		}
		insert_held(counts, at, &range);
	}
	counts->held[at].rows++;
	counts->last = at;
}

static void
count_table(DbpCounts *counts, Oid relid)
{
	Relation rel = relation_open(relid, AccessShareLock);
	AttrNumber column = get_attnum(relid, counts->policy->column);
	Snapshot snapshot;
	TableScanDesc scan;
	TupleTableSlot *slot;

	if (rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the rows of foreign table \"%s\" cannot be counted here",
						RelationGetRelationName(rel)),
				 errhint("Count them with a query.")));
	if (rel->rd_rel->relkind != RELKIND_RELATION)
	{
		relation_close(rel, NoLock);
		return;
	}
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = table_beginscan(rel, snapshot, 0, NULL);
	slot = table_slot_create(rel, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull;
		Datum value = slot_getattr(slot, column, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (isnull)
			counts->null_keys++;
		else
			count_key(counts, dbp_key_from_datum(counts->policy->keytype, value));
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	relation_close(rel, NoLock);
}

static List *
add_stuck(List *all, int64 rows, const char *obstacle)
{
	DbpHeld *held = palloc(sizeof(DbpHeld));

	if (rows == 0)
		return all;
	held->range.lower = DBP_KEY_MIN;
	held->range.upper = DBP_KEY_MAX;
	held->rows = rows;
	held->obstacle = obstacle;
	return lappend(all, held);
}

/*
 * The rows of the default partition, counted by the ranges of the partitions
 * that drain_default() would make for them, in order; then those that it would
 * leave.  A list of DbpHeld.  The caller holds ACCESS SHARE or more on the
 * default partition and all that is below it.
 */
List *
dbp_default_held(const DbpPolicy *policy, const DbpParts *parts)
{
	DbpCounts counts = {0};
	List *all = NIL;
	ListCell *cell;

	counts.policy = policy;
	counts.parts = parts;
	counts.has_current = dbp_current_key(policy, parts, &counts.current);
	foreach(cell, find_all_inheritors(parts->defpart, NoLock, NULL))
		count_table(&counts, lfirst_oid(cell));
	for (int i = 0; i < counts.n; i++)
		all = lappend(all, &counts.held[i]);
	all = add_stuck(all, counts.not_sane,
					"their keys lie further ahead than the policy's sanity window");
	all = add_stuck(all, counts.no_cell, "no partition can be made for their keys");
	return add_stuck(all, counts.null_keys, "their keys are null");
}

/* Why drain_default() would refuse, or NULL */
static const char *
obstacle_of_table(Oid defpart, const DbpPolicy *policy)
{
	Relation rel = relation_open(defpart, AccessShareLock);
	const char *obstacle = NULL;

	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		obstacle = "the default partition is partitioned itself";
	else if (!dbp_move_can_read(rel))
		obstacle = "the default partition has another access method than heap";
	else if (dbp_default_is_large(defpart) &&
			 !OidIsValid(dbp_move_index(rel, get_attnum(defpart, policy->column), policy->keytype)))
		obstacle = "the default partition is large and has no index on the key";
	relation_close(rel, NoLock);
	return obstacle;
}

static void
put_held(ReturnSetInfo *rows, const DbpPolicy *policy, Oid defpart, const DbpHeld *held,
		 const char *obstacle)
{
	bool bounded = held->range.lower != DBP_KEY_MIN || held->range.upper != DBP_KEY_MAX;
	Datum values[5] = {0};
	bool nulls[5] = {false, !bounded, !bounded, false, obstacle == NULL};

	values[0] = ObjectIdGetDatum(defpart);
	if (bounded)
	{
		values[1] = CStringGetTextDatum(dbp_key_display(policy, held->range.lower));
		values[2] = CStringGetTextDatum(dbp_key_display(policy, held->range.upper));
	}
	values[3] = Int64GetDatum(held->rows);
	if (obstacle != NULL)
		values[4] = CStringGetTextDatum(obstacle);
	tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
}

/*
 * partition_default_status(parent regclass) returns setof (default_partition,
 * lower_bound, upper_bound, row_count, obstacle)
 */
Datum
dbperf_partition_default_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	DbpPolicy *policy;
	DbpParts parts;
	DbpCost cost = {0};
	const char *obstacle;
	ListCell *cell;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	policy = dbp_policy_get(PG_GETARG_OID(0));
	dbp_check_table_owner(policy->parent);
	dbp_check_time_zone(policy);
	dbp_parts_read(policy->parent, policy->keytype, &parts);
	if (OidIsValid(parts.defpart))
	{
		dbp_lock_relation(policy, parts.defpart, AccessShareLock, &cost);
		/* who made a partition meanwhile had the default partition locked */
		dbp_parts_read(policy->parent, policy->keytype, &parts);
	}
	if (OidIsValid(parts.defpart))
	{
		obstacle = obstacle_of_table(parts.defpart, policy);
		foreach(cell, dbp_default_held(policy, &parts))
		{
			const DbpHeld *held = lfirst(cell);

			put_held(rows, policy, parts.defpart, held,
					 held->obstacle != NULL ? held->obstacle : obstacle);
		}
	}
	SPI_finish();
	return (Datum) 0;
}
