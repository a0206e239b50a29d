/*-------------------------------------------------------------------------
 *
 * policy.c
 *		Reads policies, with what maintenance needs to know of the parent.
 *
 * dbperf.policy is validated by its trigger when it is written, so nothing is
 * checked again here but what can have changed since: that the time zone is
 * still known to the server.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "partition/statement.h"

/*
 * Plain columns, and no ORDER BY: what the statement does not need is what a
 * fresh worker does not have to look up in the catalogs.
 */
static DbpStatement select_policies = {
	.sql =
		"SELECT p.parent, p.partition_interval, p.partition_step, p.epoch_unit, p.anchor,"
		" p.anchor_key, p.time_zone, p.premake, p.naming_pattern, p.tablespace, p.lock_budget,"
		" p.sanity_window, p.sanity_step, p.run_order, s.failures, s.next_try_at, s.last_error,"
		" p.detach_after, p.detach_step, p.drop_after, p.drop_step, p.archive_schema, p.lock_tries,"
		" s.retire_failures, s.retire_next_try_at, s.retire_error,"
		" p.sort_by, s.compress_failures, s.compress_next_try_at, s.compress_error"
		" FROM dbperf.policy p LEFT JOIN dbperf.policy_state s ON s.parent = p.parent"
		" WHERE (p.parent = $1 OR $1 = 0) AND (p.enabled OR NOT $2)",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.types = {OIDOID, BOOLOID},
};

static Datum
column(int row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

static char *
text_column(int row, int number)
{
	bool isnull;
	Datum value = column(row, number, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* Of text[]; NULL: an empty list */
static List *
names_column(int row, int number)
{
	bool isnull;
	Datum value = column(row, number, &isnull);
	Datum *names;
	int count;
	List *list = NIL;

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &names, NULL,
					  &count);
	for (int i = 0; i < count; i++)
		list = lappend(list, TextDatumGetCString(names[i]));
	return list;
}

static int64
int8_column(int row, int number)
{
	bool isnull;
	Datum value = column(row, number, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static bool
is_set(int row, int number)
{
	bool isnull;

	(void) column(row, number, &isnull);
	return !isnull;
}

/* As intervals are compared; the policy's trigger knows it to be small */
static int
milliseconds(const Interval *interval)
{
	int64 days = (int64) interval->month * DAYS_PER_MONTH + interval->day;

	return (int) ((days * USECS_PER_DAY + interval->time) / 1000);
}

static DbpEpochUnit
epoch_unit(const char *name)
{
	if (name == NULL)
		return DBP_EPOCH_NONE;
	if (strcmp(name, "seconds") == 0)
		return DBP_EPOCH_SECONDS;
	if (strcmp(name, "milliseconds") == 0)
		return DBP_EPOCH_MILLISECONDS;
	return DBP_EPOCH_MICROSECONDS;
}

/*
 * What the catalogs say of the parent.  False when it was dropped, or is no
 * longer partitioned.
 */
static bool
read_table(DbpPolicy *policy)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(policy->parent));
	Form_pg_class form;
	AttrNumber attnum = InvalidAttrNumber;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	policy->owner = form->relowner;
	policy->nspoid = form->relnamespace;
	policy->schema = get_namespace_name(form->relnamespace);
	policy->table = pstrdup(NameStr(form->relname));
	ReleaseSysCache(tuple);

	tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(policy->parent));
	if (!HeapTupleIsValid(tuple))
		return false;
	attnum = ((Form_pg_partitioned_table) GETSTRUCT(tuple))->partattrs.values[0];
	ReleaseSysCache(tuple);
	policy->column = get_attname(policy->parent, attnum, true);
	policy->keytype = get_atttype(policy->parent, attnum);
	return policy->schema != NULL && policy->column != NULL;
}

/*
 * Where detached partitions go if the policy does not say: the name is cut
 * between two characters where it would get too long.
 */
static char *
default_archive_schema(const char *schema)
{
	char *name = makeObjectName(schema, NULL, "archive");

	/* cut, it can become the very name that it was made of */
	if (strcmp(name, schema) == 0)
		name = makeObjectName(schema, NULL, "archived");
	return name;
}

/* NULL when the table is not there any more */
static DbpPolicy *
policy_from_row(int row)
{
	DbpPolicy *policy = palloc0(sizeof(DbpPolicy));
	bool isnull;
	Datum value;

	policy->parent = DatumGetObjectId(column(row, 1, &isnull));
	if (!read_table(policy))
		return NULL;
	value = column(row, 2, &isnull);
	policy->by_time = !isnull;
	if (policy->by_time)
		policy->interval = *DatumGetIntervalP(value);
	policy->step = int8_column(row, 3);
	policy->unit = epoch_unit(text_column(row, 4));
	value = column(row, 5, &isnull);
	policy->anchor = isnull ? 0 : DatumGetTimestamp(value);
	policy->anchor_key = int8_column(row, 6);
	policy->time_zone = text_column(row, 7);
	policy->premake = DatumGetInt32(column(row, 8, &isnull));
	policy->naming_pattern = text_column(row, 9);
	value = column(row, 10, &isnull);
	policy->tablespace = isnull ? NULL : pstrdup(NameStr(*DatumGetName(value)));
	policy->lock_budget_ms = milliseconds(DatumGetIntervalP(column(row, 11, &isnull)));
	value = column(row, 12, &isnull);
	if (!isnull)
		policy->sanity_window = *DatumGetIntervalP(value);
	policy->sanity_step = int8_column(row, 13);
	policy->run_order = DatumGetInt32(column(row, 14, &isnull));
	value = column(row, 15, &isnull);
	policy->failures = isnull ? 0 : DatumGetInt32(value);
	value = column(row, 16, &isnull);
	policy->next_try_at = isnull ? 0 : DatumGetTimestampTz(value);
	policy->last_error = text_column(row, 17);
	policy->retires = is_set(row, 18) || is_set(row, 19) || is_set(row, 20) || is_set(row, 21);
	value = column(row, 22, &isnull);
	policy->archive_schema =
		isnull ? default_archive_schema(policy->schema) : pstrdup(NameStr(*DatumGetName(value)));
	policy->lock_tries = DatumGetInt32(column(row, 23, &isnull));
	value = column(row, 24, &isnull);
	policy->retire_failures = isnull ? 0 : DatumGetInt32(value);
	value = column(row, 25, &isnull);
	policy->retire_next_try_at = isnull ? 0 : DatumGetTimestampTz(value);
	policy->retire_error = text_column(row, 26);
	policy->sort_by = names_column(row, 27);
	value = column(row, 28, &isnull);
	policy->compress_failures = isnull ? 0 : DatumGetInt32(value);
	value = column(row, 29, &isnull);
	policy->compress_next_try_at = isnull ? 0 : DatumGetTimestampTz(value);
	policy->compress_error = text_column(row, 30);
	policy->tz = pg_tzset(policy->time_zone);
	return policy;
}

static int
by_run_order(const ListCell *a, const ListCell *b)
{
	const DbpPolicy *x = lfirst(a);
	const DbpPolicy *y = lfirst(b);

	if (x->run_order != y->run_order)
		return x->run_order < y->run_order ? -1 : 1;
	return (x->parent > y->parent) - (x->parent < y->parent);
}

/*
 * The policy of one parent (or, with InvalidOid, of all), in the order in
 * which they are to be served: a list of DbpPolicy in the caller's memory
 * context.  SPI must be connected.
 */
List *
dbp_policy_load(Oid parent, bool enabled_only)
{
	Datum values[2];
	List *policies = NIL;
	MemoryContext caller = CurrentMemoryContext;

	values[0] = ObjectIdGetDatum(parent);
	values[1] = BoolGetDatum(enabled_only);
	dbp_statement_run(&select_policies, values, NULL);
	MemoryContextSwitchTo(caller);
	/* locks that we hold already did not make the caches hear of changes */
	AcceptInvalidationMessages();
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		DbpPolicy *policy = policy_from_row((int) row);

		if (policy != NULL)
			policies = lappend(policies, policy);
	}
	SPI_freetuptable(SPI_tuptable);
	list_sort(policies, by_run_order);
	return policies;
}

/*
 * The policy of a parent; raises undefined_object when it has none.
 */
DbpPolicy *
dbp_policy_get(Oid parent)
{
	List *policies = OidIsValid(parent) ? dbp_policy_load(parent, false) : NIL;
	DbpPolicy *policy;

	if (policies == NIL)
	{
		const char *name = get_rel_name(parent);

		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" has no partition policy", name ? name : "?"),
				 errhint("Use dbperf.manage() to give it one.")));
	}
	policy = linitial(policies);
	if (policy->tz == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" of the policy of table \"%s\" is not recognized",
						policy->time_zone, policy->table),
				 errhint("Set another with dbperf.alter_policy().")));
	return policy;
}

/*
 * The managed, enabled parent of that name, or InvalidOid.
 */
Oid
dbp_policy_find(const char *schema, const char *table)
{
	Oid nspoid = get_namespace_oid(schema, true);
	Oid relid = OidIsValid(nspoid) ? get_relname_relid(table, nspoid) : InvalidOid;

	if (OidIsValid(relid) && dbp_policy_load(relid, true) == NIL)
		relid = InvalidOid;
	return relid;
}

/*
 * Is the parent still the table that the policy was read for?  Before it was
 * locked it may have been dropped, renamed or given to another owner.
 */
bool
dbp_policy_holds(const DbpPolicy *policy)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(policy->parent));
	Form_pg_class form;
	bool same;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	same = form->relowner == policy->owner && form->relnamespace == policy->nspoid &&
		strcmp(NameStr(form->relname), policy->table) == 0 &&
		form->relkind == RELKIND_PARTITIONED_TABLE;
	ReleaseSysCache(tuple);
	return same;
}

/*
 * The policies that a role may have maintained, in the order in which they are
 * to be served: the one of a parent, which the role must own, or all enabled
 * ones whose parent it owns.
 */
List *
dbp_policies_of_role(Oid parent, Oid role)
{
	List *own = NIL;
	ListCell *cell;

	if (OidIsValid(parent))
	{
		DbpPolicy *policy = dbp_policy_get(parent);

		if (!dbp_owns_relation(parent, role))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be owner of table %s", policy->table)));
		return list_make1(policy);
	}
	foreach(cell, dbp_policy_load(InvalidOid, true))
	{
		DbpPolicy *policy = lfirst(cell);

		if (dbp_owns_relation(policy->parent, role))
			own = lappend(own, policy);
	}
	return own;
}
