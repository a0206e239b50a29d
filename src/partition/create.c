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

static char *
create_statement(const DbpPolicy *policy, const DbpParts *parts, const char *name)
{
	char *options = dbp_inherit_reloptions(parts);
	char *access_method = dbp_partitioned_access_method(policy->parent);

	return psprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING IDENTITY)%s%s%s%s%s%s",
					quote_qualified_identifier(policy->schema, name),
					quote_qualified_identifier(policy->schema, policy->table),
					access_method ? " USING " : "",
					access_method ? quote_identifier(access_method) : "", options ? " WITH (" : "",
					options ? options : "", options ? ")" : "", tablespace_clause(policy));
}

static char *
attach_statement(const DbpPolicy *policy, const DbpRange *range, const char *name)
{
	return psprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)",
					quote_qualified_identifier(policy->schema, policy->table),
					quote_qualified_identifier(policy->schema, name),
					dbp_key_literal(policy, range->lower), dbp_key_literal(policy, range->upper));
}

/*
 * What makes a partition, but for what is copied in the catalogs: for people.
 */
char *
dbp_partition_create_sql(const DbpPolicy *policy, const DbpParts *parts, const DbpRange *range,
						 const char *name)
{
	DbpIdentity saved;
	char *sql;

	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	sql = psprintf("%s; %s", create_statement(policy, parts, name),
				   attach_statement(policy, range, name));
	dbp_restore_identity(&saved);
	return sql;
}

/*
 * The new table, as the owner.
 */
static Oid
make_table(const DbpPolicy *policy, const DbpParts *parts, const char *name)
{
	Oid child;

	dbp_execute(create_statement(policy, parts, name));
	child = get_relname_relid(name, policy->nspoid);
	if (!OidIsValid(child))
		elog(ERROR, "partition \"%s\" vanished while it was made", name);
	dbp_inherit_settings(policy->parent, child);
	return child;
}

static void
attach_table(const DbpPolicy *policy, const DbpRange *range, const char *name, Oid child)
{
	ListCell *cell;

	dbp_execute(attach_statement(policy, range, name));
	foreach(cell, dbp_inherit_statements(policy->parent, child))
		dbp_execute(lfirst(cell));
}

/*
 * Run as the owner: everything that touches the user's tables.
 */
static Oid
create_as_owner(const DbpPolicy *policy, const DbpRange *range, const DbpParts *parts,
				const char *name)
{
	DbpIdentity saved;
	Oid child;

	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	child = make_table(policy, parts, name);
	attach_table(policy, range, name, child);
	dbp_restore_identity(&saved);
	return child;
}

/*
 * The two halves of it, for who fills the table in between.
 */
Oid
dbp_partition_make_table(const DbpPolicy *policy, const DbpParts *parts, const char *name)
{
	DbpIdentity saved;
	Oid child;

	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	child = make_table(policy, parts, name);
	dbp_restore_identity(&saved);
	return child;
}

void
dbp_partition_attach_table(const DbpPolicy *policy, const DbpRange *range, const char *name,
						   Oid child)
{
	DbpIdentity saved;

	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	attach_table(policy, range, name, child);
	dbp_restore_identity(&saved);
}

/*
 * Is no part of a range covered by a partition?
 */
bool
dbp_range_is_free(const DbpParts *parts, const DbpRange *range)
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

	if (!dbp_policy_holds(policy))
		return InvalidOid;
	dbp_parts_read(policy->parent, policy->keytype, &parts);
	if (parts.defpart != defpart || !dbp_range_is_free(&parts, range))
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
