/*-------------------------------------------------------------------------
 *
 * latest_sql.c
 *		The last rows, and the active ones, by statements.
 *
 * They are run as the caller, under the snapshot of his own statement.
 * Operators are named with their schema: what the caller's search_path leads to
 * does not matter.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/tupdesc.h"
#include "catalog/pg_operator.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "ingest/latest.h"

/* Statements that a session keeps; what comes after them is prepared each time */
#define MAX_KEPT 64

typedef struct Kept
{
	uint32 hash; /* of the text; key of the hash table */
	char *sql;
	SPIPlanPtr plan;
} Kept;

static HTAB *kept_statements = NULL;

static Kept *
find_kept(uint32 hash, HASHACTION action)
{
	if (kept_statements == NULL)
	{
		HASHCTL ctl = {0};

		ctl.keysize = sizeof(uint32);
		ctl.entrysize = sizeof(Kept);
		kept_statements = hash_create("dbperf statements", MAX_KEPT, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	return hash_search(kept_statements, &hash, action, NULL);
}

SPIPlanPtr
dbp_latest_prepare(const char *sql, int nargs, Oid *types)
{
	uint32 hash = hash_bytes((const unsigned char *) sql, (int) strlen(sql));
	Kept *kept = find_kept(hash, HASH_FIND);
	SPIPlanPtr plan;
	char *copy;

	if (kept != NULL && strcmp(kept->sql, sql) == 0)
		return kept->plan;
	plan = SPI_prepare(sql, nargs, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	/* none is let go of: it might be running, further out */
	if (kept != NULL || hash_get_num_entries(kept_statements) >= MAX_KEPT)
		return plan;
	copy = MemoryContextStrdup(TopMemoryContext, sql);
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep the plan of \"%s\"", sql);
	kept = find_kept(hash, HASH_ENTER);
	kept->sql = copy;
	kept->plan = plan;
	return plan;
}

static const char *
column_name(const DbpLatest *latest, AttrNumber attnum)
{
	return quote_identifier(
		NameStr(TupleDescAttr(RelationGetDescr(latest->rel), attnum - 1)->attname));
}

/* The columns of the result that are not dropped */
static void
append_columns(StringInfo sql, const DbpLatest *latest)
{
	const char *separator = "";

	for (int i = 0; i < latest->out->natts; i++)
	{
		if (latest->source[i] == InvalidAttrNumber)
			continue;
		appendStringInfo(sql, "%st.%s", separator, column_name(latest, latest->source[i]));
		separator = ", ";
	}
}

static void
append_table(StringInfo sql, const DbpLatest *latest)
{
	appendStringInfo(sql, " FROM %s AS t WHERE ",
					 quote_qualified_identifier(get_namespace_name(
													RelationGetNamespace(latest->rel)),
												RelationGetRelationName(latest->rel)));
}

static void
append_active(StringInfo sql, const DbpLatest *latest)
{
	if (latest->deleted != InvalidAttrNumber)
		appendStringInfo(sql, " AND t.%s IS NULL", column_name(latest, latest->deleted));
}

/* An operator of a type's default order, as it is written in a statement */
static char *
operator_name(const DbpLatestColumn *column, StrategyNumber strategy)
{
	Oid type = column->order->btree_opintype;
	Oid op = get_opfamily_member(column->order->btree_opf, type, type, strategy);
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(op));
	Form_pg_operator form;
	char *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", op);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	name = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
					NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return name;
}

/* Rows without a value come last, as the table is also read without a statement */
static void
append_descending(StringInfo sql, const DbpLatest *latest, AttrNumber attnum)
{
	appendStringInfo(sql, ", t.%s DESC%s", column_name(latest, attnum),
					 TupleDescAttr(RelationGetDescr(latest->rel), attnum - 1)->attnotnull
						 ? ""
						 : " NULLS LAST");
}

static char *
latest_sql(const DbpLatest *latest)
{
	const char *by = column_name(latest, latest->by.attnum);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT DISTINCT ON (t.%s) ", by);
	append_columns(&sql, latest);
	/* to know by which key to put it */
	appendStringInfo(&sql, ", t.%s", by);
	append_table(&sql, latest);
	appendStringInfo(&sql, "t.%s %s ANY ($1)", by,
					 operator_name(&latest->by, BTEqualStrategyNumber));
	append_active(&sql, latest);
	appendStringInfo(&sql, " ORDER BY t.%s", by);
	append_descending(&sql, latest, latest->time.attnum);
	for (int i = 0; i < latest->nties; i++)
		append_descending(&sql, latest, latest->ties[i].attnum);
	return sql.data;
}

/* The keys that are not answered, as an array */
static Datum
keys_array(const DbpLatest *latest)
{
	Datum *values = palloc(latest->nkeys * sizeof(Datum));
	int16 length;
	bool by_value;
	char align;
	int count = 0;

	for (int i = 0; i < latest->nkeys; i++)
		if (!latest->keys[i].answered)
			values[count++] = latest->keys[i].value;
	get_typlenbyvalalign(latest->by.type, &length, &by_value, &align);
	return PointerGetDatum(
		construct_array(values, count, latest->by.type, length, by_value, align));
}

/* A row of the statement as one of the result */
static HeapTuple
result_row(const DbpLatest *latest, HeapTuple tuple, TupleDesc desc)
{
	int natts = latest->out->natts;
	Datum *values = palloc0(natts * sizeof(Datum));
	bool *isnull = palloc(natts * sizeof(bool));
	int column = 1;

	for (int i = 0; i < natts; i++)
	{
		isnull[i] = true;
		if (latest->source[i] != InvalidAttrNumber)
			values[i] = heap_getattr(tuple, column++, desc, &isnull[i]);
	}
	return heap_form_tuple(latest->out, values, isnull);
}

static void
answer_from_row(DbpLatest *latest, HeapTuple tuple, TupleDesc desc)
{
	bool isnull;
	Datum value = heap_getattr(tuple, desc->natts, desc, &isnull);

	for (int low = 0, high = latest->nkeys - 1; low <= high;)
	{
		int middle = low + (high - low) / 2;
		DbpLatestKey *key = &latest->keys[middle];
		int order = dbp_latest_compare(&latest->by, value, key->value);

		if (order == 0)
		{
			key->row = result_row(latest, tuple, desc);
			return;
		}
		if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	elog(ERROR, "a row was found that has none of the keys");
}

void
dbp_latest_statement(DbpLatest *latest, MemoryContext context)
{
	char *sql = latest_sql(latest);
	Oid type = get_array_type(latest->by.type);
	Datum keys = keys_array(latest);
	MemoryContext spi;
	int result;

	result = SPI_execute_plan(dbp_latest_prepare(sql, 1, &type), &keys, NULL, true, 0);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan returned %s for \"%s\"", SPI_result_code_string(result), sql);
	spi = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
		answer_from_row(latest, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	MemoryContextSwitchTo(spi);
	for (int i = 0; i < latest->nkeys; i++)
		latest->keys[i].answered = true;
	SPI_freetuptable(SPI_tuptable);
}

static char *
active_sql(const DbpLatest *latest, bool from, bool to)
{
	const char *time = column_name(latest, latest->time.attnum);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_columns(&sql, latest);
	append_table(&sql, latest);
	appendStringInfo(&sql, "t.%s OPERATOR(pg_catalog.=) $1",
					 column_name(latest, latest->by.attnum));
	append_active(&sql, latest);
	/* a bound that may be NULL would keep partitions from being pruned */
	if (from)
		appendStringInfo(&sql, " AND t.%s OPERATOR(pg_catalog.>=) $2", time);
	if (to)
		appendStringInfo(&sql, " AND t.%s OPERATOR(pg_catalog.<) $3", time);
	appendStringInfo(&sql, " ORDER BY t.%s DESC LIMIT $4", time);
	return sql.data;
}

static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

/*
 * Rows come as indexes have them: the first ones before the last ones have been
 * read, let alone sorted.
 */
static void
pin_settings(void)
{
	set_local("enable_sort", "off");
	set_local("enable_incremental_sort", "off");
	set_local("enable_indexscan", "on");
	set_local("enable_partition_pruning", "on");
	/* where there is no such index, the price of sorting would call for it */
	set_local("jit", "off");
}

uint64
dbp_latest_active(const DbpLatest *latest, int32 instrument, const int64 *from, const int64 *to,
				  const int32 *limit, Tuplestorestate *store)
{
	Oid types[] = {INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID};
	char *sql = active_sql(latest, from != NULL, to != NULL);
	SPIPlanPtr plan = dbp_latest_prepare(sql, lengthof(types), types);
	SPIExecuteOptions options = {0};
	ParamListInfo params = makeParamList(lengthof(types));
	const void *given[] = {&instrument, from, to, limit};
	int level = NewGUCNestLevel();
	int result;

	for (int i = 0; i < (int) lengthof(types); i++)
	{
		params->params[i].ptype = types[i];
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].isnull = given[i] == NULL;
		params->params[i].value = given[i] == NULL ? (Datum) 0
			: types[i] == INT4OID				   ? Int32GetDatum(*(const int32 *) given[i])
												   : Int64GetDatum(*(const int64 *) given[i]);
	}
	pin_settings();
	options.params = params;
	options.read_only = true;
	options.dest = CreateDestReceiver(DestTuplestore);
	/* a receiver for the store itself: no copy of all rows is made on the way */
	SetTuplestoreDestReceiverParams(options.dest, store, CurrentMemoryContext, false, NULL, NULL);
	result = SPI_execute_plan_extended(plan, &options);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan_extended returned %s for \"%s\"",
			 SPI_result_code_string(result), sql);
	options.dest->rDestroy(options.dest);
	AtEOXact_GUC(true, level);
	return SPI_processed;
}
