/*-------------------------------------------------------------------------
 *
 * move.c
 *		Moves the rows of a range from a default partition into a new table.
 *
 * Rows are moved one by one through the table access method, as an UPDATE of
 * the key would do it, but without triggers and foreign key actions: no row
 * comes or goes.  For the same reason nothing of it is decoded for logical
 * replication; a subscriber could make nothing of rows for a table that is no
 * partition yet.  Row security does not apply at this level.
 *
 * Rows that another transaction has its hands on are passed over.  A later
 * pass finds them, at the latest the one that is made when the default partition is
 * locked.  For that one to be quick, the rows that are gone are remembered by
 * their places, as the index has them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "columnar/columnar.h"
#include "compat.h"
#include "partition/drain.h"

/* The places of one page whose rows have been moved */
typedef struct MovedPage
{
	BlockNumber block; /* key of the hash table */
	uint8 places[MaxHeapTuplesPerPage / BITS_PER_BYTE + 1];
} MovedPage;

/* About what one takes in the hash table */
#define MOVED_PAGE_BYTES ((long) sizeof(MovedPage) + 40)

struct DbpMove
{
	const DbpPolicy *policy;
	DbpRange range;
	int batch_size;
	Relation source;
	Relation target;
	AttrNumber column; /* the key in the source */
	Relation index;	   /* of the source, led by the key; or NULL */
	TupleConversionMap *map;
	TupleTableSlot *from;
	TupleTableSlot *to;
	EState *estate;
	ResultRelInfo *result;
	BulkInsertState bulk;
	HTAB *moved; /* MovedPage; with an index only */
	MovedPage *last_page;
	int64 skipped; /* rows that the last pass had to leave */
	MemoryContext context;
};

static Datum
key_datum(Oid keytype, int64 key)
{
	switch (keytype)
	{
		case INT4OID:
			return Int32GetDatum((int32) Min(Max(key, PG_INT32_MIN), PG_INT32_MAX));
		case DATEOID:
			if (key == DBP_KEY_MIN || key == DBP_KEY_MAX)
				return DateADTGetDatum(key == DBP_KEY_MIN ? DATEVAL_NOBEGIN : DATEVAL_NOEND);
			return DateADTGetDatum((DateADT) Min(Max(key, DATEVAL_NOBEGIN + 1), DATEVAL_NOEND - 1));
		default:
			return Int64GetDatum(key);
	}
}

/* May a snapshot taken now rely on the index?  As the planner asks. */
static bool
index_is_usable(Relation index)
{
	Form_pg_index form = index->rd_index;

	return form->indisvalid && form->indisready && form->indislive &&
		(!form->indcheckxmin ||
		 TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data),
							   TransactionXmin));
}

/*
 * A btree index of all rows that is led by a column, in its type's own order;
 * or InvalidOid.
 */
Oid
dbp_move_index(Relation source, AttrNumber column, Oid keytype)
{
	Oid family = get_opclass_family(GetDefaultOpClass(keytype, BTREE_AM_OID));
	Oid found = InvalidOid;
	ListCell *cell;

	/* its indexes lack the rows of batches */
	if (dbp_is_columnar(source))
		return InvalidOid;
	foreach(cell, RelationGetIndexList(source))
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indkey.values[0] == column &&
			index->rd_opfamily[0] == family && RelationGetIndexPredicate(index) == NIL &&
			index_is_usable(index))
			found = lfirst_oid(cell);
		index_close(index, AccessShareLock);
		if (OidIsValid(found))
			break;
	}
	return found;
}

/* Is it a table of the kind that rows are moved between? */
bool
dbp_move_can_read(Relation source)
{
	return source->rd_rel->relkind == RELKIND_RELATION &&
		(source->rd_rel->relam == HEAP_TABLE_AM_OID || dbp_is_columnar(source));
}

/*
 * Raise feature_not_supported unless rows can be moved out of this table.
 */
void
dbp_move_check_source(Relation source)
{
	const char *name = RelationGetRelationName(source);

	if (source->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("default partition \"%s\" is partitioned itself and cannot be drained",
						name),
				 errhint("Move its rows by hand, or use one that is an ordinary table.")));
	if (source->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("default partition \"%s\" is a foreign table and cannot be drained", name),
				 errhint("Move its rows by hand.")));
	if (!dbp_move_can_read(source))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" has access method \"%s\", and rows are moved only between "
						"tables of \"heap\" and \"%s\"",
						name, get_am_name(source->rd_rel->relam), DBP_COLUMNAR_AM),
				 errhint("Move the rows of the default partition by hand.")));
}

static IndexScanDesc
begin_index_scan(Relation source, Relation index, Snapshot snapshot, Oid keytype,
				 const DbpRange *range)
{
	IndexScanDesc scan = dbp_index_beginscan(source, index, snapshot, 2);
	Oid family = index->rd_opfamily[0];
	ScanKeyData keys[2];
	int count = 0;

	ScanKeyEntryInitialize(&keys[count++], 0, 1, BTGreaterEqualStrategyNumber, keytype, InvalidOid,
						   get_opcode(get_opfamily_member(family, keytype, keytype,
														  BTGreaterEqualStrategyNumber)),
						   key_datum(keytype, range->lower));
	/* to the end, the greatest key included */
	ScanKeyEntryInitialize(&keys[count++], 0, 1,
						   range->upper == DBP_KEY_MAX ? BTLessEqualStrategyNumber
													   : BTLessStrategyNumber,
						   keytype, InvalidOid,
						   get_opcode(get_opfamily_member(family, keytype, keytype,
														  range->upper == DBP_KEY_MAX
															  ? BTLessEqualStrategyNumber
															  : BTLessStrategyNumber)),
						   key_datum(keytype, range->upper));
	index_rescan(scan, keys, count, NULL, 0);
	return scan;
}

/* Without an index: the least key from "from" on, by reading everything */
static bool
least_key(Relation source, AttrNumber column, const DbpPolicy *policy, Snapshot snapshot,
		  int64 from, int64 *key)
{
	TableScanDesc scan = table_beginscan(source, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(source, NULL);
	bool found = false;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull;
		Datum value = slot_getattr(slot, column, &isnull);
		int64 this = isnull ? 0 : dbp_key_from_datum(policy->keytype, value);

		CHECK_FOR_INTERRUPTS();
		if (isnull || this < from || (found && this >= *key))
			continue;
		*key = this;
		found = true;
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	return found;
}

static bool
least_key_by_index(Relation source, Oid index_oid, AttrNumber column, const DbpPolicy *policy,
				   Snapshot snapshot, int64 from, int64 *key)
{
	Relation index = index_open(index_oid, AccessShareLock);
	DbpRange range = {from, DBP_KEY_MAX};
	IndexScanDesc scan = begin_index_scan(source, index, snapshot, policy->keytype, &range);
	TupleTableSlot *slot = table_slot_create(source, NULL);
	bool descending = (index->rd_indoption[0] & INDOPTION_DESC) != 0;
	bool found;

	found =
		index_getnext_slot(scan, descending ? BackwardScanDirection : ForwardScanDirection, slot);
	if (found)
	{
		bool isnull;

		*key = dbp_key_from_datum(policy->keytype, slot_getattr(slot, column, &isnull));
		/* "from" may lie behind all that the type can hold */
		found = *key >= from;
	}
	ExecDropSingleTupleTableSlot(slot);
	index_endscan(scan);
	index_close(index, AccessShareLock);
	return found;
}

/*
 * The least key, not below "from", of a row in the default partition, as a
 * transaction that begins now would see it.  Raises
 * object_not_in_prerequisite_state where that would mean to read a large
 * table again and again.  The caller holds SHARE UPDATE EXCLUSIVE on the table.
 */
bool
dbp_move_next_key(Oid defpart, const DbpPolicy *policy, int64 from, int64 *key)
{
	Relation source = table_open(defpart, AccessShareLock);
	AttrNumber column = get_attnum(defpart, policy->column);
	Snapshot snapshot;
	Oid index;
	bool found;

	dbp_move_check_source(source);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	index = dbp_move_index(source, column, policy->keytype);
	if (!OidIsValid(index) && dbp_default_is_large(defpart))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("default partition \"%s\" is large and has no index on column \"%s\"",
						RelationGetRelationName(source), policy->column),
				 errdetail("Each range would mean to read all of it, once while it is locked."),
				 dbp_is_columnar(source)
					 ? errhint("Decompress it first, with dbperf.decompress_partition().")
					 : errhint("CREATE INDEX CONCURRENTLY ON %s (%s);",
							   quote_qualified_identifier(get_namespace_name(
															  RelationGetNamespace(source)),
														  RelationGetRelationName(source)),
							   quote_identifier(policy->column))));
	found = OidIsValid(index)
		? least_key_by_index(source, index, column, policy, snapshot, from, key)
		: least_key(source, column, policy, snapshot, from, key);
	UnregisterSnapshot(snapshot);
	table_close(source, NoLock);
	return found;
}

static void
prepare_target(DbpMove *move)
{
	move->estate = CreateExecutorState();
	move->result = makeNode(ResultRelInfo);
	InitResultRelInfo(move->result, move->target, 0, NULL, 0);
	ExecOpenIndices(move->result, false);
	move->bulk = GetBulkInsertState();
	move->from = table_slot_create(move->source, NULL);
	move->to = table_slot_create(move->target, NULL);
	move->map =
		convert_tuples_by_name(RelationGetDescr(move->source), RelationGetDescr(move->target));
}

/*
 * Begin to move the rows of a range into a table that has been made for them
 * in this transaction.  The caller holds ROW EXCLUSIVE or more on the default
 * partition, and has SPI connected.
 */
DbpMove *
dbp_move_begin(const DbpPolicy *policy, const DbpRange *range, Oid defpart, Oid target,
			   int batch_size)
{
	DbpMove *move = palloc0(sizeof(DbpMove));
	Oid index;

	move->context = CurrentMemoryContext;
	move->policy = policy;
	move->range = *range;
	move->batch_size = batch_size;
	move->source = table_open(defpart, RowExclusiveLock);
	move->target = table_open(target, RowExclusiveLock);
	dbp_move_check_source(move->source);
	dbp_move_check_source(move->target);
	move->column = get_attnum(defpart, policy->column);
	index = dbp_move_index(move->source, move->column, policy->keytype);
	if (OidIsValid(index))
	{
		HASHCTL ctl = {0};

		ctl.keysize = sizeof(BlockNumber);
		ctl.entrysize = sizeof(MovedPage);
		ctl.hcxt = CurrentMemoryContext;
		move->index = index_open(index, AccessShareLock);
		move->moved =
			hash_create("dbperf moved rows", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	prepare_target(move);
	return move;
}

/* The page of a place; NULL when it is not known and not to be made */
static MovedPage *
moved_page(DbpMove *move, ItemPointer tid, bool make)
{
	BlockNumber block = ItemPointerGetBlockNumber(tid);
	bool found;

	if (move->last_page != NULL && move->last_page->block == block)
		return move->last_page;
	/* what is not remembered is looked at once more, that is all */
	if (make &&
		hash_get_num_entries(move->moved) >= maintenance_work_mem * 1024L / MOVED_PAGE_BYTES)
		make = false;
	move->last_page = hash_search(move->moved, &block, make ? HASH_ENTER : HASH_FIND, &found);
	if (move->last_page != NULL && !found)
		memset(move->last_page->places, 0, sizeof(move->last_page->places));
	return move->last_page;
}

static bool
place_bit(ItemPointer tid, int *byte, uint8 *bit)
{
	OffsetNumber offset = ItemPointerGetOffsetNumber(tid);

	*byte = offset / BITS_PER_BYTE;
	*bit = 1 << (offset % BITS_PER_BYTE);
	return offset <= MaxHeapTuplesPerPage;
}

static bool
is_moved(DbpMove *move, ItemPointer tid)
{
	MovedPage *page = moved_page(move, tid, false);
	int byte;
	uint8 bit;

	return page != NULL && place_bit(tid, &byte, &bit) && (page->places[byte] & bit) != 0;
}

static void
remember_moved(DbpMove *move, ItemPointer tid)
{
	MovedPage *page = moved_page(move, tid, true);
	int byte;
	uint8 bit;

	if (page != NULL && place_bit(tid, &byte, &bit))
		page->places[byte] |= bit;
}

/*
 * Take the row out of the default partition; false when somebody else changes
 * or locks it.  Marked as moved to another partition, so that whoever finds
 * it by an older snapshot and wants to change it gets an error, and does not
 * take it for deleted.
 */
static bool
take_out(DbpMove *move, Snapshot snapshot)
{
	Form_pg_class form = move->source->rd_rel;
	char identity = form->relreplident;
	TM_FailureData failure;
	TM_Result result;

	/* without an old key, logical decoding has nothing to say of it */
	form->relreplident = REPLICA_IDENTITY_NOTHING;
	result = table_tuple_delete(move->source, &move->from->tts_tid, GetCurrentCommandId(true),
								snapshot, InvalidSnapshot, false, &failure, true);
	form->relreplident = identity;
	switch (result)
	{
		case TM_Ok:
			return true;
		case TM_Updated:
		case TM_Deleted:
		case TM_BeingModified:
			return false;
		default:
			elog(ERROR, "unexpected result %d of moving a row out of table \"%s\"", result,
				 RelationGetRelationName(move->source));
	}
	return false;
}

static void
put_in(DbpMove *move)
{
	TupleTableSlot *slot = move->to;

	if (move->map != NULL)
		slot = execute_attr_map_slot(move->map->attrMap, move->from, slot);
	else
		ExecCopySlot(slot, move->from);
	slot->tts_tableOid = RelationGetRelid(move->target);
	if (RelationGetDescr(move->target)->constr != NULL)
		ExecConstraints(move->result, slot, move->estate);
	table_tuple_insert(move->target, slot, GetCurrentCommandId(true),
					   TABLE_INSERT_NO_LOGICAL | TABLE_INSERT_SKIP_FSM, move->bulk);
	if (move->result->ri_NumIndices > 0 &&
		dbp_insert_index_tuples(move->result, slot, move->estate) != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("rows in default partition \"%s\" violate a deferred constraint",
						RelationGetRelationName(move->source)),
				 errhint("Look for rows that are there twice.")));
}

/*
 * Move the row in the slot, if it is one to be moved and can be.
 */
static bool
move_row(DbpMove *move, Snapshot snapshot)
{
	bool isnull;
	Datum value = slot_getattr(move->from, move->column, &isnull);
	int64 key = isnull ? 0 : dbp_key_from_datum(move->policy->keytype, value);
	MemoryContext caller;

	if (isnull || key < move->range.lower || key >= move->range.upper)
		return false;
	if (!take_out(move, snapshot))
	{
		move->skipped++;
		return false;
	}
	caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(move->estate));
	put_in(move);
	MemoryContextSwitchTo(caller);
	ResetPerTupleExprContext(move->estate);
	return true;
}

/* Rows of one pass, counted; true when it has to end */
static bool
count_moved(DbpMove *move, int64 *moved, int64 limit, DbpMoveBreak after_batch, void *arg)
{
	if (++*moved % move->batch_size == 0 && after_batch != NULL)
		after_batch(arg, *moved);
	return limit > 0 && *moved >= limit;
}

static int64
pass_by_index(DbpMove *move, Snapshot snapshot, int64 limit, DbpMoveBreak after_batch, void *arg)
{
	IndexScanDesc scan =
		begin_index_scan(move->source, move->index, snapshot, move->policy->keytype, &move->range);
	ItemPointer tid;
	int64 moved = 0;

	while ((tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		ItemPointerData place = *tid;

		CHECK_FOR_INTERRUPTS();
		if (is_moved(move, &place) || !index_fetch_heap(scan, move->from) ||
			!move_row(move, snapshot))
			continue;
		remember_moved(move, &place);
		if (count_moved(move, &moved, limit, after_batch, arg))
			break;
	}
	index_endscan(scan);
	return moved;
}

static int64
pass_by_table(DbpMove *move, Snapshot snapshot, int64 limit, DbpMoveBreak after_batch, void *arg)
{
	TableScanDesc scan = table_beginscan(move->source, snapshot, 0, NULL);
	int64 moved = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, move->from))
	{
		CHECK_FOR_INTERRUPTS();
		if (move_row(move, snapshot) && count_moved(move, &moved, limit, after_batch, arg))
			break;
	}
	table_endscan(scan);
	return moved;
}

/*
 * Move all rows of the range that a snapshot taken now shows, or as many as the
 * limit (0: none) says.  Returns how many that were; dbp_move_skipped() is then the
 * number of those that others had their hands on.  The owner's index
 * expressions and constraints run as the owner.
 */
int64
dbp_move_pass(DbpMove *move, int64 limit, DbpMoveBreak after_batch, void *arg)
{
	MemoryContext caller = MemoryContextSwitchTo(move->context);
	Form_pg_class form = move->source->rd_rel;
	char identity = form->relreplident;
	DbpIdentity saved;
	Snapshot snapshot;
	volatile int64 moved = 0;

	move->skipped = 0;
	CommandCounterIncrement();
	dbp_become_owner(&saved, move->policy->owner, move->policy->lock_budget_ms);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	PushActiveSnapshot(snapshot);
	PG_TRY();
	{
		moved = move->index != NULL ? pass_by_index(move, snapshot, limit, after_batch, arg)
									: pass_by_table(move, snapshot, limit, after_batch, arg);
	}
	PG_FINALLY();
	{
		form->relreplident = identity;
	}
	PG_END_TRY();
	ExecClearTuple(move->from);
	ExecClearTuple(move->to);
	PopActiveSnapshot();
	UnregisterSnapshot(snapshot);
	dbp_restore_identity(&saved);
	MemoryContextSwitchTo(caller);
	return moved;
}

int64
dbp_move_skipped(const DbpMove *move)
{
	return move->skipped;
}

/*
 * Let go of both tables; ALTER TABLE wants them to itself.  Locks stay.
 */
void
dbp_move_end(DbpMove *move)
{
	ExecDropSingleTupleTableSlot(move->from);
	ExecDropSingleTupleTableSlot(move->to);
	FreeBulkInsertState(move->bulk);
	ExecCloseIndices(move->result);
	FreeExecutorState(move->estate);
	if (move->index != NULL)
	{
		index_close(move->index, NoLock);
		hash_destroy(move->moved);
	}
	table_close(move->target, NoLock);
	table_close(move->source, NoLock);
	pfree(move);
}
