/*-------------------------------------------------------------------------
 *
 * info.c
 *		What columnar tables are made of: the functions behind columnar_info() and
 *		columnar_chunks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "columnar/batch.h"
#include "columnar/inspect.h"

/* What descriptions of encodings are cut to */
#define ENCODING_SIZE 200

/* Of those, so many are listed */
#define MAX_CANDIDATES 16

Relation
dbp_inspect_open(Oid relid)
{
	Relation rel = try_table_open(relid, AccessShareLock);

	if (rel == NULL)
		return NULL;
	if (!dbp_owns_relation(relid, GetUserId()) &&
		!has_privs_of_role(GetUserId(), ROLE_PG_MONITOR) &&
		pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, RelationGetRelationName(rel));
	if (!dbp_is_columnar(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a columnar table", RelationGetRelationName(rel)),
				 errhint("Its access method is not %s.", DBP_COLUMNAR_AM)));
	if (RELATION_IS_OTHER_TEMP(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary tables of other sessions")));
	dbp_pending_flush(rel);
	return rel;
}

/* Not what no table of any kind would stand for: being cancelled, running out of something */
static bool
may_be_damage(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
			return false;
		default:
			return true;
	}
}

char *
dbp_problem_of(void (*work)(void *arg), void *arg)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char *volatile problem = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = owner;
		if (!may_be_damage(error))
			ReThrowError(error);
		problem = pstrdup(error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	return problem;
}

/* The tuples of the main fork that the snapshot sees; slot has the current one */
typedef struct HeapWalk
{
	TableScanDesc scan;
	TupleTableSlot *slot;
	HeapTuple tuple;
	bool batch;
} HeapWalk;

static void
begin_walk(HeapWalk *walk, Relation rel)
{
	walk->slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsBufferHeapTuple);
	walk->scan = heap_beginscan(rel, GetActiveSnapshot(), 0, NULL, NULL,
								SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_PAGEMODE);
}

static bool
step(HeapWalk *walk)
{
	CHECK_FOR_INTERRUPTS();
	if (!heap_getnextslot(walk->scan, ForwardScanDirection, walk->slot))
		return false;
	walk->tuple = ((BufferHeapTupleTableSlot *) walk->slot)->base.tuple;
	walk->batch = dbp_tuple_is_batch(walk->tuple);
	return true;
}

static void
end_walk(HeapWalk *walk)
{
	heap_endscan(walk->scan);
	ExecDropSingleTupleTableSlot(walk->slot);
}

/* As a heap would have it; short varlenas have short headers there */
static uint64
raw_bytes(const DbpEntry *entry, int nrows)
{
	uint64 present = nrows - entry->nulls;

	if (entry->attlen == -1)
		return entry->payload + present * (entry->payload <= 126 * present ? 1 : VARHDRSZ);
	return entry->attlen == -2 ? entry->payload + present : entry->payload;
}

/* columnar_totals(regclass): what is not of one column */
PG_FUNCTION_INFO_V1(dbperf_columnar_totals);
Datum
dbperf_columnar_totals(PG_FUNCTION_ARGS)
{
	Relation rel = dbp_inspect_open(PG_GETARG_OID(0));
	int64 batches = 0;
	int64 rows = 0;
	int64 late = 0;
	int64 gone = 0;
	int64 bytes = 0;
	bool any_gone;
	HeapWalk walk;
	TupleDesc desc;
	Datum values[5];
	bool nulls[5] = {0};

	if (rel == NULL)
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	any_gone = dbp_tombstone_any(rel);
	for (begin_walk(&walk, rel); step(&walk);)
	{
		DbpBatch *batch;
		uint8 *bitmap;
		int count;

		if (!walk.batch)
		{
			late++;
			continue;
		}
		batch = dbp_batch_open(rel, walk.tuple);
		batches++;
		rows += batch->head.nrows;
		bytes += batch->head.stream_length + MAXALIGN(walk.tuple->t_len) + sizeof(ItemIdData);
		if (any_gone)
		{
			bitmap = dbp_tombstone_bitmap(rel, batch->head.id, batch->head.nrows,
										  GetActiveSnapshot(), &count);
			gone += count;
			if (bitmap != NULL)
				pfree(bitmap);
		}
		dbp_batch_release(batch);
	}
	end_walk(&walk);
	table_close(rel, AccessShareLock);
	values[0] = Int64GetDatum(batches);
	values[1] = Int64GetDatum(rows);
	values[2] = Int64GetDatum(late);
	values[3] = Int64GetDatum(gone);
	values[4] = Int64GetDatum(bytes);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* Values are shown to those who may read them, as pg_stats does */
static bool
may_read(Relation rel, AttrNumber attnum)
{
	Oid relid = RelationGetRelid(rel);

	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		return false;
	return pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck(relid, attnum, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

static char *
output(Oid type, Datum value)
{
	Oid function;
	bool is_varlena;

	getTypeOutputInfo(type, &function, &is_varlena);
	return OidOutputFunctionCall(function, value);
}

static Datum
datum_of_int(int64 value, int16 attlen)
{
	switch (attlen)
	{
		case 1:
			return CharGetDatum((char) value);
		case 2:
			return Int16GetDatum((int16) value);
		case 4:
			return Int32GetDatum((int32) value);
		default:
			return Int64GetDatum(value);
	}
}

/* Of text, as many of the bytes as are whole characters */
static char *
show_bytes(Form_pg_attribute att, const uint8 *prefix)
{
	char *text;
	int length = 0;

	if (att->attlen == UUID_LEN)
		return output(UUIDOID, PointerGetDatum(prefix));
	if (getBaseType(att->atttypid) != BYTEAOID)
	{
		text = pnstrdup((const char *) prefix, DBP_ZONE_PREFIX);
		length = pg_mbcliplen(text, (int) strlen(text), DBP_ZONE_PREFIX);
		text[length] = '\0';
		if (pg_verifymbstr(text, length, true))
			return text;
	}
	for (int i = 0; i < DBP_ZONE_PREFIX; i++)
		if (prefix[i] != 0)
			length = i + 1;
	text = palloc(2 * length + 3);
	memcpy(text, "\\x", 2);
	text[2 + hex_encode((const char *) prefix, length, text + 2)] = '\0';
	return text;
}

/* The smallest or the largest value, as its type shows it; NULL: not known */
static char *
show_end(const DbpZone *zone, Form_pg_attribute att, bool max)
{
	switch (zone->kind)
	{
		case DBP_ZONE_INT:
			return output(att->atttypid,
						  datum_of_int(max ? zone->u.i.max : zone->u.i.min, att->attlen));
		case DBP_ZONE_DOUBLE:
			if (att->attlen == sizeof(float4))
				return output(att->atttypid,
							  Float4GetDatum((float4) (max ? zone->u.d.max : zone->u.d.min)));
			return output(att->atttypid, Float8GetDatum(max ? zone->u.d.max : zone->u.d.min));
		case DBP_ZONE_BYTES:
			return show_bytes(att, max ? zone->u.b.max : zone->u.b.min);
		case DBP_ZONE_NONE:
			break;
	}
	return NULL;
}

/* A batch whose chunks are looked at one after the other */
typedef struct ChunkWalk
{
	Relation rel;
	HeapTuple tuple; /* the batch's */
	bool any_gone;
	DbpBatch *batch;
	const DbpEntry *entries;
	int gone;
	int next; /* entry */
	char **encodings;
} ChunkWalk;

static void
open_batch(void *arg)
{
	ChunkWalk *walk = arg;

	walk->batch = dbp_batch_open(walk->rel, walk->tuple);
	walk->entries = dbp_batch_entries(walk->batch);
	if (walk->any_gone)
		dbp_tombstone_bitmap(walk->rel, walk->batch->head.id, walk->batch->head.nrows,
							 GetActiveSnapshot(), &walk->gone);
}

/* From where it is, to the end or to the first that is damaged */
static void
describe_chunks(void *arg)
{
	ChunkWalk *walk = arg;

	for (; walk->next < walk->batch->head.ncolumns; walk->next++)
	{
		const DbpEntry *entry = &walk->entries[walk->next];
		char *encoding;
		uint8 *chunks;

		CHECK_FOR_INTERRUPTS();
		if (entry->values_length == 0)
		{
			walk->encodings[walk->next] = "null";
			continue;
		}
		chunks = dbp_column_read(walk->batch, entry);
		encoding = palloc(ENCODING_SIZE);
		dbp_chunk_describe(entry->family, chunks + entry->nulls_length, entry->values_length,
						   walk->batch->head.nrows - entry->nulls, encoding, ENCODING_SIZE);
		pfree(chunks);
		walk->encodings[walk->next] = encoding;
	}
}

#define CHUNK_COLUMNS 12

static void
put_chunk(const ReturnSetInfo *result, const ChunkWalk *walk, int i)
{
	const DbpEntry *entry = &walk->entries[i];
	Form_pg_attribute att = NULL;
	DbpZone zone = {.kind = DBP_ZONE_NONE};
	char *min = NULL;
	char *max = NULL;
	int null_count;
	Datum values[CHUNK_COLUMNS];
	bool nulls[CHUNK_COLUMNS] = {0};
	NameData name;

	if (entry->attnum <= RelationGetDescr(walk->rel)->natts)
		att = TupleDescAttr(RelationGetDescr(walk->rel), entry->attnum - 1);
	if (att != NULL && !att->attisdropped && may_read(walk->rel, entry->attnum))
		dbp_batch_zone(walk->batch, RelationGetDescr(walk->rel), entry->attnum, &zone, &null_count);
	if (zone.kind != DBP_ZONE_NONE)
	{
		min = show_end(&zone, att, false);
		max = show_end(&zone, att, true);
	}
	values[0] = ObjectIdGetDatum(walk->batch->head.id);
	values[1] = PointerGetDatum(&walk->tuple->t_self);
	values[2] = Int32GetDatum(walk->batch->head.nrows);
	values[3] = Int32GetDatum(walk->gone);
	values[4] = Int16GetDatum(entry->attnum);
	nulls[5] = att == NULL || att->attisdropped;
	if (!nulls[5])
		namestrcpy(&name, NameStr(att->attname));
	values[5] = NameGetDatum(&name);
	values[6] = CStringGetTextDatum(walk->encodings[i]);
	values[7] = Int64GetDatum(DBP_ENTRY_LENGTH(entry));
	values[8] = Int64GetDatum((int64) raw_bytes(entry, walk->batch->head.nrows));
	values[9] = Int32GetDatum(entry->nulls);
	nulls[10] = min == NULL;
	values[10] = nulls[10] ? (Datum) 0 : CStringGetTextDatum(min);
	nulls[11] = max == NULL;
	values[11] = nulls[11] ? (Datum) 0 : CStringGetTextDatum(max);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* A batch of which nothing is known but that it is there */
static void
put_damaged(const ReturnSetInfo *result, const ChunkWalk *walk, const char *problem)
{
	Datum values[CHUNK_COLUMNS] = {0};
	bool nulls[CHUNK_COLUMNS];

	memset(nulls, true, sizeof(nulls));
	values[1] = PointerGetDatum(&walk->tuple->t_self);
	values[6] = CStringGetTextDatum(psprintf("damaged: %s", problem));
	nulls[1] = nulls[6] = false;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_batch(const ReturnSetInfo *result, Relation rel, HeapTuple tuple, bool any_gone)
{
	ChunkWalk walk = {.rel = rel, .tuple = tuple, .any_gone = any_gone};
	char *problem = dbp_problem_of(open_batch, &walk);

	if (problem != NULL)
	{
		put_damaged(result, &walk, problem);
		if (walk.batch != NULL)
			dbp_batch_release(walk.batch);
		return;
	}
	walk.encodings = palloc0(sizeof(char *) * (walk.batch->head.ncolumns + 1));
	while ((problem = dbp_problem_of(describe_chunks, &walk)) != NULL)
		walk.encodings[walk.next++] = psprintf("damaged: %s", problem);
	for (int i = 0; i < walk.batch->head.ncolumns; i++)
		put_chunk(result, &walk, i);
	dbp_batch_release(walk.batch);
}

/* columnar_table_chunks(regclass): a row for each column of each batch */
PG_FUNCTION_INFO_V1(dbperf_columnar_table_chunks);
Datum
dbperf_columnar_table_chunks(PG_FUNCTION_ARGS)
{
	Relation rel = dbp_inspect_open(PG_GETARG_OID(0));
	const ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf columnar info", ALLOCSET_DEFAULT_SIZES);
	HeapWalk walk;
	bool any_gone;

	InitMaterializedSRF(fcinfo, 0);
	if (rel == NULL)
		return (Datum) 0;
	any_gone = dbp_tombstone_any(rel);
	for (begin_walk(&walk, rel); step(&walk);)
	{
		MemoryContext old;

		if (!walk.batch)
			continue;
		old = MemoryContextSwitchTo(context);
		put_batch(result, rel, walk.tuple, any_gone);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	end_walk(&walk);
	table_close(rel, AccessShareLock);
	return (Datum) 0;
}

/* The batch in the middle of the table: as good as any to show what was weighed */
static DbpBatch *
open_sample(Relation rel)
{
	DbpBatch **list;
	int n = dbp_batch_list(rel, &list);

	return n == 0 ? NULL : dbp_batch_retain(list[n / 2]);
}

static void
put_candidates(const ReturnSetInfo *result, DbpBatch *batch, const DbpEntry *entry)
{
	DbpCandidate candidates[MAX_CANDIDATES];
	Datum *column;
	bool *column_nulls;
	int n;

	if (entry->values_length == 0)
		return;
	dbp_column_decode(batch, entry, CurrentMemoryContext, &column, &column_nulls);
	n = dbp_column_candidates(entry, column, column_nulls, batch->head.nrows, candidates,
							  MAX_CANDIDATES);
	for (int i = 0; i < n; i++)
	{
		bool nulls[3] = {0};
		Datum values[3] = {Int16GetDatum(entry->attnum), CStringGetTextDatum(candidates[i].name),
						   Int64GetDatum((int64) candidates[i].bytes)};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* columnar_candidates(regclass): encodings that were in question for the columns of one batch */
PG_FUNCTION_INFO_V1(dbperf_columnar_candidates);
Datum
dbperf_columnar_candidates(PG_FUNCTION_ARGS)
{
	Relation rel = dbp_inspect_open(PG_GETARG_OID(0));
	const ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf columnar info", ALLOCSET_DEFAULT_SIZES);
	DbpBatch *batch;

	InitMaterializedSRF(fcinfo, 0);
	if (rel == NULL)
		return (Datum) 0;
	batch = open_sample(rel);
	for (int i = 0; batch != NULL && i < batch->head.ncolumns; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		put_candidates(result, batch, &dbp_batch_entries(batch)[i]);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	if (batch != NULL)
		dbp_batch_release(batch);
	table_close(rel, AccessShareLock);
	return (Datum) 0;
}
