/*-------------------------------------------------------------------------
 *
 * view.c
 *		The view of a table's active rows, kept in step with the table.
 *
 * It has all columns of the table in their order, so that the n-th of one is
 * the n-th of the other, whatever they are called.  It is made as the owner of
 * the table, who must be allowed to.  What has to follow a change of the table
 * later on is done as the owner of the extension: whoever may change a table
 * need not be allowed to make views in its schema.  Nothing of the user's is
 * evaluated in that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "rewrite/rewriteHandler.h"
#include "nodes/primnodes.h"
#include "rewrite/rewriteSupport.h"
#include "parser/parsetree.h"
#include "access/relation.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "partition/partition.h"
#include "softdelete/softdelete.h"

#define SUFFIX "_active"

/* For a view that is there already; tables are locked beforehand */
#define VIEW_LOCK_TIMEOUT_MS 200

/*
 * The name of the view for a table.  Where the table's has to be shortened, a
 * hash of the whole of it tells tables apart that begin alike.
 */
char *
dbp_view_name_for(const char *table)
{
	int length = strlen(table);
	int room = NAMEDATALEN - 1 - strlen(SUFFIX) - 9;

	if (length + strlen(SUFFIX) < NAMEDATALEN)
		return psprintf("%s" SUFFIX, table);
	return psprintf("%.*s_%08x" SUFFIX, pg_mbcliplen(table, length, room), table,
					hash_bytes((const unsigned char *) table, length));
}

static Oid
owner_of(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Names of the columns that a relation has now, in order */
static List *
columns_of(Oid relid)
{
	AttrNumber natts = dbp_soft_natts(relid);
	List *columns = NIL;

	for (AttrNumber attnum = 1; attnum <= natts; attnum++)
	{
		HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));

		if (!HeapTupleIsValid(tuple))
			continue;
		if (!((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped)
			columns =
				lappend(columns, pstrdup(NameStr(((Form_pg_attribute) GETSTRUCT(tuple))->attname)));
		ReleaseSysCache(tuple);
	}
	return columns;
}

static char *
view_statement(const char *verb, Oid relid, const char *name, const char *options)
{
	StringInfoData buf;
	ListCell *cell;
	const char *separator = "";

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s VIEW %s%s AS SELECT ", verb, name, options);
	foreach(cell, columns_of(relid))
	{
		appendStringInfo(&buf, "%s%s", separator, quote_identifier(lfirst(cell)));
		separator = ", ";
	}
	appendStringInfo(&buf, " FROM %s WHERE " DBP_DELETED_AT " IS NULL", dbp_qualified_name(relid));
	return buf.data;
}

static void
execute_as_extension(const char *sql)
{
	DbpIdentity saved;

	dbp_become_extension(&saved);
	dbp_execute(sql);
	dbp_restore_identity(&saved);
}

/*
 * Is it a view of that table, and of nothing else, as one that was left by
 * disable_soft_delete() or DROP EXTENSION?
 */
static bool
is_view_of(Oid view, Oid relid)
{
	Oid types[2] = {OIDOID, OIDOID};
	Datum values[2] = {ObjectIdGetDatum(view), ObjectIdGetDatum(relid)};
	DbpIdentity saved;
	bool isnull;
	Datum result;

	if (get_rel_relkind(view) != RELKIND_VIEW || owner_of(view) != owner_of(relid))
		return false;
	dbp_become_extension(&saved);
	dbp_soft_executed(
		SPI_execute_with_args(
			"SELECT bool_and(d.refobjid = $2) AND 'security_invoker=true' = ANY (c.reloptions)"
			" FROM pg_class c JOIN pg_rewrite r ON r.ev_class = c.oid"
			" JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid"
			" AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid"
			" WHERE c.oid = $1 GROUP BY c.reloptions",
			2, types, values, NULL, false, 0),
		"could not look at a view");
	result = SPI_processed == 0
		? BoolGetDatum(false)
		: SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	dbp_restore_identity(&saved);
	return DatumGetBool(result);
}

/*
 * Make the view of a table.  SPI must be connected.
 */
Oid
dbp_view_create(Oid relid)
{
	Oid schema = get_rel_namespace(relid);
	char *name = dbp_view_name_for(get_rel_name(relid));
	char *qualified = quote_qualified_identifier(get_namespace_name(schema), name);
	Oid existing = get_relname_relid(name, schema);
	DbpIdentity saved;
	Oid view;

	if (OidIsValid(existing) && !is_view_of(existing, relid))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE), errmsg("relation %s already exists", qualified),
				 errdetail("It has the name of the view for active rows of table %s.",
						   dbp_qualified_name(relid)),
				 errhint("Rename or drop it.")));
	dbp_become_owner(&saved, owner_of(relid), VIEW_LOCK_TIMEOUT_MS);
	dbp_execute(view_statement(OidIsValid(existing) ? "CREATE OR REPLACE" : "CREATE", relid,
							   qualified, dbp_view_options(existing)));
	view = get_relname_relid(name, schema);
	if (!OidIsValid(existing))
		dbp_execute(
			psprintf("COMMENT ON VIEW %s IS 'Rows of the table that are not deleted'", qualified));
	dbp_restore_identity(&saved);
	return view;
}

/*
 * Drop a view.  An error names what depends on it; the hint is about what the
 * user is doing.
 */
void
dbp_view_drop(Oid view, bool cascade)
{
	MemoryContext caller = CurrentMemoryContext;
	char *name = dbp_qualified_name(view);

	PG_TRY();
	{
		execute_as_extension(psprintf("DROP VIEW %s%s", name, cascade ? " CASCADE" : ""));
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		if (error->sqlerrcode == ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST)
			error->hint = psprintf("View %s shows the rows of its table that are not deleted, and "
								   "goes or is made anew with this command. Drop what depends on "
								   "it first, and make it again afterwards.",
								   name);
		ReThrowError(error);
	}
	PG_END_TRY();
}

/*
 * Take a view out of the way of a command.
 */
void
dbp_view_set_aside(const DbpSoftTable *table, bool cascade)
{
	(void) dbp_view_save(table->relid, table->view);
	dbp_view_drop(table->view, cascade);
}

/*
 * The view goes by the name of its table, unless the user gave it another.
 */
void
dbp_view_rename(const DbpSoftTable *table, const char *new_table)
{
	char *name = get_rel_name(table->view);
	char *new_name = dbp_view_name_for(new_table);

	if (strcmp(name, dbp_view_name_for(get_rel_name(table->relid))) != 0 ||
		strcmp(name, new_name) == 0)
		return;
	if (OidIsValid(get_relname_relid(new_name, get_rel_namespace(table->view))))
		ereport(
			ERROR,
			(errcode(ERRCODE_DUPLICATE_TABLE), errmsg("relation \"%s\" already exists", new_name),
			 errdetail("View %s goes by the name of its table.", dbp_qualified_name(table->view)),
			 errhint("Rename or drop what has that name, or give the view a name of its own.")));
	execute_as_extension(psprintf("ALTER VIEW %s RENAME TO %s", dbp_qualified_name(table->view),
								  quote_identifier(new_name)));
}

void
dbp_view_move(const DbpSoftTable *table, const char *new_schema)
{
	if (get_rel_namespace(table->view) != get_rel_namespace(table->relid) ||
		!OidIsValid(get_namespace_oid(new_schema, true)))
		return;
	execute_as_extension(psprintf("ALTER VIEW %s SET SCHEMA %s", dbp_qualified_name(table->view),
								  quote_identifier(new_schema)));
}

/* Make again the view that was set aside */
static void
put_back(DbpSoftTable *table, DbpSavedView *saved)
{
	char *name = quote_qualified_identifier(saved->schema, saved->name);

	execute_as_extension(view_statement("CREATE", table->relid, name, saved->options));
	table->view = get_relname_relid(saved->name, get_namespace_oid(saved->schema, false));
	dbp_view_restore_settings(table->view, saved);
	dbp_view_forget(saved);
	dbp_soft_table_set_view(table->relid, table->view);
}

/* Is it the column of that number, and nothing else? */
static bool
is_column(const Node *node, Index varno, AttrNumber attnum)
{
	const Var *var = (const Var *) node;

	return IsA(node, Var) && (Index) var->varno == varno && var->varattno == attnum &&
		var->varlevelsup == 0;
}

/* The number of the first column from "attnum" on that is there */
static AttrNumber
next_column(Oid relid, AttrNumber attnum)
{
	while (attnum <= dbp_soft_natts(relid) && !OidIsValid(get_atttype(relid, attnum)))
		attnum++;
	return attnum;
}

static bool
selects_rows(const Query *query, Oid relid, Index *varno)
{
	const NullTest *test = (const NullTest *) query->jointree->quals;

	if (query->commandType != CMD_SELECT || query->hasAggs || query->hasWindowFuncs ||
		query->hasTargetSRFs || query->distinctClause != NIL || query->groupClause != NIL ||
		query->groupingSets != NIL || query->havingQual != NULL || query->sortClause != NIL ||
		query->limitCount != NULL || query->limitOffset != NULL || query->rowMarks != NIL ||
		query->setOperations != NULL || query->cteList != NIL ||
		list_length(query->jointree->fromlist) != 1 ||
		!IsA(linitial(query->jointree->fromlist), RangeTblRef))
		return false;
	*varno = linitial_node(RangeTblRef, query->jointree->fromlist)->rtindex;
	return rt_fetch(*varno, query->rtable)->relid == relid && test != NULL && IsA(test, NullTest) &&
		test->nulltesttype == IS_NULL &&
		is_column((Node *) test->arg, *varno, get_attnum(relid, DBP_DELETED_AT));
}

/*
 * Is the view still what it was made as: the table's columns in order, of the
 * rows that are not deleted?  Columns that the table got since may be missing.
 */
static bool
shows_table(Oid view, Oid relid)
{
	Relation rel = relation_open(view, AccessShareLock);
	const Query *query = get_view_query(rel);
	AttrNumber attnum = 0;
	Index varno = 0;
	bool same = selects_rows(query, relid, &varno);
	ListCell *cell;

	foreach(cell, query->targetList)
	{
		const TargetEntry *target = lfirst_node(TargetEntry, cell);

		attnum = next_column(relid, attnum + 1);
		same = same && !target->resjunk && is_column((Node *) target->expr, varno, attnum);
	}
	relation_close(rel, NoLock);
	return same;
}

static void
sync_columns(const DbpSoftTable *table)
{
	List *wanted = columns_of(table->relid);
	List *present = columns_of(table->view);
	char *name = dbp_qualified_name(table->view);
	ListCell *old;
	ListCell *new;

	forboth(new, wanted, old, present)
		if (strcmp(lfirst(new), lfirst(old)) != 0)
			execute_as_extension(psprintf("ALTER VIEW %s RENAME COLUMN %s TO %s", name,
										  quote_identifier(lfirst(old)),
										  quote_identifier(lfirst(new))));
	if (list_length(wanted) > list_length(present))
		execute_as_extension(
			view_statement("CREATE OR REPLACE", table->relid, name, dbp_view_options(table->view)));
}

/*
 * Bring the view of a table in line with it, after the table was changed.
 */
void
dbp_view_sync(DbpSoftTable *table)
{
	DbpSavedView *saved = dbp_view_saved(table->relid);

	if (saved != NULL)
		put_back(table, saved);
	if (!OidIsValid(table->view))
		return;
	if (!shows_table(table->view, table->relid))
	{
		ereport(WARNING,
				(errmsg("view %s no longer follows table %s", dbp_qualified_name(table->view),
						dbp_qualified_name(table->relid)),
				 errdetail("It has been changed to something else than the table's rows that are "
						   "not deleted."),
				 errhint("Drop it, and call dbperf.enable_soft_delete() to have it made anew.")));
		return;
	}
	sync_columns(table);
	/* one that was made anew just now; others are where somebody has put them */
	if (saved != NULL && owner_of(table->view) != owner_of(table->relid))
	{
		ATExecChangeOwner(table->view, owner_of(table->relid), true, AccessExclusiveLock);
		CommandCounterIncrement();
	}
}
