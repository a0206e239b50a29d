/*-------------------------------------------------------------------------
 *
 * am.c
 *		The table access method dbperf_columnar.
 *
 * Whatever is not said here is heapam's: files, free space, WAL, freezing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/visibilitymap.h"
#include "access/multixact.h"
#include "access/transam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "commands/vacuum.h"
#include "fmgr.h"
#include "storage/bufmgr.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "columnar.h"
#include "compat.h"
#include "modify.h"
#include "sample.h"
#include "scan.h"

TableAmRoutine dbp_columnar_routine;

static const TupleTableSlotOps *
slot_callbacks(Relation rel)
{
	return &dbp_columnar_slot_ops;
}

static struct IndexFetchTableData *
index_fetch_begin(Relation rel)
{
	dbp_index_scan_prepare(rel);
	return GetHeapamTableAmRoutine()->index_fetch_begin(rel);
}

static void
finish_bulk_insert(Relation rel, int options)
{
	dbp_pending_flush(rel);

	/* also where no row came: no columnar table is ever without */
	if (OidIsValid(rel->rd_rel->relrewrite))
		dbp_pending_need_toast_table(rel);
}

/* Batches need it, whatever the columns are */
static bool
relation_needs_toast_table(Relation rel)
{
	return true;
}

/* heapam would say: the same as that of the relation */
static Oid
relation_toast_am(Relation rel)
{
	return HEAP_TABLE_AM_OID;
}

static double
physical_tuples(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	double tuples = -1;

	if (HeapTupleIsValid(tuple))
	{
		tuples = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
		ReleaseSysCache(tuple);
	}
	return tuples;
}

/* heapam has counted each batch as a row: puts the numbers of rows right */
static void
relation_vacuum(Relation rel, struct VacuumParams *params, BufferAccessStrategy strategy)
{
	BlockNumber visible;
	BlockNumber frozen;
	double rows;

	heap_vacuum_rel(rel, params, strategy);
	AcceptInvalidationMessages();
	rows = dbp_count_rows(rel, physical_tuples(RelationGetRelid(rel)));
	visibilitymap_count(rel, &visible, &frozen);
	dbp_update_relstats(rel, RelationGetNumberOfBlocks(rel), rows, visible, frozen,
						rel->rd_rel->relhasindex);
}

static void
make_routine(void)
{
	dbp_columnar_routine = *GetHeapamTableAmRoutine();

	dbp_columnar_routine.slot_callbacks = slot_callbacks;

	dbp_columnar_routine.scan_begin = dbp_scan_begin;
	dbp_columnar_routine.scan_end = dbp_scan_end;
	dbp_columnar_routine.scan_rescan = dbp_scan_rescan;
	dbp_columnar_routine.scan_getnextslot = dbp_scan_next;
	dbp_columnar_routine.scan_set_tidrange = dbp_scan_set_range;
	dbp_columnar_routine.scan_getnextslot_tidrange = dbp_scan_next_in_range;

	dbp_columnar_routine.index_fetch_begin = index_fetch_begin;
	dbp_columnar_routine.index_fetch_tuple = dbp_index_fetch;
	dbp_columnar_routine.index_delete_tuples = dbp_index_delete_tuples;

	dbp_columnar_routine.tuple_fetch_row_version = dbp_fetch_row;
	dbp_columnar_routine.tuple_tid_valid = dbp_tid_valid;
	dbp_columnar_routine.tuple_get_latest_tid = dbp_latest_tid;
	dbp_columnar_routine.tuple_satisfies_snapshot = dbp_row_satisfies;

	dbp_columnar_routine.tuple_insert = dbp_tuple_insert;
	dbp_columnar_routine.tuple_insert_speculative = dbp_tuple_insert_speculative;
	dbp_columnar_routine.multi_insert = dbp_multi_insert;
	dbp_columnar_routine.tuple_delete = dbp_tuple_delete;
	dbp_columnar_routine.tuple_update = dbp_tuple_update;
	dbp_columnar_routine.tuple_lock = dbp_tuple_lock;
	dbp_columnar_routine.finish_bulk_insert = finish_bulk_insert;

	dbp_columnar_routine.relation_copy_for_cluster = dbp_copy_for_cluster;
	dbp_columnar_routine.relation_vacuum = relation_vacuum;
	dbp_columnar_routine.scan_analyze_next_block = dbp_analyze_next_block;
	dbp_columnar_routine.scan_analyze_next_tuple = dbp_analyze_next_tuple;
	dbp_columnar_routine.index_build_range_scan = dbp_index_build_range_scan;
	dbp_columnar_routine.index_validate_scan = dbp_index_validate_scan;

	dbp_columnar_routine.relation_needs_toast_table = relation_needs_toast_table;
	dbp_columnar_routine.relation_toast_am = relation_toast_am;
	dbp_columnar_routine.relation_estimate_size = dbp_relation_estimate_size;

	dbp_no_bitmap_scan(dbp_columnar_routine);
	dbp_columnar_routine.scan_sample_next_block = dbp_sample_next_block;
	dbp_columnar_routine.scan_sample_next_tuple = dbp_sample_next_tuple;
}

PG_FUNCTION_INFO_V1(dbperf_columnar_handler);

Datum
dbperf_columnar_handler(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&dbp_columnar_routine);
}

void
dbp_columnar_init(void)
{
	make_routine();
	dbp_columnar_planner_init();
	dbp_columnar_guard_init();
}
