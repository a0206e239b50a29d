/*-------------------------------------------------------------------------
 *
 * pending.c
 *		What a transaction did, until it is known to have happened.
 *
 * A list of what was done with each table at each level of subtransactions,
 * deepest level first.  The end of a subtransaction gives its part to the
 * level above or drops it, the commit adds all to shared memory.  A prepared
 * transaction counts when it is prepared: who commits it is another session,
 * perhaps after a restart, and hardly any is rolled back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "utils/memutils.h"

#include "metrics/counters.h"

/*
 * Histograms that a transaction may keep, of 3.5 KB each.  With more, only the
 * first call of those operations comes into the percentiles.
 */
#define MAX_HISTOGRAMS 256

/* Levels of dbp_count_suspend() that are told apart */
#define MAX_SUSPENDED 64

static DbpPending *pending = NULL;
static int histograms = 0;

/* Levels of the subtransactions in which counting was suspended */
static int suspended_at[MAX_SUSPENDED];
static int suspended = 0;

/* Must not throw: also called when a subtransaction has committed. */
static void
add_to_histogram(DbpPendingOperation *operation, int bucket, uint32 calls)
{
	if (operation->histogram == NULL)
	{
		if (operation->calls == 0 && calls == 1)
		{
			operation->only_bucket = bucket;
			return;
		}
		if (histograms >= MAX_HISTOGRAMS)
			return;
		operation->histogram =
			MemoryContextAllocExtended(TopTransactionContext, DBP_HISTOGRAM_SIZE * sizeof(uint32),
									   MCXT_ALLOC_ZERO | MCXT_ALLOC_NO_OOM);
		if (operation->histogram == NULL)
			return;
		histograms++;
		if (operation->calls > 0)
			operation->histogram[operation->only_bucket]++;
	}
	operation->histogram[bucket] += calls;
}

static void
add_operation(DbpPendingOperation *to, DbpPendingOperation *from)
{
	if (from->calls == 0)
		return;
	if (from->histogram == NULL)
		add_to_histogram(to, from->only_bucket, 1);
	else if (to->calls == 0)
	{
		to->histogram = from->histogram;
		from->histogram = NULL;
	}
	else
	{
		for (int i = 0; i < DBP_HISTOGRAM_SIZE; i++)
			if (from->histogram[i] > 0)
				add_to_histogram(to, i, from->histogram[i]);
	}
	to->calls += from->calls;
	to->rows += from->rows;
	to->microseconds += from->microseconds;
}

static void
free_pending(DbpPending *entry)
{
	for (int i = 0; i < DBP_OP_COUNT; i++)
	{
		if (entry->operations[i].histogram == NULL)
			continue;
		pfree(entry->operations[i].histogram);
		histograms--;
	}
	pfree(entry);
}

static DbpPending *
find_pending(Oid relid, int level)
{
	DbpPending **link = &pending;

	for (DbpPending *entry = pending; entry != NULL && entry->level == level; entry = entry->next)
	{
		if (entry->relid == relid)
		{
			/* to the front: the next one will be for the same table */
			*link = entry->next;
			entry->next = pending;
			pending = entry;
			return entry;
		}
		link = &entry->next;
	}
	return NULL;
}

/* NULL: nothing is counted here, or there is no memory for it */
static DbpPending *
get_pending(Oid relid)
{
	int level = GetCurrentTransactionNestLevel();
	DbpPending *entry;

	if (!dbp_counters_present() || IsParallelWorker() || !IsTransactionState())
		return NULL;
	relid = dbp_root_of(relid);
	entry = find_pending(relid, level);
	if (entry != NULL)
		return entry;
	entry = MemoryContextAllocExtended(TopTransactionContext, sizeof(DbpPending),
									   MCXT_ALLOC_ZERO | MCXT_ALLOC_NO_OOM);
	if (entry == NULL)
		return NULL;
	entry->relid = relid;
	entry->level = level;
	entry->next = pending;
	pending = entry;
	return entry;
}

void
dbp_count(Oid relid, DbpOperation operation, uint64 rows, uint64 microseconds)
{
	DbpPending *entry = get_pending(relid);
	DbpPendingOperation *counts;

	if (entry == NULL)
		return;
	counts = &entry->operations[operation];
	add_to_histogram(counts, dbp_histogram_bucket(microseconds), 1);
	counts->calls++;
	counts->rows += rows;
	counts->microseconds += microseconds;
}

void
dbp_count_rejected(Oid relid, uint64 rows)
{
	DbpPending *entry = rows > 0 ? get_pending(relid) : NULL;

	if (entry != NULL)
		entry->rejected += rows;
}

void
dbp_count_late(Oid relid, uint64 rows)
{
	DbpPending *entry = rows > 0 ? get_pending(relid) : NULL;

	if (entry != NULL)
		entry->late += rows;
}

void
dbp_count_cache(Oid relid, uint64 hits, uint64 misses)
{
	DbpPending *entry = hits + misses > 0 ? get_pending(relid) : NULL;

	if (entry == NULL)
		return;
	entry->cache_hits += hits;
	entry->cache_misses += misses;
}

void
dbp_count_suspend(void)
{
	if (suspended < MAX_SUSPENDED)
		suspended_at[suspended] = GetCurrentTransactionNestLevel();
	suspended++;
}

void
dbp_count_resume(void)
{
	if (suspended > 0)
		suspended--;
}

bool
dbp_count_is_suspended(void)
{
	return suspended > 0;
}

static void
end_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			if (pending != NULL)
				dbp_counters_add(pending);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			break;
		default:
			return;
	}
	/* the memory goes with the transaction */
	pending = NULL;
	histograms = 0;
	suspended = 0;
}

static void
commit_level(int level)
{
	DbpPending *done = NULL;

	while (pending != NULL && pending->level >= level)
	{
		DbpPending *entry = pending;

		pending = entry->next;
		entry->next = done;
		done = entry;
	}
	while (done != NULL)
	{
		DbpPending *entry = done;
		DbpPending *above = find_pending(entry->relid, level - 1);

		done = entry->next;
		if (above == NULL)
		{
			entry->level = level - 1;
			entry->next = pending;
			pending = entry;
			continue;
		}
		above->rejected += entry->rejected;
		above->late += entry->late;
		above->cache_hits += entry->cache_hits;
		above->cache_misses += entry->cache_misses;
		for (int i = 0; i < DBP_OP_COUNT; i++)
			add_operation(&above->operations[i], &entry->operations[i]);
		free_pending(entry);
	}
	for (int i = 0; i < Min(suspended, MAX_SUSPENDED); i++)
		suspended_at[i] = Min(suspended_at[i], level - 1);
}

static void
abort_level(int level)
{
	while (pending != NULL && pending->level >= level)
	{
		DbpPending *entry = pending;

		pending = entry->next;
		free_pending(entry);
	}
	while (suspended > 0 && (suspended > MAX_SUSPENDED || suspended_at[suspended - 1] >= level))
		suspended--;
}

static void
end_subtransaction(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid,
				   void *arg)
{
	if (pending == NULL && suspended == 0)
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		commit_level(GetCurrentTransactionNestLevel());
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		abort_level(GetCurrentTransactionNestLevel());
}

void
dbp_pending_init(void)
{
	RegisterXactCallback(end_transaction, NULL);
	RegisterSubXactCallback(end_subtransaction, NULL);
}
