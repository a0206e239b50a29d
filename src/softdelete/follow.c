/*-------------------------------------------------------------------------
 *
 * follow.c
 *		Event triggers: views follow their tables.
 *
 * Before a command, what stands in its way is set aside, and names are
 * changed; after it, the view is brought in line with what the table has
 * become.  A view is locked before its table, as those who read it do.
 *
 * Nearly all commands concern no table of ours, and most of the others none
 * of its columns; they are told by their parse trees.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "commands/tablecmds.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "dbperf.h"
#include "partition/statement.h"
#include "softdelete/softdelete.h"

PG_FUNCTION_INFO_V1(dbperf_soft_delete_before);
PG_FUNCTION_INFO_V1(dbperf_soft_delete_after);
PG_FUNCTION_INFO_V1(dbperf_soft_delete_dropped);

static Node *
command_of(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not fired by event trigger manager"),
				 errhint("This function is called by event triggers of the extension only.")));
	return ((EventTriggerData *) fcinfo->context)->parsetree;
}

/*
 * Does an ALTER TABLE change the columns or the owner of a table?
 */
static bool
concerns_view(const AlterTableStmt *alter)
{
	ListCell *cell;

	foreach(cell, alter->cmds)
	{
		AlterTableType type = lfirst_node(AlterTableCmd, cell)->subtype;

		if (type == AT_AddColumn || type == AT_DropColumn || type == AT_AlterColumnType ||
			type == AT_ChangeOwner)
			return true;
	}
	return false;
}

/*
 * May it bring a foreign key?  Nothing is locked for that: partitions are
 * attached beside traffic.
 */
static bool
may_bring_key(const AlterTableStmt *alter)
{
	ListCell *cell;

	foreach(cell, alter->cmds)
	{
		AlterTableType type = lfirst_node(AlterTableCmd, cell)->subtype;

		if (type == AT_AddColumn || type == AT_AddConstraint || type == AT_AttachPartition)
			return true;
	}
	return false;
}

/*
 * Does it do what a view of the column stands in the way of?  For another
 * owner the view is made anew as well: what its old owner has made of it must
 * not come to have the rights of the new one.
 */
static bool
is_hindered(const AlterTableStmt *alter, Oid relid, bool is_named, bool *cascade)
{
	bool hindered = false;
	ListCell *cell;

	*cascade = false;
	foreach(cell, alter->cmds)
	{
		const AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if (command->subtype == AT_ChangeOwner && is_named)
			hindered = true;
		if ((command->subtype != AT_DropColumn && command->subtype != AT_AlterColumnType) ||
			get_attnum(relid, command->name) == InvalidAttrNumber)
			continue;
		hindered = true;
		*cascade |= command->subtype == AT_DropColumn && command->behavior == DROP_CASCADE;
	}
	return hindered;
}

/*
 * The table of a command, if it is one of ours or above one, and the current
 * user may change it: who may not is told so by the command itself.
 */
static List *
tables_of(const RangeVar *name, Oid *relid)
{
	*relid = RangeVarGetRelid(name, NoLock, true);
	if (!OidIsValid(*relid) || !dbp_owns_relation(*relid, GetUserId()))
		return NIL;
	return dbp_soft_tables_below(*relid);
}

/*
 * Lock views and then the table, as strongly as the command is about to.
 */
static void
lock_tables(List *tables, const RangeVar *name, Oid relid)
{
	ListCell *cell;

	foreach(cell, tables)
	{
		DbpSoftTable *table = lfirst(cell);

		if (OidIsValid(table->view))
			LockRelationOid(table->view, AccessExclusiveLock);
	}
	if (RangeVarGetRelid(name, AccessExclusiveLock, true) != relid)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table \"%s\" was changed by somebody else", name->relname),
				 errhint("Try again.")));
	/* what was dropped while we waited is no view any more */
	foreach(cell, tables)
	{
		DbpSoftTable *table = lfirst(cell);

		if (OidIsValid(table->view) && get_rel_relkind(table->view) != RELKIND_VIEW)
			table->view = InvalidOid;
	}
}

static void
before_alter(const AlterTableStmt *alter)
{
	List *tables;
	ListCell *cell;
	Oid relid;

	if (!concerns_view(alter))
		return;
	tables = tables_of(alter->relation, &relid);
	if (tables == NIL)
		return;
	SPI_connect();
	lock_tables(tables, alter->relation, relid);
	foreach(cell, tables)
	{
		DbpSoftTable *table = lfirst(cell);
		bool cascade;

		/* other people's tables below this one, and all of them with ONLY, are not ours to touch */
		if (table->relid != relid &&
			(!alter->relation->inh || !dbp_owns_relation(table->relid, GetUserId())))
			continue;
		if (OidIsValid(table->view) &&
			is_hindered(alter, table->relid, table->relid == relid, &cascade))
			dbp_view_set_aside(table, cascade);
	}
	SPI_finish();
}

static void
before_rename(const RenameStmt *rename)
{
	bool column = rename->renameType == OBJECT_COLUMN && rename->relationType == OBJECT_TABLE;
	List *tables;
	ListCell *cell;
	Oid relid;

	if (!column && rename->renameType != OBJECT_TABLE)
		return;
	tables = tables_of(rename->relation, &relid);
	if (tables == NIL)
		return;
	SPI_connect();
	lock_tables(tables, rename->relation, relid);
	foreach(cell, tables)
	{
		DbpSoftTable *table = lfirst(cell);

		if (!column && table->relid == relid && OidIsValid(table->view))
			dbp_view_rename(table, rename->newname);
	}
	SPI_finish();
}

static void
before_move(const AlterObjectSchemaStmt *move)
{
	List *tables;
	ListCell *cell;
	Oid relid;

	if (move->objectType != OBJECT_TABLE)
		return;
	tables = tables_of(move->relation, &relid);
	if (tables == NIL)
		return;
	SPI_connect();
	lock_tables(tables, move->relation, relid);
	foreach(cell, tables)
	{
		DbpSoftTable *table = lfirst(cell);

		if (table->relid == relid && OidIsValid(table->view))
			dbp_view_move(table, move->newschema);
	}
	SPI_finish();
}

/*
 * A table can be dropped as if there were no view of it.
 */
static void
before_drop_table(const DropStmt *drop)
{
	ListCell *cell;

	foreach(cell, drop->objects)
	{
		RangeVar *name = makeRangeVarFromNameList(lfirst_node(List, cell));
		Oid relid = RangeVarGetRelid(name, NoLock, true);
		DbpSoftTable *table;

		if (!OidIsValid(relid) ||
			(!dbp_owns_relation(relid, GetUserId()) &&
			 !dbp_owns_schema(get_rel_namespace(relid), GetUserId())))
			continue;
		table = dbp_soft_table_find(relid);
		if (table == NULL || !OidIsValid(table->view))
			continue;
		lock_tables(list_make1(table), name, relid);
		if (!OidIsValid(table->view))
			continue;
		SPI_connect();
		dbp_view_drop(table->view, drop->behavior == DROP_CASCADE);
		SPI_finish();
	}
}

/*
 * Triggers of users' tables stand in the way of DROP EXTENSION.  PostgreSQL
 * says so, but not what to do.
 */
static void
before_drop_extension(const DropStmt *drop)
{
	StringInfoData names;
	ListCell *cell;
	bool ours = false;

	foreach(cell, drop->objects)
		ours |= strcmp(strVal(lfirst(cell)), DBP_EXTENSION_NAME) == 0;
	if (!ours || drop->behavior == DROP_CASCADE)
		return;
	initStringInfo(&names);
	foreach(cell, dbp_soft_tables())
	{
		const DbpSoftTable *table = lfirst(cell);

		if (table->on_delete != 'a' && dbp_qualified_name(table->relid) != NULL)
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
							 dbp_qualified_name(table->relid));
	}
	if (names.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop extension %s because tables have triggers of it",
						DBP_EXTENSION_NAME),
				 errdetail("DELETE does not delete rows of %s.", names.data),
				 errhint("Call dbperf.disable_soft_delete() for them, or enable_soft_delete() with "
						 "on_delete => 'allow'; DROP EXTENSION ... CASCADE drops the triggers.")));
}

/*
 * Event trigger: before ALTER TABLE, DROP TABLE and DROP EXTENSION
 */
Datum
dbperf_soft_delete_before(PG_FUNCTION_ARGS)
{
	Node *command = command_of(fcinfo);

	if (IsA(command, AlterTableStmt))
		before_alter((AlterTableStmt *) command);
	else if (IsA(command, RenameStmt))
		before_rename((RenameStmt *) command);
	else if (IsA(command, AlterObjectSchemaStmt))
		before_move((AlterObjectSchemaStmt *) command);
	else if (IsA(command, DropStmt) && ((DropStmt *) command)->removeType == OBJECT_TABLE)
		before_drop_table((DropStmt *) command);
	else if (IsA(command, DropStmt) && ((DropStmt *) command)->removeType == OBJECT_EXTENSION)
		before_drop_extension((DropStmt *) command);
	PG_RETURN_NULL();
}

static void
after_change(const RangeVar *name)
{
	Oid relid = RangeVarGetRelid(name, NoLock, true);
	List *tables = OidIsValid(relid) ? dbp_soft_tables_below(relid) : NIL;
	ListCell *cell;

	if (tables == NIL)
		return;
	SPI_connect();
	foreach(cell, tables)
	{
		DbpSoftTable *table = lfirst(cell);

		dbp_soft_check_needed(table->relid);
		dbp_view_sync(table);
	}
	SPI_finish();
}

static void
after_key(const RangeVar *name)
{
	Oid relid = RangeVarGetRelid(name, NoLock, true);
	DbpSoftTable *table = OidIsValid(relid) ? dbp_soft_table_find(relid) : NULL;

	if (table == NULL || table->on_delete != 's')
		return;
	SPI_connect();
	dbp_soft_check_cascade(relid);
	SPI_finish();
}

/*
 * Event trigger: after ALTER TABLE
 */
Datum
dbperf_soft_delete_after(PG_FUNCTION_ARGS)
{
	Node *command = command_of(fcinfo);

	if (IsA(command, AlterTableStmt))
	{
		AlterTableStmt *alter = (AlterTableStmt *) command;

		if (concerns_view(alter))
			after_change(alter->relation);
		if (may_bring_key(alter))
			after_key(alter->relation);
	}
	else if (IsA(command, RenameStmt) && ((RenameStmt *) command)->renameType == OBJECT_COLUMN)
		after_change(((RenameStmt *) command)->relation);
	PG_RETURN_NULL();
}

/* A table that goes together with its view is only deleted: no row is changed twice */
static DbpStatement forget = {
	.sql = "WITH dropped AS MATERIALIZED (SELECT objid FROM pg_event_trigger_dropped_objects()"
		   " WHERE classid = 'pg_class'::regclass AND objsubid = 0),"
		   " tables AS (DELETE FROM dbperf.soft_delete_tables s USING dropped d"
		   " WHERE d.objid = s.parent),"
		   " views AS (UPDATE dbperf.soft_delete_tables s SET active = NULL FROM dropped d"
		   " WHERE d.objid = s.active AND s.parent NOT IN (SELECT objid FROM dropped))"
		   " UPDATE dbperf.soft_delete_log l SET relation = NULL FROM dropped d"
		   " WHERE d.objid = l.relation",
	.expected = SPI_OK_UPDATE,
};

/* Is there no row, nor was there one? */
static bool
is_empty(const char *name)
{
	Oid schema = get_namespace_oid("dbperf", true);
	Oid relid = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
	Relation rel = OidIsValid(relid) ? try_table_open(relid, AccessShareLock) : NULL;
	bool empty = rel == NULL || RelationGetNumberOfBlocks(rel) == 0;

	if (rel != NULL)
		table_close(rel, AccessShareLock);
	return empty;
}

/*
 * Event trigger: after something was dropped.  Tables are forgotten, of views
 * it is noted; who had a table's rows deleted stays written, without the
 * table, whose OID may come to be another's.
 */
Datum
dbperf_soft_delete_dropped(PG_FUNCTION_ARGS)
{
	(void) command_of(fcinfo);
	if (is_empty("soft_delete_tables") && is_empty("soft_delete_log"))
		PG_RETURN_NULL();
	SPI_connect();
	dbp_statement_run(&forget, NULL, NULL);
	SPI_finish();
	PG_RETURN_NULL();
}
