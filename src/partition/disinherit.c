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
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
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

static void
set_is_partition(Oid relid, bool is_partition)
{
	Relation catalog = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	((Form_pg_class) GETSTRUCT(tuple))->relispartition = is_partition;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

static void
set_inherited(Oid relid, const char *constraint)
{
	Relation catalog = table_open(ConstraintRelationId, RowExclusiveLock);
	Oid oid = get_relation_constraint_oid(relid, constraint, false);
	HeapTuple tuple = SearchSysCacheCopy1(CONSTROID, ObjectIdGetDatum(oid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", oid);
	((Form_pg_constraint) GETSTRUCT(tuple))->coninhcount = 1;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

/*
 * Since PostgreSQL 18, FINALIZE wants the partition to have every column and
 * constraint of the parent, although those that the parent got since the mark
 * have passed it by.  So it has them while that is done, and is no partition as
 * long as it gets them.  Returns statements that take them back.  The caller
 * holds ACCESS EXCLUSIVE on the partition.
 */
List *
dbp_lend(const DbpPolicy *policy, Oid partition)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid types[2] = {OIDOID, OIDOID};
	Datum values[2];
	List *give = NIL;
	List *constraints = NIL;
	List *take = NIL;
	ListCell *cell;
	DbpIdentity saved;

	if (!DBP_FINALIZE_WANTS_ALL)
		return NIL;
	values[0] = ObjectIdGetDatum(policy->parent);
	values[1] = ObjectIdGetDatum(partition);
	dbp_become_extension(&saved);
	if (SPI_execute_with_args("SELECT give, name, take FROM dbperf.lent($1, $2)", 2, types, values,
							  NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not compare tables %u and %u", policy->parent, partition);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		HeapTuple tuple = SPI_tuptable->vals[row];
		TupleDesc desc = SPI_tuptable->tupdesc;

		give = lappend(give, SPI_getvalue(tuple, desc, 1));
		if (SPI_getvalue(tuple, desc, 2) != NULL)
			constraints = lappend(constraints, SPI_getvalue(tuple, desc, 2));
		/* what came last goes first */
		take = lcons(SPI_getvalue(tuple, desc, 3), take);
	}
	dbp_restore_identity(&saved);
	if (give == NIL)
		return NIL;
	set_is_partition(partition, false);
	foreach(cell, give)
		dbp_execute_as_owner(policy, lfirst(cell));
	set_is_partition(partition, true);
	foreach(cell, constraints)
		set_inherited(partition, lfirst(cell));
	return take;
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
