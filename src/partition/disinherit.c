/*-------------------------------------------------------------------------
 *
 * disinherit.c
 *		What a detached table still takes for its parent's.
 *
 * While a partition is being detached, changes to the parent pass it by.
 * FINALIZE then sets free what has the name of something that the parent has
 * at that time.  Columns and constraints that were dropped or renamed meanwhile
 * would stay inherited, of nobody, for ever: they could be neither dropped nor
 * renamed, and the table not be attached again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "partition/detach.h"

static void
free_columns(Oid relid)
{
	Relation catalog = table_open(AttributeRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_attribute_attrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, AttributeRelidNumIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (((Form_pg_attribute) GETSTRUCT(tuple))->attinhcount == 0)
			continue;
		tuple = heap_copytuple(tuple);
		((Form_pg_attribute) GETSTRUCT(tuple))->attinhcount = 0;
		((Form_pg_attribute) GETSTRUCT(tuple))->attislocal = true;
		CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
		heap_freetuple(tuple);
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
}

/* All but those that belong to one of another table, such as foreign keys */
static void
free_constraints(Oid relid)
{
	Relation catalog = table_open(ConstraintRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (form->coninhcount == 0 || OidIsValid(form->conparentid))
			continue;
		tuple = heap_copytuple(tuple);
		form = (Form_pg_constraint) GETSTRUCT(tuple);
		form->coninhcount = 0;
		form->conislocal = true;
		CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
		heap_freetuple(tuple);
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
}

/*
 * Make all columns and constraints of a table that has no parent any more its
 * own.  The caller holds ACCESS EXCLUSIVE on it.
 */
void
dbp_disinherit(Oid relid)
{
	if (has_superclass(relid))
		return;
	free_columns(relid);
	free_constraints(relid);
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
}
