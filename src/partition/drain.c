/*-------------------------------------------------------------------------
 *
 * drain.c
 *		Takes the rows of a default partition to partitions of their own.
 *
 * PostgreSQL allows no partition for a range of which the default partition
 * has rows.  So for each cell of the grid, one transaction makes a table, moves
 * the rows into it, and attaches it: whoever looks sees each row once, before
 * as after.  All but the last moments of it pass without a lock that others
 * would notice; and when somebody comes to wait for it all the same, since he
 * wants to change a row that has been moved, it makes way, and begins again later.
 *
 * Those last moments need the parent and the default partition for ourselves.
 * A query that was planned before and looks at the rows afterwards would find
 * the default partition without them, and not know of the new one; so nobody
 * may be in between.  Nor may there be a transaction whose snapshot is older: it would
 * look for the rows in the new partition only, and not see them there yet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "partition/drain.h"
#include "partition/run.h"

PG_FUNCTION_INFO_V1(dbperf_drain_default);

/* While the tables are locked, no more rows are moved than that */
#define LAST_ROWS 1000

/* Passes without that lock, as long as each finds more rows than that */
#define MAX_PASSES 10

/* A cell that made way for others is begun again this often, after a pause */
#define MAX_ATTEMPTS 4
#define FIRST_PAUSE_MS 100

/* Between two cells, for others that want the default partition */
#define PAUSE_MS 20
#define POLL_MS 5

/* How much longer than for locks older snapshots are waited for */
#define SNAPSHOT_PATIENCE 5

/* How often a long call says how far it is */
#define NOTICE_ROWS 100000

typedef struct DbpDrain
{
	DbpRun run;
	DbpMaintainRequest asked;
	const DbpRemoteRequest *request;
	int64 from; /* keys below have been seen to */
	int64 noticed;

	/* the cell in work; these live as long as its transaction */
	DbpPolicy *policy;
	DbpParts parts;
	bool found;
	DbpRange range;
	DbpCost cost;
	char *name; /* of the partition */
	int64 moved;
	bool empty; /* the rows have gone by themselves */
	bool made_way;
	MemoryContext context;
} DbpDrain;

static void
nap(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
dbp_check_time_zone(const DbpPolicy *policy)
{
	if (policy->tz == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" is not recognized", policy->time_zone),
				 errhint("Use dbperf.alter_policy() to set another one.")));
}

bool
dbp_drain_range(const DbpPolicy *policy, const DbpParts *parts, int64 key, DbpRange *range)
{
	int64 k;
	ListCell *cell;

	if (!dbp_grid_cell(policy, key, &k))
		return false;
	foreach(cell, dbp_missing_cells(policy, parts, key, key))
	{
		*range = *(DbpRange *) lfirst(cell);
		if (range->lower <= key && key < range->upper)
			return true;
	}
	return false;
}

/*
 * Find the next range to drain.  Rows that no partition can take stay.
 */
static void
plan_next(void *arg)
{
	DbpDrain *drain = arg;
	DbpPolicy *policy = dbp_policy_get(drain->request->relid);
	int64 key;
	int64 current;

	CHECK_FOR_INTERRUPTS();
	drain->policy = policy;
	drain->found = false;
	if (!dbp_owns_relation(policy->parent, drain->request->userid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s", policy->table)));
	dbp_check_time_zone(policy);
	drain->parts.defpart = get_default_partition_oid(policy->parent);
	if (!OidIsValid(drain->parts.defpart))
		return;
	/* as long as we have it, no partition comes or goes */
	dbp_lock_requests(policy, dbp_lock_add(NIL, drain->parts.defpart, ShareUpdateExclusiveLock),
					  &drain->cost);
	if (get_default_partition_oid(policy->parent) != drain->parts.defpart)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the default partition of table \"%s\" was changed at this moment",
						policy->table),
				 errhint("Try again.")));
	dbp_parts_read(policy->parent, policy->keytype, &drain->parts);
	while (dbp_move_next_key(drain->parts.defpart, policy, drain->from, &key))
	{
		CHECK_FOR_INTERRUPTS();
		if (dbp_current_key(policy, &drain->parts, &current) && key > current &&
			!dbp_key_is_sane(policy, key, current))
			return;
		drain->found = dbp_drain_range(policy, &drain->parts, key, &drain->range);
		if (drain->found || key == PG_INT64_MAX)
			return;
		drain->from = key + 1;
	}
}

/*
 * Does anybody wait for something that we have, or shortly will?  A look
 * without a lock, which may err for a moment; then we make way for nothing.
 */
static bool
somebody_waits(const DbpDrain *drain)
{
	TransactionId xid = GetCurrentTransactionIdIfAny();

	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		LOCK *volatile lock = ProcGlobal->allProcs[i].waitLock;
		LOCKTAG tag;

		if (lock == NULL)
			continue;
		tag = lock->tag;
		if (tag.locktag_type == LOCKTAG_RELATION && tag.locktag_field1 == MyDatabaseId &&
			(tag.locktag_field2 == drain->parts.defpart ||
			 tag.locktag_field2 == drain->policy->parent))
			return true;
		if (tag.locktag_type == LOCKTAG_TRANSACTION && tag.locktag_field1 == xid)
			return true;
	}
	return false;
}

static void
make_way(void *arg)
{
	DbpDrain *drain = arg;

	if (!somebody_waits(drain))
		return;
	drain->made_way = true;
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("others wait to change rows of default partition \"%s\"",
					get_rel_name(drain->parts.defpart)),
			 errdetail("Nothing of this range has been moved."),
			 errhint("Try again when there are fewer changes.")));
}

static void
after_batch(void *arg, int64 moved)
{
	DbpDrain *drain = arg;

	CHECK_FOR_INTERRUPTS();
	make_way(drain);
	if (drain->moved + moved - drain->noticed < NOTICE_ROWS)
		return;
	drain->noticed = drain->moved + moved;
	dbp_remote_notice(psprintf(INT64_FORMAT " rows moved to partition %s so far", drain->noticed,
							   quote_identifier(drain->name)));
}

static bool
is_member(List *vxids, const VirtualTransactionId *vxid)
{
	ListCell *cell;

	foreach(cell, vxids)
		if (VirtualTransactionIdEquals(*(VirtualTransactionId *) lfirst(cell), *vxid))
			return true;
	return false;
}

/*
 * Wait until no snapshot is left of those that there are now.
 */
static void
wait_for_snapshots(DbpDrain *drain)
{
	const DbpPolicy *policy = drain->policy;
	double limit_ms = (double) SNAPSHOT_PATIENCE * policy->lock_tries * policy->lock_budget_ms;
	List *older = dbp_older_snapshots(InvalidTransactionId);
	instr_time start;

	INSTR_TIME_SET_CURRENT(start);
	while (older != NIL)
	{
		List *now;
		List *still = NIL;
		ListCell *cell;

		nap(POLL_MS);
		make_way(drain);
		now = dbp_older_snapshots(InvalidTransactionId);
		foreach(cell, older)
			if (is_member(now, lfirst(cell)))
				still = lappend(still, lfirst(cell));
		older = still;
		if (older != NIL && dbp_ms_since(&start) > limit_ms)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("older transactions could miss rows of table \"%s\" if they were moved "
							"now",
							policy->table),
					 errdetail("They belong to %s.", dbp_older_describe(older)),
					 errhint("Try again when they have ended.")));
	}
	drain->cost.ms_waited += dbp_ms_since(&start);
}

/* What nobody else may have when the new partition appears */
static List *
last_locks(const DbpDrain *drain)
{
	List *requests = dbp_lock_add_foreign_keys(NIL, drain->policy->parent, ShareRowExclusiveLock,
											   ShareRowExclusiveLock);

	requests = dbp_lock_add(requests, drain->policy->parent, AccessExclusiveLock);
	return dbp_lock_add(requests, drain->parts.defpart, AccessExclusiveLock);
}

/*
 * Once everything is locked: is it still what we began with?
 */
static void
check_unchanged(const DbpDrain *drain)
{
	DbpParts parts;

	if (dbp_policy_holds(drain->policy))
	{
		dbp_parts_read(drain->policy->parent, drain->policy->keytype, &parts);
		if (parts.defpart == drain->parts.defpart && dbp_range_is_free(&parts, &drain->range))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("table \"%s\" was changed by somebody else at this moment",
					drain->policy->table),
			 errhint("Try again.")));
}

/*
 * Move the rows, and return with everything locked and none of them left.
 */
static void
move_rows(DbpDrain *drain, Oid child, instr_time *locked)
{
	DbpMove *move = dbp_move_begin(drain->policy, &drain->range, drain->parts.defpart, child,
								   drain->request->batch_size);

	for (int pass = 0;; pass++)
	{
		List *requests;
		int64 moved = dbp_move_pass(move, 0, after_batch, drain);

		drain->moved += moved;
		if (moved > LAST_ROWS && pass < MAX_PASSES)
			continue;
		if (drain->moved == 0 && dbp_move_skipped(move) == 0)
		{
			drain->empty = true;
			elog(ERROR, "there are no rows any more");
		}
		wait_for_snapshots(drain);
		requests = last_locks(drain);
		dbp_lock_requests_unless(drain->policy, requests, &drain->cost, make_way, drain);
		INSTR_TIME_SET_CURRENT(*locked);
		moved = dbp_move_pass(move, LAST_ROWS, NULL, NULL);
		drain->moved += moved;
		if (moved < LAST_ROWS && dbp_move_skipped(move) == 0)
			break;
		dbp_lock_give_back(requests);
		drain->cost.ms_held += dbp_ms_since(locked);
		if (pass >= MAX_PASSES)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("rows keep coming into default partition \"%s\" faster than they can "
							"be moved",
							get_rel_name(drain->parts.defpart)),
					 errhint("Try again when there are fewer of them.")));
	}
	dbp_move_end(move);
}

/*
 * The parent's foreign keys that rows of the default partition are known to
 * satisfy: added to the new table beforehand as valid, ATTACH does not have
 * to look at its rows.  (Those to partitioned tables are left to it.)
 */
static void
add_foreign_keys(const DbpDrain *drain, Oid child)
{
	Oid types[] = {OIDOID, OIDOID};
	Datum values[] = {ObjectIdGetDatum(drain->policy->parent),
					  ObjectIdGetDatum(drain->parts.defpart)};
	SPITupleTable *found;
	uint64 count;

	if (SPI_execute_with_args(
			"SELECT p.conname::text, pg_catalog.pg_get_constraintdef(p.oid)"
			" FROM pg_catalog.pg_constraint p"
			" JOIN pg_catalog.pg_constraint d ON d.conparentid = p.oid AND d.conrelid = $2"
			" JOIN pg_catalog.pg_class r ON r.oid = p.confrelid"
			" WHERE p.conrelid = $1 AND p.contype = 'f' AND p.conparentid = 0"
			" AND p.convalidated AND d.convalidated AND r.relkind = 'r'",
			2, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the foreign keys of table %s", drain->policy->table);
	found = SPI_tuptable;
	count = SPI_processed;
	for (uint64 i = 0; i < count; i++)
	{
		char *name = SPI_getvalue(found->vals[i], found->tupdesc, 1);

		dbp_execute(psprintf("ALTER TABLE %s ADD CONSTRAINT %s %s NOT VALID",
							 quote_qualified_identifier(drain->policy->schema, drain->name),
							 quote_identifier(name),
							 SPI_getvalue(found->vals[i], found->tupdesc, 2)));
		dbp_constraint_mark_valid(get_relation_constraint_oid(child, name, false));
	}
	SPI_freetuptable(found);
}

static char *
count_of_rows(int64 rows)
{
	return psprintf(INT64_FORMAT " %s", rows, rows == 1 ? "row" : "rows");
}

/*
 * Attach the new table, with all that ATTACH would otherwise read rows for
 * known beforehand.
 */
static void
attach(DbpDrain *drain, Oid child)
{
	const DbpPolicy *policy = drain->policy;
	DbpIdentity saved;

	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	add_foreign_keys(drain, child);
	dbp_restore_identity(&saved);
	dbp_default_guard_known(drain->parts.defpart, policy, &drain->range);
	dbp_partition_attach_table(policy, &drain->range, drain->name, child);
	dbp_default_unguard(drain->parts.defpart, policy, &drain->range, &drain->cost);
	dbp_execute_as_owner(policy,
						 psprintf("ALTER TABLE %s DROP CONSTRAINT " DBP_BOUND_CHECK,
								  quote_qualified_identifier(policy->schema, drain->name)));
}

/*
 * One cell, from a look at who might be in the way to the event.
 */
static void
drain_cell(void *arg)
{
	DbpDrain *drain = arg;
	const DbpPolicy *policy = drain->policy;
	instr_time locked;
	DbpEvent event = {0};
	Oid child;

	/* rather now than when the rows have been moved */
	wait_for_snapshots(drain);
	drain->name = dbp_partition_name(policy, &drain->range);
	child = dbp_partition_make_table(policy, &drain->parts, drain->name);
	dbp_execute_as_owner(policy,
						 psprintf("ALTER TABLE %s ADD CONSTRAINT " DBP_BOUND_CHECK " CHECK (%s)",
								  quote_qualified_identifier(policy->schema, drain->name),
								  dbp_range_condition(policy, &drain->range, true)));
	move_rows(drain, child, &locked);
	check_unchanged(drain);
	attach(drain, child);
	dbp_fence_raise(policy->parent);
	drain->cost.ms_held += dbp_ms_since(&locked);

	event.source = drain->asked.source;
	event.action = "drain";
	event.policy = policy;
	event.partition = quote_qualified_identifier(policy->schema, drain->name);
	event.range = &drain->range;
	event.cost = &drain->cost;
	event.message = psprintf("%s moved from %s", count_of_rows(drain->moved),
							 quote_qualified_identifier(get_namespace_name(get_rel_namespace(
															drain->parts.defpart)),
														get_rel_name(drain->parts.defpart)));
	dbp_event_write(&event);
}

static void
report(DbpDrain *drain, const char *partition, const char *status, const char *detail)
{
	dbp_run_report(&drain->run, drain->request->relid, partition, "drain", status, detail);
}

static char *
describe_range(const DbpDrain *drain)
{
	return psprintf("%s to %s", dbp_key_display(drain->policy, drain->range.lower),
					dbp_key_display(drain->policy, drain->range.upper));
}

/*
 * Record what stood against a cell.  True when the others can be tried.
 */
static bool
record_failure(DbpDrain *drain, const ErrorData *error)
{
	bool waiting = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;

	/* who is in the way, but not what a row looks like */
	report(drain, NULL, waiting ? "waiting" : "failed",
		   psprintf("%s: %s%s%s", describe_range(drain), error->message,
					waiting && error->detail != NULL ? "; " : "",
					waiting && error->detail != NULL ? error->detail : ""));
	if (!waiting && !dbp_audit_is_held())
	{
		DbpEvent event = {0};

		event.source = drain->asked.source;
		event.action = "drain_failed";
		event.policy = drain->policy;
		event.range = &drain->range;
		event.message = error->message;
		dbp_event_write(&event);
	}
	/* what one has to wait for, the next would have to as well */
	return !waiting;
}

/*
 * Find the next cell and drain it, each time in a new transaction.  False when
 * there is nothing more to do.
 */
static bool
drain_next(DbpDrain *drain)
{
	ErrorData *error = NULL;
	bool go_on = true;

	for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++)
	{
		drain->moved = drain->noticed = 0;
		drain->made_way = drain->empty = false;
		memset(&drain->cost, 0, sizeof(DbpCost));
		error = dbp_guarded(plan_next, drain);
		if (error != NULL)
			ReThrowError(error);
		if (!drain->found)
			return false;
		error = dbp_guarded(drain_cell, drain);
		if (error == NULL)
			error = dbp_run_commit(&drain->run);
		if (error == NULL || !drain->made_way)
			break;
		dbp_run_end_transaction(&drain->run);
		MemoryContextSwitchTo(drain->context);
		nap(FIRST_PAUSE_MS << attempt);
	}
	MemoryContextSwitchTo(drain->context);
	if (error != NULL && dbp_ends_run(error))
		ReThrowError(error);
	if (error == NULL)
		report(drain, quote_qualified_identifier(drain->policy->schema, drain->name), "done",
			   count_of_rows(drain->moved));
	else if (!drain->empty)
		go_on = record_failure(drain, error);
	if (error != NULL)
		dbp_run_end_transaction(&drain->run);
	drain->from = drain->range.upper;
	return go_on;
}

/*
 * What stays in the default partition, and why.
 */
static void
report_rest(void *arg)
{
	DbpDrain *drain = arg;
	DbpPolicy *policy = dbp_policy_get(drain->request->relid);
	ListCell *cell;

	dbp_parts_read(policy->parent, policy->keytype, &drain->parts);
	if (!OidIsValid(drain->parts.defpart))
		return;
	dbp_lock_relation(policy, drain->parts.defpart, AccessShareLock, &drain->cost);
	foreach(cell, dbp_default_held(policy, &drain->parts))
	{
		const DbpHeld *held = lfirst(cell);

		if (held->obstacle != NULL)
			report(drain, NULL, "blocked",
				   psprintf("%s not moved: %s", count_of_rows(held->rows), held->obstacle));
	}
}

void
dbp_drain_serve(const DbpRemoteRequest *request)
{
	MemoryContext caller = CurrentMemoryContext;
	DbpMaintainResult result = {0};
	DbpDrain drain = {0};
	ErrorData *error;

	drain.request = request;
	drain.from = PG_INT64_MIN;
	drain.asked.source = "manual";
	drain.asked.reason = "request";
	drain.asked.commit_each = true;
	drain.asked.report = dbp_remote_row;
	drain.run.request = &drain.asked;
	drain.run.result = &result;
	drain.run.context = AllocSetContextCreate(caller, "dbperf drain", ALLOCSET_DEFAULT_SIZES);
	/* what one cell needs */
	drain.context = AllocSetContextCreate(drain.run.context, "dbperf cell", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(drain.context);
	while (drain_next(&drain))
	{
		MemoryContextSwitchTo(drain.context);
		MemoryContextReset(drain.context);
		nap(PAUSE_MS);
	}
	MemoryContextSwitchTo(drain.context);
	error = dbp_guarded(report_rest, &drain);
	if (error != NULL)
		ReThrowError(error);
	dbp_run_end_transaction(&drain.run);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(drain.run.context);
}

/*
 * drain_default(parent regclass, batch_size integer) returns setof (parent,
 * partition, action, status, detail)
 */
Datum
dbperf_drain_default(PG_FUNCTION_ARGS)
{
	DbpRemoteRequest request;
	DbpPolicy *policy;
	Oid defpart;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("parent table and batch size must not be null")));
	if (PG_GETARG_INT32(1) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch size must be at least 1, not %d", PG_GETARG_INT32(1))));
	SPI_connect();
	policy = dbp_policy_get(PG_GETARG_OID(0));
	dbp_check_table_owner(policy->parent);
	defpart = get_default_partition_oid(policy->parent);
	if (OidIsValid(defpart))
		dbp_lock_check_own(dbp_lock_add(dbp_lock_add(NIL, policy->parent, AccessExclusiveLock),
										defpart, AccessExclusiveLock));
	SPI_finish();
	if (!OidIsValid(defpart))
		return (Datum) 0;
	dbp_remote_request_init(&request, DBP_REMOTE_DRAIN, PG_GETARG_OID(0));
	request.batch_size = PG_GETARG_INT32(1);
	(void) dbp_remote_call(&request, (ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}
