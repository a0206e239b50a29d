/*-------------------------------------------------------------------------
 *
 * inherit.c
 *		Gives a new partition what LIKE leaves out.
 *
 * Privileges and per-column settings are copied row by row in the catalogs:
 * GRANT statements could not reproduce grantors, nor undo default privileges.
 * What is rare and has a statement of its own goes through that statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "partition/partition.h"

/*
 * Record on which roles an object's new privileges depend, in place of those
 * that its old ones did.
 */
static void
update_acl_dependencies(Oid relid, int32 column, Oid owner, Datum old_acl, bool old_null,
						Datum new_acl, bool new_null)
{
	Oid *old_members = NULL;
	Oid *new_members = NULL;
	int old_count = old_null ? 0 : aclmembers(DatumGetAclP(old_acl), &old_members);
	int new_count = new_null ? 0 : aclmembers(DatumGetAclP(new_acl), &new_members);

	updateAclDependencies(RelationRelationId, relid, column, owner, old_count, old_members,
						  new_count, new_members);
}

/*
 * Replace some columns of one catalog row by those of another.
 */
static void
copy_columns(Relation catalog, int cache, HeapTuple source, HeapTuple target,
			 const AttrNumber *columns, int count)
{
	Datum values[Max(Natts_pg_class, Natts_pg_attribute)] = {0};
	bool nulls[Max(Natts_pg_class, Natts_pg_attribute)] = {0};
	bool replace[Max(Natts_pg_class, Natts_pg_attribute)] = {0};
	HeapTuple changed;

	for (int i = 0; i < count; i++)
	{
		int at = columns[i] - 1;

		values[at] = SysCacheGetAttr(cache, source, columns[i], &nulls[at]);
		replace[at] = true;
	}
	changed = heap_modify_tuple(target, RelationGetDescr(catalog), values, nulls, replace);
	CatalogTupleUpdate(catalog, &target->t_self, changed);
	heap_freetuple(changed);
}

/* Both in one number, to compare them */
static int
row_security_flags(HeapTuple class)
{
	Form_pg_class form = (Form_pg_class) GETSTRUCT(class);

	return form->relrowsecurity + 2 * form->relforcerowsecurity;
}

static void
copy_table_row(Oid parent, Oid child)
{
	static const AttrNumber columns[] = {Anum_pg_class_relacl, Anum_pg_class_relrowsecurity,
										 Anum_pg_class_relforcerowsecurity};
	Relation catalog = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple source = SearchSysCache1(RELOID, ObjectIdGetDatum(parent));
	HeapTuple target = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(child));
	Datum old_acl;
	Datum new_acl;
	bool old_null;
	bool new_null;

	if (!HeapTupleIsValid(source) || !HeapTupleIsValid(target))
		elog(ERROR, "cache lookup failed for relation %u or %u", parent, child);
	old_acl = SysCacheGetAttr(RELOID, target, Anum_pg_class_relacl, &old_null);
	new_acl = SysCacheGetAttr(RELOID, source, Anum_pg_class_relacl, &new_null);
	if (!old_null || !new_null || row_security_flags(source) != row_security_flags(target))
	{
		update_acl_dependencies(child, 0, ((Form_pg_class) GETSTRUCT(source))->relowner, old_acl,
								old_null, new_acl, new_null);
		copy_columns(catalog, RELOID, source, target, columns, lengthof(columns));
	}
	ReleaseSysCache(source);
	heap_freetuple(target);
	table_close(catalog, RowExclusiveLock);
}

/* Has a parent's column a setting that LIKE does not copy? */
static bool
has_column_settings(HeapTuple attribute)
{
	bool no_acl;
	bool no_target;
	Datum target;

	(void) SysCacheGetAttr(ATTNUM, attribute, Anum_pg_attribute_attacl, &no_acl);
	target = SysCacheGetAttr(ATTNUM, attribute, Anum_pg_attribute_attstattarget, &no_target);
	return !no_acl || (!no_target && dbp_datum_stattarget(target) >= 0);
}

static void
copy_column_rows(Oid parent, Oid child)
{
	static const AttrNumber columns[] = {Anum_pg_attribute_attacl, Anum_pg_attribute_attstattarget};
	Relation catalog = table_open(AttributeRelationId, RowExclusiveLock);
	HeapTuple class = SearchSysCache1(RELOID, ObjectIdGetDatum(parent));
	AttrNumber natts = ((Form_pg_class) GETSTRUCT(class))->relnatts;
	Oid owner = ((Form_pg_class) GETSTRUCT(class))->relowner;

	ReleaseSysCache(class);
	for (AttrNumber attnum = 1; attnum <= natts; attnum++)
	{
		HeapTuple source = SearchSysCache2(ATTNUM, ObjectIdGetDatum(parent), Int16GetDatum(attnum));
		HeapTuple target = NULL;
		Form_pg_attribute form = (Form_pg_attribute) GETSTRUCT(source);

		if (!form->attisdropped && has_column_settings(source))
			target = SearchSysCacheCopyAttName(child, NameStr(form->attname));
		if (HeapTupleIsValid(target))
		{
			bool no_acl;
			Datum acl = SysCacheGetAttr(ATTNUM, source, Anum_pg_attribute_attacl, &no_acl);

			update_acl_dependencies(child, ((Form_pg_attribute) GETSTRUCT(target))->attnum, owner,
									(Datum) 0, true, acl, no_acl);
			copy_columns(catalog, ATTNUM, source, target, columns, lengthof(columns));
			heap_freetuple(target);
		}
		ReleaseSysCache(source);
	}
	table_close(catalog, RowExclusiveLock);
}

/*
 * Copy privileges, RLS flags, comment, and the columns' privileges and
 * statistics targets.
 */
void
dbp_inherit_settings(Oid parent, Oid child)
{
	char *comment = GetComment(parent, RelationRelationId, 0);

	copy_table_row(parent, child);
	copy_column_rows(parent, child);
	if (comment != NULL)
		CreateComments(child, RelationRelationId, 0, comment);
	CommandCounterIncrement();
}

static bool
has_policies(Oid parent)
{
	Relation rel = table_open(PolicyRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	bool found;

	ScanKeyInit(&key, Anum_pg_policy_polrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(parent));
	scan = systable_beginscan(rel, PolicyPolrelidPolnameIndexId, true, NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/*
 * Has a column options such as n_distinct?  Minor releases of 2026 keep a
 * column's version there as well, which belongs to its own table only.
 */
static bool
has_column_options(Relation rel)
{
	for (AttrNumber attnum = 1; attnum <= RelationGetNumberOfAttributes(rel); attnum++)
	{
		HeapTuple tuple =
			SearchSysCache2(ATTNUM, ObjectIdGetDatum(RelationGetRelid(rel)), Int16GetDatum(attnum));
		bool isnull;
		Datum options = SysCacheGetAttr(ATTNUM, tuple, Anum_pg_attribute_attoptions, &isnull);
		ListCell *cell;
		bool found = false;

		foreach(cell, isnull ? NIL : untransformRelOptions(options))
			found |= strncmp(lfirst_node(DefElem, cell)->defname, "n_distinct", 10) == 0;
		ReleaseSysCache(tuple);
		if (found)
			return true;
	}
	return false;
}

static bool
needs_statements(Oid parent)
{
	Relation rel = table_open(parent, NoLock);
	bool needed = rel->rd_rel->relreplident != REPLICA_IDENTITY_DEFAULT ||
		RelationGetStatExtList(rel) != NIL || has_column_options(rel);

	table_close(rel, NoLock);
	return needed || has_policies(parent);
}

/*
 * Statements that give an attached partition the parent's row security
 * policies, replica identity, targets of extended statistics and options of
 * columns: a list of strings.  They are made by SQL (dbperf.inherit_statements) as the owner of
 * the extension, to be run as the owner of the table.
 */
List *
dbp_inherit_statements(Oid parent, Oid child)
{
	Oid types[2] = {OIDOID, OIDOID};
	Datum values[2];
	DbpIdentity saved;
	List *statements = NIL;
	MemoryContext caller = CurrentMemoryContext;

	if (!needs_statements(parent))
		return NIL;
	values[0] = ObjectIdGetDatum(parent);
	values[1] = ObjectIdGetDatum(child);
	dbp_become_extension(&saved);
	if (SPI_execute_with_args("SELECT s FROM dbperf.inherit_statements($1, $2) s", 2, types, values,
							  NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the settings of relation %u", parent);
	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
		statements =
			lappend(statements,
					pstrdup(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1)));
	SPI_freetuptable(SPI_tuptable);
	dbp_restore_identity(&saved);
	return statements;
}

/*
 * Add a table's storage parameters to a list for WITH ().  Returns the OID of
 * its TOAST table; false in *found when it is no ordinary table.
 */
static Oid
append_reloptions(StringInfo buf, Oid relid, const char *prefix, char relkind, bool *found)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid toast = InvalidOid;

	*found = HeapTupleIsValid(tuple) && ((Form_pg_class) GETSTRUCT(tuple))->relkind == relkind;
	if (*found)
	{
		bool isnull;
		Datum value = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
		ListCell *cell;

		foreach(cell, isnull ? NIL : untransformRelOptions(value))
		{
			DefElem *option = lfirst(cell);

			appendStringInfo(buf, "%s%s%s = %s", buf->len > 0 ? ", " : "", prefix,
							 quote_identifier(option->defname),
							 quote_literal_cstr(defGetString(option)));
		}
		toast = ((Form_pg_class) GETSTRUCT(tuple))->reltoastrelid;
	}
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return toast;
}

/*
 * The storage parameters of the newest partition that is an ordinary table,
 * as "name = 'value', …", or NULL: a partitioned table cannot have any itself.
 */
char *
dbp_inherit_reloptions(const DbpParts *parts)
{
	StringInfoData buf;
	bool found = false;

	initStringInfo(&buf);
	for (int i = parts->n - 1; i >= 0 && !found; i--)
	{
		Oid toast = append_reloptions(&buf, parts->part[i].relid, "", RELKIND_RELATION, &found);
		bool has_toast;

		if (OidIsValid(toast))
			(void) append_reloptions(&buf, toast, "toast.", RELKIND_TOASTVALUE, &has_toast);
	}
	return buf.len > 0 ? buf.data : NULL;
}
