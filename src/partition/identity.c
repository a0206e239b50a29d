/*-------------------------------------------------------------------------
 *
 * identity.c
 *		Who the extension acts as.
 *
 * Nothing that belongs to a user is touched with more rights than its owner
 * has: CHECK expressions, partition keys, index expressions and policies are
 * the owner's code, and would otherwise run as whoever maintains the table,
 * which is a superuser in the worker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "dbperf.h"
#include "partition/partition.h"

bool
dbp_extension_exists(void)
{
	return OidIsValid(get_extension_oid(DBP_EXTENSION_NAME, true));
}

/*
 * The role that owns the extension, and with it the tables in schema dbperf.
 */
Oid
dbp_extension_owner(void)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	Oid owner = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(DBP_EXTENSION_NAME));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" is not installed in this database", DBP_EXTENSION_NAME),
				 errhint("Use CREATE EXTENSION %s.", DBP_EXTENSION_NAME)));
	return owner;
}

static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

/*
 * Settings that would change what a statement of ours means.
 */
static void
pin_settings(void)
{
	set_local("search_path", "pg_catalog, pg_temp");
	set_local("DateStyle", "ISO, YMD");
	set_local("IntervalStyle", "postgres");
	set_local("TimeZone", "UTC");
	set_local("row_security", "on");
	set_local("jit", "off");
}

static void
become(DbpIdentity *saved, Oid role, int extra_context)
{
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	SetUserIdAndSecContext(role, saved->sec_context | SECURITY_LOCAL_USERID_CHANGE | extra_context);
	saved->guc_level = NewGUCNestLevel();
	pin_settings();
}

/*
 * Act as the owner of a user's table, unable to leave that identity.
 * lock_timeout_ms guards locks that were not taken beforehand.  After an
 * error, the abort of the (sub)transaction restores everything.
 */
void
dbp_become_owner(DbpIdentity *saved, Oid owner, int lock_timeout_ms)
{
	become(saved, owner, SECURITY_RESTRICTED_OPERATION);
	set_local("lock_timeout", psprintf("%d", lock_timeout_ms));
	set_local("default_tablespace", "");
	/* a new table is empty: plan no workers for building its indexes */
	set_local("max_parallel_maintenance_workers", "0");
}

/*
 * Act as the owner of the extension, for the extension's own tables only.
 */
void
dbp_become_extension(DbpIdentity *saved)
{
	become(saved, dbp_extension_owner(), 0);
}

void
dbp_restore_identity(const DbpIdentity *saved)
{
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->userid, saved->sec_context);
}

/*
 * Run a statement as whoever we are.  SPI must be connected.
 */
void
dbp_execute(const char *sql)
{
	int result = SPI_execute(sql, false, 0);

	if (result < 0)
		elog(ERROR, "SPI_execute returned %s for \"%s\"", SPI_result_code_string(result), sql);
}

/*
 * The same as the owner of a policy's table.
 */
void
dbp_execute_as_owner(const DbpPolicy *policy, const char *sql)
{
	DbpIdentity saved;

	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	dbp_execute(sql);
	dbp_restore_identity(&saved);
}

/*
 * Raise insufficient_privilege unless the current user owns the table.
 */
void
dbp_check_table_owner(Oid relid)
{
	if (!dbp_owns_relation(relid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s", get_rel_name(relid))));
}
