/*-------------------------------------------------------------------------
 *
 * plan.c
 *		The launcher's plan: which databases there are, and when each is due.
 *
 * The plan lives in the launcher's own memory. It is made of pg_database, of
 * the requests in shared memory, and of what the workers report.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "pgstat.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "plan.h"

#define DBP_SCAN_MS DBP_MINUTE_MS		  /* pg_database is read at least that often */
#define DBP_PROBE_MS (60 * DBP_MINUTE_MS) /* a database without the extension */
#define DBP_CANCELED_MS DBP_MINUTE_MS	  /* someone wanted it to stop */
#define DBP_BACKOFF_MAX_MS (5 * DBP_MINUTE_MS)
#define DBP_FRUITLESS_MAX_MS (10 * DBP_SECOND_MS)
#define DBP_QUIET_LOCK_FAILURES 3 /* DROP EXTENSION may hold our tables for a moment */

static HTAB *databases = NULL;
static bool rescan = true;
static TimestampTz last_scan = 0;

void
dbp_plan_init(void)
{
	HASHCTL ctl;

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(DbEntry);
	databases = hash_create("dbperf databases", 64, &ctl, HASH_ELEM | HASH_BLOBS);
}

void
dbp_plan_rescan(void)
{
	rescan = true;
}

TimestampTz
dbp_after_ms(TimestampTz start, int64 ms)
{
	return start + ms * INT64CONST(1000);
}

int64
dbp_backoff_ms(int n, int64 first, int64 last)
{
	int64 ms = first;

	for (int i = 1; i < n && ms < last; i++)
		ms *= 2;
	return Min(ms, last);
}

int64
dbp_scan_interval_ms(void)
{
	return Min((int64) dbp_naptime * DBP_SECOND_MS, DBP_SCAN_MS);
}

/*
 * Brings the hash up to date with pg_database. New databases are due at once.
 */
static void
scan_databases(TimestampTz now)
{
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;
	HASH_SEQ_STATUS status;
	DbEntry *entry;

	hash_seq_init(&status, databases);
	while ((entry = (DbEntry *) hash_seq_search(&status)) != NULL)
		entry->present = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();

	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		bool known;

		if (!form->datallowconn || form->datconnlimit == DATCONNLIMIT_INVALID_DB)
			continue;
		if (!dbp_database_listed(NameStr(form->datname)))
			continue;
		/* data lives in databases, not in templates, unless they are named */
		if (form->datistemplate && dbp_databases[0] == '\0')
			continue;

		entry = (DbEntry *) hash_search(databases, &form->oid, HASH_ENTER, &known);
		if (!known)
		{
			memset(entry, 0, sizeof(DbEntry));
			entry->dboid = form->oid;
			entry->due_at = now;
		}
		entry->name = form->datname;
		entry->present = true;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);

	CommitTransactionCommand();
	pgstat_report_stat(false);

	hash_seq_init(&status, databases);
	while ((entry = (DbEntry *) hash_seq_search(&status)) != NULL)
	{
		if (!entry->present)
		{
			dbp_shmem_take_missing(entry->dboid, NULL);
			hash_search(databases, &entry->dboid, HASH_REMOVE, NULL);
		}
	}

	last_scan = now;
	rescan = false;
}

static bool
scan_is_due(TimestampTz now)
{
	/* now < last_scan: the clock was set back */
	return rescan || now < last_scan || now >= dbp_after_ms(last_scan, dbp_scan_interval_ms());
}

static DbEntry *
find_database(Oid dboid, TimestampTz now)
{
	DbEntry *entry = (DbEntry *) hash_search(databases, &dboid, HASH_FIND, NULL);

	/* created since the last scan? last_scan == now: that was looked at already */
	if (entry == NULL && last_scan != now)
	{
		scan_databases(now);
		entry = (DbEntry *) hash_search(databases, &dboid, HASH_FIND, NULL);
	}
	return entry;
}

/*
 * Takes the wake-up calls out of shared memory and notes which databases wait
 * for a missing partition; those requests themselves are left to the worker.
 */
static void
collect_requests(TimestampTz now)
{
	bool wake_all;
	int nwakes;
	int nmissing;
	Oid wakes[DBP_MAX_WAKES];
	Oid missing[DBP_MAX_MISSING];
	HASH_SEQ_STATUS status;
	DbEntry *entry;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	wake_all = dbp_shmem->wake_all;
	nwakes = dbp_shmem->nwakes;
	memcpy(wakes, dbp_shmem->wakes, sizeof(wakes));
	nmissing = dbp_shmem->nmissing;
	for (int i = 0; i < nmissing; i++)
		missing[i] = dbp_shmem->missing[i].dboid;
	dbp_shmem->wake_all = false;
	dbp_shmem->nwakes = 0;
	LWLockRelease(dbp_shmem->lock);

	/* what a worker has taken since needs no other one */
	hash_seq_init(&status, databases);
	while ((entry = (DbEntry *) hash_seq_search(&status)) != NULL)
	{
		entry->missing = false;
		entry->woken = entry->woken || wake_all;
	}

	for (int i = 0; i < nwakes; i++)
	{
		entry = find_database(wakes[i], now);
		if (entry != NULL)
			entry->woken = true;
	}
	for (int i = 0; i < nmissing; i++)
	{
		entry = find_database(missing[i], now);
		/* where a worker has not found the extension, nothing is managed */
		if (entry == NULL || (entry->last_end != 0 && !entry->found && !entry->woken))
			dbp_shmem_take_missing(missing[i], NULL);
		else
			entry->missing = true;
	}
}

void
dbp_plan_refresh(TimestampTz now)
{
	if (scan_is_due(now))
		scan_databases(now);
	collect_requests(now);
}

/*
 * When is a worker to look at every policy of this database?
 */
static TimestampTz
full_run_at(const DbEntry *entry, TimestampTz now)
{
	int64 longest = (int64) dbp_naptime * DBP_SECOND_MS;

	/* now < last_end: the clock was set back, so the plan is void */
	if (entry->woken || (entry->last_end != 0 && now < entry->last_end))
		return now;
	if (entry->last_end == 0)
		return entry->due_at;
	if (entry->failures > 0)
		longest = DBP_BACKOFF_MAX_MS;
	else if (!entry->found)
		longest = Max(Min(longest, DBP_PROBE_MS), DBP_MINUTE_MS);

	/* the plan is cut anew each time, as dbperf.naptime may have changed */
	return Min(entry->due_at, dbp_after_ms(entry->last_end, longest));
}

bool
dbp_plan_is_full_run(const DbEntry *entry, TimestampTz now)
{
	return full_run_at(entry, now) <= now;
}

/*
 * When is a worker to be started, for whatever reason?
 */
static TimestampTz
start_at(const DbEntry *entry, TimestampTz now)
{
	TimestampTz at = full_run_at(entry, now);

	if (entry->missing)
		at = Min(at, Max(entry->missing_at, now));
	/* leave DROP DATABASE and CREATE DATABASE ... TEMPLATE a gap */
	if (entry->last_end != 0 && now >= entry->last_end)
		at = Max(at, dbp_after_ms(entry->last_end, entry->gap_ms));
	return at;
}

static void
note_failure(DbEntry *entry, const DbpReport *info)
{
	bool quiet = false;

	entry->failures++;

	/* the process has logged itself why it died */
	if (info->outcome == DBP_OUTCOME_DIED)
	{
		quiet = true;
		rescan = true;
	}
	else if (info->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE &&
			 entry->failures < DBP_QUIET_LOCK_FAILURES)
		quiet = true;

	if (strcmp(entry->last_error, info->error) != 0)
		entry->error_logged = false;
	strlcpy(entry->last_error, info->error, sizeof(entry->last_error));
	if (!quiet && !entry->error_logged)
	{
		ereport(LOG,
				(errcode(info->sqlerrcode),
				 errmsg("maintenance of database \"%s\" failed: %s", NameStr(entry->name),
						info->error),
				 errhint("It is tried again after a pause that grows to 5 minutes.")));
		entry->error_logged = true;
	}
}

static void
note_success(DbEntry *entry)
{
	if (entry->error_logged)
		ereport(LOG, (errmsg("maintenance of database \"%s\" works again", NameStr(entry->name))));
	entry->failures = 0;
	entry->error_logged = false;
	entry->last_error[0] = '\0';
}

/* Who comes again has to wait for its turn */
static void
note_compressing(DbEntry *entry, bool wanted, bool woken, TimestampTz now)
{
	if (wanted && !entry->to_compress)
		entry->compress_since = now;
	/* wake() does not wait for what failed */
	if (wanted && woken)
	{
		entry->compress_woken = true;
		entry->compress_at = now;
	}
	entry->to_compress = wanted;
}

Oid
dbp_plan_first_archive(TimestampTz now, const Oid *busy, int nbusy, TimestampTz *at, bool *woken)
{
	HASH_SEQ_STATUS status;
	DbEntry *entry;
	DbEntry *first = NULL;

	*at = DT_NOEND;
	hash_seq_init(&status, databases);
	while ((entry = (DbEntry *) hash_seq_search(&status)) != NULL)
	{
		bool is_busy = false;
		TimestampTz entry_at;

		for (int i = 0; i < nbusy; i++)
			is_busy = is_busy || busy[i] == entry->dboid;
		if (is_busy || !entry->to_compress || !entry->found)
			continue;
		/* farther away than any pause: the clock was set back */
		entry_at = entry->compress_at > dbp_after_ms(now, DBP_BACKOFF_MAX_MS)
			? now
			: Max(entry->compress_at, now);
		if (first == NULL || entry_at < *at ||
			(entry_at == *at && entry->compress_since < first->compress_since))
		{
			first = entry;
			*at = entry_at;
		}
	}
	if (first == NULL)
		return InvalidOid;
	*woken = first->compress_woken;
	if (*at <= now)
		first->compress_woken = false;
	return first->dboid;
}

void
dbp_plan_conclude_archive(Oid dboid, const DbpReport *info, TimestampTz now)
{
	DbEntry *entry = (DbEntry *) hash_search(databases, &dboid, HASH_FIND, NULL);
	int64 delay_ms = 0;

	if (entry == NULL)
		return;
	entry->compress_since = now;
	switch (info->outcome)
	{
		case DBP_OUTCOME_DONE:
			entry->compress_failures = 0;
			entry->to_compress = info->more || info->to_compress;
			/* it found all places taken */
			if (info->to_compress)
				delay_ms = info->delay_ms;
			/* when there will be something again is for maintenance to see */
			if (!entry->to_compress)
				entry->due_at = Min(entry->due_at, dbp_after_ms(now, info->delay_ms));
			break;
		case DBP_OUTCOME_NO_EXTENSION:
			entry->to_compress = false;
			break;
		case DBP_OUTCOME_CANCELED:
			delay_ms = DBP_CANCELED_MS;
			break;
		default:
			entry->compress_failures++;
			delay_ms = dbp_backoff_ms(entry->compress_failures, DBP_SECOND_MS, DBP_BACKOFF_MAX_MS);
			if (entry->compress_failures == 1 && info->outcome == DBP_OUTCOME_FAILED)
				ereport(LOG,
						(errcode(info->sqlerrcode),
						 errmsg("compressing partitions of database \"%s\" failed: %s",
								NameStr(entry->name), info->error)));
			break;
	}
	entry->compress_at = dbp_after_ms(now, Min(delay_ms, DBP_BACKOFF_MAX_MS));
}

void
dbp_plan_conclude(const DbpSlot *slot, TimestampTz now)
{
	DbEntry *entry = (DbEntry *) hash_search(databases, &slot->dboid, HASH_FIND, NULL);
	const DbpReport *info = &slot->result;
	int64 delay_ms;

	/* dropped, or taken off the list, while the worker was at work */
	if (entry == NULL)
		return;

	switch (info->outcome)
	{
		case DBP_OUTCOME_DONE:
			note_success(entry);
			entry->found = true;
			delay_ms = info->more ? 0 : info->delay_ms;

			/*
			 * The rest of an answered call goes by the clock: what failed just
			 * now would fail again, and use up the time of those after it.
			 */
			break;
		case DBP_OUTCOME_NO_EXTENSION:
			note_success(entry);
			entry->found = false;
			delay_ms = DBP_PROBE_MS;
			break;
		case DBP_OUTCOME_CANCELED:
			delay_ms = DBP_CANCELED_MS;
			strlcpy(entry->last_error, info->error, sizeof(entry->last_error));
			break;
		case DBP_OUTCOME_DIED:
		case DBP_OUTCOME_FAILED:
		default:
			note_failure(entry, info);
			delay_ms = dbp_backoff_ms(entry->failures, DBP_SECOND_MS, DBP_BACKOFF_MAX_MS);
			break;
	}

	/*
	 * A worker that was called for a missing partition only may bring the
	 * plan forward, but does not stand for the run that is due.
	 */
	if (info->outcome == DBP_OUTCOME_DONE && !slot->full_run)
		entry->due_at = Min(entry->due_at, dbp_after_ms(now, delay_ms));
	else
		entry->due_at = dbp_after_ms(now, delay_ms);

	if (info->outcome == DBP_OUTCOME_DONE && slot->full_run)
		note_compressing(entry, info->to_compress, slot->woken, now);

	/* a client that keeps on sending rows nobody wants gets fewer answers */
	if (info->outcome != DBP_OUTCOME_DONE || (!slot->full_run && info->created == 0))
		entry->fruitless++;
	else
		entry->fruitless = 0;
	entry->missing_at = entry->fruitless == 0
		? now
		: dbp_after_ms(now, dbp_backoff_ms(entry->fruitless, DBP_SECOND_MS, DBP_FRUITLESS_MAX_MS));
	entry->last_end = now;
	entry->gap_ms = now < dbp_after_ms(slot->ordered, DBP_SHORT_MS) ? DBP_SHORT_GAP_MS : DBP_GAP_MS;
}

/* Lists the databases that have a worker. False when no slot is left for another. */
static bool
list_busy_databases(Oid *busy, int *nbusy)
{
	*nbusy = 0;
	LWLockAcquire(dbp_shmem->lock, LW_SHARED);
	for (int i = 0; i < dbp_shmem->nslots; i++)
	{
		if (dbp_shmem->slots[i].state != DBP_SLOT_FREE)
			busy[(*nbusy)++] = dbp_shmem->slots[i].dboid;
	}
	LWLockRelease(dbp_shmem->lock);
	return *nbusy < dbp_shmem->nslots;
}

/*
 * Of the databases without a worker, the one whose time comes first. NULL when
 * there is none, or no slot is left: the end of a worker sets the latch.
 */
DbEntry *
dbp_plan_first(TimestampTz now, TimestampTz *at)
{
	HASH_SEQ_STATUS status;
	DbEntry *entry;
	DbEntry *first = NULL;
	Oid busy[DBP_MAX_WORKERS];
	int nbusy;

	*at = DT_NOEND;
	if (!list_busy_databases(busy, &nbusy))
		return NULL;

	hash_seq_init(&status, databases);
	while ((entry = (DbEntry *) hash_seq_search(&status)) != NULL)
	{
		TimestampTz entry_at = start_at(entry, now);
		bool is_busy = false;

		for (int i = 0; i < nbusy; i++)
			is_busy = is_busy || busy[i] == entry->dboid;
		if (is_busy || entry_at >= *at)
			continue;
		first = entry;
		*at = entry_at;
	}
	return first;
}

/*
 * Only for databases that can ask for it.
 */
void
dbp_plan_publish(TimestampTz now)
{
	HASH_SEQ_STATUS status;
	DbEntry *entry;
	int nplans = 0;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	hash_seq_init(&status, databases);
	while ((entry = (DbEntry *) hash_seq_search(&status)) != NULL)
	{
		DbpPlan *plan;

		if (!entry->found && entry->failures == 0)
			continue;
		if (nplans >= DBP_MAX_DATABASES)
		{
			hash_seq_term(&status);
			break;
		}
		plan = &dbp_shmem->plans[nplans++];
		plan->dboid = entry->dboid;
		plan->next_run = start_at(entry, now);
		plan->failures = entry->failures;
		strlcpy(plan->last_error, entry->last_error, sizeof(plan->last_error));
	}
	dbp_shmem->nplans = nplans;
	LWLockRelease(dbp_shmem->lock);
}

int
dbp_plan_list_found(Oid *dboids, int max)
{
	HASH_SEQ_STATUS status;
	DbEntry *entry;
	int n = 0;

	hash_seq_init(&status, databases);
	while ((entry = (DbEntry *) hash_seq_search(&status)) != NULL)
	{
		if (entry->found && n < max)
			dboids[n++] = entry->dboid;
	}
	return n;
}

void
dbp_plan_lose(Oid dboid, TimestampTz since)
{
	DbEntry *entry = (DbEntry *) hash_search(databases, &dboid, HASH_FIND, NULL);

	/* what a worker has said later counts for more: it may be there again */
	if (entry != NULL && entry->last_end < since)
		entry->found = false;
}

bool
dbp_plan_is_found(Oid dboid, TimestampTz now)
{
	DbEntry *entry;

	if (last_scan != now)
		scan_databases(now);
	entry = (DbEntry *) hash_search(databases, &dboid, HASH_FIND, NULL);
	return entry != NULL && entry->found;
}
