/*-------------------------------------------------------------------------
 *
 * create.c
 *		Makes one partition: CREATE TABLE, settings, ATTACH.
 *
 * CREATE TABLE … PARTITION OF would take an ACCESS EXCLUSIVE lock on the
 * parent; ATTACH PARTITION takes one that reads and writes do not notice.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "commands/tablespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "partition/partition.h"

static void
execute(const char *sql)
{
	int result = SPI_execute(sql, false, 0);

	if (result < 0)
		elog(ERROR, "SPI_execute returned %s for \"%s\"", SPI_result_code_string(result), sql);
}

/* " TABLESPACE x", from the policy or else from the parent, or "" */
static char *
tablespace_clause(const DbpPolicy *policy)
{
	Oid tablespace;
	char *name = policy->tablespace;

	if (name == NULL)
	{
		tablespace = get_rel_tablespace(policy->parent);
		name = OidIsValid(tablespace) ? get_tablespace_name(tablespace) : NULL;
	}
	return name == NULL ? "" : psprintf(" TABLESPACE %s", quote_identifier(name));
}

static void
create_table(const DbpPolicy *policy, const DbpParts *parts, const char *qualified)
{
	char *options = dbp_inherit_reloptions(parts);
	char *access_method = dbp_partitioned_access_method(policy->parent);

	execute(psprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING IDENTITY)%s%s%s%s%s%s",
					 qualified, quote_qualified_identifier(policy->schema, policy->table),
					 access_method ? " USING " : "",
					 access_method ? quote_identifier(access_method) : "", options ? " WITH (" : "",
					 options ? options : "", options ? ")" : "", tablespace_clause(policy)));
}

/*
 * Run as the owner: everything that touches the user's tables.
 */
static Oid
create_as_owner(const DbpPolicy *policy, const DbpRange *range, const DbpParts *parts,
				const char *name)
{
	DbpIdentity saved;
	char *qualified = quote_qualified_identifier(policy->schema, name);
	Oid child;
	ListCell *cell;

	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	create_table(policy, parts, qualified);
	child = get_relname_relid(name, policy->nspoid);
	if (!OidIsValid(child))
		elog(ERROR, "partition \"%s\" vanished while it was made", name);
	dbp_inherit_settings(policy->parent, child);
	execute(psprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)",
					 quote_qualified_identifier(policy->schema, policy->table), qualified,
					 dbp_key_literal(policy, range->lower), dbp_key_literal(policy, range->upper)));
	foreach(cell, dbp_inherit_statements(policy->parent, child))
		execute(lfirst(cell));
	dbp_restore_identity(&saved);
	return child;
}

/*
 * Is the parent still the table that the policy was read for?  Before it was
 * locked it may have been dropped, renamed or given to another owner.
 */
static bool
still_same_table(const DbpPolicy *policy)
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

static bool
still_uncovered(const DbpParts *parts, const DbpRange *range)
{
	List *ranges = dbp_parts_uncovered(parts, range->lower, range->upper);
	DbpRange *first = ranges == NIL ? NULL : linitial(ranges);

	return list_length(ranges) == 1 && first->lower == range->lower && first->upper == range->upper;
}

/*
 * A large default partition must have been seen to hold nothing of the range
 * before it is locked.
 */
static void
require_guard(Oid defpart, const DbpRange *range, bool *guarded)
{
	bool validated;

	*guarded = OidIsValid(defpart) && dbp_default_is_guarded(defpart, range, &validated);
	if (dbp_default_is_large(defpart) && !(*guarded && validated))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("default partition \"%s\" is too large to be read while it is locked",
						get_rel_name(defpart)),
				 errdetail(
					 "PostgreSQL has to see that none of its rows belongs into the new partition."),
				 errhint("CALL dbperf.maintain() or dbperf.backfill(), or the background worker, "
						 "which read it beforehand without a lock that stops anybody.")));
}

/*
 * Make a partition for a range that nothing covers, in the current
 * (sub)transaction, and record it.  Returns the new table, or InvalidOid when
 * the parent changed, or somebody covered a part of the range, while the locks
 * were waited for: then there is something else to do, or nothing.  SPI must be connected, and
 * the caller has checked that the user may do this.
 */
Oid
dbp_partition_create(const DbpPolicy *policy, const DbpRange *range, const char *source,
					 DbpCost *cost)
{
	DbpParts parts;
	Oid defpart;
	instr_time locked;
	char *name;
	Oid child;
	bool guarded;
	DbpEvent event = {0};

	memset(cost, 0, sizeof(DbpCost));
	defpart = get_default_partition_oid(policy->parent);
	dbp_lock_for_attach(policy, defpart, cost);
	INSTR_TIME_SET_CURRENT(locked);

	if (!still_same_table(policy))
		return InvalidOid;
	dbp_parts_read(policy->parent, policy->keytype, &parts);
	if (parts.defpart != defpart || !still_uncovered(&parts, range))
		return InvalidOid;
	require_guard(defpart, range, &guarded);

	name = dbp_partition_name(policy, range);
	child = create_as_owner(policy, range, &parts, name);
	if (guarded)
		dbp_default_unguard(defpart, policy, range, cost);

	cost->ms_held = dbp_ms_since(&locked);
	event.source = source;
	event.action = "create";
	event.policy = policy;
	event.partition = quote_qualified_identifier(policy->schema, name);
	event.range = range;
	event.cost = cost;
	dbp_event_write(&event);
	return child;
}
