/*-------------------------------------------------------------------------
 *
 * enable.c
 *		Gives a table what soft delete needs, and takes it away again.
 *
 * What is missing is found out, the locks for that are taken without a queue
 * behind them, and then it is made, all in the caller's transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "catalog/pg_inherits.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "partition/partition.h"
#include "softdelete/softdelete.h"

PG_FUNCTION_INFO_V1(dbperf_enable_soft_delete);
PG_FUNCTION_INFO_V1(dbperf_disable_soft_delete);

/* For tables without a policy that says otherwise */
#define LOCK_BUDGET_MS 200
#define LOCK_TRIES 4

#define TRIGGER_DELETE "dbperf_on_delete"
#define TRIGGER_TRUNCATE "dbperf_on_truncate"
/* behind others: see on_delete.c */
#define TRIGGER_MOVE "zz_dbperf_on_move"

/* What is to be made */
typedef struct Missing
{
	bool deleted_at;
	bool deleted_by;
	bool index;
	bool view;
	bool triggers; /* other ones than are there */
	bool old_triggers;
} Missing;

typedef struct Request
{
	Oid relid;
	Oid owner;
	const char *on_delete;
	bool with_index;
	DbpSoftTable *known; /* NULL: not enabled yet */
} Request;

/*
 * One value of a query about a table, as the owner of the extension.
 */
static char *
ask(const char *sql, Oid relid)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid types[1] = {OIDOID};
	Datum values[1] = {ObjectIdGetDatum(relid)};
	DbpIdentity saved;
	char *answer = NULL;

	dbp_become_extension(&saved);
	dbp_soft_executed(SPI_execute_with_args(sql, 1, types, values, NULL, false, 1), sql);
	MemoryContextSwitchTo(caller);
	if (SPI_processed > 0)
		answer = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	dbp_restore_identity(&saved);
	return answer == NULL ? NULL : MemoryContextStrdup(caller, answer);
}

static const char *
on_delete_word(char letter)
{
	return letter == 's' ? "soft" : letter == 'f' ? "forbid" : "allow";
}

/*
 * Tables that this is not for.
 */
static void
check_kind(Oid relid)
{
	char *name = dbp_qualified_name(relid);

	if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("soft delete cannot be enabled for %s table %s",
						get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE ? "foreign" : "temporary",
						name),
				 errhint("dbperf.soft_delete() works on it if it has the columns deleted_at and "
						 "deleted_by.")));
	if (get_rel_relispartition(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("table %s is a partition", name),
				 errhint("Enable soft delete for the partitioned table that it belongs to.")));
	if (IsCatalogRelationOid(relid) ||
		get_rel_namespace(relid) == get_namespace_oid("dbperf", false))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("soft delete cannot be enabled for table %s", name),
				 errhint("It belongs to the system.")));
}

/*
 * With 'soft', a row is marked by its primary key, and must not be deleted as
 * a part of deleting another: the constraint would take it for gone.
 */
/*
 * With on_delete => 'soft', no foreign key may delete rows.
 */
void
dbp_soft_check_cascade(Oid relid)
{
	char *cascade = ask(
		"SELECT quote_ident(conname) FROM pg_constraint WHERE contype = 'f' AND confdeltype = 'c'"
		" AND conrelid IN (SELECT $1 UNION ALL SELECT relid FROM pg_partition_tree($1))"
		" ORDER BY conname",
		relid);

	if (cascade != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("foreign key %s of table %s has ON DELETE CASCADE", cascade,
						dbp_qualified_name(relid)),
				 errdetail("With on_delete => 'soft', its rows would stay, and refer to rows that "
						   "are gone."),
				 errhint("Make it ON DELETE RESTRICT, or use on_delete => 'forbid'.")));
}

static void
check_on_delete(const Request *request)
{
	if (strcmp(request->on_delete, "allow") != 0 && strcmp(request->on_delete, "soft") != 0 &&
		strcmp(request->on_delete, "forbid") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_delete must be \"allow\", \"soft\" or \"forbid\", not \"%s\"",
						request->on_delete)));
	if (strcmp(request->on_delete, "allow") != 0 &&
		get_rel_relkind(request->relid) == RELKIND_RELATION && has_subclass(request->relid))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table %s has tables that inherit from it",
						dbp_qualified_name(request->relid)),
				 errdetail("DELETE would delete their rows all the same."),
				 errhint("Use on_delete => 'allow', or enable soft delete for each of them.")));
	if (strcmp(request->on_delete, "soft") != 0)
		return;
	if (dbp_soft_primary_columns(request->relid) == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has no primary key", dbp_qualified_name(request->relid)),
				 errdetail("With on_delete => 'soft', DELETE marks rows by their primary keys."),
				 errhint("Make one, or use on_delete => 'forbid'.")));
	dbp_soft_check_cascade(request->relid);
}

static bool
column_is_missing(Oid relid, const char *column)
{
	bool exists;
	bool fits = dbp_soft_column_fits(relid, column, &exists);

	if (exists && !fits)
		dbp_soft_check_columns(relid);
	return !exists;
}

/*
 * Is there an index on deleted_at, of rows that are deleted or of all, that is
 * not waiting for some partition's?
 */
static bool
index_is_missing(Oid relid)
{
	return ask("SELECT true FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
			   " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
			   " WHERE i.indrelid = $1 AND a.attname = 'deleted_at' AND i.indisvalid"
			   " AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'btree')"
			   " AND (i.indpred IS NULL"
			   " OR pg_get_expr(i.indpred, i.indrelid) = '(deleted_at IS NOT NULL)')",
			   relid) == NULL;
}

static char *
present_triggers(Oid relid)
{
	return ask("SELECT convert_from(rtrim(substring(tgargs FROM 1 FOR length(tgargs) - 1),"
			   " '\\x00'::bytea), 'UTF8') FROM pg_trigger"
			   " WHERE tgrelid = $1 AND tgname = '" TRIGGER_DELETE "' AND NOT tgisinternal",
			   relid);
}

static Missing
find_missing(const Request *request)
{
	Missing missing;
	char *present = present_triggers(request->relid);

	missing.deleted_at = column_is_missing(request->relid, DBP_DELETED_AT);
	missing.deleted_by = column_is_missing(request->relid, DBP_DELETED_BY);
	missing.index = request->with_index && index_is_missing(request->relid);
	missing.view = request->known == NULL || !OidIsValid(request->known->view);
	missing.old_triggers = present != NULL;
	missing.triggers = strcmp(present == NULL ? "allow" : present, request->on_delete) != 0;
	return missing;
}

/* The strongest lock that is needed on the table and on all below it */
static LOCKMODE
lock_needed(const Missing *missing)
{
	if (missing->deleted_at || missing->deleted_by || (missing->triggers && missing->old_triggers))
		return AccessExclusiveLock;
	if (missing->triggers)
		return ShareRowExclusiveLock;
	return missing->index ? ShareLock : NoLock;
}

/*
 * Take locks as maintenance does, with the budget of the table's policy if it
 * has one.
 */
static void
take_locks(Oid relid, List *requests)
{
	MemoryContext caller = CurrentMemoryContext;
	List *policies = dbp_policy_load(relid, false);
	DbpPolicy policy = {.lock_budget_ms = LOCK_BUDGET_MS, .lock_tries = LOCK_TRIES};
	DbpCost cost = {0};

	if (policies != NIL)
		policy = *(DbpPolicy *) linitial(policies);
	PG_TRY();
	{
		dbp_lock_requests(&policy, requests, &cost);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
			error->hint = "Nothing was changed. Try again when the table is less busy, or no "
						  "transaction that has used it stays open.";
		ReThrowError(error);
	}
	PG_END_TRY();
	AcceptInvalidationMessages();
}

/*
 * One at a time on each table, whatever is to be done.
 */
static List *
locks_for(Oid relid, LOCKMODE mode)
{
	List *requests = dbp_lock_add(NIL, relid, ShareUpdateExclusiveLock);

	return mode == NoLock ? requests : dbp_lock_add_tree(requests, relid, mode);
}

static void
execute_as(const Request *request, bool extension, const char *sql)
{
	DbpIdentity saved;

	if (extension)
		dbp_become_extension(&saved);
	else
		dbp_become_owner(&saved, request->owner, LOCK_BUDGET_MS);
	dbp_execute(sql);
	dbp_restore_identity(&saved);
}

static void
drop_triggers(const Request *request)
{
	static const char *const names[] = {TRIGGER_DELETE, TRIGGER_TRUNCATE, TRIGGER_MOVE};
	char *table = dbp_qualified_name(request->relid);

	for (int i = 0; i < (int) lengthof(names); i++)
		if (ask(psprintf("SELECT true FROM pg_trigger WHERE tgrelid = $1 AND tgname = '%s'",
						 names[i]),
				request->relid) != NULL)
			execute_as(request, true, psprintf("DROP TRIGGER %s ON %s", names[i], table));
}

static void
make_triggers(const Request *request)
{
	char *table = dbp_qualified_name(request->relid);
	const char *function =
		psprintf("EXECUTE FUNCTION dbperf.on_delete(%s)", quote_literal_cstr(request->on_delete));

	execute_as(request, true,
			   psprintf("CREATE TRIGGER " TRIGGER_DELETE " BEFORE DELETE ON %s FOR EACH ROW %s",
						table, function));
	execute_as(request, true,
			   psprintf("CREATE TRIGGER " TRIGGER_TRUNCATE
						" BEFORE TRUNCATE ON %s FOR EACH STATEMENT %s",
						table, function));
	/* of any column: others' triggers may change the key, and partitions have keys of their own */
	if (get_rel_relkind(request->relid) == RELKIND_PARTITIONED_TABLE)
		execute_as(request, true,
				   psprintf("CREATE TRIGGER " TRIGGER_MOVE " BEFORE UPDATE ON %s FOR EACH ROW %s",
							table, function));
}

static void
note(StringInfo made, const char *what)
{
	appendStringInfo(made, "%s%s", made->len > 0 ? ", " : "", what);
}

/*
 * Make what is missing, and tell the user.
 */
static Oid
make(const Request *request, const Missing *missing)
{
	char *table = dbp_qualified_name(request->relid);
	Oid view = request->known == NULL ? InvalidOid : request->known->view;
	StringInfoData made;

	initStringInfo(&made);
	if (missing->deleted_at)
		note(&made, "column " DBP_DELETED_AT);
	if (missing->deleted_by)
		note(&made, "column " DBP_DELETED_BY);
	if (missing->deleted_at || missing->deleted_by)
		execute_as(request, false,
				   psprintf("ALTER TABLE %s%s%s%s", table,
							missing->deleted_at ? " ADD COLUMN " DBP_DELETED_AT " timestamptz" : "",
							missing->deleted_at && missing->deleted_by ? "," : "",
							missing->deleted_by ? " ADD COLUMN " DBP_DELETED_BY " text" : ""));
	if (missing->index)
	{
		execute_as(request, false,
				   psprintf("CREATE INDEX ON %s (" DBP_DELETED_AT ") WHERE " DBP_DELETED_AT
							" IS NOT NULL",
							table));
		note(&made, "an index on deleted_at of rows that are deleted");
	}
	if (missing->triggers && missing->old_triggers)
		drop_triggers(request);
	if (missing->triggers && strcmp(request->on_delete, "allow") != 0)
		make_triggers(request);
	if (missing->triggers)
		note(&made, psprintf("on_delete \"%s\"", request->on_delete));
	if (missing->view)
	{
		view = dbp_view_create(request->relid);
		note(&made, psprintf("view %s", dbp_qualified_name(view)));
	}
	if (made.len > 0)
		ereport(NOTICE, (errmsg("soft delete of table %s: made %s", table, made.data)));
	return view;
}

static Oid
relation_owner(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
look_up(FunctionCallInfo fcinfo, Request *request)
{
	request->owner = relation_owner(request->relid);
	request->with_index = PG_ARGISNULL(2) || PG_GETARG_BOOL(2);
	request->known = dbp_soft_table_find(request->relid);
	if (!PG_ARGISNULL(1))
		request->on_delete = text_to_cstring(PG_GETARG_TEXT_PP(1));
	else
		request->on_delete = on_delete_word(request->known ? request->known->on_delete : 'a');
	dbp_check_table_owner(request->relid);
	check_kind(request->relid);
	check_on_delete(request);
}

/*
 * enable_soft_delete(table regclass, on_delete text, with_index boolean)
 * returns regclass: the view
 */
Datum
dbperf_enable_soft_delete(PG_FUNCTION_ARGS)
{
	Request request;
	Missing missing;
	LOCKMODE locked;
	Oid view;

	PreventCommandIfReadOnly("dbperf.enable_soft_delete()");
	SPI_connect();
	request.relid = dbp_soft_table_arg(fcinfo, 0);
	look_up(fcinfo, &request);
	missing = find_missing(&request);
	locked = lock_needed(&missing);
	take_locks(request.relid, locks_for(request.relid, locked));

	/* somebody may have been quicker */
	look_up(fcinfo, &request);
	missing = find_missing(&request);
	if (lock_needed(&missing) > locked)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table %s was changed by somebody else", dbp_qualified_name(request.relid)),
				 errhint("Try again.")));
	view = make(&request, &missing);
	dbp_soft_table_put(request.relid, view, request.on_delete);
	SPI_finish();
	PG_RETURN_OID(view);
}

/*
 * disable_soft_delete(table regclass) returns boolean: false if it was not
 * enabled
 */
Datum
dbperf_disable_soft_delete(PG_FUNCTION_ARGS)
{
	Request request;
	List *requests = NIL;
	bool had_triggers;

	PreventCommandIfReadOnly("dbperf.disable_soft_delete()");
	SPI_connect();
	request.relid = dbp_soft_table_arg(fcinfo, 0);
	dbp_check_table_owner(request.relid);
	request.known = dbp_soft_table_find(request.relid);
	if (request.known == NULL)
	{
		ereport(NOTICE,
				(errmsg("soft delete is not enabled for table %s",
						dbp_qualified_name(request.relid))));
		SPI_finish();
		PG_RETURN_BOOL(false);
	}
	/* in the order in which readers of the view lock the two */
	if (OidIsValid(request.known->view))
		requests = dbp_lock_add(requests, request.known->view, AccessExclusiveLock);
	requests = dbp_lock_add(requests, request.relid, ShareUpdateExclusiveLock);
	had_triggers = present_triggers(request.relid) != NULL;
	if (had_triggers)
		requests = dbp_lock_add_tree(requests, request.relid, AccessExclusiveLock);
	take_locks(request.relid, requests);

	request.known = dbp_soft_table_find(request.relid);
	if (request.known != NULL && OidIsValid(request.known->view))
		dbp_view_drop(request.known->view, false);
	if (had_triggers)
		drop_triggers(&request);
	dbp_soft_table_remove(request.relid);
	SPI_finish();
	PG_RETURN_BOOL(true);
}
