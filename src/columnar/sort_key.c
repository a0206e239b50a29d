/*-------------------------------------------------------------------------
 *
 * sort_key.c
 *		By which columns the rows of a table are sorted before they become
 *		batches.
 *
 * Rows of one series beside each other, in the order of time, take the least
 * space and are found with the fewest batches read.  An order that somebody has
 * asked for is kept in the TOAST table, beside the batches.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "columnar/batch.h"
#include "columnar/columnar.h"
#include "columnar/rewrite.h"

/* More columns than that bring no order that anybody would notice */
#define MAX_SORT_COLUMNS 8

bool
dbp_can_sort_by(TupleDesc tupdesc, AttrNumber attnum)
{
	Form_pg_attribute attr;

	if (attnum < 1 || attnum > tupdesc->natts)
		return false;
	attr = TupleDescAttr(tupdesc, attnum - 1);
	return !attr->attisdropped &&
		OidIsValid(lookup_type_cache(attr->atttypid, TYPECACHE_LT_OPR)->lt_opr);
}

/*
 * Columns by their names: a list of attnums.  Raises undefined_column,
 * undefined_function where the type has no order, and the like.
 */
List *
dbp_sort_key_by_names(Relation rel, List *names)
{
	List *result = NIL;
	ListCell *cell;

	foreach(cell, names)
	{
		const char *name = lfirst(cell);
		AttrNumber attnum = get_attnum(RelationGetRelid(rel), name);

		if (attnum < 1)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s\" does not exist", name,
							RelationGetRelationName(rel)),
					 errhint("sort_by is an array of names of the table's columns.")));
		if (!dbp_can_sort_by(RelationGetDescr(rel), attnum))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("table \"%s\" cannot be sorted by column \"%s\"",
							RelationGetRelationName(rel), name),
					 errdetail("Its type has no default operator class for access method btree.")));
		if (list_member_int(result, attnum))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" appears twice in sort_by", name)));
		result = lappend_int(result, attnum);
	}
	if (list_length(result) > MAX_SORT_COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("cannot sort by more than %d columns", MAX_SORT_COLUMNS)));
	return result;
}

/*
 * The column that a table is partitioned by as a partition of its parent, or
 * InvalidAttrNumber.
 */
static AttrNumber
partition_column(Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	Relation parent;
	PartitionKey key;
	AttrNumber attnum = InvalidAttrNumber;

	if (!rel->rd_rel->relispartition)
		return InvalidAttrNumber;
	parent = relation_open(get_partition_parent(relid, true), AccessShareLock);
	key = RelationGetPartitionKey(parent);
	if (key != NULL && key->partnatts > 0 && key->partattrs[0] > 0)
		attnum = get_attnum(
			relid,
			NameStr(TupleDescAttr(RelationGetDescr(parent), key->partattrs[0] - 1)->attname));
	relation_close(parent, AccessShareLock);
	return attnum;
}

static bool
is_time(TupleDesc tupdesc, AttrNumber attnum)
{
	Oid type = getBaseType(TupleDescAttr(tupdesc, attnum - 1)->atttypid);

	return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID;
}

/*
 * The key columns of an index that can be sorted by.
 */
static List *
index_columns(Relation rel, Oid index, bool *unique)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	List *columns = NIL;

	if (!HeapTupleIsValid(tuple))
		return NIL;
	form = (Form_pg_index) GETSTRUCT(tuple);
	*unique = form->indisunique;
	for (int i = 0; form->indisvalid && i < form->indnkeyatts; i++)
		if (dbp_can_sort_by(RelationGetDescr(rel), form->indkey.values[i]))
			columns = list_append_unique_int(columns, form->indkey.values[i]);
	ReleaseSysCache(tuple);
	return columns;
}

/*
 * The first column of the first index that is about something else than the
 * partition column; the columns of that index.  What is unique alone says
 * little about what belongs together, so those indexes come last.
 */
static AttrNumber
first_other_column(Relation rel, AttrNumber partition_column, List **columns)
{
	List *indexes = RelationGetIndexList(rel);

	for (int pass = 0; pass < 2; pass++)
	{
		ListCell *cell;

		foreach(cell, indexes)
		{
			bool unique = false;
			ListCell *column;

			*columns = index_columns(rel, lfirst_oid(cell), &unique);
			if (unique != (pass == 1))
				continue;
			foreach(column, *columns)
				if (lfirst_int(column) != partition_column)
					return lfirst_int(column);
		}
	}
	*columns = NIL;
	return InvalidAttrNumber;
}

List *
dbp_default_sort_key(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	AttrNumber by_time = partition_column(rel);
	List *columns;
	AttrNumber first = first_other_column(rel, by_time, &columns);
	List *result = NIL;

	if (AttributeNumberIsValid(by_time) && !dbp_can_sort_by(RelationGetDescr(rel), by_time))
		by_time = InvalidAttrNumber;
	if (!AttributeNumberIsValid(by_time) && list_length(columns) > 1)
	{
		/* as of a partition that has been detached: the time comes last */
		AttrNumber second = lsecond_int(columns);

		if (is_time(RelationGetDescr(rel), first) && !is_time(RelationGetDescr(rel), second))
		{
			by_time = first;
			first = second;
		}
		else
			by_time = second;
	}
	if (AttributeNumberIsValid(first))
		result = lappend_int(result, first);
	if (AttributeNumberIsValid(by_time))
		result = lappend_int(result, by_time);
	table_close(rel, AccessShareLock);
	return result;
}

/*
 * What dbp_sort_key_store() has written, without columns that have gone since.
 */
List *
dbp_sort_key_stored(Relation rel)
{
	List *result = NIL;
	DbpToast toast;
	DbpToastScan scan;

	if (!dbp_is_columnar(rel) || !OidIsValid(rel->rd_rel->reltoastrelid))
		return NIL;
	dbp_toast_open(&toast, rel->rd_rel->reltoastrelid, AccessShareLock);
	dbp_toast_scan_begin(&scan, &toast, DBP_TOAST_SORT_KEY, 0, 1, SnapshotSelf);
	if (dbp_toast_scan_next(&scan))
	{
		for (uint32 at = 0; at + sizeof(AttrNumber) <= scan.length; at += sizeof(AttrNumber))
		{
			AttrNumber attnum;

			memcpy(&attnum, scan.data + at, sizeof(AttrNumber));
			if (dbp_can_sort_by(RelationGetDescr(rel), attnum))
				result = list_append_unique_int(result, attnum);
		}
	}
	dbp_toast_scan_end(&scan);
	dbp_toast_close(&toast);
	return result;
}

void
dbp_sort_key_store(Relation rel, List *attnums, CommandId cid)
{
	AttrNumber key[MAX_SORT_COLUMNS];
	int n = 0;
	DbpToast toast;
	ListCell *cell;

	foreach(cell, attnums)
		if (n < MAX_SORT_COLUMNS)
			key[n++] = lfirst_int(cell);
	if (n == 0 || !dbp_is_columnar(rel))
		return;
	dbp_toast_open(&toast, rel->rd_rel->reltoastrelid, RowExclusiveLock);
	dbp_toast_insert(&toast, DBP_TOAST_SORT_KEY, 0, key, sizeof(AttrNumber) * n, cid,
					 HEAP_INSERT_FROZEN | HEAP_INSERT_SKIP_FSM, NULL);
	dbp_toast_close(&toast);
}

List *
dbp_table_sort_key(Relation rel)
{
	List *stored = dbp_sort_key_stored(rel);

	return stored != NIL ? stored : dbp_default_sort_key(RelationGetRelid(rel));
}
