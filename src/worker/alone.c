/*-------------------------------------------------------------------------
 *
 * alone.c
 *		Has sampler and archiver leave before a command for which they would be in
 *		the way.
 *
 * DROP DATABASE, CREATE DATABASE from a template, ALTER DATABASE ... RENAME and
 * SET TABLESPACE wait 5 s for other connections to end, and then fail.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "archiver.h"
#include "compat.h"
#include "sampler.h"

static ProcessUtility_hook_type prev_process_utility_hook = NULL;

/*
 * May the user do what no other connection may be there for? Not to the last
 * detail, but nobody shall keep the samplers of others away by trying.
 */
static bool
may_be_alone(Oid dboid, Node *statement)
{
	HeapTuple tuple;
	bool allowed = dbp_owns_database(dboid, GetUserId());

	if (allowed || !IsA(statement, CreatedbStmt))
		return allowed;
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	if (HeapTupleIsValid(tuple))
	{
		allowed = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return allowed;
}

/* Returns the database, or InvalidOid: nobody has to go */
static Oid
make_way(const char *database, Node *statement)
{
	Oid dboid = get_database_oid(database, true);

	bool anybody;

	if (!OidIsValid(dboid) || !may_be_alone(dboid, statement))
		return InvalidOid;
	anybody = dbp_samplers_make_way(dboid);
	anybody = dbp_archivers_make_way(dboid) || anybody;
	return anybody ? dboid : InvalidOid;
}

static const char *
template_of(const CreatedbStmt *statement)
{
	ListCell *cell;

	foreach(cell, statement->options)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return "template1";
}

/* Commands that fail while anybody else is connected to a database */
static const char *
database_left_alone(Node *statement)
{
	if (IsA(statement, DropdbStmt))
		return castNode(DropdbStmt, statement)->dbname;
	if (IsA(statement, CreatedbStmt))
		return template_of(castNode(CreatedbStmt, statement));
	if (IsA(statement, RenameStmt) &&
		castNode(RenameStmt, statement)->renameType == OBJECT_DATABASE)
		return castNode(RenameStmt, statement)->subname;
	if (IsA(statement, AlterDatabaseStmt))
	{
		ListCell *cell;

		foreach(cell, castNode(AlterDatabaseStmt, statement)->options)
		{
			if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
				return castNode(AlterDatabaseStmt, statement)->dbname;
		}
	}
	return NULL;
}

static void
process_utility(PlannedStmt *statement, const char *source, bool is_read_only,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *dest, QueryCompletion *completion)
{
	const char *database = database_left_alone(statement->utilityStmt);
	Oid dboid = InvalidOid;

	if (database != NULL)
		dboid = make_way(database, statement->utilityStmt);
	if (prev_process_utility_hook)
		prev_process_utility_hook(statement, source, is_read_only, context, params, environment,
								  dest, completion);
	else
		standard_ProcessUtility(statement, source, is_read_only, context, params, environment, dest,
								completion);

	/* until this commits, its lock has who comes wait */
	if (OidIsValid(dboid) && !IsA(statement->utilityStmt, DropdbStmt))
	{
		dbp_samplers_come_back(dboid);
		dbp_archivers_come_back(dboid);
	}
}

/*
 * While shared_preload_libraries is processed.
 */
void
dbp_alone_init(void)
{
	prev_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
