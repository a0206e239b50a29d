/*-------------------------------------------------------------------------
 *
 * unique.h
 *		What is kept of the unique indexes of a columnar relation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_UNIQUE_H
#define DBP_COLUMNAR_UNIQUE_H

#include "postgres.h"

#include "lib/ilist.h"

#include "columnar.h"
#include "compat.h"
#include "index.h"

/*
 * What hashes of keys a batch has: nothing else is in it, but for one in many
 * thousands.  Made when the keys of the batch have been decoded once.
 */
typedef struct DbpKeyFilter
{
	uint32 nbits; /* a power of 2 */
	uint64 bits[FLEXIBLE_ARRAY_MEMBER];
} DbpKeyFilter;

/* A key column, and the zones of all batches */
typedef struct DbpUniqueColumn
{
	DbpKeyColumn key;
	int64 *low; /* places; low > high: no batch row has a value */
	int64 *high;
	bool *some_null;
} DbpUniqueColumn;

/* A unique index that is not full */
typedef struct DbpUniqueIndex
{
	Oid oid;
	bool nulls_not_distinct;
	bool partial;
	bool hashable;
	int ncolumns;
	int narrow; /* the column that has the narrowest zones */
	DbpUniqueColumn *columns;
	DbpKeyFilter **filters; /* by batch; NULL: none yet */
} DbpUniqueIndex;

typedef struct DbpUniqueTable
{
	Oid relid;
	DbpRelFile file;
	bool new_file; /* it was of this very transaction: batches may have gone again since */
	bool complete;
	bool valid;	   /* false: something about the table or its indexes has changed */
	bool detached; /* in no list any more: goes with the last user */
	int users;	   /* calls that are at work with it */
	MemoryContext context;
	int nbatches;
	ItemPointerData *batches;
	Oid *batch_ids;
	List *all_indexes; /* OIDs, also of those that are not ready for inserts, or not unique */
	int nindexes;
	DbpUniqueIndex *indexes;
	MemoryContext filter_context;
	Size filter_bytes;
	dlist_node node;
} DbpUniqueTable;

/*
 * unique_table.c.  For all batches that the relation has, of which there are some.  NULL: there are no
 * such indexes.  To be given back, also when an error is raised.
 */
extern DbpUniqueTable *dbp_unique_table(Relation rel, DbpBatch **batches, int nbatches);
extern void dbp_unique_table_done(DbpUniqueTable *table);

/* A filter for so many keys, or NULL where there is no memory for one; false positives only */
extern DbpKeyFilter *dbp_filter_create(DbpUniqueTable *table, int nkeys);
extern void dbp_filter_add(DbpKeyFilter *filter, uint64 hash);
extern bool dbp_filter_has(const DbpKeyFilter *filter, uint64 hash);

#endif /* DBP_COLUMNAR_UNIQUE_H */
