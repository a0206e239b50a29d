/*-------------------------------------------------------------------------
 *
 * source_array.c
 *		Rows for bulk_insert() out of one array for each column.
 *
 * An array is read where it is; values passed by reference point into it.
 * For a column that is an array itself, each row is a slice along the first
 * dimension.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupmacs.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "ingest/ingest.h"

typedef struct Column
{
	const char *name;
	Oid elemtype;
	int16 typlen;
	bool typbyval;
	char typalign;
	bool slices;	/* the column is an array: a row is a slice */
	int slice_ndim; /* of a slice */
	int slice_dims[MAXDIM];
	int slice_lbs[MAXDIM];
	int per_row; /* elements */
	char *data;
	bits8 *nulls;	  /* NULL: none */
	int64 at;		  /* first element of the batch, and ... */
	char *at_place;	  /* ... where it is */
	int64 mark;		  /* the same of the element that was looked for last, */
	char *mark_place; /* for rows that come one by one */
	ExprState *cast;  /* NULL: the type is the column's own */
	ExprContext *econtext;
} Column;

typedef struct ArraySource
{
	DbpSource base;
	Column *columns;
	EState *estate; /* for the casts */
} ArraySource;

static bool
element_is_null(const Column *column, int64 element)
{
	return column->nulls != NULL && (column->nulls[element / 8] & (1 << (element % 8))) == 0;
}

/* Reads one element and steps over it. */
static Datum
next_element(const Column *column, int64 element, char **place, bool *isnull)
{
	Datum value;

	*isnull = element_is_null(column, element);
	if (*isnull)
		return (Datum) 0;
	value = fetch_att(*place, column->typbyval, column->typlen);
	*place = att_addlength_pointer(*place, column->typlen, *place);
	*place = (char *) att_align_nominal(*place, column->typalign);
	return value;
}

/* The place of an element, reading on from the one that is known. */
static char *
place_of(Column *column, int64 element)
{
	bool isnull;

	Assert(element >= column->at);
	if (column->nulls == NULL && column->typlen > 0)
		return column->data + element * att_align_nominal(column->typlen, column->typalign);
	if (element < column->mark)
	{
		column->mark = column->at;
		column->mark_place = column->at_place;
	}
	for (; column->mark < element; column->mark++)
		(void) next_element(column, column->mark, &column->mark_place, &isnull);
	return column->mark_place;
}

static void
begin(DbpSource *source, int64 first)
{
	ArraySource *arrays = (ArraySource *) source;

	for (int i = 0; i < source->ncolumns; i++)
	{
		Column *column = &arrays->columns[i];
		int64 element = first * column->per_row;

		column->at_place = place_of(column, element);
		column->at = element;
	}
}

static Datum
read_slice(const Column *column, int64 first, char **place)
{
	Datum *values = palloc(Max(column->per_row, 1) * sizeof(Datum));
	bool *isnull = palloc(Max(column->per_row, 1) * sizeof(bool));
	int dims[MAXDIM];
	int lbs[MAXDIM];

	memcpy(dims, column->slice_dims, sizeof(dims));
	memcpy(lbs, column->slice_lbs, sizeof(lbs));
	for (int i = 0; i < column->per_row; i++)
		values[i] = next_element(column, first + i, place, &isnull[i]);
	return PointerGetDatum(construct_md_array(values, isnull, column->slice_ndim, dims, lbs,
											  column->elemtype, column->typlen, column->typbyval,
											  column->typalign));
}

static Datum
cast_value(const Column *column, Datum value, bool *isnull)
{
	column->econtext->caseValue_datum = value;
	column->econtext->caseValue_isNull = *isnull;
	return ExecEvalExpr(column->cast, column->econtext, isnull);
}

static void
fill_column(DbpSource *source, Column *column, int64 first, int count, Datum *values, bool *isnull)
{
	char *place = place_of(column, first * column->per_row);

	for (int i = 0; i < count; i++)
	{
		if (column->slices)
		{
			isnull[i] = false;
			values[i] = read_slice(column, (first + i) * column->per_row, &place);
		}
		else
			values[i] = next_element(column, first + i, &place, &isnull[i]);
		if (column->cast != NULL)
		{
			source->row = first + i;
			values[i] = cast_value(column, values[i], &isnull[i]);
		}
	}
}

static void
fill(DbpSource *source, int64 first, int count, DbpBatch *batch)
{
	ArraySource *arrays = (ArraySource *) source;
	bool *no_nulls = palloc0(count * sizeof(bool));

	batch->first = first;
	batch->count = count;
	batch->values = palloc(source->ncolumns * sizeof(Datum *));
	batch->isnull = palloc(source->ncolumns * sizeof(bool *));
	batch->absent = palloc0(source->ncolumns * sizeof(bool *));
	for (int i = 0; i < source->ncolumns; i++)
	{
		Column *column = &arrays->columns[i];

		source->column = i;
		if (column->nulls == NULL && column->cast == NULL && !column->slices && column->typbyval &&
			column->typlen == sizeof(Datum))
		{
			/* that is what Datums look like */
			batch->values[i] = (Datum *) place_of(column, first);
			batch->isnull[i] = no_nulls;
			continue;
		}
		batch->values[i] = palloc(count * sizeof(Datum));
		batch->isnull[i] = palloc(count * sizeof(bool));
		fill_column(source, column, first, count, batch->values[i], batch->isnull[i]);
	}
	source->row = -1;
	source->column = -1;
}

static Jsonb *
as_json(DbpSource *source, int64 row)
{
	ArraySource *arrays = (ArraySource *) source;
	JsonbParseState *state = NULL;
	JsonbValue *result;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < source->ncolumns; i++)
	{
		Column *column = &arrays->columns[i];
		char *place = place_of(column, row * column->per_row);
		bool isnull = false;
		Datum value;
		JsonbValue name;
		JsonbValue json;

		value = column->slices ? read_slice(column, row * column->per_row, &place)
							   : next_element(column, row, &place, &isnull);
		name.type = jbvString;
		name.val.string.val = unconstify(char *, column->name);
		name.val.string.len = strlen(column->name);
		(void) pushJsonbValue(&state, WJB_KEY, &name);
		if (isnull)
			json.type = jbvNull;
		else
		{
			FmgrInfo flinfo;
			Oid type = column->slices ? get_array_type(column->elemtype) : column->elemtype;
			Const *argument = makeNode(Const);

			/* to_jsonb() asks for the type of its argument */
			argument->consttype = type;
			fmgr_info(F_TO_JSONB, &flinfo);
			fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument),
													 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
							   &flinfo);
			JsonbToJsonbValue(DatumGetJsonbP(FunctionCall1(&flinfo, value)), &json);
		}
		(void) pushJsonbValue(&state, WJB_VALUE, &json);
	}
	result = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(result);
}

/* An error about the array for one column */
static void
raise_array_error(int sqlerrcode, const char *message, const char *hint)
{
	ereport(ERROR, (errcode(sqlerrcode), errmsg("%s", message), hint ? errhint("%s", hint) : 0));
}

/* The base type of what was given must be an array; returns its element type. */
static Oid
element_type(const Column *column, Oid type)
{
	Oid elemtype = get_element_type(getBaseType(type));

	if (!OidIsValid(elemtype))
		raise_array_error(ERRCODE_DATATYPE_MISMATCH,
						  psprintf("what is given for column \"%s\" is of type %s, not an array",
								   column->name, format_type_be(type)),
						  "Give one array for each column, cast to its type: $1::float8[].");
	return elemtype;
}

static void
prepare_shape(Column *column, const ArrayType *array, bool is_array_column)
{
	int ndim = ARR_NDIM(array);

	column->slices = is_array_column && ndim > 0;
	column->per_row = 1;
	if (!column->slices)
	{
		if (ndim > 1)
			raise_array_error(ERRCODE_ARRAY_SUBSCRIPT_ERROR,
							  psprintf("array for column \"%s\" has %d dimensions", column->name,
									   ndim),
							  "Give one element for each row, in one dimension.");
		return;
	}
	if (ndim < 2)
		raise_array_error(
			ERRCODE_ARRAY_SUBSCRIPT_ERROR,
			psprintf("array for column \"%s\" has one dimension, but the column is an array itself",
					 column->name),
			"Add a dimension, the first, for the rows; or give rows as jsonb, where the arrays "
			"may differ in length.");
	column->slice_ndim = ndim - 1;
	for (int i = 1; i < ndim; i++)
	{
		column->slice_dims[i - 1] = ARR_DIMS(array)[i];
		column->slice_lbs[i - 1] = ARR_LBOUND(array)[i];
		column->per_row *= ARR_DIMS(array)[i];
	}
}

/* As an assignment in an INSERT would do it */
static void
prepare_cast(ArraySource *source, Column *column, Oid type, Form_pg_attribute attribute)
{
	CaseTestExpr *given = makeNode(CaseTestExpr);
	Node *cast;

	given->typeId = type;
	given->typeMod = -1;
	given->collation = get_typcollation(type);
	cast =
		coerce_to_target_type(NULL, (Node *) given, type, attribute->atttypid, attribute->atttypmod,
							  COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (cast == NULL)
		raise_array_error(
			ERRCODE_DATATYPE_MISMATCH,
			psprintf("column \"%s\" is of type %s but its array has elements of "
					 "type %s",
					 column->name,
					 format_type_with_typemod(attribute->atttypid, attribute->atttypmod),
					 format_type_be(type)),
			psprintf("Cast the array: $1::%s[].", format_type_be(attribute->atttypid)));
	if (cast == (Node *) given)
		return;
	assign_expr_collations(NULL, cast);
	column->cast = ExecPrepareExpr((Expr *) cast, source->estate);
	column->econtext = GetPerTupleExprContext(source->estate);
}

/*
 * A literal without a type, as some drivers send lists: read as an array of
 * what the column wants.
 */
static Datum
read_literal(const char *literal, Form_pg_attribute attribute, Oid *type)
{
	Oid array_type = get_array_type(attribute->atttypid);
	Oid input;
	Oid param;

	/* arrays of arrays are arrays with more dimensions */
	*type = OidIsValid(array_type) ? array_type : getBaseType(attribute->atttypid);
	getTypeInputInfo(*type, &input, &param);
	return OidInputFunctionCall(input, unconstify(char *, literal), param, attribute->atttypmod);
}

static int64
prepare_column(ArraySource *source, Column *column, AttrNumber attnum, Datum datum, bool isnull,
			   Oid type)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(source->base.rel), attnum - 1);
	bool is_array_column = OidIsValid(get_element_type(getBaseType(attribute->atttypid)));
	ArrayType *array;
	int64 count;

	column->name = pstrdup(NameStr(attribute->attname));
	if (type == UNKNOWNOID && !isnull)
		datum = read_literal(DatumGetCString(datum), attribute, &type);
	if (isnull)
		raise_array_error(
			ERRCODE_NULL_VALUE_NOT_ALLOWED,
			psprintf("array for column \"%s\" is null", column->name),
			"Leave the column out to give it its default, or give an array of nulls.");
	column->elemtype = element_type(column, type);
	array = DatumGetArrayTypeP(datum);
	get_typlenbyvalalign(column->elemtype, &column->typlen, &column->typbyval, &column->typalign);
	/* an array of a domain over arrays, say, has what the column wants as its elements */
	if (is_array_column && OidIsValid(get_element_type(getBaseType(column->elemtype))))
		is_array_column = false;
	prepare_shape(column, array, is_array_column);
	prepare_cast(source, column,
				 is_array_column ? get_array_type(column->elemtype) : column->elemtype, attribute);

	column->data = ARR_DATA_PTR(array);
	column->nulls = ARR_NULLBITMAP(array);
	column->at = 0;
	column->at_place = column->data;
	column->mark_place = column->data;
	count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return column->slices ? (count > 0 ? ARR_DIMS(array)[0] : 0) : count;
}

DbpSource *
dbp_source_arrays(Relation rel, const char **columns, int ncolumns, Datum *arrays, bool *isnull,
				  Oid *types)
{
	ArraySource *source = palloc0(sizeof(ArraySource));

	source->base.rel = rel;
	source->base.ncolumns = ncolumns;
	source->base.attnums = palloc(Max(ncolumns, 1) * sizeof(AttrNumber));
	source->base.row = -1;
	source->base.column = -1;
	source->base.fill = fill;
	source->base.begin = begin;
	source->base.as_json = as_json;
	source->columns = palloc0(Max(ncolumns, 1) * sizeof(Column));
	source->estate = CreateExecutorState();

	for (int i = 0; i < ncolumns; i++)
	{
		AttrNumber attnum = dbp_source_column(rel, columns[i]);
		int64 nrows;

		for (int j = 0; j < i; j++)
			if (source->base.attnums[j] == attnum)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("column \"%s\" specified more than once", columns[i])));
		source->base.attnums[i] = attnum;
		nrows = prepare_column(source, &source->columns[i], attnum, arrays[i], isnull[i], types[i]);
		if (i == 0)
			source->base.nrows = nrows;
		else if (nrows != source->base.nrows)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("array for column \"%s\" has " INT64_FORMAT
							" elements, but that for column \"%s\" has " INT64_FORMAT,
							columns[i], nrows, columns[0], source->base.nrows),
					 errhint("All arrays must have one element for each row.")));
	}
	return &source->base;
}
