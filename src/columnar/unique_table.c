/*-------------------------------------------------------------------------
 *
 * unique_table.c
 *		What this backend keeps of the unique indexes of columnar relations.
 *
 * The zones of all batches in a form that is quickly looked through, and filters of
 * keys.  Both are of the relation's file, which never gets other batches, but for one
 * that this transaction made.  Filters share a limited memory: those of the table that
 * was used longest ago go first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "port/pg_bitutils.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "columnar.h"
#include "compat.h"
#include "unique.h"

/* Filters of all tables together */
#define FILTER_BYTES ((Size) 32 * 1024 * 1024)

/* Bits of a filter for each key: one key in a thousand is found that is not there */
#define BITS_PER_KEY 16
#define PROBES 5

/* Tables that are kept */
#define MAX_TABLES 64

static MemoryContext tables_context = NULL;
static dlist_head tables = DLIST_STATIC_INIT(tables); /* last used first */
static int ntables = 0;
static Size filter_bytes = 0;

static void
forget(Datum arg, Oid relid)
{
	dlist_iter iter;

	dlist_foreach(iter, &tables)
	{
		DbpUniqueTable *table = dlist_container(DbpUniqueTable, node, iter.cur);

		if (!OidIsValid(relid) || table->relid == relid ||
			list_member_oid(table->all_indexes, relid))
			table->valid = false;
	}
}

static void
free_table(DbpUniqueTable *table)
{
	filter_bytes -= table->filter_bytes;
	MemoryContextDelete(table->context);
}

/* Takes it out of the list; who is at work with it may go on */
static void
drop_table(DbpUniqueTable *table)
{
	dlist_delete(&table->node);
	ntables--;
	table->detached = true;
	if (table->users == 0)
		free_table(table);
}

static DbpUniqueTable *
find_table(Relation rel)
{
	dlist_iter iter;

	dlist_foreach(iter, &tables)
	{
		DbpUniqueTable *table = dlist_container(DbpUniqueTable, node, iter.cur);

		if (table->relid == RelationGetRelid(rel))
			return table;
	}
	return NULL;
}

/*
 * Does it have exactly these batches?  Of a file that others could see from the
 * beginning, their number says so.
 */
static bool
same_batches(DbpUniqueTable *table, Relation rel, DbpBatch **batches, int nbatches)
{
	DbpRelFile file = dbp_relation_file(rel);

	if (memcmp(&table->file, &file, sizeof(file)) != 0 || table->nbatches != nbatches)
		return false;
	if (!table->new_file)
		return table->batch_ids[0] == dbp_batch_id(batches[0]) &&
			table->batch_ids[nbatches - 1] == dbp_batch_id(batches[nbatches - 1]);
	for (int i = 0; i < nbatches; i++)
	{
		if (table->batch_ids[i] != dbp_batch_id(batches[i]) ||
			!ItemPointerEquals(&table->batches[i],
							   unconstify(ItemPointerData *, dbp_batch_tid(batches[i]))))
			return false;
	}
	table->new_file = dbp_relation_file_is_new(rel);
	return true;
}

static void
summarize_column(DbpUniqueTable *table, DbpUniqueColumn *column, Relation rel, DbpBatch **batches)
{
	column->low = palloc(sizeof(int64) * table->nbatches);
	column->high = palloc(sizeof(int64) * table->nbatches);
	column->some_null = palloc(sizeof(bool) * table->nbatches);
	for (int i = 0; i < table->nbatches; i++)
	{
		DbpZone zone;
		int nulls;

		dbp_batch_zone(batches[i], RelationGetDescr(rel), column->key.attnum, &zone, &nulls);
		dbp_key_range(&column->key, &zone, &column->low[i], &column->high[i]);
		if (nulls >= dbp_batch_nrows(batches[i]))
		{
			column->low[i] = PG_INT64_MAX;
			column->high[i] = PG_INT64_MIN;
		}
		column->some_null[i] = nulls > 0;
	}
}

/* How many of the batches have a value in their zones, on average: the fewer, the better */
static double
overlap(const DbpUniqueTable *table, const DbpUniqueColumn *column)
{
	double lowest = (double) PG_INT64_MAX;
	double highest = (double) PG_INT64_MIN;
	double sum = 0;

	for (int i = 0; i < table->nbatches; i++)
	{
		if (column->low[i] > column->high[i])
			continue;
		lowest = Min(lowest, (double) column->low[i]);
		highest = Max(highest, (double) column->high[i]);
		sum += (double) column->high[i] - (double) column->low[i] + 1;
	}
	return highest < lowest ? 0 : sum / (highest - lowest + 1);
}

static void
choose_narrow(const DbpUniqueTable *table, DbpUniqueIndex *unique)
{
	double least = overlap(table, &unique->columns[0]);

	for (int i = 1; i < unique->ncolumns; i++)
	{
		double other = overlap(table, &unique->columns[i]);

		if (other < least)
		{
			unique->narrow = i;
			least = other;
		}
	}
}

static void
add_index(DbpUniqueTable *table, DbpUniqueIndex *unique, Relation rel, Relation index,
		  DbpBatch **batches)
{
	unique->oid = RelationGetRelid(index);
	unique->nulls_not_distinct = index->rd_index->indnullsnotdistinct;
	unique->partial = RelationGetIndexPredicate(index) != NIL;
	unique->ncolumns = IndexRelationGetNumberOfKeyAttributes(index);
	unique->columns = palloc0(sizeof(DbpUniqueColumn) * unique->ncolumns);
	unique->filters = palloc0(sizeof(DbpKeyFilter *) * table->nbatches);
	for (int i = 0; i < unique->ncolumns; i++)
	{
		if (!dbp_key_column(&unique->columns[i].key, rel, index, i + 1, table->context))
			elog(ERROR, "column %d of unique index \"%s\" has no equality", i + 1,
				 RelationGetRelationName(index));
		unique->hashable |= unique->columns[i].key.hashable;
		summarize_column(table, &unique->columns[i], rel, batches);
	}
	choose_narrow(table, unique);
}

static void
add_indexes(DbpUniqueTable *table, Relation rel, DbpBatch **batches)
{
	ListCell *lc;

	/* From here on, it is noticed when one of them becomes ready */
	table->all_indexes = RelationGetIndexList(rel);
	table->indexes = palloc0(sizeof(DbpUniqueIndex) * Max(list_length(table->all_indexes), 1));
	foreach(lc, table->all_indexes)
	{
		Relation index = index_open(lfirst_oid(lc), RowExclusiveLock);
		Form_pg_index form = index->rd_index;

		if (form->indisunique && form->indisready && !dbp_index_is_full(index))
			add_index(table, &table->indexes[table->nindexes++], rel, index, batches);
		index_close(index, RowExclusiveLock);
	}
}

static bool
same_keys(const DbpUniqueIndex *a, const DbpUniqueIndex *b)
{
	if (a->oid != b->oid || a->ncolumns != b->ncolumns)
		return false;
	for (int i = 0; i < a->ncolumns; i++)
	{
		const DbpKeyColumn *key = &a->columns[i].key;
		const DbpKeyColumn *other = &b->columns[i].key;

		if (key->attnum != other->attnum || key->type != other->type ||
			key->collation != other->collation || key->equal.fn_oid != other->equal.fn_oid ||
			key->form != other->form || key->hashable != other->hashable)
			return false;
	}
	return true;
}

/* Filters stay good as long as batches and keys are the same, whatever else has changed */
static void
take_filters(DbpUniqueTable *table, DbpUniqueTable *old)
{
	if (old->users > 0 || !old->complete)
		return;
	MemoryContextDelete(table->filter_context);
	table->filter_context = old->filter_context;
	MemoryContextSetParent(table->filter_context, table->context);
	table->filter_bytes = old->filter_bytes;
	old->filter_bytes = 0;
	for (int i = 0; i < table->nindexes; i++)
	{
		for (int j = 0; j < old->nindexes; j++)
		{
			if (same_keys(&table->indexes[i], &old->indexes[j]))
				memcpy(table->indexes[i].filters, old->indexes[j].filters,
					   sizeof(DbpKeyFilter *) * table->nbatches);
		}
	}
}

static void
init_tables(void)
{
	if (tables_context != NULL)
		return;
	tables_context =
		AllocSetContextCreate(TopMemoryContext, "dbperf unique keys", ALLOCSET_DEFAULT_SIZES);
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}

/*
 * In the list from the beginning, so that it is told of changes while it is made;
 * what an error leaves half done is thrown away by the next call.
 */
static DbpUniqueTable *
make_table(Relation rel, DbpBatch **batches, int nbatches)
{
	MemoryContext context =
		AllocSetContextCreate(tables_context, "dbperf unique keys", ALLOCSET_SMALL_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	DbpUniqueTable *table = palloc0(sizeof(DbpUniqueTable));

	table->relid = RelationGetRelid(rel);
	table->file = dbp_relation_file(rel);
	table->new_file = dbp_relation_file_is_new(rel);
	table->context = context;
	table->filter_context =
		AllocSetContextCreate(context, "dbperf filters of keys", ALLOCSET_DEFAULT_SIZES);
	table->valid = true;
	dlist_push_head(&tables, &table->node);
	ntables++;
	table->nbatches = nbatches;
	table->batches = palloc(sizeof(ItemPointerData) * nbatches);
	table->batch_ids = palloc(sizeof(Oid) * nbatches);
	for (int i = 0; i < nbatches; i++)
	{
		table->batches[i] = *dbp_batch_tid(batches[i]);
		table->batch_ids[i] = dbp_batch_id(batches[i]);
	}
	add_indexes(table, rel, batches);
	table->complete = true;
	MemoryContextSwitchTo(before);
	return table;
}

static DbpUniqueTable *
renew_table(DbpUniqueTable *old, Relation rel, DbpBatch **batches, int nbatches)
{
	DbpUniqueTable *table = make_table(rel, batches, nbatches);

	if (old == NULL)
		return table;
	if (same_batches(old, rel, batches, nbatches))
		take_filters(table, old);
	drop_table(old);
	return table;
}

DbpUniqueTable *
dbp_unique_table(Relation rel, DbpBatch **batches, int nbatches)
{
	DbpUniqueTable *table;

	init_tables();
	table = find_table(rel);
	if (table == NULL || !table->complete || !table->valid ||
		!same_batches(table, rel, batches, nbatches))
		table = renew_table(table, rel, batches, nbatches);
	else
		dlist_move_head(&tables, &table->node);
	if (ntables > MAX_TABLES)
		drop_table(dlist_tail_element(DbpUniqueTable, node, &tables));
	if (table->nindexes == 0)
		return NULL;
	table->users++;
	return table;
}

void
dbp_unique_table_done(DbpUniqueTable *table)
{
	if (--table->users == 0 && table->detached)
		free_table(table);
}

/* Makes room for so many bytes; filters of tables that were used longer ago go */
static bool
have_room(DbpUniqueTable *table, Size bytes)
{
	while (filter_bytes + bytes > FILTER_BYTES)
	{
		DbpUniqueTable *oldest = dlist_tail_element(DbpUniqueTable, node, &tables);

		if (oldest == table || oldest->users > 0)
			return false;
		drop_table(oldest);
	}
	return true;
}

DbpKeyFilter *
dbp_filter_create(DbpUniqueTable *table, int nkeys)
{
	uint32 nbits = pg_nextpower2_32(Max(nkeys, 4) * BITS_PER_KEY);
	Size bytes = offsetof(DbpKeyFilter, bits) + nbits / 8;
	DbpKeyFilter *filter;

	if (table->detached || !have_room(table, bytes))
		return NULL;
	filter = MemoryContextAllocZero(table->filter_context, bytes);
	filter->nbits = nbits;
	table->filter_bytes += bytes;
	filter_bytes += bytes;
	return filter;
}

/* Places are taken from both halves of the hash, as by Kirsch and Mitzenmacher */
void
dbp_filter_add(DbpKeyFilter *filter, uint64 hash)
{
	uint32 place = (uint32) hash;
	uint32 step = (uint32) (hash >> 32) | 1;

	for (int i = 0; i < PROBES; i++, place += step)
	{
		uint32 bit = place & (filter->nbits - 1);

		filter->bits[bit / 64] |= UINT64CONST(1) << bit % 64;
	}
}

bool
dbp_filter_has(const DbpKeyFilter *filter, uint64 hash)
{
	uint32 place = (uint32) hash;
	uint32 step = (uint32) (hash >> 32) | 1;

	for (int i = 0; i < PROBES; i++, place += step)
	{
		uint32 bit = place & (filter->nbits - 1);

		if ((filter->bits[bit / 64] & UINT64CONST(1) << bit % 64) == 0)
			return false;
	}
	return true;
}
