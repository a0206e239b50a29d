/*-------------------------------------------------------------------------
 *
 * ids.c
 *		The array of ids that a caller gives, as values of the key column.
 *
 * They are sorted, and each is taken once: two callers with the same ids in
 * whatever order lock the rows in the same order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "softdelete/softdelete.h"

typedef struct IdOrder
{
	FmgrInfo compare;
	Oid collation;
} IdOrder;

static int
compare_ids(const void *a, const void *b, void *arg)
{
	IdOrder *order = arg;

	CHECK_FOR_INTERRUPTS();
	return DatumGetInt32(FunctionCall2Coll(&order->compare, order->collation, *(const Datum *) a,
										   *(const Datum *) b));
}

/*
 * The array with elements of the key's type, as an assignment would convert
 * them.
 */
static ArrayType *
convert(const DbpSoftJob *job, ArrayType *ids)
{
	const DbpSoftKey *key = &job->keys[0];
	Oid given = ARR_ELEMTYPE(ids);
	Oid types[1];
	Datum values[1] = {PointerGetDatum(ids)};
	Oid function;
	bool isnull;

	if (given == key->type)
		return ids;
	if (find_coercion_pathway(key->type, given, COERCION_ASSIGNMENT, &function) ==
		COERCION_PATH_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("ids are of type %s, but column %s of table %s is of type %s",
						format_type_be(given), key->column, job->table, format_type_be(key->type)),
				 errhint("Cast them: ids => ...::%s", format_type_be(key->array_type))));
	types[0] = get_array_type(given);
	dbp_soft_executed(SPI_execute_with_args(psprintf("SELECT CAST($1 AS %s)",
													 format_type_be_qualified(key->array_type)),
											1, types, values, NULL, true, 0),
					  "could not convert ids");
	return DatumGetArrayTypeP(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * Sorted, each one once.  Raises null_value_not_allowed for a NULL, and
 * array_subscript_error for an array of arrays.  SPI must be connected.
 */
Datum *
dbp_soft_ids(const DbpSoftJob *job, ArrayType *ids, int *count)
{
	const DbpSoftKey *key = &job->keys[0];
	IdOrder order;
	Datum *values;
	int n;
	int distinct = 0;

	*count = 0;
	if (ARR_NDIM(ids) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("ids must be an array of one dimension, not of %d", ARR_NDIM(ids))));
	if (array_contains_nulls(ids))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("ids must not contain nulls"),
				 errhint("Leave them out with array_remove(ids, NULL).")));
	ids = convert(job, ids);
	deconstruct_array(ids, key->type, key->len, key->byval, key->align, &values, NULL, &n);
	if (n == 0)
		return NULL;
	fmgr_info(lookup_type_cache(key->type, TYPECACHE_CMP_PROC)->cmp_proc, &order.compare);
	order.collation = key->collation;
	qsort_arg(values, n, sizeof(Datum), compare_ids, &order);
	for (int i = 0; i < n; i++)
		if (i == 0 || compare_ids(&values[i], &values[distinct - 1], &order) != 0)
			values[distinct++] = values[i];
	*count = distinct;
	return values;
}
