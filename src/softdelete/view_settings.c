/*-------------------------------------------------------------------------
 *
 * view_settings.c
 *		What a view has besides its query.
 *
 * A view stands in the way of commands that drop a column of its table or
 * give it another type.  It is dropped before and made again after them, with
 * its privileges, comments and options.  In between, those are kept here; what
 * a subtransaction put aside is forgotten when it is rolled back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "commands/comment.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "partition/partition.h"
#include "softdelete/softdelete.h"

typedef struct DbpSavedColumn
{
	char *name;
	Acl *acl;
	char *comment;
} DbpSavedColumn;

static List *set_aside = NIL; /* of DbpSavedView, in TopTransactionContext */

static void
end_of_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		set_aside = NIL;
}

static void
end_of_subtransaction(SubXactEvent event, SubTransactionId subid, SubTransactionId parent,
					  void *arg)
{
	ListCell *cell;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	foreach(cell, set_aside)
	{
		DbpSavedView *saved = lfirst(cell);

		if (saved->subid != subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			saved->subid = parent;
		else
			set_aside = foreach_delete_current(set_aside, cell);
	}
}

static void
watch_transactions(void)
{
	static bool watching = false;

	if (watching)
		return;
	RegisterXactCallback(end_of_transaction, NULL);
	RegisterSubXactCallback(end_of_subtransaction, NULL);
	watching = true;
}

/*
 * The options of a view as " WITH (...)"; never without security_invoker.
 */
char *
dbp_view_options(Oid view)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	StringInfoData buf;
	bool isnull;
	Datum options;
	ListCell *cell;

	initStringInfo(&buf);
	appendStringInfoString(&buf, " WITH (security_invoker = true");
	if (HeapTupleIsValid(tuple))
	{
		options = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
		foreach(cell, isnull ? NIL : untransformRelOptions(options))
		{
			DefElem *option = lfirst_node(DefElem, cell);

			if (strcmp(option->defname, "security_invoker") != 0)
				appendStringInfo(&buf, ", %s = %s", quote_identifier(option->defname),
								 quote_literal_cstr(defGetString(option)));
		}
		ReleaseSysCache(tuple);
	}
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

static Acl *
copy_acl(int cache, HeapTuple tuple, AttrNumber attnum)
{
	bool isnull;
	Datum acl = SysCacheGetAttr(cache, tuple, attnum, &isnull);

	return isnull ? NULL : DatumGetAclPCopy(acl);
}

/* What belongs to a view and is not brought back */
static void
check_can_be_made_again(Oid view)
{
	Relation rel = table_open(view, NoLock);
	TupleDesc desc = RelationGetDescr(rel);
	bool more = rel->trigdesc != NULL || (rel->rd_rules != NULL && rel->rd_rules->numLocks > 1);

	for (int i = 0; i < desc->natts; i++)
		more |= TupleDescAttr(desc, i)->atthasdef;
	table_close(rel, NoLock);
	if (more)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("view %s has triggers, rules or column defaults of its own",
						dbp_qualified_name(view)),
				 errdetail("It has to be made anew for this change of its table, and would lose "
						   "them."),
				 errhint("Drop them first, and make them again afterwards.")));
}

static void
save_columns(DbpSavedView *saved, Oid view)
{
	AttrNumber natts = dbp_soft_natts(view);

	for (AttrNumber attnum = 1; attnum <= natts; attnum++)
	{
		HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(view), Int16GetDatum(attnum));
		DbpSavedColumn *column = palloc(sizeof(DbpSavedColumn));

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for column %d of relation %u", attnum, view);
		column->name = pstrdup(NameStr(((Form_pg_attribute) GETSTRUCT(tuple))->attname));
		column->acl = copy_acl(ATTNUM, tuple, Anum_pg_attribute_attacl);
		column->comment = GetComment(view, RelationRelationId, attnum);
		ReleaseSysCache(tuple);
		saved->columns = lappend(saved->columns, column);
	}
}

/*
 * Put aside what a view of a table has.  The caller holds a lock on it.
 */
DbpSavedView *
dbp_view_save(Oid relid, Oid view)
{
	MemoryContext caller;
	DbpSavedView *saved;
	HeapTuple tuple;

	check_can_be_made_again(view);
	watch_transactions();
	caller = MemoryContextSwitchTo(TopTransactionContext);
	saved = palloc0(sizeof(DbpSavedView));
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", view);
	saved->subid = GetCurrentSubTransactionId();
	saved->relid = relid;
	saved->schema = get_namespace_name(((Form_pg_class) GETSTRUCT(tuple))->relnamespace);
	saved->name = pstrdup(NameStr(((Form_pg_class) GETSTRUCT(tuple))->relname));
	saved->owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	saved->acl = copy_acl(RELOID, tuple, Anum_pg_class_relacl);
	ReleaseSysCache(tuple);
	saved->options = dbp_view_options(view);
	saved->comment = GetComment(view, RelationRelationId, 0);
	save_columns(saved, view);
	set_aside = lappend(set_aside, saved);
	MemoryContextSwitchTo(caller);
	return saved;
}

/*
 * What was put aside of a table's view, or NULL.
 */
DbpSavedView *
dbp_view_saved(Oid relid)
{
	ListCell *cell;

	foreach(cell, set_aside)
	{
		DbpSavedView *saved = lfirst(cell);

		if (saved->relid == relid)
			return saved;
	}
	return NULL;
}

void
dbp_view_forget(DbpSavedView *saved)
{
	set_aside = list_delete_ptr(set_aside, saved);
}

static void
record_acl(Oid view, int32 column, Oid owner, Acl *old, Acl *acl)
{
	Oid *old_members = NULL;
	Oid *members = NULL;
	int old_count = old == NULL ? 0 : aclmembers(old, &old_members);
	int count = acl == NULL ? 0 : aclmembers(acl, &members);

	updateAclDependencies(RelationRelationId, view, column, owner, old_count, old_members, count,
						  members);
}

/* GRANT could not say who had granted what */
static void
set_acl(Oid view, AttrNumber attnum, Oid owner, Acl *acl)
{
	int cache = attnum == 0 ? RELOID : ATTNUM;
	AttrNumber target = attnum == 0 ? Anum_pg_class_relacl : Anum_pg_attribute_attacl;
	Relation catalog =
		table_open(attnum == 0 ? RelationRelationId : AttributeRelationId, RowExclusiveLock);
	HeapTuple tuple = attnum == 0
		? SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(view))
		: SearchSysCacheCopy2(ATTNUM, ObjectIdGetDatum(view), Int16GetDatum(attnum));
	Datum values[Max(Natts_pg_class, Natts_pg_attribute)] = {0};
	bool nulls[Max(Natts_pg_class, Natts_pg_attribute)] = {0};
	bool replace[Max(Natts_pg_class, Natts_pg_attribute)] = {0};
	HeapTuple changed;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for column %d of relation %u", attnum, view);
	record_acl(view, attnum, owner, copy_acl(cache, tuple, target), acl);
	values[target - 1] = PointerGetDatum(acl);
	nulls[target - 1] = acl == NULL;
	replace[target - 1] = true;
	changed = heap_modify_tuple(tuple, RelationGetDescr(catalog), values, nulls, replace);
	CatalogTupleUpdate(catalog, &tuple->t_self, changed);
	table_close(catalog, RowExclusiveLock);
}

/*
 * Give all of that to the view that was made in its place.
 */
void
dbp_view_restore_settings(Oid view, const DbpSavedView *saved)
{
	ListCell *cell;

	ATExecChangeOwner(view, saved->owner, true, AccessExclusiveLock);
	CommandCounterIncrement();
	set_acl(view, 0, saved->owner, saved->acl);
	if (saved->comment != NULL)
		CreateComments(view, RelationRelationId, 0, saved->comment);
	foreach(cell, saved->columns)
	{
		const DbpSavedColumn *column = lfirst(cell);
		AttrNumber attnum = get_attnum(view, column->name);

		if (attnum == InvalidAttrNumber)
			continue;
		if (column->acl != NULL)
			set_acl(view, attnum, saved->owner, column->acl);
		if (column->comment != NULL)
			CreateComments(view, RelationRelationId, attnum, column->comment);
	}
	CommandCounterIncrement();
}
