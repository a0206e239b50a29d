/*-------------------------------------------------------------------------
 *
 * registry.c
 *		Which tables have soft delete enabled: dbperf.soft_delete_tables.
 *
 * Reading it is part of many a DDL command on tables that have nothing to do
 * with this, so that it goes without SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "partition/statement.h"
#include "softdelete/softdelete.h"

/* Its first columns */
#define ATTR_PARENT 1
#define ATTR_ACTIVE 2
#define ATTR_ON_DELETE 3

static DbpStatement upsert_table = {
	.sql = "INSERT INTO dbperf.soft_delete_tables AS s (parent, active, on_delete)"
		   " VALUES ($1, $2, $3) ON CONFLICT (parent)"
		   " DO UPDATE SET active = excluded.active, on_delete = excluded.on_delete",
	.expected = SPI_OK_INSERT,
	.nargs = 3,
	.types = {REGCLASSOID, REGCLASSOID, TEXTOID},
};

static DbpStatement update_view = {
	.sql = "UPDATE dbperf.soft_delete_tables SET active = $2 WHERE parent = $1",
	.expected = SPI_OK_UPDATE,
	.nargs = 2,
	.types = {REGCLASSOID, REGCLASSOID},
};

static DbpStatement delete_table = {
	.sql = "DELETE FROM dbperf.soft_delete_tables WHERE parent = $1",
	.expected = SPI_OK_DELETE,
	.nargs = 1,
	.types = {REGCLASSOID},
};

static DbpSoftTable *
read_row(HeapTuple tuple, TupleDesc desc)
{
	DbpSoftTable *table = palloc(sizeof(DbpSoftTable));
	bool isnull;
	Datum value;

	table->relid = DatumGetObjectId(heap_getattr(tuple, ATTR_PARENT, desc, &isnull));
	value = heap_getattr(tuple, ATTR_ACTIVE, desc, &isnull);
	table->view = isnull ? InvalidOid : DatumGetObjectId(value);
	/* somebody dropped it by other means than a command that we see */
	if (OidIsValid(table->view) && get_rel_relkind(table->view) != RELKIND_VIEW)
		table->view = InvalidOid;
	value = heap_getattr(tuple, ATTR_ON_DELETE, desc, &isnull);
	table->on_delete = TextDatumGetCString(value)[0];
	return table;
}

/*
 * All of them, as a list of DbpSoftTable; NIL also while there is no
 * extension.
 */
List *
dbp_soft_tables(void)
{
	Oid schema = get_namespace_oid("dbperf", true);
	Oid relid = OidIsValid(schema) ? get_relname_relid("soft_delete_tables", schema) : InvalidOid;
	Relation rel = OidIsValid(relid) ? try_table_open(relid, AccessShareLock) : NULL;
	List *tables = NIL;
	SysScanDesc scan;
	HeapTuple tuple;

	if (rel == NULL)
		return NIL;
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		tables = lappend(tables, read_row(tuple, RelationGetDescr(rel)));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return tables;
}

/*
 * The row of one table, or NULL.
 */
DbpSoftTable *
dbp_soft_table_find(Oid relid)
{
	ListCell *cell;

	foreach(cell, dbp_soft_tables())
	{
		DbpSoftTable *table = lfirst(cell);

		if (table->relid == relid)
			return table;
	}
	return NULL;
}

/*
 * Those whose columns change with those of a table: its own, and of tables
 * that inherit from it.
 */
List *
dbp_soft_tables_below(Oid relid)
{
	List *below = NIL;
	ListCell *cell;

	foreach(cell, dbp_soft_tables())
	{
		DbpSoftTable *table = lfirst(cell);

		if (table->relid == relid ||
			(has_superclass(table->relid) && OidIsValid(get_rel_type_id(relid)) &&
			 typeInheritsFrom(get_rel_type_id(table->relid), get_rel_type_id(relid))))
			below = lappend(below, table);
	}
	return below;
}

void
dbp_soft_table_put(Oid relid, Oid view, const char *on_delete)
{
	Datum values[3];

	values[0] = ObjectIdGetDatum(relid);
	values[1] = ObjectIdGetDatum(view);
	values[2] = CStringGetTextDatum(on_delete);
	dbp_statement_run(&upsert_table, values, NULL);
}

/*
 * Note which view a table has now, if it is one of ours.
 */
void
dbp_soft_table_set_view(Oid relid, Oid view)
{
	Datum values[2];
	char nulls[2] = {' ', OidIsValid(view) ? ' ' : 'n'};

	values[0] = ObjectIdGetDatum(relid);
	values[1] = ObjectIdGetDatum(view);
	dbp_statement_run(&update_view, values, nulls);
}

bool
dbp_soft_table_remove(Oid relid)
{
	Datum values[1] = {ObjectIdGetDatum(relid)};

	dbp_statement_run(&delete_table, values, NULL);
	return SPI_processed > 0;
}
