/*-------------------------------------------------------------------------
 *
 * attach.c
 *		Puts a table of the recycle bin back as the partition that it was.
 *
 * The parent may have changed since.  So the table is first made to fit it,
 * while nothing but the table itself and the definition of the parent is
 * locked; what that takes is decided in SQL (47_attach.sql).  Then come the
 * locks that others notice, and ATTACH, which has nothing left to read: the
 * CHECK that the table got with its detach proves the bound.
 *
 * All of it is done in the caller's transaction: the table is a partition
 * again with all that belongs to one, or is as it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "partitioning/partbounds.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "partition/statement.h"

PG_FUNCTION_INFO_V1(dbperf_attach_partition);

/* One table on its way back */
typedef struct DbpReturning
{
	const DbpPolicy *policy;
	Oid partition;
	DbpRange range;
	DbpCost cost;
} DbpReturning;

static DbpStatement select_bin = {
	.sql = "SELECT b.parent, b.state, b.lower_bound, b.upper_bound, c.relowner"
		   " FROM dbperf.recycle_bin b JOIN pg_catalog.pg_class c ON c.oid = b.partition"
		   " WHERE b.partition = $1",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.types = {OIDOID},
};

/* Its rows may be changed from now on, so that what was archived is archived no more */
static DbpStatement update_bin = {
	.sql = "UPDATE dbperf.recycle_bin b SET state = 'attached',"
		   " hold_until = $2 + coalesce($3, (SELECT p.recycle_for FROM dbperf.policy p"
		   " WHERE p.parent = b.parent)),"
		   " archive = NULL, archive_rows = NULL, archive_verified_at = NULL"
		   " WHERE b.partition = $1",
	.expected = SPI_OK_UPDATE,
	.nargs = 3,
	.types = {OIDOID, TIMESTAMPTZOID, INTERVALOID},
};

typedef struct BinRow
{
	Oid parent;
	char *lower;
	char *upper;
	Oid owner; /* of the table */
} BinRow;

static void
check_state(const char *name, const char *state)
{
	if (strcmp(state, "attached") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s is attached already", name),
				 errhint("dbperf.recycle_bin says until when its policy leaves it alone.")));
	if (strcmp(state, "detached") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition %s is still being detached", name),
				 errhint("Try again when maintenance has ended that.")));
}

/*
 * What the recycle bin knows of a table that can be put back; says no with a
 * reason.
 */
static void
read_bin(Oid partition, BinRow *bin)
{
	MemoryContext caller = CurrentMemoryContext;
	char *name = get_rel_name(partition) == NULL ? NULL : dbp_qualified_name(partition);
	Datum values[1] = {ObjectIdGetDatum(partition)};
	HeapTuple row;
	TupleDesc desc;
	bool isnull;

	dbp_statement_run(&select_bin, values, NULL);
	if (name == NULL || SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table %s is not in the recycle bin",
						name ? name : psprintf("%u", partition)),
				 errhint("dbperf.recycle_bin lists the tables that can be attached.")));
	MemoryContextSwitchTo(caller);
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	bin->parent = DatumGetObjectId(SPI_getbinval(row, desc, 1, &isnull));
	bin->lower = SPI_getvalue(row, desc, 3);
	bin->upper = SPI_getvalue(row, desc, 4);
	bin->owner = DatumGetObjectId(SPI_getbinval(row, desc, 5, &isnull));
	/* what somebody has finalized by hand is detached, whatever is noted of it */
	if (strcmp(SPI_getvalue(row, desc, 2), "detaching") != 0 || get_rel_relispartition(partition))
		check_state(name, SPI_getvalue(row, desc, 2));
	if (get_rel_relispartition(partition))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s is a partition already", name),
				 errhint(
					 "Somebody attached it by other means: the row of dbperf.recycle_bin is out "
					 "of date.")));
}

/*
 * Whose table it is, and whose its parent: both must be the caller's, and one
 * role's, since every statement is run as that role.
 */
static void
check_owners(Oid partition, const DbpPolicy *policy, Oid owner)
{
	dbp_check_table_owner(partition);
	dbp_check_table_owner(policy->parent);
	if (owner != policy->owner)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s and its parent %s belong to different roles",
						dbp_qualified_name(partition), dbp_qualified_name(policy->parent)),
				 errhint("ALTER TABLE %s OWNER TO %s", dbp_qualified_name(partition),
						 quote_identifier(GetUserNameFromId(policy->owner, false)))));
}

static int64
parse_bound(const DbpPolicy *policy, const char *bound)
{
	if (strcmp(bound, "MINVALUE") == 0)
		return DBP_KEY_MIN;
	if (strcmp(bound, "MAXVALUE") == 0)
		return DBP_KEY_MAX;
	return dbp_key_parse(policy, bound);
}

/*
 * All that has to be so for a table to go back.  Asked twice: before the locks,
 * to know what to lock, and under them.
 */
static void
look_up(DbpReturning *returning)
{
	BinRow bin;
	DbpIdentity saved;

	read_bin(returning->partition, &bin);
	if (get_rel_name(bin.parent) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the parent of table %s does not exist any more",
						dbp_qualified_name(returning->partition)),
				 errhint("The table stays as it is; it can be read and renamed like any other.")));
	dbp_check_table_owner(returning->partition);
	returning->policy = dbp_policy_get(bin.parent);
	check_owners(returning->partition, returning->policy, bin.owner);

	/* pins how the bounds are written */
	dbp_become_extension(&saved);
	returning->range.lower = parse_bound(returning->policy, bin.lower);
	returning->range.upper = parse_bound(returning->policy, bin.upper);
	dbp_restore_identity(&saved);
}

/*
 * Raise an error that names a partition which is in the way.
 */
static void
check_range_is_free(const DbpReturning *returning)
{
	const DbpPolicy *policy = returning->policy;
	DbpParts parts;

	dbp_parts_read(policy->parent, policy->keytype, &parts);
	for (int i = 0; i < parts.n; i++)
	{
		const DbpPart *part = &parts.part[i];

		if (part->upper <= returning->range.lower || part->lower >= returning->range.upper)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition %s is in the way of table %s", dbp_qualified_name(part->relid),
						dbp_qualified_name(returning->partition)),
				 errdetail("It holds the keys from %s to %s.", dbp_key_display(policy, part->lower),
						   dbp_key_display(policy, part->upper)),
				 part->detaching
					 ? errhint("It is being detached: try again when maintenance has ended that.")
					 : errhint("Move its rows elsewhere, and detach or drop it first.")));
	}
}

/* Statements that one of the functions of 47_attach.sql returns */
static List *
statements_of(const char *function, Oid partition)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid types[1] = {OIDOID};
	Datum values[1] = {ObjectIdGetDatum(partition)};
	List *statements = NIL;
	DbpIdentity saved;

	dbp_become_extension(&saved);
	if (SPI_execute_with_args(psprintf("SELECT s FROM dbperf.%s($1) s", function), 1, types, values,
							  NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "dbperf.%s() returned no rows", function);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < SPI_processed; row++)
		statements =
			lappend(statements,
					pstrdup(SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1)));
	SPI_freetuptable(SPI_tuptable);
	dbp_restore_identity(&saved);
	return statements;
}

/*
 * Run them as the owner of the table.
 */
static void
run(const DbpReturning *returning, const char *function)
{
	List *statements = statements_of(function, returning->partition);
	ListCell *cell;
	DbpIdentity saved;

	dbp_become_owner(&saved, returning->policy->owner, returning->policy->lock_budget_ms);
	foreach(cell, statements)
		dbp_execute(lfirst(cell));
	dbp_restore_identity(&saved);
}

static PartitionRangeDatum *
range_datum(const DbpPolicy *policy, int64 key)
{
	PartitionRangeDatum *datum = makeNode(PartitionRangeDatum);
	Datum value;
	int16 length;
	bool byval;

	datum->location = -1;
	datum->kind = key == DBP_KEY_MIN ? PARTITION_RANGE_DATUM_MINVALUE
		: key == DBP_KEY_MAX		 ? PARTITION_RANGE_DATUM_MAXVALUE
									 : PARTITION_RANGE_DATUM_VALUE;
	if (datum->kind != PARTITION_RANGE_DATUM_VALUE)
		return datum;
	value = policy->keytype == INT4OID ? Int32GetDatum((int32) key)
		: policy->keytype == DATEOID   ? DateADTGetDatum((DateADT) key)
									   : Int64GetDatum(key);
	get_typlenbyval(policy->keytype, &length, &byval);
	datum->value = (Node *) makeConst(policy->keytype, -1, InvalidOid, length, value, false, byval);
	return datum;
}

/*
 * Do constraints of the default partition say that it has no rows of a range,
 * so that ATTACH will not read it?
 */
static bool
default_is_proven(const DbpReturning *returning, Oid defpart)
{
	const DbpPolicy *policy = returning->policy;
	PartitionBoundSpec *bound = makeNode(PartitionBoundSpec);
	Relation parent = table_open(policy->parent, NoLock);
	Relation child = table_open(defpart, NoLock);
	List *condition;
	DbpIdentity saved;
	bool proven;

	bound->strategy = PARTITION_STRATEGY_RANGE;
	bound->lowerdatums = list_make1(range_datum(policy, returning->range.lower));
	bound->upperdatums = list_make1(range_datum(policy, returning->range.upper));
	bound->location = -1;
	condition = get_proposed_default_constraint(get_qual_from_partbound(parent, bound));
	condition = map_partition_varattnos(condition, 1, child, parent);
	/* expressions of CHECK constraints may be evaluated */
	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	proven = PartConstraintImpliedByRelConstraint(child, condition);
	dbp_restore_identity(&saved);
	table_close(child, NoLock);
	table_close(parent, NoLock);
	return proven;
}

/*
 * A large default partition must be known to hold nothing of the range, or
 * ATTACH would read it, and stop everybody.
 */
static void
check_default(const DbpReturning *returning, Oid defpart)
{
	const DbpPolicy *policy = returning->policy;
	const char *column = quote_identifier(policy->column);
	StringInfoData condition;
	DbpIdentity saved;

	if (!OidIsValid(defpart) || !dbp_default_is_large(defpart) ||
		default_is_proven(returning, defpart))
		return;
	initStringInfo(&condition);
	appendStringInfo(&condition, "%s IS NULL", column);
	dbp_become_extension(&saved);
	if (returning->range.lower != DBP_KEY_MIN)
		appendStringInfo(&condition, " OR %s < %s", column,
						 dbp_key_literal(policy, returning->range.lower));
	if (returning->range.upper != DBP_KEY_MAX)
		appendStringInfo(&condition, " OR %s >= %s", column,
						 dbp_key_literal(policy, returning->range.upper));
	dbp_restore_identity(&saved);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("default partition %s is too large to be read while it is locked",
					dbp_qualified_name(defpart)),
			 errdetail("PostgreSQL has to see that none of its rows belongs into the partition."),
			 errhint("Give it a constraint that says so, in two transactions, and drop that "
					 "afterwards: ALTER TABLE %s ADD CONSTRAINT not_attached CHECK (%s) NOT VALID; "
					 "ALTER TABLE %s VALIDATE CONSTRAINT not_attached;",
					 dbp_qualified_name(defpart), condition.data, dbp_qualified_name(defpart))));
}

/*
 * What is needed to change the table, and to have its parent keep its
 * definition meanwhile.  Nobody who reads or writes the parent notices.
 */
static void
lock_table(DbpReturning *returning)
{
	const DbpPolicy *policy = returning->policy;
	List *requests = dbp_lock_add(NIL, policy->parent, ShareUpdateExclusiveLock);

	requests = dbp_lock_add_tree(requests, returning->partition, AccessExclusiveLock);
	dbp_lock_requests(policy, requests, &returning->cost);
}

/*
 * The rest.  Foreign keys that the table kept are taken over by the parent's,
 * and lose their triggers on the tables that they point to: that takes the
 * strongest lock there.
 */
static void
lock_others(DbpReturning *returning, Oid defpart)
{
	const DbpPolicy *policy = returning->policy;
	List *requests = dbp_lock_add_foreign_keys(NIL, policy->parent, ShareRowExclusiveLock,
											   ShareRowExclusiveLock);

	requests = dbp_lock_add_foreign_keys(requests, returning->partition, AccessExclusiveLock,
										 ShareRowExclusiveLock);
	if (OidIsValid(defpart))
		requests = dbp_lock_add_tree(requests, defpart, AccessExclusiveLock);
	dbp_lock_requests(policy, requests, &returning->cost);
}

static void
attach(const DbpReturning *returning)
{
	const DbpPolicy *policy = returning->policy;
	DbpIdentity saved;

	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	dbp_execute(psprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)",
						 dbp_qualified_name(policy->parent),
						 dbp_qualified_name(returning->partition),
						 dbp_key_literal(policy, returning->range.lower),
						 dbp_key_literal(policy, returning->range.upper)));
	if (OidIsValid(get_relation_constraint_oid(returning->partition, DBP_BOUND_CHECK, true)))
		dbp_execute(psprintf("ALTER TABLE %s DROP CONSTRAINT " DBP_BOUND_CHECK,
							 dbp_qualified_name(returning->partition)));
	dbp_restore_identity(&saved);
}

static void
note_attached(const DbpReturning *returning, const Interval *hold_for)
{
	Datum values[3];
	char nulls[3] = {' ', ' ', hold_for == NULL ? 'n' : ' '};
	DbpEvent event = {0};

	values[0] = ObjectIdGetDatum(returning->partition);
	values[1] = TimestampTzGetDatum(dbp_now());
	values[2] = hold_for == NULL ? (Datum) 0 : IntervalPGetDatum(hold_for);
	dbp_statement_run(&update_bin, values, nulls);

	event.source = "manual";
	event.action = "attach";
	event.policy = returning->policy;
	event.partition = dbp_qualified_name(returning->partition);
	event.range = &returning->range;
	event.cost = &returning->cost;
	dbp_event_write(&event);
}

static void
put_back(DbpReturning *returning, const Interval *hold_for)
{
	instr_time locked;
	Oid defpart;

	look_up(returning);
	check_range_is_free(returning);
	lock_table(returning);
	INSTR_TIME_SET_CURRENT(locked);
	look_up(returning);
	check_range_is_free(returning);
	/* with the parent locked, none can come or go */
	defpart = get_default_partition_oid(returning->policy->parent);

	run(returning, "attach_rename");
	run(returning, "attach_alter");
	run(returning, "attach_drop");
	run(returning, "attach_add");
	run(returning, "attach_place");

	lock_others(returning, defpart);
	check_default(returning, defpart);
	run(returning, "attach_foreign_keys");
	attach(returning);
	run(returning, "attach_grants");

	returning->cost.ms_held = dbp_ms_since(&locked);
	note_attached(returning, hold_for);
}

/*
 * attach_partition(partition regclass, hold_for interval) returns regclass
 *
 * Raises undefined_object when the table is not in the recycle bin,
 * object_not_in_prerequisite_state when something is in the way,
 * feature_not_supported when a type has changed, lock_not_available.
 */
Datum
dbperf_attach_partition(PG_FUNCTION_ARGS)
{
	DbpReturning returning = {0};
	Interval *hold_for = PG_ARGISNULL(1) ? NULL : PG_GETARG_INTERVAL_P(1);
	Interval zero = {0};

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("partition must not be null")));
	if (hold_for != NULL &&
		DatumGetBool(DirectFunctionCall2(interval_lt, IntervalPGetDatum(hold_for),
										 IntervalPGetDatum(&zero))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("hold_for must not be negative")));
	returning.partition = PG_GETARG_OID(0);
	SPI_connect();
	put_back(&returning, hold_for);
	SPI_finish();
	PG_RETURN_OID(returning.partition);
}
