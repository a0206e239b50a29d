/*-------------------------------------------------------------------------
 *
 * target.c
 *		The table of a soft delete, and the columns that tell its rows apart.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/bitmapset.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "partition/partition.h"
#include "softdelete/softdelete.h"

/*
 * An argument that names a table, locked as for UPDATE.
 */
Oid
dbp_soft_table_arg(FunctionCallInfo fcinfo, int n)
{
	Oid relid = PG_ARGISNULL(n) ? InvalidOid : PG_GETARG_OID(n);
	char relkind;

	if (!OidIsValid(relid))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("table must not be null")));
	LockRelationOid(relid, AccessShareLock);
	relkind = get_rel_relkind(relid);
	if (relkind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE &&
		relkind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a table", dbp_qualified_name(relid)),
				 errhint("Name the table itself, not a view of it.")));
	return relid;
}

/*
 * The number of columns that a relation has or has had.
 */
AttrNumber
dbp_soft_natts(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	AttrNumber natts;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);
	return natts;
}

/*
 * Is one of the two columns there, and of a type that it can have?
 */
bool
dbp_soft_column_fits(Oid relid, const char *column, bool *exists)
{
	AttrNumber attnum = get_attnum(relid, column);
	Oid type;

	*exists = attnum != InvalidAttrNumber;
	if (!*exists)
		return false;
	type = getBaseType(get_atttype(relid, attnum));
	if (strcmp(column, DBP_DELETED_AT) == 0)
		return type == TIMESTAMPTZOID;
	return type == TEXTOID || type == VARCHAROID;
}

/*
 * Raises an error unless a table has both.
 */
void
dbp_soft_check_columns(Oid relid)
{
	const char *const columns[] = {DBP_DELETED_AT, DBP_DELETED_BY};

	for (int i = 0; i < (int) lengthof(columns); i++)
	{
		bool exists;

		if (dbp_soft_column_fits(relid, columns[i], &exists))
			continue;
		if (!exists)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("table %s has no column \"%s\"", dbp_qualified_name(relid), columns[i]),
					 errhint("dbperf.enable_soft_delete() adds it.")));
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table %s is of type %s", columns[i],
						dbp_qualified_name(relid),
						format_type_be(get_atttype(relid, get_attnum(relid, columns[i])))),
				 errhint("Soft delete needs deleted_at of type timestamptz and deleted_by of type "
						 "text.")));
	}
}

/*
 * The same for a table that soft delete is enabled for.
 */
void
dbp_soft_check_needed(Oid relid)
{
	bool exists;

	if (dbp_soft_column_fits(relid, DBP_DELETED_AT, &exists) &&
		dbp_soft_column_fits(relid, DBP_DELETED_BY, &exists))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("soft delete of table %s needs columns deleted_at of type timestamptz and "
					"deleted_by of type text",
					dbp_qualified_name(relid)),
			 errhint("Call dbperf.disable_soft_delete() first.")));
}

void
dbp_soft_job_init(DbpSoftJob *job, DbpSoftAction action, const char *function, Oid relid,
				  int batch_size)
{
	if (batch_size <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch size must be positive, not %d", batch_size)));
	memset(job, 0, sizeof(DbpSoftJob));
	job->action = action;
	job->function = function;
	job->relid = relid;
	job->table = dbp_qualified_name(relid);
	job->name = pstrdup(quote_identifier(get_rel_name(relid)));
	job->order = "";
	/* no more than an array can hold, nor than is of any use */
	job->batch_size = Min(batch_size, 1000000);
	job->total = -1;
	INSTR_TIME_SET_CURRENT(job->noticed);
	job->batch_context =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf soft delete", ALLOCSET_DEFAULT_SIZES);
	dbp_soft_check_columns(relid);
}

/*
 * An operator such that no search_path leads to another.
 */
char *
dbp_soft_operator(Oid operator)
{
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	result = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
					  NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}

/*
 * What is to be known of a column that is a key.
 */
void
dbp_soft_key_describe(Oid relid, AttrNumber attnum, DbpSoftKey *key)
{
	Oid type;
	int32 typmod;
	TypeCacheEntry *cache;
	bool varlena;

	get_atttypetypmodcoll(relid, attnum, &type, &typmod, &key->collation);
	key->column = pstrdup(quote_identifier(get_attname(relid, attnum, false)));
	key->type = getBaseType(type);
	key->array_type = get_array_type(key->type);
	cache = lookup_type_cache(key->type, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR | TYPECACHE_CMP_PROC);
	if (!OidIsValid(cache->eq_opr) || !OidIsValid(cache->lt_opr) || !OidIsValid(cache->cmp_proc) ||
		!OidIsValid(key->array_type))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("column %s of table %s cannot be a key", key->column,
						dbp_qualified_name(relid)),
				 errdetail("Type %s has no order.", format_type_be(type)),
				 errhint("Name another column as key.")));
	key->equals = dbp_soft_operator(cache->eq_opr);
	getTypeOutputInfo(key->type, &key->output, &varlena);
	get_typlenbyvalalign(key->type, &key->len, &key->byval, &key->align);
}

/*
 * The columns of a table's primary key: a list of numbers, NIL if it has none.
 */
List *
dbp_soft_primary_columns(Oid relid)
{
	Oid constraint;
	Bitmapset *columns = get_primary_key_attnos(relid, true, &constraint);
	List *result = NIL;
	int next = -1;

	while ((next = bms_next_member(columns, next)) >= 0)
		result = lappend_int(result, next + FirstLowInvalidHeapAttributeNumber);
	return result;
}

static bool
is_partition_key(Oid relid, AttrNumber attnum)
{
	HeapTuple tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(relid));
	Form_pg_partitioned_table form;
	bool found = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_partitioned_table) GETSTRUCT(tuple);
	for (int i = 0; i < form->partnatts; i++)
		found |= form->partattrs.values[i] == attnum;
	ReleaseSysCache(tuple);
	return found;
}

/*
 * One column is the key.  Rows of the same key are told apart by the primary
 * key; where there is none, they are locked in the order in which they lie.
 */
static void
use_column(DbpSoftJob *job, AttrNumber attnum)
{
	List *primary = dbp_soft_primary_columns(job->relid);
	ListCell *cell;

	job->keys = palloc0(sizeof(DbpSoftKey) * (1 + list_length(primary)));
	job->nkeys = 1;
	job->nfound = 1;
	dbp_soft_key_describe(job->relid, attnum, job->keys);
	foreach(cell, primary)
		if (lfirst_int(cell) != attnum)
			dbp_soft_key_describe(job->relid, lfirst_int(cell), &job->keys[job->nfound++]);
	if (primary == NIL)
		job->order = psprintf(", %s.tableoid, %s.ctid", job->name, job->name);
}

/*
 * The key is a column that the caller named.
 */
void
dbp_soft_key_by_name(DbpSoftJob *job, const char *column)
{
	AttrNumber attnum = get_attnum(job->relid, column);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table %s has no column \"%s\"", job->table, column),
				 errhint("Name the column whose values are given as ids.")));
	use_column(job, attnum);
}

/*
 * The key is the one column of the primary key that rows are not partitioned
 * by.
 */
void
dbp_soft_key_default(DbpSoftJob *job)
{
	List *primary = dbp_soft_primary_columns(job->relid);
	AttrNumber found = InvalidAttrNumber;
	int candidates = 0;
	ListCell *cell;

	foreach(cell, primary)
	{
		if (list_length(primary) > 1 && is_partition_key(job->relid, lfirst_int(cell)))
			continue;
		found = lfirst_int(cell);
		candidates++;
	}
	if (candidates != 1)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 primary == NIL
				 ? errmsg("table %s has no primary key", job->table)
				 : errmsg("primary key of table %s has not one column besides its partition key",
						  job->table),
			 errhint("Name the column whose values are given as ids: key => 'column'.")));
	use_column(job, found);
}

/*
 * All columns of the primary key together, those that rows are partitioned by
 * last: that is the order in which callers with ids lock rows, too.  False:
 * there is no primary key.
 */
bool
dbp_soft_key_primary(DbpSoftJob *job)
{
	List *primary = dbp_soft_primary_columns(job->relid);
	ListCell *cell;

	if (primary == NIL)
		return false;
	job->keys = palloc0(sizeof(DbpSoftKey) * list_length(primary));
	for (int last = 0; last <= 1; last++)
		foreach(cell, primary)
			if (is_partition_key(job->relid, lfirst_int(cell)) == (last == 1))
				dbp_soft_key_describe(job->relid, lfirst_int(cell), &job->keys[job->nkeys++]);
	job->nfound = job->nkeys;
	return true;
}
