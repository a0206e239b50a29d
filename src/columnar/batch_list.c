/*-------------------------------------------------------------------------
 *
 * batch_list.c
 *		All batches of a table.
 *
 * Only who made a file writes batches to it, one after the other, so they lie in few runs
 * of pages (mostly in one, at the beginning), and the TOAST table tells where each
 * run starts.  A run ends with the first page that has no batch tuple, dead or alive.
 *
 * A list that was made once stays right: batches come and go with the file.  What
 * its first batch is, is looked at again, lest another table got the same file's
 * number and OID in the meantime.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "columnar/batch.h"

/* All lists together; more than that, and those that were not used for long go */
#define LISTS_BYTES (64 * 1024 * 1024)

static dlist_head lists = DLIST_STATIC_INIT(lists); /* last used first */

static bool
is_held(const DbpBatchList *list)
{
	for (int i = 0; i < list->n; i++)
		if (list->batches[i]->references > 0)
			return true;
	return false;
}

static void
drop_list(DbpBatchList *list)
{
	for (int i = 0; i < list->n; i++)
		dbp_batch_leave_list(list->batches[i]);
	dlist_delete(&list->node);
	MemoryContextDelete(list->context);
}

/* Nobody holds a batch any more then */
void
dbp_batch_lists_end(bool aborted)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &lists)
	{
		DbpBatchList *list = dlist_container(DbpBatchList, node, iter.cur);

		/* Nothing would tell that an empty one's file is another's by now */
		if (!list->known || list->n == 0 || (aborted && list->new_file))
			drop_list(list);
		else
			list->new_file = false;
	}
}

void
dbp_batch_lists_doubt(void)
{
	dlist_iter iter;

	dlist_foreach(iter, &lists)
	{
		DbpBatchList *list = dlist_container(DbpBatchList, node, iter.cur);

		if (list->new_file)
			list->known = false;
	}
}

/* Its place in the order is that of its last use */
static DbpBatchList *
find_list(Relation rel)
{
	DbpBatchKey key;
	dlist_iter iter;

	dbp_batch_key(&key, rel, NULL);
	dlist_foreach(iter, &lists)
	{
		DbpBatchList *list = dlist_container(DbpBatchList, node, iter.cur);

		if (list->known && memcmp(&list->key, &key, sizeof(key)) == 0)
		{
			dlist_move_head(&lists, &list->node);
			return list;
		}
	}
	return NULL;
}

void
dbp_batch_list_forget(Relation rel)
{
	DbpBatchList *list = find_list(rel);

	if (list != NULL)
		list->known = false;
}

static void
drop_useless_lists(void)
{
	dlist_iter iter;
	dlist_mutable_iter each;
	Size bytes = 0;

	dlist_foreach(iter, &lists)
		bytes +=
			MemoryContextMemAllocated(dlist_container(DbpBatchList, node, iter.cur)->context, true);
	dlist_foreach_modify(each, &lists)
	{
		DbpBatchList *list = dlist_container(DbpBatchList, node, each.cur);

		if (!list->known && !is_held(list))
		{
			bytes -= MemoryContextMemAllocated(list->context, true);
			drop_list(list);
		}
	}
	while (bytes > LISTS_BYTES && !dlist_is_empty(&lists))
	{
		DbpBatchList *list = dlist_container(DbpBatchList, node, dlist_tail_node(&lists));

		if (is_held(list))
			break;
		bytes -= MemoryContextMemAllocated(list->context, true);
		drop_list(list);
	}
}

BlockNumber *
dbp_batch_runs(Relation rel, int *n)
{
	int max = 8;
	BlockNumber *runs = palloc(sizeof(BlockNumber) * max);
	DbpToast toast;
	DbpToastScan scan;

	*n = 0;
	if (!OidIsValid(rel->rd_rel->reltoastrelid))
		return runs;
	dbp_toast_open(&toast, rel->rd_rel->reltoastrelid, AccessShareLock);
	dbp_toast_scan_begin(&scan, &toast, DBP_TOAST_RUNS, 0, (int64) PG_INT32_MAX + 1, SnapshotAny);
	while (dbp_toast_scan_next(&scan))
	{
		if (*n == max)
		{
			max *= 2;
			runs = repalloc(runs, sizeof(BlockNumber) * max);
		}
		runs[(*n)++] = (BlockNumber) scan.seq;
	}
	dbp_toast_scan_end(&scan);
	dbp_toast_close(&toast);
	return runs;
}

/* The batch tuples of a page that are not rolled back; false: it has none at all */
static bool
copy_page(Relation rel, BlockNumber block, HeapTuple *tuples, int *n)
{
	Buffer buffer = ReadBuffer(rel, block);
	bool any = false;
	Page page;

	*n = 0;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	for (OffsetNumber offset = FirstOffsetNumber;
		 offset <= Min(PageGetMaxOffsetNumber(page), MaxHeapTuplesPerPage); offset++)
	{
		HeapTuple tuple = dbp_batch_copy_tuple(rel, buffer, offset);

		if (tuple == NULL)
			continue;
		any = true;
		if (HeapTupleSatisfiesVisibility(tuple, SnapshotSelf, buffer))
			tuples[(*n)++] = tuple;
		else
			heap_freetuple(tuple);
	}
	UnlockReleaseBuffer(buffer);
	return any;
}

static void
add_page(DbpBatchList *list, Relation rel, HeapTuple *tuples, int n, int *max)
{
	if (list->n + n > *max)
	{
		*max = Max(2 * *max, list->n + n);
		list->batches = repalloc_huge(list->batches, sizeof(DbpBatch *) * *max);
	}
	for (int i = 0; i < n; i++)
	{
		DbpBatchHead head;
		const uint8 *directory;

		dbp_batch_parse_head(rel, tuples[i], &head, &directory);
		list->batches[list->n] = dbp_batch_create(rel, &tuples[i]->t_self, &head, directory, list);
		list->n++;
		heap_freetuple(tuples[i]);
	}
}

static void
fill_list(DbpBatchList *list, Relation rel)
{
	int nruns;
	BlockNumber *runs = dbp_batch_runs(rel, &nruns);
	BlockNumber nblocks = nruns > 0 ? RelationGetNumberOfBlocks(rel) : 0;
	BlockNumber next = 0;
	int max = 64;
	HeapTuple tuples[MaxHeapTuplesPerPage];
	int n;

	list->batches = MemoryContextAlloc(list->context, sizeof(DbpBatch *) * max);
	for (int i = 0; i < nruns; i++)
		for (next = Max(next, runs[i]); next < nblocks; next++)
		{
			CHECK_FOR_INTERRUPTS();
			if (!copy_page(rel, next, tuples, &n))
				break;
			add_page(list, rel, tuples, n, &max);
		}
	pfree(runs);
}

/* An error leaves it unknown, to be dropped with the transaction */
static DbpBatchList *
make_list(Relation rel)
{
	MemoryContext context =
		AllocSetContextCreate(dbp_batch_cache(), "dbperf columnar list", ALLOCSET_DEFAULT_SIZES);
	DbpBatchList *list = MemoryContextAllocZero(context, sizeof(DbpBatchList));

	list->context = context;
	list->relid = RelationGetRelid(rel);
	list->new_file = dbp_has_new_file(rel);
	dbp_batch_key(&list->key, rel, NULL);
	dlist_push_head(&lists, &list->node);
	fill_list(list, rel);
	list->known = true;
	return list;
}

static bool
is_still_right(DbpBatchList *list, Relation rel)
{
	HeapTuple tuple;
	DbpBatchHead head;
	bool right;

	if (list->relid != RelationGetRelid(rel))
		return false;
	if (list->n == 0)
		return true;
	tuple = dbp_batch_tuple(rel, &list->batches[0]->tid);
	if (tuple == NULL)
		return false;
	right = dbp_batch_read_head(tuple, &head) &&
		memcmp(&head, &list->batches[0]->head, sizeof(head)) == 0;
	heap_freetuple(tuple);
	return right;
}

int
dbp_batch_list(Relation rel, DbpBatch ***batches)
{
	DbpBatchList *list = find_list(rel);

	if (list != NULL && !is_still_right(list, rel))
	{
		list->known = false;
		list = NULL;
	}
	if (list == NULL)
	{
		drop_useless_lists();
		list = make_list(rel);
	}
	if (list->toast != rel->rd_rel->reltoastrelid)
		for (int i = 0; i < list->n; i++)
			list->batches[i]->toast = rel->rd_rel->reltoastrelid;
	list->toast = rel->rd_rel->reltoastrelid;
	*batches = list->batches;
	return list->n;
}
