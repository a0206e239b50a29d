/*-------------------------------------------------------------------------
 *
 * source_json.c
 *		Rows for bulk_insert() out of a JSON array of objects.
 *
 * Keys are names of columns as they are.  What is not there takes the column's
 * default; null is NULL.  Strings, numbers and booleans become values through
 * the input function of the column's type, as a literal in an INSERT would;
 * arrays and objects for columns that are arrays or composites are taken apart
 * as jsonb_populate_record() does it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_relation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "ingest/ingest.h"

typedef enum Conversion
{
	CONVERT_SCALAR,
	CONVERT_JSON,		/* json, jsonb: as it is */
	CONVERT_STRUCTURED, /* arrays and composites: taken apart, unless given as a string */
} Conversion;

typedef struct Column
{
	Form_pg_attribute attribute;
	Conversion conversion;
	FmgrInfo input;
	Oid ioparam;

	/* CONVERT_STRUCTURED: jsonb_populate_record(), and a row of this column alone */
	FmgrInfo populate;
	TupleDesc desc;
	Datum empty_row;
} Column;

typedef struct JsonSource
{
	DbpSource base;
	JsonbContainer *rows;
	Column *columns;
	int *column_of; /* [attnum - 1]; -1: the column does not occur */
	int nguesses;	/* Keys come in the same order in each object: ... */
	int *guesses;	/* [place of a key]: the attribute that it was last time, from 0 */
} JsonSource;

AttrNumber
dbp_source_column(Relation rel, const char *name)
{
	int attnum = attnameAttNum(rel, name, false);
	Form_pg_attribute attribute;

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", name,
						RelationGetRelationName(rel))));
	attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	if (attribute->attgenerated != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_GENERATED_ALWAYS),
				 errmsg("cannot insert a non-DEFAULT value into column \"%s\"", name),
				 errdetail("Column \"%s\" is a generated column.", name),
				 errhint("Leave the column out.")));
	if (attribute->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
		ereport(ERROR,
				(errcode(ERRCODE_GENERATED_ALWAYS),
				 errmsg("cannot insert a non-DEFAULT value into column \"%s\"", name),
				 errdetail("Column \"%s\" is an identity column defined as GENERATED ALWAYS.",
						   name),
				 errhint("Leave the column out.")));
	return attnum;
}

static bool
is_column(Form_pg_attribute attribute, const JsonbValue *key)
{
	return !attribute->attisdropped &&
		strncmp(NameStr(attribute->attname), key->val.string.val, key->val.string.len) == 0 &&
		NameStr(attribute->attname)[key->val.string.len] == '\0';
}

/*
 * The attribute, from 0, that a key names; -1: none.  place is where in its
 * object the key stands.
 */
static int
find_attribute(JsonSource *source, const JsonbValue *key, int place)
{
	TupleDesc desc = RelationGetDescr(source->base.rel);

	if (key->val.string.len >= NAMEDATALEN)
		return -1;
	if (place < source->nguesses && source->guesses[place] >= 0 &&
		is_column(TupleDescAttr(desc, source->guesses[place]), key))
		return source->guesses[place];
	for (int i = 0; i < desc->natts; i++)
	{
		if (is_column(TupleDescAttr(desc, i), key))
		{
			if (place < source->nguesses)
				source->guesses[place] = i;
			return i;
		}
	}
	return -1;
}

static bool
can_be_given(Form_pg_attribute attribute)
{
	return attribute->attgenerated == '\0' && attribute->attidentity != ATTRIBUTE_IDENTITY_ALWAYS;
}

/* Goes through the keys of an object. */
static JsonbIterator *
begin_object(JsonbContainer *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbValue value;

	(void) JsonbIteratorNext(&iterator, &value, false);
	return iterator;
}

static bool
next_key(JsonbIterator **iterator, JsonbValue *key, JsonbValue *value)
{
	if (JsonbIteratorNext(iterator, key, true) != WJB_KEY)
		return false;
	(void) JsonbIteratorNext(iterator, value, true);
	return true;
}

static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

/* Which columns occur?  Keys that are none are left for fill() to complain of. */
static bool *
columns_of_rows(JsonSource *source)
{
	TupleDesc desc = RelationGetDescr(source->base.rel);
	bool *occurs = palloc0(Max(desc->natts, 1) * sizeof(bool));
	JsonbIterator *rows = JsonbIteratorInit(source->rows);
	JsonbValue row;

	(void) JsonbIteratorNext(&rows, &row, false);
	while (JsonbIteratorNext(&rows, &row, true) == WJB_ELEM)
	{
		JsonbIterator *iterator;
		JsonbValue key;
		JsonbValue value;

		CHECK_FOR_INTERRUPTS();
		if (!is_object(&row))
			continue;
		iterator = begin_object(row.val.binary.data);
		for (int place = 0; next_key(&iterator, &key, &value); place++)
		{
			int found = find_attribute(source, &key, place);

			if (found >= 0 && can_be_given(TupleDescAttr(desc, found)))
				occurs[found] = true;
		}
	}
	return occurs;
}

/*
 * A row of one column without a name for its type: jsonb_populate_record()
 * asks the row what it is, and fills in nothing else.
 */
static void
prepare_populate(Column *column)
{
	Oid type = column->attribute->atttypid;
	List *args = list_make2(makeNullConst(RECORDOID, -1, InvalidOid),
							makeNullConst(JSONBOID, -1, InvalidOid));
	Datum null = (Datum) 0;
	bool isnull = true;

	column->desc = CreateTemplateTupleDesc(1);
	TupleDescInitEntry(column->desc, 1, NameStr(column->attribute->attname), type,
					   column->attribute->atttypmod, column->attribute->attndims);
	column->desc = BlessTupleDesc(column->desc);
	column->empty_row = HeapTupleGetDatum(heap_form_tuple(column->desc, &null, &isnull));
	fmgr_info(F_JSONB_POPULATE_RECORD, &column->populate);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_JSONB_POPULATE_RECORD, RECORDOID, args, InvalidOid,
											 InvalidOid, COERCE_EXPLICIT_CALL),
					   &column->populate);
}

static void
prepare_column(Column *column, Form_pg_attribute attribute)
{
	Oid base = getBaseType(attribute->atttypid);
	Oid input;

	column->attribute = attribute;
	getTypeInputInfo(attribute->atttypid, &input, &column->ioparam);
	fmgr_info(input, &column->input);
	if (base == JSONOID || base == JSONBOID)
		column->conversion = CONVERT_JSON;
	else if (OidIsValid(get_element_type(base)) || type_is_rowtype(base))
	{
		column->conversion = CONVERT_STRUCTURED;
		prepare_populate(column);
	}
	else
		column->conversion = CONVERT_SCALAR;
}

/* What the input function of a type is to read */
static char *
value_text(JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
	}
}

static Datum
populate(Column *column, JsonbValue *value)
{
	JsonbParseState *state = NULL;
	JsonbValue name;
	JsonbValue *object;
	HeapTupleHeader row;
	bool isnull;

	name.type = jbvString;
	name.val.string.val = NameStr(column->attribute->attname);
	name.val.string.len = strlen(name.val.string.val);
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	(void) pushJsonbValue(&state, WJB_KEY, &name);
	(void) pushJsonbValue(&state, WJB_VALUE, value);
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	row = DatumGetHeapTupleHeader(FunctionCall2(&column->populate, column->empty_row,
												JsonbPGetDatum(JsonbValueToJsonb(object))));
	return GetAttributeByNum(row, 1, &isnull);
}

static Datum
convert(Column *column, JsonbValue *value, bool *isnull)
{
	char *text = NULL;

	*isnull = value->type == jbvNull;
	/* domains want to see nulls as well */
	if (!*isnull)
	{
		if (column->conversion == CONVERT_STRUCTURED && value->type != jbvString)
			return populate(column, value);
		if (column->conversion == CONVERT_JSON)
		{
			Jsonb *json = JsonbValueToJsonb(value);

			if (column->attribute->atttypid == JSONBOID)
				return JsonbPGetDatum(json);
			text = JsonbToCString(NULL, &json->root, VARSIZE(json));
		}
		else
			text = value_text(value);
	}
	return InputFunctionCall(&column->input, text, column->ioparam, column->attribute->atttypmod);
}

static const char *
kind_of(JsonbValue *value)
{
	if (value->type == jbvBinary)
		return JsonContainerIsArray(value->val.binary.data) ? "array" : "object";
	return JsonbTypeName(value);
}

static void
fill_row(JsonSource *source, int64 row, int i, DbpBatch *batch)
{
	DbpSource *base = &source->base;
	JsonbValue *given = getIthJsonbValueFromContainer(source->rows, row);
	JsonbIterator *iterator;
	JsonbValue key;
	JsonbValue value;

	base->row = row;
	base->column = -1;
	if (!is_object(given))
		ereport(ERROR,
				(errcode(ERRCODE_SQL_JSON_OBJECT_NOT_FOUND),
				 errmsg("row is not a JSON object but of type %s", kind_of(given)),
				 errhint("Give an object for each row, with names of columns as its keys.")));
	iterator = begin_object(given->val.binary.data);
	for (int place = 0; next_key(&iterator, &key, &value); place++)
	{
		int found = find_attribute(source, &key, place);
		int column = found < 0 ? -1 : source->column_of[found];

		base->column = column;
		if (column < 0)
		{
			/* raises an error */
			(void) dbp_source_column(base->rel, pnstrdup(key.val.string.val, key.val.string.len));
			elog(ERROR, "column not seen before");
		}
		batch->values[column][i] =
			convert(&source->columns[column], &value, &batch->isnull[column][i]);
		batch->absent[column][i] = false;
	}
	pfree(given);
}

static void
fill(DbpSource *base, int64 first, int count, DbpBatch *batch)
{
	JsonSource *source = (JsonSource *) base;

	batch->first = first;
	batch->count = count;
	batch->values = palloc(base->ncolumns * sizeof(Datum *));
	batch->isnull = palloc(base->ncolumns * sizeof(bool *));
	batch->absent = palloc(base->ncolumns * sizeof(bool *));
	for (int i = 0; i < base->ncolumns; i++)
	{
		batch->values[i] = palloc0(count * sizeof(Datum));
		batch->isnull[i] = palloc(count * sizeof(bool));
		batch->absent[i] = palloc(count * sizeof(bool));
		memset(batch->isnull[i], true, count);
		memset(batch->absent[i], true, count);
	}
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		fill_row(source, first + i, i, batch);
	}
	base->row = -1;
	base->column = -1;
	for (int i = 0; i < base->ncolumns; i++)
	{
		if (memchr(batch->absent[i], true, count) == NULL)
			batch->absent[i] = NULL;
	}
}

static Jsonb *
as_json(DbpSource *base, int64 row)
{
	JsonSource *source = (JsonSource *) base;

	return JsonbValueToJsonb(getIthJsonbValueFromContainer(source->rows, row));
}

static void
check_is_array(Jsonb *rows)
{
	JsonbValue scalar;

	if (JB_ROOT_IS_ARRAY(rows) && !JB_ROOT_IS_SCALAR(rows))
		return;
	if (JB_ROOT_IS_OBJECT(rows))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rows must be a JSON array of objects, not an object"),
				 errhint("Put a single row into an array: jsonb_build_array(...).")));
	(void) JsonbExtractScalar(&rows->root, &scalar);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("rows must be a JSON array of objects, not of type %s", JsonbTypeName(&scalar)),
			 errhint("Give an array with an object for each row.")));
}

DbpSource *
dbp_source_json(Relation rel, Jsonb *rows)
{
	TupleDesc desc = RelationGetDescr(rel);
	JsonSource *source = palloc0(sizeof(JsonSource));
	DbpSource *base = &source->base;
	bool *occurs;

	check_is_array(rows);
	source->rows = &rows->root;
	source->nguesses = desc->natts;
	source->guesses = palloc(Max(desc->natts, 1) * sizeof(int));
	memset(source->guesses, -1, desc->natts * sizeof(int));
	base->rel = rel;
	base->nrows = JB_ROOT_COUNT(rows);
	base->row = -1;
	base->column = -1;
	base->fill = fill;
	base->as_json = as_json;

	occurs = columns_of_rows(source);
	source->columns = palloc0(Max(desc->natts, 1) * sizeof(Column));
	source->column_of = palloc(Max(desc->natts, 1) * sizeof(int));
	base->attnums = palloc(Max(desc->natts, 1) * sizeof(AttrNumber));
	for (int i = 0; i < desc->natts; i++)
	{
		source->column_of[i] = occurs[i] ? base->ncolumns : -1;
		if (!occurs[i])
			continue;
		prepare_column(&source->columns[base->ncolumns], TupleDescAttr(desc, i));
		base->attnums[base->ncolumns++] = i + 1;
	}
	pfree(occurs);
	return base;
}
