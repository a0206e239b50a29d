/*-------------------------------------------------------------------------
 *
 * guard.c
 *		Keeps DROP EXTENSION ... CASCADE from taking tables along.
 *
 * Tables depend on their access method, so CASCADE would drop them with it.  It
 * drops them first, and opening the first of them loads this library, if the session
 * had not done so, before the access method's turn comes.  A snapshot of the time
 * before the statement still sees all of them then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "columnar.h"
#include "guc.h"

#define MAX_NAMES 10

static object_access_hook_type prev_object_access_hook = NULL;

/* Sees what others have committed up to now, but nothing that this statement has done */
static Snapshot
before_statement(void)
{
	Snapshot snapshot = GetLatestSnapshot();

	if (ActiveSnapshotSet())
		snapshot->curcid = GetActiveSnapshot()->curcid;
	return snapshot;
}

/* Names of tables of that access method, in their order, as far as there is room for them */
static List *
list_tables(Oid am)
{
	Snapshot snapshot = RegisterSnapshot(before_statement());
	Relation pg_class = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(pg_class, InvalidOid, false, snapshot, 0, NULL);
	HeapTuple tuple;
	List *names = NIL;

	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
		char *schema;

		if (form->relam != am)
			continue;
		schema = get_namespace_name(form->relnamespace);
		names = lappend(names, quote_qualified_identifier(schema, NameStr(form->relname)));
	}
	systable_endscan(scan);
	table_close(pg_class, AccessShareLock);
	UnregisterSnapshot(snapshot);
	return names;
}

static int
compare_names(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

static void
check_drop(Oid am)
{
	char *name = get_am_name(am);
	List *tables;
	StringInfoData list;

	if (dbp_allow_drop_columnar || name == NULL || strcmp(name, DBP_COLUMNAR_AM) != 0)
		return;
	tables = list_tables(am);
	if (tables == NIL)
		return;
	list_sort(tables, compare_names);
	initStringInfo(&list);
	for (int i = 0; i < Min(list_length(tables), MAX_NAMES); i++)
		appendStringInfo(&list, "%s%s", i == 0 ? "" : ", ", (char *) list_nth(tables, i));
	if (list_length(tables) > MAX_NAMES)
		appendStringInfo(&list, " and %d more", list_length(tables) - MAX_NAMES);
	ereport(ERROR, errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			errmsg("cannot drop access method \"%s\" because tables hold compressed data", name),
			errdetail("Tables: %s.", list.data),
			errhint("Decompress them with dbperf.decompress_partition(), or drop them, first."));
}

static void
watch_drop(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (prev_object_access_hook != NULL)
		prev_object_access_hook(access, class, object, sub, arg);
	if (access == OAT_DROP && class == AccessMethodRelationId)
		check_drop(object);
}

void
dbp_columnar_guard_init(void)
{
	prev_object_access_hook = object_access_hook;
	object_access_hook = watch_drop;
}
