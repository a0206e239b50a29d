/*-------------------------------------------------------------------------
 *
 * fk_check.c
 *		Checks the foreign keys of many rows, each value once.
 *
 * A foreign key's trigger looks for the referenced row and locks it until the
 * transaction ends.  For a second row with the same value it would do the same
 * again to no effect, so it is not run: of the thousand ticks of a batch, only
 * the first of each instrument needs it.
 *
 * That holds only when nothing of the user's can run between the first row and
 * the check: it might delete the first row, and the check would look at it no
 * more.  So not for a table with other row triggers, or with volatile
 * defaults, and not for constraints that may be deferred.  A partition whose
 * triggers are disabled shares nothing with the others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "ingest/bulk.h"

typedef struct ForeignKey ForeignKey;

/* A row that has been checked */
typedef struct Seen
{
	const ForeignKey *key; /* tells its columns */
	TupleTableSlot *slot;  /* NULL: this place is free */
} Seen;

/* A foreign key of the target, which all partitions have: checked for one, checked for all */
typedef struct FkConstraint
{
	Oid oid;
	Seen *seen;	 /* hash table with open addressing */
	uint32 size; /* of it, a power of two */
} FkConstraint;

struct ForeignKey
{
	FkConstraint *constraint;
	TriggerDesc trigger; /* its one trigger, as if the table had no other */
	int ncolumns;
	AttrNumber columns[INDEX_MAX_KEYS];
};

/* Those of one table */
struct DbpForeignKeys
{
	bool to_itself; /* one of them refers to the table, or one that it is a partition of */
	int nkeys;
	ForeignKey *keys;
};

struct DbpFkChecks
{
	List *constraints; /* of FkConstraint * */
	MemoryContext context;
};

DbpFkChecks *
dbp_fk_make(void)
{
	DbpFkChecks *checks = palloc0(sizeof(DbpFkChecks));

	checks->context = CurrentMemoryContext;
	return checks;
}

/* The constraint that a partition's constraint comes from */
static Oid
root_constraint(Oid constraint)
{
	for (;;)
	{
		HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
		Oid parent;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for constraint %u", constraint);
		parent = ((Form_pg_constraint) GETSTRUCT(tuple))->conparentid;
		ReleaseSysCache(tuple);
		if (!OidIsValid(parent))
			return constraint;
		constraint = parent;
	}
}

static FkConstraint *
find_constraint(DbpFkChecks *checks, Oid oid)
{
	FkConstraint *constraint;
	ListCell *cell;

	foreach(cell, checks->constraints)
		if (((FkConstraint *) lfirst(cell))->oid == oid)
			return lfirst(cell);
	constraint = palloc0(sizeof(FkConstraint));
	constraint->oid = oid;
	checks->constraints = lappend(checks->constraints, constraint);
	return constraint;
}

/* Runs for each inserted row, after it? */
static bool
is_after_insert(const Trigger *trigger)
{
	return TRIGGER_FOR_ROW(trigger->tgtype) && TRIGGER_FOR_AFTER(trigger->tgtype) &&
		TRIGGER_FOR_INSERT(trigger->tgtype);
}

/* The table at the top of a tree of partitions */
static Oid
topmost(Oid relid)
{
	return get_rel_relispartition(relid) ? llast_oid(get_partition_ancestors(relid)) : relid;
}

static bool
prepare_key(DbpFkChecks *checks, DbpForeignKeys *keys, Relation rel, Trigger *trigger)
{
	ForeignKey *key = &keys->keys[keys->nkeys];
	ListCell *cell;

	foreach(cell, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *info = lfirst(cell);

		if (info->conoid != trigger->tgconstraint)
			continue;
		key->constraint = find_constraint(checks, root_constraint(info->conoid));
		key->ncolumns = info->nkeys;
		memcpy(key->columns, info->conkey, info->nkeys * sizeof(AttrNumber));
		key->trigger.triggers = trigger;
		key->trigger.numtriggers = 1;
		key->trigger.trig_insert_after_row = true;
		keys->nkeys++;
		if (topmost(info->confrelid) == topmost(RelationGetRelid(rel)))
			keys->to_itself = true;
		return true;
	}
	return false;
}

/*
 * NULL: AFTER ROW triggers have to run for every row.
 */
DbpForeignKeys *
dbp_fk_prepare(DbpFkChecks *checks, ResultRelInfo *result)
{
	TriggerDesc *triggers = result->ri_TrigDesc;
	DbpForeignKeys *keys;

	if (triggers == NULL || !triggers->trig_insert_after_row)
		return NULL;
	keys = palloc0(sizeof(DbpForeignKeys));
	keys->keys = palloc0(triggers->numtriggers * sizeof(ForeignKey));
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger *trigger = &triggers->triggers[i];

		if (!is_after_insert(trigger))
			continue;
		if (RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_FK || trigger->tgdeferrable ||
			trigger->tgenabled != TRIGGER_FIRES_ON_ORIGIN ||
			!prepare_key(checks, keys, result->ri_RelationDesc, trigger))
			return NULL;
	}
	return keys;
}

bool
dbp_fk_is_to_itself(const DbpForeignKeys *keys)
{
	return keys->to_itself;
}

/*
 * Before the rows of a batch: nothing has been seen of them.
 */
void
dbp_fk_begin(DbpFkChecks *checks, int nrows)
{
	uint32 size = 16;
	ListCell *cell;

	while (size < (uint32) nrows * 2)
		size *= 2;
	foreach(cell, checks->constraints)
	{
		FkConstraint *constraint = lfirst(cell);

		if (constraint->size != size)
		{
			if (constraint->seen != NULL)
				pfree(constraint->seen);
			constraint->seen = MemoryContextAlloc(checks->context, size * sizeof(Seen));
			constraint->size = size;
		}
		memset(constraint->seen, 0, size * sizeof(Seen));
	}
}

static uint32
hash_row(const ForeignKey *key, TupleTableSlot *slot)
{
	uint32 hash = 0;

	for (int i = 0; i < key->ncolumns; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(slot->tts_tupleDescriptor, key->columns[i] - 1);
		bool isnull;
		Datum value = slot_getattr(slot, key->columns[i], &isnull);

		hash = (hash << 1) | (hash >> 31);
		if (!isnull)
			hash ^= datum_image_hash(value, attribute->attbyval, attribute->attlen);
	}
	return hash;
}

static bool
is_same(const Seen *seen, const ForeignKey *key, TupleTableSlot *slot)
{
	for (int i = 0; i < key->ncolumns; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(slot->tts_tupleDescriptor, key->columns[i] - 1);
		bool isnull;
		bool seen_isnull;
		Datum value = slot_getattr(slot, key->columns[i], &isnull);
		Datum seen_value = slot_getattr(seen->slot, seen->key->columns[i], &seen_isnull);

		if (isnull != seen_isnull ||
			(!isnull && !datum_image_eq(value, seen_value, attribute->attbyval, attribute->attlen)))
			return false;
	}
	return true;
}

static bool
is_new(const ForeignKey *key, TupleTableSlot *slot)
{
	FkConstraint *constraint = key->constraint;

	for (uint32 place = hash_row(key, slot);; place++)
	{
		Seen *seen = &constraint->seen[place & (constraint->size - 1)];

		if (seen->slot == NULL)
		{
			seen->key = key;
			seen->slot = slot;
			return true;
		}
		if (is_same(seen, key, slot))
			return false;
	}
}

/*
 * Checks those foreign keys of a row whose values no row before it has had.
 * All rows of the batch are in the table, and stay in their slots.
 */
void
dbp_fk_check(DbpForeignKeys *keys, EState *estate, ResultRelInfo *result, TupleTableSlot *slot)
{
	for (int i = 0; i < keys->nkeys; i++)
	{
		ForeignKey *key = &keys->keys[i];
		TriggerDesc *all = result->ri_TrigDesc;

		if (!is_new(key, slot))
			continue;
		CHECK_FOR_INTERRUPTS();
		AfterTriggerBeginQuery();
		result->ri_TrigDesc = &key->trigger;
		ExecARInsertTriggers(estate, result, slot, NIL, NULL);
		result->ri_TrigDesc = all;
		dbp_end_triggers(estate);
	}
}
