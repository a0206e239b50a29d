/*-------------------------------------------------------------------------
 *
 * verify.c
 *		verify_columnar(): whether a columnar table is whole.
 *
 * Damage is reported as rows, as amcheck does it, and never ends the search:
 * whatever may raise an error is done in a subtransaction.  First come the pages
 * of the main fork, with rows and batch tuples; then each batch, all columns
 * decoded and compared with their zone maps; then the TOAST table; then the
 * keys of unique indexes, over what has been found sound.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "columnar/batch.h"
#include "columnar/inspect.h"

#define REPORT_COLUMNS 5

void
dbp_verify_report(DbpVerify *verify, const DbpVerifyBatch *batch, const ItemPointerData *tid,
				  AttrNumber attnum, int row, const char *problem)
{
	TupleDesc desc = RelationGetDescr(verify->rel);
	Datum values[REPORT_COLUMNS] = {0};
	bool nulls[REPORT_COLUMNS];

	nulls[0] = batch == NULL || !batch->opened;
	if (!nulls[0])
		values[0] = ObjectIdGetDatum(batch->id);
	nulls[1] = tid == NULL;
	values[1] = PointerGetDatum(tid);
	nulls[2] = attnum <= 0 || attnum > desc->natts;
	if (!nulls[2])
		values[2] = NameGetDatum(&TupleDescAttr(desc, attnum - 1)->attname);
	nulls[3] = row < 0;
	values[3] = Int32GetDatum(row);
	nulls[4] = false;
	values[4] = CStringGetTextDatum(problem);
	tuplestore_putvalues(verify->result->setResult, verify->result->setDesc, values, nulls);
}

void
dbp_verify_know(DbpVerify *verify, Oid id, int batch)
{
	bool found;
	DbpVerifyId *known = hash_search(verify->ids, &id, HASH_ENTER, &found);

	if (!found)
		known->batch = batch;
}

static void
add_batch(DbpVerify *verify, HeapTuple tuple)
{
	MemoryContext old = MemoryContextSwitchTo(verify->context);
	DbpVerifyBatch *batch;

	if (verify->nbatches == verify->max_batches)
	{
		verify->max_batches = Max(64, 2 * verify->max_batches);
		verify->batches = verify->batches == NULL
			? palloc(sizeof(DbpVerifyBatch) * verify->max_batches)
			: repalloc_huge(verify->batches, sizeof(DbpVerifyBatch) * verify->max_batches);
	}
	batch = &verify->batches[verify->nbatches++];
	memset(batch, 0, sizeof(DbpVerifyBatch));
	batch->tuple = heap_copytuple(tuple);
	batch->tid = tuple->t_self;
	MemoryContextSwitchTo(old);
}

/* One that the snapshot does not see has its pieces all the same */
static void
know_unseen_batch(DbpVerify *verify, HeapTuple tuple)
{
	DbpBatchHead head;

	if (dbp_batch_read_head(tuple, &head) && head.magic == DBP_BATCH_MAGIC)
		dbp_verify_know(verify, head.id, -2);
}

static void
verify_main_fork(DbpVerify *verify)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(verify->rel);
	DbpVerifyPage *page = palloc(sizeof(DbpVerifyPage));

	for (BlockNumber block = 0; block < nblocks; block++)
	{
		dbp_verify_page(verify, verify->rel, block, true, page);
		for (int i = 0; i < page->n; i++)
		{
			DbpVerifyTuple *found = &page->tuples[i];

			if (!dbp_tuple_is_batch(&found->tuple))
				dbp_verify_row(verify, &found->tuple, found->visible);
			else if (found->visible)
				add_batch(verify, &found->tuple);
			else
				know_unseen_batch(verify, &found->tuple);
		}
	}
	pfree(page);
}

typedef struct BatchWork
{
	DbpVerify *verify;
	DbpVerifyBatch *batch;
	DbpBatch *opened;
	const DbpEntry *entry;
	MemoryContext context;
} BatchWork;

static void
open_batch(void *arg)
{
	BatchWork *work = arg;
	DbpBatchHead head;
	const uint8 *directory;

	dbp_batch_parse_head(work->verify->rel, work->batch->tuple, &head, &directory);
	work->batch->id = head.id;
	work->batch->nrows = head.nrows;
	work->batch->stream_length = head.stream_length;
	work->opened = dbp_batch_open(work->verify->rel, work->batch->tuple);
	dbp_batch_entries(work->opened);
}

/* The directory agrees with the table, the values are there, and the zone map is what they make it */
static void
verify_column(void *arg)
{
	BatchWork *work = arg;
	const DbpEntry *entry = work->entry;
	TupleDesc desc = RelationGetDescr(work->verify->rel);
	Oid relid = RelationGetRelid(work->verify->rel);
	DbpZoneType type = {entry->zone.kind, entry->zone_unsigned};
	DbpZone zone;
	Datum *values;
	bool *nulls;

	if (entry->attnum > desc->natts)
		dbp_batch_damaged(relid, work->batch->id, entry->attnum, "the table has no such column");
	if (TupleDescAttr(desc, entry->attnum - 1)->attlen != entry->attlen ||
		TupleDescAttr(desc, entry->attnum - 1)->attbyval != entry->attbyval)
		dbp_batch_damaged(relid, work->batch->id, entry->attnum, "it is of another type");
	dbp_column_decode(work->opened, entry, work->context, &values, &nulls);
	dbp_zone_compute(type, entry->attlen, values, nulls, work->batch->nrows, &zone);
	if (memcmp(&zone, &entry->zone, sizeof(zone)) != 0)
		dbp_batch_damaged(relid, work->batch->id, entry->attnum, "its zone map is wrong");
}

static void
verify_columns(BatchWork *work)
{
	const DbpEntry *entries = dbp_batch_entries(work->opened);

	work->batch->sound = true;
	for (int i = 0; i < work->opened->head.ncolumns; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(work->context);
		char *problem;

		CHECK_FOR_INTERRUPTS();
		work->entry = &entries[i];
		problem = dbp_problem_of(verify_column, work);
		MemoryContextSwitchTo(old);
		if (problem != NULL)
		{
			work->batch->sound = false;
			dbp_verify_report(work->verify, work->batch, &work->batch->tid, work->entry->attnum, -1,
							  problem);
		}
		MemoryContextReset(work->context);
	}
}

static void
verify_batch(DbpVerify *verify, int number, MemoryContext context)
{
	DbpVerifyBatch *batch = &verify->batches[number];
	BatchWork work = {.verify = verify, .batch = batch, .context = context};
	char *problem = dbp_problem_of(open_batch, &work);
	DbpVerifyId *known;

	batch->opened = problem == NULL;
	if (OidIsValid(batch->id))
	{
		known = hash_search(verify->ids, &batch->id, HASH_FIND, NULL);
		if (known != NULL && known->batch >= 0)
			dbp_verify_report(verify, batch, &batch->tid, 0, -1,
							  "there is another batch with its number");
		dbp_verify_know(verify, batch->id, number);
	}
	if (problem != NULL)
		dbp_verify_report(verify, batch, &batch->tid, 0, -1, problem);
	else
		verify_columns(&work);
	if (work.opened != NULL)
		dbp_batch_release(work.opened);
}

static void
verify_batches(DbpVerify *verify)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "dbperf columnar verify",
												  ALLOCSET_DEFAULT_SIZES);

	for (int i = 0; i < verify->nbatches; i++)
		verify_batch(verify, i, context);
	MemoryContextDelete(context);
}

/* verify_columnar(regclass): a row for each damage */
PG_FUNCTION_INFO_V1(dbperf_verify_columnar);
Datum
dbperf_verify_columnar(PG_FUNCTION_ARGS)
{
	DbpVerify verify = {.rel = dbp_inspect_open(PG_GETARG_OID(0))};
	HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(DbpVerifyId)};

	InitMaterializedSRF(fcinfo, 0);
	if (verify.rel == NULL)
		return (Datum) 0;
	verify.result = (ReturnSetInfo *) fcinfo->resultinfo;
	verify.snapshot = GetActiveSnapshot();
	verify.context = CurrentMemoryContext;
	verify.strategy = GetAccessStrategy(BAS_BULKREAD);
	ctl.hcxt = CurrentMemoryContext;
	verify.ids =
		hash_create("dbperf columnar values", 1024, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	verify_main_fork(&verify);
	verify_batches(&verify);
	dbp_verify_toast(&verify);
	dbp_verify_unique(&verify);
	table_close(verify.rel, AccessShareLock);
	return (Datum) 0;
}
