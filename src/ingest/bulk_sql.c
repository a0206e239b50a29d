/*-------------------------------------------------------------------------
 *
 * bulk_sql.c
 *		The SQL functions bulk_insert() and bulk_insert_…(): their arguments.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "ingest/bulk_call.h"
#include "ingest/managed.h"

PG_FUNCTION_INFO_V1(dbperf_bulk_insert_arrays);
PG_FUNCTION_INFO_V1(dbperf_bulk_insert_record);
PG_FUNCTION_INFO_V1(dbperf_bulk_insert_json);
PG_FUNCTION_INFO_V1(dbperf_bulk_insert_typed);

/* Values, one for each column */
typedef struct Arrays
{
	int n;
	const char **columns;
	Datum *values;
	bool *isnull;
	Oid *types;
} Arrays;

static void
init_options(DbpBulkOptions *options)
{
	memset(options, 0, sizeof(DbpBulkOptions));
	options->batch_size = DBP_BATCH_SIZE_DEFAULT;
	options->on_conflict = DBP_CONFLICT_ERROR;
}

static void
raise_option(const char *name, const char *value, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\": %s", name, value), errhint("%s", hint)));
}

static void
set_batch_size(DbpBulkOptions *options, int64 size)
{
	if (size < 1 || size > DBP_BATCH_SIZE_MAX)
		raise_option("batch_size", psprintf(INT64_FORMAT, size),
					 psprintf("It must be between 1 and %d.", DBP_BATCH_SIZE_MAX));
	options->batch_size = size;
}

static void
set_on_error(DbpBulkOptions *options, const char *value)
{
	if (strcmp(value, "abort") != 0 && strcmp(value, "reject") != 0)
		raise_option("on_error", value, "It must be abort or reject.");
	options->reject = strcmp(value, "reject") == 0;
}

static void
set_on_conflict(DbpBulkOptions *options, const char *value)
{
	if (strcmp(value, "error") == 0)
		options->on_conflict = DBP_CONFLICT_ERROR;
	else if (strcmp(value, "nothing") == 0)
		options->on_conflict = DBP_CONFLICT_NOTHING;
	else if (strcmp(value, "update") == 0)
		options->on_conflict = DBP_CONFLICT_UPDATE;
	else
		raise_option("on_conflict", value, "It must be error, nothing or update.");
}

/* The names in a name[] or text[]; nulls are not allowed. */
static List *
names_of_array(ArrayType *array, const char *what)
{
	Datum *elements;
	bool *nulls;
	int count;
	List *names = NIL;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%s must have one dimension", what)));
	deconstruct_array(array, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain nulls", what)));
		names = lappend(names, pstrdup(NameStr(*DatumGetName(elements[i]))));
	}
	return names;
}

/* An argument that is an option has its name; NULL means its default. */
static void
set_option(DbpBulkOptions *options, const char *name, Datum value, bool isnull)
{
	if (isnull)
		return;
	if (strcmp(name, "batch_size") == 0)
		set_batch_size(options, DatumGetInt32(value));
	else if (strcmp(name, "on_error") == 0)
		set_on_error(options, TextDatumGetCString(value));
	else if (strcmp(name, "on_conflict") == 0)
		set_on_conflict(options, TextDatumGetCString(value));
	else if (strcmp(name, "conflict_columns") == 0)
		options->conflict_columns = names_of_array(DatumGetArrayTypeP(value), name);
	else
		elog(ERROR, "unknown option \"%s\"", name);
}

/* The option arguments of a function, by their names */
static void
read_options(FunctionCallInfo fcinfo, int from, DbpBulkOptions *options)
{
	static const char *const names[] = {"batch_size", "on_error", "on_conflict",
										"conflict_columns"};

	init_options(options);
	for (int i = from; i < PG_NARGS(); i++)
		set_option(options, names[i - from], PG_GETARG_DATUM(i), PG_ARGISNULL(i));
}

static char *
json_text(const JsonbValue *value, const char *name)
{
	if (value->type != jbvString)
		raise_option(name, "not a string", "Give it as a JSON string.");
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static int64
json_integer(const JsonbValue *value, const char *name)
{
	Datum number = NumericGetDatum(value->val.numeric);
	char *text = DatumGetCString(DirectFunctionCall1(numeric_out, number));
	char *end;
	int64 result;

	errno = 0;
	result = strtoi64(text, &end, 10);
	if (errno != 0 || *end != '\0')
		raise_option(name, text, psprintf("It must be between 1 and %d.", DBP_BATCH_SIZE_MAX));
	return result;
}

static List *
json_names(const JsonbValue *value, const char *name)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;
	List *names = NIL;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		raise_option(name, "not an array", "Give it as a JSON array of strings.");
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			names = lappend(names, json_text(&element, name));
	return names;
}

static void
set_json_option(DbpBulkOptions *options, const char *name, const JsonbValue *value)
{
	if (value->type == jbvNull)
		return;
	if (strcmp(name, "batch_size") == 0)
	{
		if (value->type != jbvNumeric)
			raise_option(name, "not a number", "Give it as a JSON number.");
		set_batch_size(options, json_integer(value, name));
	}
	else if (strcmp(name, "on_error") == 0)
		set_on_error(options, json_text(value, name));
	else if (strcmp(name, "on_conflict") == 0)
		set_on_conflict(options, json_text(value, name));
	else if (strcmp(name, "conflict_columns") == 0)
		options->conflict_columns = json_names(value, name);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown option \"%s\"", name),
				 errhint("The options are batch_size, on_error, on_conflict and "
						 "conflict_columns.")));
}

static void
read_json_options(Jsonb *json, DbpBulkOptions *options)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue value;
	char *name = NULL;

	if (!JB_ROOT_IS_OBJECT(json))
		raise_option("options", "not an object",
					 "Give them as a JSON object such as {\"batch_size\": 5000}.");
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			set_json_option(options, name, &value);
	}
}

static Datum
make_result(FunctionCallInfo fcinfo, const DbpBulk *bulk, int64 nrows, const instr_time *start)
{
	TupleDesc desc;
	Datum values[5];
	bool isnull[5] = {false};
	Interval *elapsed = palloc0(sizeof(Interval));

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	elapsed->time = (int64) (dbp_ms_since(start) * 1000);
	values[0] = Int64GetDatum(bulk->inserted);
	values[1] = Int64GetDatum(bulk->rejected);
	values[2] = Int64GetDatum(bulk->batches);
	values[3] = IntervalPGetDatum(elapsed);
	values[4] = Int64GetDatum(nrows - (int64) bulk->inserted - (int64) bulk->rejected);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, isnull));
}

static Datum
insert_arrays(FunctionCallInfo fcinfo, Oid target, const Arrays *arrays,
			  const DbpBulkOptions *options)
{
	instr_time start;
	Relation rel;
	DbpSource *source;
	DbpBulk bulk;

	INSTR_TIME_SET_CURRENT(start);
	rel = dbp_bulk_open(target);
	source = dbp_source_arrays(rel, arrays->columns, arrays->n, arrays->values, arrays->isnull,
							   arrays->types);
	dbp_bulk_run(&bulk, source, options);
	table_close(rel, NoLock);
	return make_result(fcinfo, &bulk, source->nrows, &start);
}

static Oid
target_argument(FunctionCallInfo fcinfo, int number)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("target must not be null"),
				 errhint("Name the table to insert into.")));
	return PG_GETARG_OID(number);
}

static void
read_columns(FunctionCallInfo fcinfo, int number, Arrays *arrays)
{
	List *names;
	ListCell *cell;
	int i = 0;

	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("columns must not be null"),
				 errhint("Name the columns that the arrays are for.")));
	names = names_of_array(PG_GETARG_ARRAYTYPE_P(number), "columns");
	if (names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("columns must not be empty"),
				 errhint("Name the columns that the arrays are for.")));
	arrays->n = list_length(names);
	arrays->columns = palloc(arrays->n * sizeof(char *));
	arrays->values = palloc(arrays->n * sizeof(Datum));
	arrays->isnull = palloc(arrays->n * sizeof(bool));
	arrays->types = palloc(arrays->n * sizeof(Oid));
	foreach(cell, names)
		arrays->columns[i++] = lfirst(cell);
}

static void
raise_count(int columns, int arrays)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%d columns are named but %d arrays are given", columns, arrays),
			 errhint("Give one array for each column.")));
}

/* What follows the arrays of the variadic form: NULL, or options as jsonb */
static Jsonb *
options_argument(FunctionCallInfo fcinfo, int number)
{
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, number);

	if (PG_ARGISNULL(number))
		return NULL;
	if (type == JSONBOID)
		return PG_GETARG_JSONB_P(number);
	/* a literal without a type */
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, PG_GETARG_DATUM(number)));
}

/*
 * bulk_insert(target regclass, columns name[], VARIADIC arrays "any"): an array
 * for each column, and, after them, options as jsonb if any.
 */
Datum
dbperf_bulk_insert_arrays(PG_FUNCTION_ARGS)
{
	Oid target = target_argument(fcinfo, 0);
	int given = PG_NARGS() - 2;
	DbpBulkOptions options;
	Arrays arrays;

	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("VARIADIC cannot be used to call bulk_insert()"),
				 errhint("Give the arrays one by one, or together as ROW(...).")));
	read_columns(fcinfo, 1, &arrays);
	init_options(&options);
	if (given == arrays.n + 1)
	{
		Oid type = get_fn_expr_argtype(fcinfo->flinfo, PG_NARGS() - 1);

		if (type == JSONBOID || type == UNKNOWNOID)
		{
			Jsonb *json = options_argument(fcinfo, PG_NARGS() - 1);

			if (json != NULL)
				read_json_options(json, &options);
			given--;
		}
	}
	if (given != arrays.n)
		raise_count(arrays.n, given);
	for (int i = 0; i < given; i++)
	{
		arrays.values[i] = PG_GETARG_DATUM(2 + i);
		arrays.isnull[i] = PG_ARGISNULL(2 + i);
		arrays.types[i] = get_fn_expr_argtype(fcinfo->flinfo, 2 + i);
	}
	return insert_arrays(fcinfo, target, &arrays, &options);
}

/*
 * bulk_insert(target regclass, columns name[], arrays record, …): the same with
 * the arrays in one row, so that options can follow by name.
 */
Datum
dbperf_bulk_insert_record(PG_FUNCTION_ARGS)
{
	Oid target = target_argument(fcinfo, 0);
	DbpBulkOptions options;
	Arrays arrays;
	HeapTupleHeader header;
	HeapTupleData tuple;
	TupleDesc desc;

	read_columns(fcinfo, 1, &arrays);
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("arrays must not be null"),
				 errhint("Give a row with one array for each column.")));
	read_options(fcinfo, 3, &options);
	header = PG_GETARG_HEAPTUPLEHEADER(2);
	desc = lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(header),
									   HeapTupleHeaderGetTypMod(header));
	if (desc->natts != arrays.n)
		raise_count(arrays.n, desc->natts);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, arrays.values, arrays.isnull);
	for (int i = 0; i < arrays.n; i++)
		arrays.types[i] = TupleDescAttr(desc, i)->atttypid;
	return insert_arrays(fcinfo, target, &arrays, &options);
}

/*
 * bulk_insert(target regclass, rows jsonb, …): an array of objects.
 */
Datum
dbperf_bulk_insert_json(PG_FUNCTION_ARGS)
{
	Oid target = target_argument(fcinfo, 0);
	DbpBulkOptions options;
	instr_time start;
	Relation rel;
	DbpSource *source;
	DbpBulk bulk;

	INSTR_TIME_SET_CURRENT(start);
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("rows must not be null"),
				 errhint("Give an array of JSON objects.")));
	read_options(fcinfo, 2, &options);
	rel = dbp_bulk_open(target);
	source = dbp_source_json(rel, PG_GETARG_JSONB_P(1));
	dbp_bulk_run(&bulk, source, &options);
	table_close(rel, NoLock);
	return make_result(fcinfo, &bulk, source->nrows, &start);
}

/* How a function was declared: what bulk_insert_…() reads its arguments by */
typedef struct Signature
{
	int nargs;
	char **names;
	Oid *types;
	char *table; /* the function's name without its beginning */
} Signature;

static void
read_signature(Oid function, Signature *signature)
{
	static const char prefix[] = "bulk_insert_";
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	char *modes;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	(void) get_func_arg_info(tuple, &signature->types, &signature->names, &modes);
	signature->nargs = form->pronargs;
	if (strncmp(NameStr(form->proname), prefix, strlen(prefix)) != 0)
		elog(ERROR, "unexpected function name \"%s\"", NameStr(form->proname));
	signature->table = pstrdup(NameStr(form->proname) + strlen(prefix));
	ReleaseSysCache(tuple);
}

/*
 * bulk_insert_<table>(column type[], …, batch_size, on_error, on_conflict,
 * target): columns are the arguments that are arrays; those that are null are
 * not given.
 */
Datum
dbperf_bulk_insert_typed(PG_FUNCTION_ARGS)
{
	Signature signature;
	DbpBulkOptions options;
	Arrays arrays = {0};
	Oid target = InvalidOid;

	read_signature(fcinfo->flinfo->fn_oid, &signature);
	init_options(&options);
	arrays.columns = palloc(signature.nargs * sizeof(char *));
	arrays.values = palloc(signature.nargs * sizeof(Datum));
	arrays.isnull = palloc(signature.nargs * sizeof(bool));
	arrays.types = palloc(signature.nargs * sizeof(Oid));
	for (int i = 0; i < signature.nargs; i++)
	{
		const char *name = signature.names[i];

		if (strcmp(name, "target") == 0)
			target = PG_ARGISNULL(i) ? InvalidOid : PG_GETARG_OID(i);
		else if (!OidIsValid(get_element_type(signature.types[i])))
			set_option(&options, name, PG_GETARG_DATUM(i), PG_ARGISNULL(i));
		else if (!PG_ARGISNULL(i))
		{
			arrays.columns[arrays.n] = name;
			arrays.values[arrays.n] = PG_GETARG_DATUM(i);
			arrays.isnull[arrays.n] = false;
			arrays.types[arrays.n++] = signature.types[i];
		}
	}
	if (arrays.n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("all arrays are null"),
				 errhint("Give an array for each column that is to have values.")));
	if (!OidIsValid(target))
		target = dbp_managed_table(signature.table);
	return insert_arrays(fcinfo, target, &arrays, &options);
}
