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

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "partition/partition.h"

/*
 * Tables that were dropped or are no longer partitioned fall out in the join.
 */
static const char *const policy_query =
	"SELECT c.oid, c.relowner, c.relnamespace, n.nspname::text, c.relname::text,"
	" a.attname::text, a.atttypid, p.partition_interval, p.partition_step, p.epoch_unit,"
	" p.anchor, p.anchor_key, p.time_zone, p.premake, p.naming_pattern, p.tablespace::text,"
	" (extract(epoch FROM p.lock_budget) * 1000)::integer,"
	" p.sanity_window, p.sanity_step, COALESCE(s.failures, 0), s.next_try_at, s.last_error"
	" FROM dbperf.policy p"
	" JOIN pg_catalog.pg_class c ON c.oid = p.parent AND c.relkind = 'p'"
	" JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
	" JOIN pg_catalog.pg_partitioned_table t ON t.partrelid = c.oid"
	" JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = t.partattrs[0]"
	" LEFT JOIN dbperf.policy_state s ON s.parent = p.parent"
	" WHERE (p.parent = $1 OR $1 = 0) AND (p.enabled OR NOT $2)"
	" ORDER BY p.run_order, p.parent::oid";

static Datum
column(int row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

static char *
text_column(int row, int number)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static int64
int8_column(int row, int number)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
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

static DbpPolicy *
policy_from_row(int row)
{
	DbpPolicy  *policy = palloc0(sizeof(DbpPolicy));
	bool		isnull;
	Datum		value;

	policy->parent = DatumGetObjectId(column(row, 1, &isnull));
	policy->owner = DatumGetObjectId(column(row, 2, &isnull));
	policy->namespace = DatumGetObjectId(column(row, 3, &isnull));
	policy->schema = text_column(row, 4);
	policy->table = text_column(row, 5);
	policy->column = text_column(row, 6);
	policy->keytype = DatumGetObjectId(column(row, 7, &isnull));
	value = column(row, 8, &isnull);
	policy->by_time = !isnull;
	if (policy->by_time)
		policy->interval = *DatumGetIntervalP(value);
	policy->step = int8_column(row, 9);
	policy->unit = epoch_unit(text_column(row, 10));
	value = column(row, 11, &isnull);
	policy->anchor = isnull ? 0 : DatumGetTimestamp(value);
	policy->anchor_key = int8_column(row, 12);
	policy->time_zone = text_column(row, 13);
	policy->premake = DatumGetInt32(column(row, 14, &isnull));
	policy->naming_pattern = text_column(row, 15);
	policy->tablespace = text_column(row, 16);
	policy->lock_budget_ms = DatumGetInt32(column(row, 17, &isnull));
	value = column(row, 18, &isnull);
	if (!isnull)
		policy->sanity_window = *DatumGetIntervalP(value);
	policy->sanity_step = int8_column(row, 19);
	policy->failures = DatumGetInt32(column(row, 20, &isnull));
	value = column(row, 21, &isnull);
	policy->next_try_at = isnull ? 0 : DatumGetTimestampTz(value);
	policy->last_error = text_column(row, 22);
	policy->tz = pg_tzset(policy->time_zone);
	return policy;
}

/*
 * The policy of one parent (or, with InvalidOid, of all), in the order in
 * which they are to be served: a list of DbpPolicy in the caller's memory
 * context.  SPI must be connected.
 */
List *
dbp_policy_load(Oid parent, bool enabled_only)
{
	Oid			types[2] = {OIDOID, BOOLOID};
	Datum		values[2];
	DbpIdentity saved;
	List	   *policies = NIL;
	MemoryContext caller = CurrentMemoryContext;

	values[0] = ObjectIdGetDatum(parent);
	values[1] = BoolGetDatum(enabled_only);
	dbp_become_extension(&saved);
	/* not read-only: that would go by a snapshot from before we waited for locks */
	if (SPI_execute_with_args(policy_query, 2, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read dbperf.policy");
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < SPI_processed; row++)
		policies = lappend(policies, policy_from_row((int) row));
	SPI_freetuptable(SPI_tuptable);
	dbp_restore_identity(&saved);
	return policies;
}

/*
 * The policy of a parent; raises undefined_object when it has none.
 */
DbpPolicy *
dbp_policy_get(Oid parent)
{
	List	   *policies = OidIsValid(parent) ? dbp_policy_load(parent, false) : NIL;
	DbpPolicy  *policy;

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
	Oid			namespace = get_namespace_oid(schema, true);
	Oid			relid = OidIsValid(namespace) ? get_relname_relid(table, namespace) : InvalidOid;

	if (OidIsValid(relid) && dbp_policy_load(relid, true) == NIL)
		relid = InvalidOid;
	return relid;
}
