/*-------------------------------------------------------------------------
 *
 * latest.c
 *		get_latest(), get_latest_market_data() and get_active_market_data().
 *
 * The last row of a key is that of the greatest time; of those, that with the
 * greatest primary key (for market data: the greatest id).  Rows of which
 * deleted_at is set do not count.  A table without such a column has none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "parser/parse_coerce.h"
#include "portability/instr_time.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "ingest/latest.h"
#include "ingest/managed.h"
#include "metrics/metrics.h"

PG_FUNCTION_INFO_V1(dbperf_get_latest);
PG_FUNCTION_INFO_V1(dbperf_get_latest_market_data);
PG_FUNCTION_INFO_V1(dbperf_get_active_market_data);

#define MARKET_TABLE "market_data"

/* What both functions for market data return; src/sql/83_latest.sql says the same */
static const struct
{
	const char *name;
	Oid type;
} market_columns[] = {
	{"id", INT8OID},
	{"timestamp", TIMESTAMPTZOID},
	{"instrument_id", INT4OID},
	{"price", FLOAT8OID},
	{"volume", INT8OID},
	{"bid", FLOAT8OID},
	{"ask", FLOAT8OID},
	{"bid_size", INT8OID},
	{"ask_size", INT8OID},
	{"open_price", FLOAT8OID},
	{"high_price", FLOAT8OID},
	{"low_price", FLOAT8OID},
	{"created_at", TIMESTAMPTZOID},
	{"updated_at", TIMESTAMPTZOID},
};

/* Positions in it */
#define MARKET_ID 0
#define MARKET_TIME 1
#define MARKET_BY 2

static void
refuse_null(bool isnull, const char *argument)
{
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", argument)));
}

/*
 * The managed table of that name.  It is remembered for as long as nothing at
 * all has been committed: see latest_cache.c.
 */
static Oid
market_table(void)
{
	static Oid known = InvalidOid;
	static uint64 completions = 0;
	DbpLatestState state = dbp_latest_state();

	if (!state.known)
		return dbp_managed_table(MARKET_TABLE);
	if (!OidIsValid(known) || completions != state.completions)
	{
		known = dbp_managed_table(MARKET_TABLE);
		completions = state.completions;
	}
	return known;
}

static void
open_table(DbpLatest *latest, Oid relid)
{
	latest->rel = try_relation_open(relid, AccessShareLock);
	if (latest->rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table with OID %u does not exist", relid)));
	switch (latest->rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
		case RELKIND_FOREIGN_TABLE:
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" is not a table", RelationGetRelationName(latest->rel))));
	}
}

/* The number of a column; "near" is where it may well be.  0: there is none. */
static AttrNumber
find_column(Relation rel, const char *name, int near)
{
	TupleDesc desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		int number = (i + near) % desc->natts;
		Form_pg_attribute attribute = TupleDescAttr(desc, number);

		if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0)
			return (AttrNumber) (number + 1);
	}
	return InvalidAttrNumber;
}

/* The number of a column that has to be there, of that type */
static AttrNumber
require_column(Relation rel, const char *name, Oid type, int near)
{
	AttrNumber attnum = find_column(rel, name, near);
	Oid there;

	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", name,
						RelationGetRelationName(rel)),
				 errdetail("The rows that are returned have such a column."),
				 errhint("Use dbperf.get_latest() with the row type of the table itself.")));
	there = TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid;
	if (there != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, not %s", name,
						RelationGetRelationName(rel), format_type_be(there), format_type_be(type)),
				 errhint("Use dbperf.get_latest() with the row type of the table itself.")));
	return attnum;
}

static void
find_market_columns(DbpLatest *latest)
{
	latest->source = palloc(lengthof(market_columns) * sizeof(AttrNumber));
	for (int i = 0; i < (int) lengthof(market_columns); i++)
		latest->source[i] =
			require_column(latest->rel, market_columns[i].name, market_columns[i].type, i);
	latest->by.attnum = latest->source[MARKET_BY];
}

/* The same for the row type that the caller has named */
static void
find_row_columns(DbpLatest *latest, TupleDesc row)
{
	latest->whole = latest->rel->rd_rel->reltype == latest->rowtype;
	latest->source = palloc(row->natts * sizeof(AttrNumber));
	for (int i = 0; i < row->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(row, i);

		if (attribute->attisdropped)
			latest->source[i] = InvalidAttrNumber;
		else if (latest->whole)
			latest->source[i] = (AttrNumber) (i + 1);
		else
			latest->source[i] =
				require_column(latest->rel, NameStr(attribute->attname), attribute->atttypid, i);
	}
}

static void
describe_column(const DbpLatest *latest, DbpLatestColumn *column, AttrNumber attnum)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(latest->rel), attnum - 1);

	column->attnum = attnum;
	column->type = attribute->atttypid;
	/* market data's, without a look at the catalogs */
	if (column->type != INT4OID && column->type != INT8OID && column->type != TIMESTAMPTZOID)
		column->type = getBaseType(column->type);
	column->collation = attribute->attcollation;
	column->order =
		lookup_type_cache(column->type, TYPECACHE_CMP_PROC_FINFO | TYPECACHE_BTREE_OPFAMILY);
	if (!OidIsValid(column->order->cmp_proc))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("values of column \"%s\" of table \"%s\" have no order",
						NameStr(attribute->attname), RelationGetRelationName(latest->rel)),
				 errdetail("Type %s has no default operator class of access method btree.",
						   format_type_be(column->type))));
}

static void
add_tie(DbpLatest *latest, AttrNumber attnum)
{
	if (attnum == latest->by.attnum || attnum == latest->time.attnum)
		return;
	for (int i = 0; i < latest->nties; i++)
		if (latest->ties[i].attnum == attnum)
			return;
	describe_column(latest, &latest->ties[latest->nties++], attnum);
}

/* What is to be known for looking into the table itself */
static void
describe_order(DbpLatest *latest, AttrNumber time)
{
	Relation rel = latest->rel;
	List *indexes = RelationGetIndexList(rel);

	describe_column(latest, &latest->time, time);
	latest->deleted = find_column(rel, "deleted_at", 0);
	latest->ties = palloc((INDEX_MAX_KEYS + 1) * sizeof(DbpLatestColumn));
	if (!OidIsValid(latest->rowtype))
		add_tie(latest, latest->source[MARKET_ID]);
	if (OidIsValid(rel->rd_pkindex))
	{
		HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(rel->rd_pkindex));
		Form_pg_index form;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for index %u", rel->rd_pkindex);
		form = (Form_pg_index) GETSTRUCT(tuple);
		for (int i = 0; i < form->indnkeyatts; i++)
			add_tie(latest, form->indkey.values[i]);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
}

/* Values that have to be converted first: of another integer type, mostly */
static void
convert_keys(DbpLatest *latest, Datum *values, int count, Oid type)
{
	Oid function;
	CoercionPathType path =
		find_coercion_pathway(latest->by.type, type, COERCION_IMPLICIT, &function);
	FmgrInfo flinfo;

	if (path == COERCION_PATH_RELABELTYPE)
		return;
	if (path != COERCION_PATH_FUNC || get_func_nargs(function) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("keys are of type %s, but column \"%s\" of table \"%s\" is of type %s",
						format_type_be(type),
						NameStr(TupleDescAttr(RelationGetDescr(latest->rel), latest->by.attnum - 1)
									->attname),
						RelationGetRelationName(latest->rel), format_type_be(latest->by.type)),
				 errhint("Cast the array to %s[].", format_type_be(latest->by.type))));
	fmgr_info(function, &flinfo);
	for (int i = 0; i < count; i++)
		values[i] = FunctionCall1(&flinfo, values[i]);
}

static int
compare_values(const void *a, const void *b, void *arg)
{
	return dbp_latest_compare(arg, *(const Datum *) a, *(const Datum *) b);
}

/* The keys in order, each once; those that are NULL are no row's */
static void
read_keys(DbpLatest *latest, ArrayType *array)
{
	Oid type = ARR_ELEMTYPE(array);
	int16 length;
	bool by_value;
	char align;
	Datum *values;
	bool *isnull;
	int total;
	int count = 0;
	bool sorted = true;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(array, type, length, by_value, align, &values, &isnull, &total);
	for (int i = 0; i < total; i++)
		if (!isnull[i])
			values[count++] = values[i];
	if (type != latest->by.type)
		convert_keys(latest, values, count, type);
	for (int i = 1; i < count && sorted; i++)
		sorted = dbp_latest_compare(&latest->by, values[i - 1], values[i]) < 0;
	if (!sorted)
		qsort_arg(values, count, sizeof(Datum), compare_values, &latest->by);
	latest->keys = palloc0(Max(count, 1) * sizeof(DbpLatestKey));
	for (int i = 0; i < count; i++)
		if (i == 0 || dbp_latest_compare(&latest->by, values[i - 1], values[i]) != 0)
			latest->keys[latest->nkeys++].value = values[i];
}

/* The best row that was found of a key, as a row of the result */
static HeapTuple
result_row(const DbpLatest *latest, HeapTuple best)
{
	TupleDesc desc = RelationGetDescr(latest->rel);
	Datum values[MaxTupleAttributeNumber];
	bool isnull[MaxTupleAttributeNumber];
	Datum *out_values;
	bool *out_isnull;

	if (best == NULL || latest->whole)
		return best;
	out_values = palloc0(latest->out->natts * sizeof(Datum));
	out_isnull = palloc(latest->out->natts * sizeof(bool));
	heap_deform_tuple(best, desc, values, isnull);
	for (int i = 0; i < latest->out->natts; i++)
	{
		AttrNumber source = latest->source[i];

		out_isnull[i] = source == InvalidAttrNumber || isnull[source - 1];
		if (!out_isnull[i])
			out_values[i] = values[source - 1];
	}
	return heap_form_tuple(latest->out, out_values, out_isnull);
}

/* By reading the table; false when that would not do */
static bool
answer_by_scan(DbpLatest *latest, DbpLatestState state)
{
	/* before anything is read, or asked of the relation cache */
	bool keep = dbp_latest_can_keep(latest, state);

	if (!dbp_latest_can_scan(latest) || !dbp_latest_scan(latest))
		return false;
	for (int i = 0; i < latest->nkeys; i++)
	{
		DbpLatestKey *key = &latest->keys[i];

		if (!key->answered)
			key->row = result_row(latest, key->best);
		key->answered = true;
	}
	if (keep)
		dbp_latest_keep(latest, state);
	return true;
}

/*
 * Finds the answers, in whatever way is open.  The table must be locked: what
 * the state is is asked after that.
 */
static void
answer(DbpLatest *latest, AttrNumber time)
{
	bool may_read = dbp_latest_may_read(latest);
	DbpLatestState state = {false, 0};
	int found = 0;
	MemoryContext context = CurrentMemoryContext;

	if (may_read && dbp_latest_is_cacheable(latest))
	{
		state = dbp_latest_state();
		found = dbp_latest_lookup(latest, state);
		dbp_count_cache(RelationGetRelid(latest->rel), found, latest->nkeys - found);
	}
	if (found == latest->nkeys)
		return;
	describe_order(latest, time);
	if (may_read && answer_by_scan(latest, state))
		return;
	SPI_connect();
	dbp_latest_statement(latest, context);
	SPI_finish();
}

static uint64
return_rows(FunctionCallInfo fcinfo, const DbpLatest *latest)
{
	Tuplestorestate *store = ((ReturnSetInfo *) fcinfo->resultinfo)->setResult;
	uint64 rows = 0;

	for (int i = 0; i < latest->nkeys; i++)
		if (latest->keys[i].row != NULL)
		{
			tuplestore_puttuple(store, latest->keys[i].row);
			rows++;
		}
	return rows;
}

/* Counts the call and lets go of the table */
static void
finish(DbpLatest *latest, DbpOperation operation, uint64 rows, instr_time start)
{
	instr_time elapsed;

	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, start);
	dbp_count(RelationGetRelid(latest->rel), operation, rows, INSTR_TIME_GET_MICROSEC(elapsed));
	relation_close(latest->rel, NoLock);
}

/*
 * dbperf.get_latest_market_data(instrument_ids int[], target regclass)
 *
 * The last row of each instrument, in the order of their numbers.  Raises
 * null_value_not_allowed, undefined_table, ambiguous_alias, undefined_column,
 * datatype_mismatch, insufficient_privilege.
 */
Datum
dbperf_get_latest_market_data(PG_FUNCTION_ARGS)
{
	DbpLatest latest = {0};
	instr_time start;

	INSTR_TIME_SET_CURRENT(start);
	refuse_null(PG_ARGISNULL(0), "instrument_ids");
	open_table(&latest, PG_ARGISNULL(1) ? market_table() : PG_GETARG_OID(1));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	latest.out = ((ReturnSetInfo *) fcinfo->resultinfo)->setDesc;
	find_market_columns(&latest);
	describe_column(&latest, &latest.by, latest.source[MARKET_BY]);
	read_keys(&latest, PG_GETARG_ARRAYTYPE_P(0));
	answer(&latest, latest.source[MARKET_TIME]);
	finish(&latest, DBP_OP_GET_LATEST, return_rows(fcinfo, &latest), start);
	return (Datum) 0;
}

/* The column that a table is partitioned by, by RANGE, and by it alone */
static AttrNumber
partition_column(Relation rel)
{
	PartitionKey key = NULL;

	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		key = RelationGetPartitionKey(rel);
	if (key == NULL || key->strategy != PARTITION_STRATEGY_RANGE || key->partnatts != 1 ||
		key->partattrs[0] == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is not partitioned by RANGE on one column",
						RelationGetRelationName(rel)),
				 errdetail("The last row is that with the greatest partition key.")));
	return key->partattrs[0];
}

/* The type that the caller's first argument is of, and its table unless another is named */
static Oid
table_of_row_type(Oid rowtype)
{
	Oid relid = OidIsValid(rowtype) ? get_typ_typrelid(rowtype) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("argument \"row_type\" is not of a table's row type"),
				 errhint("Write NULL::name_of_table.")));
	return relid;
}

/*
 * dbperf.get_latest(row_type anyelement, "by" name, keys anycompatiblearray,
 *					 target regclass)
 *
 * The last row of each key, in the order of keys.  Raises
 * null_value_not_allowed, wrong_object_type, undefined_table, undefined_column,
 * undefined_function (no order), datatype_mismatch, insufficient_privilege.
 */
Datum
dbperf_get_latest(PG_FUNCTION_ARGS)
{
	DbpLatest latest = {0};
	AttrNumber by;
	AttrNumber time;
	instr_time start;
	Oid relid;

	INSTR_TIME_SET_CURRENT(start);
	refuse_null(PG_ARGISNULL(1), "by");
	refuse_null(PG_ARGISNULL(2), "keys");
	latest.rowtype = get_fn_expr_argtype(fcinfo->flinfo, 0);
	relid = table_of_row_type(latest.rowtype);
	open_table(&latest, PG_ARGISNULL(3) ? relid : PG_GETARG_OID(3));
	time = partition_column(latest.rel);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	latest.out = ((ReturnSetInfo *) fcinfo->resultinfo)->setDesc;
	find_row_columns(&latest, latest.out);
	by = find_column(latest.rel, NameStr(*PG_GETARG_NAME(1)), 0);
	if (by == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", NameStr(*PG_GETARG_NAME(1)),
						RelationGetRelationName(latest.rel))));
	describe_column(&latest, &latest.by, by);
	read_keys(&latest, PG_GETARG_ARRAYTYPE_P(2));
	answer(&latest, time);
	finish(&latest, DBP_OP_GET_LATEST, return_rows(fcinfo, &latest), start);
	return (Datum) 0;
}

/*
 * dbperf.get_active_market_data(instrument_id int, start_time timestamptz,
 *								 end_time timestamptz, "limit" int, target regclass)
 *
 * The newest rows of an instrument in [start_time, end_time), newest first; NULL:
 * without bound, without limit.  None if the end is not after the start.
 * Raises invalid_row_count_in_limit_clause, and what get_latest_market_data()
 * does.
 */
Datum
dbperf_get_active_market_data(PG_FUNCTION_ARGS)
{
	DbpLatest latest = {0};
	int64 from = PG_ARGISNULL(1) ? 0 : PG_GETARG_TIMESTAMPTZ(1);
	int64 to = PG_ARGISNULL(2) ? 0 : PG_GETARG_TIMESTAMPTZ(2);
	int32 limit = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3);
	instr_time start;
	uint64 rows;

	INSTR_TIME_SET_CURRENT(start);
	refuse_null(PG_ARGISNULL(0), "instrument_id");
	if (limit < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_ROW_COUNT_IN_LIMIT_CLAUSE),
				 errmsg("argument \"limit\" must not be negative"),
				 errhint("NULL returns all rows.")));
	open_table(&latest, PG_ARGISNULL(4) ? market_table() : PG_GETARG_OID(4));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	latest.out = ((ReturnSetInfo *) fcinfo->resultinfo)->setDesc;
	find_market_columns(&latest);
	latest.time.attnum = latest.source[MARKET_TIME];
	latest.deleted = find_column(latest.rel, "deleted_at", 0);
	SPI_connect();
	rows = dbp_latest_active(&latest, PG_GETARG_INT32(0), PG_ARGISNULL(1) ? NULL : &from,
							 PG_ARGISNULL(2) ? NULL : &to, PG_ARGISNULL(3) ? NULL : &limit,
							 ((ReturnSetInfo *) fcinfo->resultinfo)->setResult);
	SPI_finish();
	finish(&latest, DBP_OP_GET_ACTIVE, rows, start);
	return (Datum) 0;
}
