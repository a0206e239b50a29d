/*-------------------------------------------------------------------------
 *
 * retire_sql.c
 *		Retiring as SQL calls it.
 *
 * A function keeps its locks until its caller commits, which may be late.  So
 * what detaches and drops is done by a background worker, in transactions of
 * its own, while the caller waits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinvaladt.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "partition/detach.h"
#include "partition/retire.h"
#include "partition/run.h"
#include "worker/remote.h"
#include "worker/worker.h"

PG_FUNCTION_INFO_V1(dbperf_clock);
PG_FUNCTION_INFO_V1(dbperf_current_key);
PG_FUNCTION_INFO_V1(dbperf_partition_ages);
PG_FUNCTION_INFO_V1(dbperf_missing_partitions);
PG_FUNCTION_INFO_V1(dbperf_archive_schema);
PG_FUNCTION_INFO_V1(dbperf_step_locks);
PG_FUNCTION_INFO_V1(dbperf_older_processes);
PG_FUNCTION_INFO_V1(dbperf_referencing_rows);
PG_FUNCTION_INFO_V1(dbperf_confirm_clock);
PG_FUNCTION_INFO_V1(dbperf_confirm_archive);
PG_FUNCTION_INFO_V1(dbperf_boot);
PG_FUNCTION_INFO_V1(dbperf_detach_partition);
PG_FUNCTION_INFO_V1(dbperf_drop_partition);
PG_FUNCTION_INFO_V1(dbperf_cleanup_old_partitions);

/*
 * clock() returns timestamptz
 */
Datum
dbperf_clock(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(dbp_now());
}

/*
 * current_key(parent oid) returns bigint: NULL when the key is a time, or there
 * is nothing to tell it by
 */
Datum
dbperf_current_key(PG_FUNCTION_ARGS)
{
	DbpParts parts;
	List *policies;
	int64 key = 0;
	bool known = false;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	SPI_connect();
	policies = dbp_policy_load(PG_GETARG_OID(0), false);
	if (policies != NIL)
	{
		DbpPolicy *policy = linitial(policies);

		if (!policy->by_time)
		{
			dbp_parts_read(policy->parent, policy->keytype, &parts);
			known = dbp_settled_key(policy, &parts, &key);
		}
	}
	SPI_finish();
	if (!known)
		PG_RETURN_NULL();
	PG_RETURN_INT64(key);
}

/*
 * partition_ages(parent oid) returns setof (partition, lower_bound,
 * upper_bound, upper_at, upper_key, state): nothing for a policy whose time
 * zone is unknown, which maintenance reports.
 */
Datum
dbperf_partition_ages(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	List *policies;
	DbpPolicy *policy;
	DbpParts parts;
	int64 current = 0;
	bool has_current;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	policies = dbp_policy_load(PG_GETARG_OID(0), false);
	policy = policies == NIL ? NULL : linitial(policies);
	parts.n = 0;
	if (policy != NULL && policy->tz != NULL)
	{
		dbp_parts_read(policy->parent, policy->keytype, &parts);
		has_current = dbp_current_key(policy, &parts, &current);
	}
	for (int i = 0; i < parts.n; i++)
	{
		const DbpPart *part = &parts.part[i];
		const char *state = dbp_part_state(part, has_current, current);
		TimestampTz at;
		Datum values[6];
		bool nulls[6] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = ObjectIdGetDatum(part->relid);
		values[1] = CStringGetTextDatum(dbp_key_display(policy, part->lower));
		values[2] = CStringGetTextDatum(dbp_key_display(policy, part->upper));
		nulls[3] = !policy->by_time || part->upper == DBP_KEY_MAX ||
			!dbp_key_to_time(policy, part->upper, &at);
		values[3] = TimestampTzGetDatum(nulls[3] ? 0 : at);
		nulls[4] = policy->by_time || part->upper == DBP_KEY_MAX;
		values[4] = Int64GetDatum(part->upper);
		nulls[5] = state == NULL;
		values[5] = nulls[5] ? (Datum) 0 : CStringGetTextDatum(state);
		tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
	}
	SPI_finish();
	return (Datum) 0;
}

/*
 * missing_partitions(parent oid) returns setof (partition, sql): what
 * maintenance would make now
 */
Datum
dbperf_missing_partitions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	DbpPolicy *policy;
	DbpParts parts;
	ListCell *cell;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	policy = dbp_policy_get(PG_GETARG_OID(0));
	dbp_parts_read(policy->parent, policy->keytype, &parts);
	foreach(cell, dbp_missing_ahead(policy, &parts))
	{
		char *name = dbp_partition_name(policy, lfirst(cell));
		Datum values[2];
		bool nulls[2] = {false};

		values[0] = CStringGetTextDatum(quote_qualified_identifier(policy->schema, name));
		values[1] =
			CStringGetTextDatum(dbp_partition_create_sql(policy, &parts, lfirst(cell), name));
		tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
	}
	SPI_finish();
	return (Datum) 0;
}

/*
 * archive_schema(parent oid) returns name
 */
Datum
dbperf_archive_schema(PG_FUNCTION_ARGS)
{
	Name name = palloc0(NAMEDATALEN);

	SPI_connect();
	namestrcpy(name,
			   dbp_policy_get(PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0))->archive_schema);
	SPI_finish();
	PG_RETURN_NAME(name);
}

static const char *
mode_name(LOCKMODE mode)
{
	static const char *const names[] = {
		"",		 "ACCESS SHARE",		"ROW SHARE", "ROW EXCLUSIVE",	"SHARE UPDATE EXCLUSIVE",
		"SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"};

	return names[mode];
}

/*
 * step_locks(parent oid, partition oid, action text, concurrent boolean)
 * returns setof (relation oid, mode text): the locks of one step, in the order
 * in which they are taken
 */
Datum
dbperf_step_locks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	char *action = text_to_cstring(PG_GETARG_TEXT_PP(2));
	Oid partition = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1);
	DbpPolicy *policy;
	List *locks;
	ListCell *cell;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	policy = dbp_policy_get(PG_GETARG_OID(0));
	if (strcmp(action, "compress") == 0 || strcmp(action, "recompress") == 0)
	{
		locks = dbp_lock_add(NIL, partition, ShareUpdateExclusiveLock);
		/* later, and for a moment */
		locks = list_concat(locks, dbp_lock_add(NIL, partition, AccessExclusiveLock));
	}
	else if (strcmp(action, "create") == 0)
		locks = dbp_lock_list_for_attach(policy->parent, get_default_partition_oid(policy->parent));
	else if (strcmp(action, "drop") == 0)
		locks = dbp_drop_locks(partition);
	else if (PG_GETARG_BOOL(3) || strcmp(action, "finalize") == 0)
		locks = dbp_finalize_locks(policy, partition);
	else
		locks = dbp_detach_locks(policy, partition, false);
	foreach(cell, locks)
	{
		const DbpLock *lock = lfirst(cell);
		Datum values[2];
		bool nulls[2] = {false};

		values[0] = ObjectIdGetDatum(lock->relid);
		values[1] = CStringGetTextDatum(mode_name(lock->mode));
		tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
	}
	SPI_finish();
	return (Datum) 0;
}

/*
 * older_processes(parent oid, partition oid) returns setof integer: whose
 * transactions a partition that is being detached waits for
 */
Datum
dbperf_older_processes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid parent = PG_GETARG_OID(0);
	TransactionId marked = dbp_detach_marked_by(parent, PG_GETARG_OID(1));
	List *older = NIL;
	ListCell *cell;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	SPI_connect();
	if (TransactionIdIsValid(marked))
		older = dbp_older_awaited(parent, PG_GETARG_OID(1), marked);
	foreach(cell, older)
	{
		PGPROC *proc = dbp_vxid_process(*(VirtualTransactionId *) lfirst(cell));
		Datum pid;
		bool isnull = false;

		if (proc == NULL)
			continue;
		pid = Int32GetDatum(proc->pid);
		tuplestore_putvalues(rows->setResult, rows->setDesc, &pid, &isnull);
	}
	SPI_finish();
	return (Datum) 0;
}

/*
 * Can partitions of this table be detached concurrently?
 */
bool
dbp_can_detach_concurrently(Oid parent)
{
	Oid types[1] = {OIDOID};
	Datum values[1] = {ObjectIdGetDatum(parent)};
	DbpIdentity saved;
	bool isnull;
	Datum value;

	dbp_become_extension(&saved);
	if (SPI_execute_with_args("SELECT dbperf.can_detach_concurrently($1)", 1, types, values, NULL,
							  false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not tell how to detach from table %u", parent);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	dbp_restore_identity(&saved);
	return !isnull && DatumGetBool(value);
}

/*
 * The policy that a table of the recycle bin is subject to.
 */
DbpPolicy *
dbp_policy_of_detached(Oid relid)
{
	Oid types[1] = {OIDOID};
	Datum values[1] = {ObjectIdGetDatum(relid)};
	DbpIdentity saved;
	bool isnull;

	dbp_become_extension(&saved);
	if (SPI_execute_with_args("SELECT parent::oid FROM dbperf.recycle_bin"
							  " WHERE partition = $1 AND state = 'detached'",
							  1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read dbperf.recycle_bin");
	dbp_restore_identity(&saved);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not in the recycle bin",
						get_rel_name(relid) ? get_rel_name(relid) : "?"),
				 get_rel_relispartition(relid)
					 ? errhint("It is attached. Use dbperf.detach_partition() first.")
					 : errhint("dbperf.recycle_bin lists the partitions that have been "
							   "detached.")));
	return dbp_policy_get(
		DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)));
}

/* The argument that names a table */
static Oid
table_arg(FunctionCallInfo fcinfo)
{
	Oid relid = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("partition must not be null")));
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	return relid;
}

/*
 * referencing_rows(partition regclass, except_tables oid[]) returns bigint
 */
Datum
dbperf_referencing_rows(PG_FUNCTION_ARGS)
{
	Oid partition = table_arg(fcinfo);
	ArrayType *except = PG_ARGISNULL(1) ? construct_empty_array(OIDOID) : PG_GETARG_ARRAYTYPE_P(1);
	DbpPolicy *policy;
	int64 count;
	double ms;

	SPI_connect();
	policy = dbp_policy_of_partition(partition);
	dbp_check_table_owner(policy->parent);
	count = dbp_referencing_rows(policy, partition, except, &ms);
	SPI_finish();
	PG_RETURN_INT64(count);
}

/*
 * Would a partition of this range be retired as soon as it is made?
 */
bool
dbp_is_past_retiring(const DbpPolicy *policy, const DbpRange *range)
{
	Oid types[3] = {OIDOID, TIMESTAMPTZOID, INT8OID};
	Datum values[3];
	char nulls[3] = {' ', ' ', ' '};
	TimestampTz at = 0;
	DbpIdentity saved;
	bool isnull;
	Datum past;

	values[0] = ObjectIdGetDatum(policy->parent);
	nulls[1] = policy->by_time && dbp_key_to_time(policy, range->upper, &at) ? ' ' : 'n';
	values[1] = TimestampTzGetDatum(at);
	nulls[2] = policy->by_time ? 'n' : ' ';
	values[2] = Int64GetDatum(range->upper);
	dbp_become_extension(&saved);
	if (SPI_execute_with_args("SELECT dbperf.is_past_retiring($1, $2, $3)", 3, types, values, nulls,
							  false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not tell whether a partition of table %u is past", policy->parent);
	past = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	dbp_restore_identity(&saved);
	return !isnull && DatumGetBool(past);
}

/*
 * boot() returns (id text, at timestamptz)
 */
Datum
dbperf_boot(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Datum values[2] = {0};
	bool nulls[2] = {true, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
#ifdef CLOCK_BOOTTIME
	if (!dbp_now_is_fixed())
	{
		FILE *file = AllocateFile("/proc/sys/kernel/random/boot_id", "r");
		char id[64];
		struct timespec up;

		if (file != NULL && fgets(id, sizeof(id), file) != NULL &&
			clock_gettime(CLOCK_BOOTTIME, &up) == 0)
		{
			id[strcspn(id, "\n")] = '\0';
			nulls[0] = nulls[1] = false;
			values[0] = CStringGetTextDatum(id);
			values[1] = TimestampTzGetDatum(GetCurrentTimestamp() -
											(int64) up.tv_sec * USECS_PER_SEC - up.tv_nsec / 1000);
		}
		if (file != NULL)
			FreeFile(file);
	}
#endif
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * confirm_clock(): for the tables that the user owns
 */
Datum
dbperf_confirm_clock(PG_FUNCTION_ARGS)
{
	Oid types[1] = {OIDOID};
	ListCell *cell;
	DbpIdentity saved;

	SPI_connect();
	foreach(cell, dbp_policy_load(InvalidOid, false))
	{
		Oid parent = ((DbpPolicy *) lfirst(cell))->parent;
		Datum values[1] = {ObjectIdGetDatum(parent)};

		if (!dbp_owns_relation(parent, GetUserId()))
			continue;
		dbp_become_extension(&saved);
		if (SPI_execute_with_args("UPDATE dbperf.policy_state SET clock_at = dbperf.clock(),"
								  " (boot_id, boot_at) = (SELECT b.id, b.at FROM dbperf.boot() b),"
								  " clock_suspect_until = NULL WHERE parent = $1",
								  1, types, values, NULL, false, 0) != SPI_OK_UPDATE)
			elog(ERROR, "could not update dbperf.policy_state");
		dbp_restore_identity(&saved);
	}
	SPI_finish();
	dbp_wake_at_commit();
	PG_RETURN_VOID();
}

/*
 * confirm_archive(partition regclass, archive text, row_count bigint): the
 * rows are counted as the owner of the table
 */
Datum
dbperf_confirm_archive(PG_FUNCTION_ARGS)
{
	Oid partition;
	Oid types[3] = {OIDOID, TEXTOID, INT8OID};
	Datum values[3];
	DbpPolicy *policy;
	DbpIdentity saved;
	DbpEvent event = {0};
	int64 count;
	bool isnull;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("partition, archive and row count must not be null")));
	partition = table_arg(fcinfo);
	SPI_connect();
	policy = dbp_policy_of_detached(partition);
	dbp_check_table_owner(policy->parent);
	dbp_check_table_owner(partition);
	event.partition = dbp_qualified_name(partition);
	dbp_execute_as_owner(policy, psprintf("SELECT count(*) FROM ONLY %s", event.partition));
	count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (count != PG_GETARG_INT64(2))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has " INT64_FORMAT " rows, not " INT64_FORMAT, event.partition,
						count, PG_GETARG_INT64(2)),
				 errhint("The archive is not complete, or the table was changed since.")));
	values[0] = ObjectIdGetDatum(partition);
	values[1] = PG_GETARG_DATUM(1);
	values[2] = PG_GETARG_DATUM(2);
	dbp_become_extension(&saved);
	if (SPI_execute_with_args("UPDATE dbperf.recycle_bin SET archive = $2, archive_rows = $3,"
							  " archive_verified_at = dbperf.clock() WHERE partition = $1"
							  " RETURNING lower_bound, upper_bound",
							  3, types, values, NULL, false, 0) != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "could not update dbperf.recycle_bin");
	dbp_restore_identity(&saved);
	event.lower_bound = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	event.upper_bound = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	event.source = "manual";
	event.action = "confirm_archive";
	event.policy = policy;
	event.message = psprintf(INT64_FORMAT " rows in %s", PG_GETARG_INT64(2),
							 text_to_cstring(PG_GETARG_TEXT_PP(1)));
	dbp_event_write(&event);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * Partitions that are partitioned themselves, or foreign tables, are not ours
 * to move about; nor is somebody else's.
 */
void
dbp_check_can_leave(const DbpPolicy *policy, Oid partition)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(partition));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", partition);
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("partition \"%s\" is not an ordinary table", NameStr(form->relname)),
				 errhint("Use ALTER TABLE ... DETACH PARTITION.")));
	if (partition == get_default_partition_oid(policy->parent))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" is the default partition", NameStr(form->relname)),
				 errhint("dbperf.drain_default() moves its rows to where they belong.")));
	if (form->relowner != policy->owner)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition \"%s\" does not belong to the owner of table \"%s\"",
						NameStr(form->relname), policy->table),
				 errhint("Use ALTER TABLE ... OWNER TO.")));
	ReleaseSysCache(tuple);
	dbp_archive_schema_check(policy, false);
}

/*
 * detach_partition(partition regclass) returns regclass
 */
Datum
dbperf_detach_partition(PG_FUNCTION_ARGS)
{
	Oid partition = table_arg(fcinfo);
	DbpPolicy *policy;
	DbpRemoteRequest request;

	PreventCommandIfReadOnly("dbperf.detach_partition()");
	SPI_connect();
	policy = dbp_policy_of_partition(partition);
	dbp_check_table_owner(policy->parent);
	dbp_check_can_leave(policy, partition);
	dbp_lock_check_own(
		dbp_detach_locks(policy, partition, dbp_can_detach_concurrently(policy->parent)));
	dbp_remote_request_init(&request, DBP_REMOTE_DETACH, partition);
	(void) dbp_remote_call(&request, NULL);
	/* it is to be shown by the name that it has now */
	AcceptInvalidationMessages();
	SPI_finish();
	PG_RETURN_OID(partition);
}

/*
 * drop_partition(partition regclass) returns boolean
 */
Datum
dbperf_drop_partition(PG_FUNCTION_ARGS)
{
	Oid partition = table_arg(fcinfo);
	DbpPolicy *policy;
	DbpRemoteRequest request;

	PreventCommandIfReadOnly("dbperf.drop_partition()");
	SPI_connect();
	policy = dbp_policy_of_detached(partition);
	dbp_check_table_owner(policy->parent);
	dbp_check_table_owner(partition);
	dbp_lock_check_own(dbp_drop_locks(partition));
	dbp_remote_request_init(&request, DBP_REMOTE_DROP, partition);
	(void) dbp_remote_call(&request, NULL);
	SPI_finish();
	PG_RETURN_BOOL(true);
}

/* A row for a step that is not done now */
static void
put_step(ReturnSetInfo *rows, const DbpStep *step, const char *status, const char *detail)
{
	Datum values[5];
	bool nulls[5] = {false, false, false, false, detail == NULL};

	values[0] = ObjectIdGetDatum(step->parent);
	values[1] = CStringGetTextDatum(step->name);
	values[2] = CStringGetTextDatum(step->action);
	values[3] = CStringGetTextDatum(status);
	values[4] = detail ? CStringGetTextDatum(detail) : (Datum) 0;
	tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
}

static void
check_own_locks(const DbpStep *step)
{
	List *policies = dbp_policy_load(step->parent, false);

	if (policies == NIL)
		return;
	dbp_lock_check_own(
		strcmp(step->action, "drop") == 0
			? dbp_drop_locks(step->partition)
			: dbp_detach_locks(linitial(policies), step->partition,
							   strcmp(step->action, "finalize") == 0 || step->concurrent));
}

/*
 * The parents, of those policies, that there may be something to do for.
 */
static List *
parents_to_retire(List *policies)
{
	Oid types[1] = {OIDARRAYOID};
	Datum *oids = palloc(sizeof(Datum) * Max(1, list_length(policies)));
	Datum values[1];
	MemoryContext caller = CurrentMemoryContext;
	List *parents = NIL;
	DbpIdentity saved;
	ListCell *cell;

	foreach(cell, policies)
	{
		DbpPolicy *policy = lfirst(cell);

		oids[foreach_current_index(cell)] = ObjectIdGetDatum(policy->parent);
		if (policy->retires)
			parents = lappend_oid(parents, policy->parent);
	}
	values[0] = PointerGetDatum(
		construct_array(oids, list_length(policies), OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	dbp_become_extension(&saved);
	if (SPI_execute_with_args("SELECT inhparent FROM pg_inherits"
							  " WHERE inhdetachpending AND inhparent = ANY ($1)"
							  " UNION SELECT parent FROM dbperf.recycle_bin"
							  " WHERE state = 'detaching' AND parent = ANY ($1)",
							  1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not tell which partitions are being detached");
	dbp_restore_identity(&saved);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool isnull;

		parents = list_append_unique_oid(parents,
										 DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[row],
																		SPI_tuptable->tupdesc, 1,
																		&isnull)));
	}
	return parents;
}

/*
 * Retire what is due, of one parent or of all that the user owns, with a row
 * for each step.  SPI must be connected.
 */
void
dbp_retire_remotely(Oid parent, ReturnSetInfo *rows)
{
	DbpRemoteRequest request;
	List *parents = NIL;
	List *steps;
	ListCell *cell;
	bool due = false;

	parents = parents_to_retire(dbp_policies_of_role(parent, GetUserId()));
	steps = parents == NIL ? NIL : dbp_retire_steps(parents);
	foreach(cell, steps)
		due |= strcmp(((DbpStep *) lfirst(cell))->decision, "go") == 0;
	foreach(cell, steps)
	{
		const DbpStep *step = lfirst(cell);

		if (step->name == NULL)
			continue;
		if (strcmp(step->decision, "go") == 0)
			check_own_locks(step);
		else if (!due)
			put_step(rows, step, strcmp(step->decision, "wait") == 0 ? "waiting" : "blocked",
					 step->reason);
	}
	if (!due)
		return;
	dbp_remote_request_init(&request, DBP_REMOTE_RETIRE, parent);
	(void) dbp_remote_call(&request, rows);
}

/*
 * cleanup_old_partitions(parent regclass) returns setof (parent, partition,
 * action, status, detail)
 */
Datum
dbperf_cleanup_old_partitions(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("dbperf.cleanup_old_partitions()");
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	dbp_retire_remotely(PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0),
						(ReturnSetInfo *) fcinfo->resultinfo);
	SPI_finish();
	return (Datum) 0;
}
