/*-------------------------------------------------------------------------
 *
 * on_delete.c
 *		What becomes of DELETE and TRUNCATE on a table with soft delete.
 *
 * A trigger before each row's DELETE marks the row instead, or refuses.
 *
 * An UPDATE that moves a row to another partition is a DELETE to the triggers
 * of the old one.  So another trigger, before UPDATE of the columns that rows
 * are partitioned by, leaves word of the row that is about to be changed: a
 * DELETE of that very row, in the same subtransaction, can be nothing else,
 * for once a row was changed, it is not there for anybody to delete.  That
 * trigger's name puts it behind others, which may still keep the row as it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "partition/partition.h"
#include "softdelete/softdelete.h"

PG_FUNCTION_INFO_V1(dbperf_on_delete);

/* The table whose rows purge_deleted() deletes at the moment; no setting can reach it */
static Oid purging = InvalidOid;

/* The row whose UPDATE has got as far as it can be told */
static struct
{
	Oid relid;
	ItemPointerData tid;
	LocalTransactionId lxid;
	SubTransactionId subid;
} updating;

/* The statement that marks a row of one table, prepared once in a session */
typedef struct MarkStatement
{
	Oid relid; /* hash key */
	char *sql;
	SPIPlanPtr plan;
} MarkStatement;

static HTAB *mark_statements = NULL;

Oid
dbp_soft_purge_begin(Oid relid)
{
	Oid outer = purging;

	purging = relid;
	return outer;
}

void
dbp_soft_purge_end(Oid outer)
{
	purging = outer;
}

static bool
is_being_purged(Oid relid)
{
	if (!OidIsValid(purging) || relid == purging)
		return OidIsValid(purging);
	return get_rel_relispartition(relid) &&
		list_member_oid(get_partition_ancestors(relid), purging);
}

static void
note_update(const TriggerData *trigger)
{
	updating.relid = RelationGetRelid(trigger->tg_relation);
	updating.tid = trigger->tg_trigtuple->t_self;
	updating.lxid = dbp_proc_lxid(MyProc);
	updating.subid = GetCurrentSubTransactionId();
}

static bool
is_being_moved(const TriggerData *trigger)
{
	if (updating.relid != RelationGetRelid(trigger->tg_relation) ||
		!ItemPointerEquals(&updating.tid, &trigger->tg_trigtuple->t_self) ||
		updating.lxid != dbp_proc_lxid(MyProc) || updating.subid != GetCurrentSubTransactionId())
		return false;
	updating.relid = InvalidOid;
	return true;
}

/*
 * The table that the row is marked through: the one at the top, where users
 * have their privileges, unless the caller has them on the partition only.
 */
static Oid
table_to_update(Oid relid)
{
	Oid top = get_rel_relispartition(relid) ? llast_oid(get_partition_ancestors(relid)) : relid;

	if (top != relid &&
		pg_attribute_aclcheck(top, get_attnum(top, DBP_DELETED_AT), GetUserId(), ACL_UPDATE) !=
			ACLCHECK_OK &&
		pg_attribute_aclcheck(relid, get_attnum(relid, DBP_DELETED_AT), GetUserId(), ACL_UPDATE) ==
			ACLCHECK_OK)
		return relid;
	return top;
}

static char *
mark_sql(Oid relid, const DbpSoftKey *keys, int nkeys)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf,
					 "UPDATE %s SET " DBP_DELETED_AT " = pg_catalog.now(), " DBP_DELETED_BY
					 " = $%d WHERE " DBP_DELETED_AT " IS NULL",
					 dbp_qualified_name(relid), nkeys + 1);
	for (int i = 0; i < nkeys; i++)
		appendStringInfo(&buf, " AND %s %s $%d", keys[i].column, keys[i].equals, i + 1);
	return buf.data;
}

/*
 * The plan of a statement, kept as long as a table is called and built the
 * same.
 */
static SPIPlanPtr
plan_for(Oid relid, const char *sql, int nargs, Oid *types)
{
	MarkStatement *statement;
	bool found;

	if (mark_statements == NULL)
	{
		HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(MarkStatement)};

		mark_statements =
			hash_create("dbperf marking statements", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	statement = hash_search(mark_statements, &relid, HASH_ENTER, &found);
	if (!found)
	{
		statement->sql = NULL;
		statement->plan = NULL;
	}
	if (statement->plan == NULL || strcmp(statement->sql, sql) != 0)
	{
		SPIPlanPtr old = statement->plan;
		SPIPlanPtr plan;

		statement->plan = NULL;
		if (old != NULL)
		{
			SPI_freeplan(old);
			pfree(statement->sql);
		}
		plan = SPI_prepare(sql, nargs, types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
		statement->sql = MemoryContextStrdup(TopMemoryContext, sql);
		statement->plan = plan;
	}
	return statement->plan;
}

/*
 * Mark the row as deleted, as the caller.
 */
static void
mark(const TriggerData *trigger)
{
	Relation rel = trigger->tg_relation;
	List *primary = dbp_soft_primary_columns(RelationGetRelid(rel));
	int nkeys = list_length(primary);
	DbpSoftKey *keys = palloc0(sizeof(DbpSoftKey) * (nkeys + 1));
	Datum *values = palloc(sizeof(Datum) * (nkeys + 1));
	Oid *types = palloc(sizeof(Oid) * (nkeys + 1));
	Oid target = table_to_update(RelationGetRelid(rel));
	ListCell *cell;

	if (primary == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has no primary key", dbp_qualified_name(RelationGetRelid(rel))),
				 errdetail("DELETE marks rows as deleted by their primary keys."),
				 errhint("Make one, or call dbperf.enable_soft_delete() with another on_delete.")));
	foreach(cell, primary)
	{
		int i = foreach_current_index(cell);
		bool isnull;

		dbp_soft_key_describe(RelationGetRelid(rel), lfirst_int(cell), &keys[i]);
		types[i] = keys[i].type;
		values[i] =
			heap_getattr(trigger->tg_trigtuple, lfirst_int(cell), RelationGetDescr(rel), &isnull);
	}
	types[nkeys] = TEXTOID;
	values[nkeys] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	dbp_soft_executed(SPI_execute_plan(plan_for(target, mark_sql(target, keys, nkeys), nkeys + 1,
												types),
									   values, NULL, false, 0),
					  "could not mark a row as deleted");
}

static void
refuse(const TriggerData *trigger)
{
	Oid relid = RelationGetRelid(trigger->tg_relation);
	bool truncate = TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event);

	ereport(ERROR,
			(errcode(ERRCODE_RESTRICT_VIOLATION),
			 truncate ? errmsg("table %s cannot be truncated", dbp_qualified_name(relid))
					  : errmsg("rows of table %s cannot be deleted", dbp_qualified_name(relid)),
			 errdetail("Soft delete is enabled for it with on_delete => '%s'.",
					   trigger->tg_trigger->tgargs[0]),
			 errhint("Use dbperf.soft_delete(), and dbperf.purge_deleted() for rows that were "
					 "deleted that way.")));
}

static bool
is_deleted(const TriggerData *trigger)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(trigger->tg_relation), DBP_DELETED_AT);

	if (attnum == InvalidAttrNumber)
		dbp_soft_check_columns(RelationGetRelid(trigger->tg_relation));
	return !heap_attisnull(trigger->tg_trigtuple, attnum, RelationGetDescr(trigger->tg_relation));
}

/*
 * Trigger on_delete('soft' | 'forbid'): before DELETE of a row, before UPDATE
 * of a row's partition key, before TRUNCATE
 */
Datum
dbperf_on_delete(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("dbperf.on_delete() was not called by a trigger of soft delete"),
				 errhint("dbperf.enable_soft_delete() makes such triggers.")));
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		refuse(trigger);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		note_update(trigger);
		return PointerGetDatum(trigger->tg_newtuple);
	}
	if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		return PointerGetDatum(NULL);
	if (is_being_purged(RelationGetRelid(trigger->tg_relation)) || is_being_moved(trigger))
		return PointerGetDatum(trigger->tg_trigtuple);
	if (strcmp(trigger->tg_trigger->tgargs[0], "soft") != 0)
		refuse(trigger);
	if (!is_deleted(trigger))
	{
		SPI_connect();
		mark(trigger);
		SPI_finish();
	}
	return PointerGetDatum(NULL);
}
