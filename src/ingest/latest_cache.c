/*-------------------------------------------------------------------------
 *
 * latest_cache.c
 *		The last row of each key, in shared memory.
 *
 * What is in the cache is never invalidated, and nothing that writes knows of
 * it.  Instead, it is used only by who sees exactly what he saw who filled it.
 *
 * The server counts the transactions with an xid that have ended
 * (xactCompletionCount; 64 bits, never turned back, under ProcArrayLock): by
 * COMMIT, ROLLBACK, ROLLBACK TO SAVEPOINT, PREPARE, COMMIT PREPARED.  It does so to
 * know whether a snapshot that it made before still stands.  What a snapshot
 * shows can only change when that number does, as rows and catalogs are changed
 * by transactions with an xid only, and shown only once those have ended.
 *
 * So a "state" is this number, and it is that of the active snapshot S if
 *	1. a snapshot L taken now is the same as S: xmin, xmax, and all that runs.
 *	   They are of one session, and S keeps its xmin from falling behind by half
 *	   of all xids: equal numbers are the same transactions.
 *	2. the transaction has no xid: it has changed nothing itself, and nothing
 *	   is left out of S and L, which would contain other sessions' xids but not
 *	   its own.  (A subtransaction with an xid gives one to the transaction; an
 *	   xid is not given back.  So what was rolled back to a savepoint ends it, too.)
 *	3. this is no standby: the snapshots there tell less, and locks like those
 *	   below are not replayed.
 * Then L is the state of all that is committed, and its number stands for it.
 * A row that was read under S by one session is what a plain query would find
 * in every other one as long as the number is the same.
 *
 * That leaves what does not go by snapshots.
 *	- The set of partitions comes from the relation cache.  A transaction that
 *	  attaches or detaches one leaves the number of running transactions first,
 *	  then tells the others' caches of it, and only then lets go of its locks. Who
 *	  reads between the first two has the new state and the old partitions: as of
 *	  any statement, that would be all right once, but not for ever.  So before the
 *	  table is read to fill the cache, SHARE UPDATE EXCLUSIVE, the least lock that
 *	  whoever changes the set must have, is taken and given back, without ever
 *	  waiting for it.  If it was free, nobody is between the two.  All else that
 *	  matters of the definition (columns, primary key) changes under ACCESS
 *	  EXCLUSIVE, which keeps who has ACCESS SHARE out, before and after.
 *	- TRUNCATE and rewrites change files at once: but under ACCESS EXCLUSIVE, until
 *	  after they are counted.  Who fills reads the table after he took the number.
 *	  If it was truncated in between, the number is past, and nobody has that state
 *	  again.
 *	- VACUUM is the one whose xid, if it has one, no snapshot knows of: it only
 *	  removes what nobody sees.
 *	- OIDs, of tables and databases, come to be used again only by transactions
 *	  with an xid; rows of temporary tables are not kept.
 *	- Privileges and row security are the caller's, and looked at each time.
 *	- Under SERIALIZABLE, who reads has to leave marks on what he reads; a copy in
 *	  the cache would not take them.
 *
 * Shared memory is divided into groups, one for each table, column and row type;
 * the one that was not used for the longest time has to give way.  In a group,
 * entries follow one another, up to its end.  All of them are of one state, and
 * go together when the first one of another state comes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/heaptoast.h"
#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "dbperf.h"
#include "guc.h"
#include "ingest/latest.h"

#define TRANCHE_NAME DBP_LIBRARY_NAME "_latest"

/* A group is of that size or more, as long as there are not more than so many */
#define GROUP_SIZE (512 * 1024)
#define MAX_GROUPS 16

/* What is longer is not kept */
#define MAX_ROW_SIZE 1024
#define MAX_KEY_SIZE 256

/* There is a slot for so many bytes of a group */
#define BYTES_PER_SLOT 256

typedef struct Entry
{
	uint32 next; /* with the same slot: its place in the group; 0: none */
	uint32 hash;
	uint16 key_size;
	uint16 row_size; /* of the tuple, header included; 0: there is no row */
					 /* the key, and from the next multiple of MAXIMUM_ALIGNOF on, the row */
} Entry;

/* Whose rows a group has; database 0: nobody's */
typedef struct GroupId
{
	Oid database;
	Oid relid;
	Oid rowtype;
	int32 by; /* attribute number */
} GroupId;

typedef struct RowGroup
{
	GroupId id;							 /* changed under the lock, and that of all groups */
	pg_atomic_uint32 used;				 /* when last: seconds, as of the clock */
	uint64 completions;					 /* the state of all entries; 0: there are none */
	uint32 end;							 /* of the last entry */
	uint32 slots[FLEXIBLE_ARRAY_MEMBER]; /* places of entries; 0: none */
} RowGroup;

/* An image of a key, which is equal only if the keys are; not the other way round */
typedef struct KeyImage
{
	const char *data;
	Size size;
	uint32 hash;
	Datum value; /* what data points to, of types passed by value */
} KeyImage;

static char *groups = NULL; /* ngroups of group_size each */
static LWLockPadded *locks; /* one for each group, the last one for giving them away */
static int ngroups;
static Size group_size;
static uint32 nslots;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static RowGroup *
group_number(int i)
{
	return (RowGroup *) (groups + i * group_size);
}

static LWLock *
lock_number(int i)
{
	return &locks[i].lock;
}

static bool
same_snapshot(Snapshot a, Snapshot b)
{
	if (a->xmin != b->xmin || a->xmax != b->xmax || a->xcnt != b->xcnt ||
		a->suboverflowed != b->suboverflowed || a->takenDuringRecovery != b->takenDuringRecovery)
		return false;
	if (a->xcnt > 0 && memcmp(a->xip, b->xip, a->xcnt * sizeof(TransactionId)) != 0)
		return false;
	/* with too many subtransactions, nobody looks at them, and copies do not have them */
	return a->suboverflowed ||
		(a->subxcnt == b->subxcnt &&
		 (a->subxcnt == 0 ||
		  memcmp(a->subxip, b->subxip, a->subxcnt * sizeof(TransactionId)) == 0));
}

DbpLatestState
dbp_latest_state(void)
{
	DbpLatestState state = {false, 0};
	Snapshot active;
	Snapshot now;

	if (TransactionIdIsValid(GetTopTransactionIdIfAny()) || IsolationIsSerializable() ||
		RecoveryInProgress() || IsInParallelMode() || IsParallelWorker() ||
		HistoricSnapshotActive() || !ActiveSnapshotSet())
		return state;
	active = GetActiveSnapshot();
	if (!IsMVCCSnapshot(active) || active->takenDuringRecovery)
		return state;
	now = GetLatestSnapshot();
	state.completions = now->snapXactCompletionCount;
	state.known = state.completions != 0 && same_snapshot(active, now);
	return state;
}

bool
dbp_latest_is_cacheable(const DbpLatest *latest)
{
	Form_pg_class form = latest->rel->rd_rel;

	return groups != NULL && form->relkind == RELKIND_PARTITIONED_TABLE &&
		form->relpersistence == RELPERSISTENCE_PERMANENT;
}

bool
dbp_latest_can_keep(const DbpLatest *latest, DbpLatestState state)
{
	Oid relid = RelationGetRelid(latest->rel);

	if (!state.known || !dbp_latest_is_cacheable(latest) ||
		!ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock))
		return false;
	UnlockRelationOid(relid, ShareUpdateExclusiveLock);
	AcceptInvalidationMessages();
	return true;
}

static GroupId
group_id(const DbpLatest *latest)
{
	GroupId id = {MyDatabaseId, RelationGetRelid(latest->rel), latest->rowtype, latest->by.attnum};

	return id;
}

static bool
same_id(const GroupId *a, const GroupId *b)
{
	return a->database == b->database && a->relid == b->relid && a->rowtype == b->rowtype &&
		a->by == b->by;
}

/*
 * The number of the group of that name, or -1.  Without a lock: who takes the
 * group's lock has to look once more.
 */
static int
find_group(const GroupId *id)
{
	for (int i = 0; i < ngroups; i++)
	{
		GroupId there = group_number(i)->id;

		if (same_id(&there, id))
			return i;
	}
	return -1;
}

static void
mark_used(RowGroup *group)
{
	uint32 now = (uint32) (GetCurrentStatementStartTimestamp() / USECS_PER_SEC);

	/* others' processors are to keep their copy of it */
	if (pg_atomic_read_u32(&group->used) != now)
		pg_atomic_write_u32(&group->used, now);
}

/* False when the key is too long to be kept */
static bool
key_image(const DbpLatest *latest, Datum value, KeyImage *image)
{
	TypeCacheEntry *type = latest->by.order;

	if (latest->by.type == INT4OID || latest->by.type == INT8OID || type->typbyval)
	{
		image->value = value;
		image->data = (const char *) &image->value;
		image->size = sizeof(Datum);
	}
	else if (type->typlen == -1)
	{
		/* keys are not toasted */
		image->data = VARDATA_ANY(DatumGetPointer(value));
		image->size = VARSIZE_ANY_EXHDR(DatumGetPointer(value));
	}
	else
	{
		image->data = DatumGetPointer(value);
		image->size = datumGetSize(value, false, type->typlen);
	}
	if (image->size > MAX_KEY_SIZE)
		return false;
	image->hash = hash_bytes((const unsigned char *) image->data, (int) image->size);
	return true;
}

static char *
entry_key(const Entry *entry)
{
	return (char *) entry + sizeof(Entry);
}

static char *
entry_row(const Entry *entry)
{
	return (char *) entry + MAXALIGN(sizeof(Entry) + entry->key_size);
}

static const Entry *
find_entry(const RowGroup *group, const KeyImage *image)
{
	uint32 place = group->slots[image->hash % nslots];

	while (place != 0)
	{
		const Entry *entry = (const Entry *) ((const char *) group + place);

		if (entry->hash == image->hash && entry->key_size == image->size &&
			memcmp(entry_key(entry), image->data, image->size) == 0)
			return entry;
		place = entry->next;
	}
	return NULL;
}

static HeapTuple
copy_row(const Entry *entry)
{
	HeapTuple tuple;

	if (entry->row_size == 0)
		return NULL;
	tuple = palloc(HEAPTUPLESIZE + entry->row_size);
	tuple->t_len = entry->row_size;
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_tableOid = InvalidOid;
	tuple->t_data = (HeapTupleHeader) ((char *) tuple + HEAPTUPLESIZE);
	memcpy(tuple->t_data, entry_row(entry), entry->row_size);
	return tuple;
}

int
dbp_latest_lookup(DbpLatest *latest, DbpLatestState state)
{
	GroupId id = group_id(latest);
	int number = state.known ? find_group(&id) : -1;
	RowGroup *group;
	int found = 0;

	if (number < 0)
		return 0;
	group = group_number(number);
	LWLockAcquire(lock_number(number), LW_SHARED);
	if (same_id(&group->id, &id) && group->completions == state.completions)
	{
		for (int i = 0; i < latest->nkeys; i++)
		{
			DbpLatestKey *key = &latest->keys[i];
			KeyImage image;
			const Entry *entry =
				key_image(latest, key->value, &image) ? find_entry(group, &image) : NULL;

			if (entry == NULL)
				continue;
			key->row = copy_row(entry);
			key->answered = true;
			found++;
		}
		mark_used(group);
	}
	LWLockRelease(lock_number(number));
	return found;
}

/* Gives a group to a table that has none */
static int
assign_group(const GroupId *id)
{
	LWLock *all = lock_number(ngroups);
	int number;

	LWLockAcquire(all, LW_EXCLUSIVE);
	number = find_group(id);
	if (number < 0)
	{
		RowGroup *group;

		number = 0;
		for (int i = 1; i < ngroups; i++)
			if (pg_atomic_read_u32(&group_number(i)->used) <
				pg_atomic_read_u32(&group_number(number)->used))
				number = i;
		group = group_number(number);
		LWLockAcquire(lock_number(number), LW_EXCLUSIVE);
		group->id = *id;
		group->completions = 0;
		mark_used(group);
		LWLockRelease(lock_number(number));
	}
	LWLockRelease(all);
	return number;
}

static void
add_entry(RowGroup *group, const KeyImage *image, HeapTuple row)
{
	Size row_size = row == NULL ? 0 : row->t_len;
	Size size = MAXALIGN(sizeof(Entry) + image->size) + MAXALIGN(row_size);
	uint32 *slot = &group->slots[image->hash % nslots];
	Entry *entry = (Entry *) ((char *) group + group->end);

	if (size > group_size - group->end || find_entry(group, image) != NULL)
		return;
	entry->next = *slot;
	entry->hash = image->hash;
	entry->key_size = (uint16) image->size;
	entry->row_size = (uint16) row_size;
	memcpy(entry_key(entry), image->data, image->size);
	if (row != NULL)
		memcpy(entry_row(entry), row->t_data, row_size);
	*slot = group->end;
	group->end += (uint32) size;
}

static void
empty_group(RowGroup *group, DbpLatestState state)
{
	group->completions = state.completions;
	group->end = (uint32) MAXALIGN(offsetof(RowGroup, slots) + nslots * sizeof(uint32));
	memset(group->slots, 0, nslots * sizeof(uint32));
}

/* The row as it is kept; false when it cannot be */
static bool
flat_row(const DbpLatest *latest, HeapTuple *row)
{
	if (*row == NULL)
		return true;
	/* what lies elsewhere may be gone when this is read */
	if (HeapTupleHasExternal(*row))
		*row = toast_flatten_tuple(*row, latest->out);
	return (*row)->t_len <= MAX_ROW_SIZE;
}

void
dbp_latest_keep(const DbpLatest *latest, DbpLatestState state)
{
	HeapTuple *rows = palloc(latest->nkeys * sizeof(HeapTuple));
	bool *kept = palloc(latest->nkeys * sizeof(bool));
	GroupId id = group_id(latest);
	RowGroup *group;
	int number;

	for (int i = 0; i < latest->nkeys; i++)
	{
		rows[i] = latest->keys[i].row;
		kept[i] = flat_row(latest, &rows[i]);
	}
	number = find_group(&id);
	if (number < 0)
		number = assign_group(&id);
	group = group_number(number);
	LWLockAcquire(lock_number(number), LW_EXCLUSIVE);
	/* of what others have brought meanwhile, the later state stays */
	if (same_id(&group->id, &id) && group->completions <= state.completions)
	{
		if (group->completions < state.completions)
			empty_group(group, state);
		for (int i = 0; i < latest->nkeys; i++)
		{
			KeyImage image;

			if (kept[i] && key_image(latest, latest->keys[i].value, &image))
				add_entry(group, &image, rows[i]);
		}
		mark_used(group);
	}
	LWLockRelease(lock_number(number));
}

/* All groups together have what the setting says */
static void
divide(void)
{
	Size size = (Size) dbp_latest_cache_size * 1024;

	ngroups = (int) Min(Max(size / GROUP_SIZE, 1), MAX_GROUPS);
	group_size = TYPEALIGN_DOWN(MAXIMUM_ALIGNOF, size / ngroups);
	/* places in it are 32 bits long */
	group_size = Min(group_size, PG_INT32_MAX / 2);
	nslots = (uint32) (group_size / BYTES_PER_SLOT);
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	if (dbp_latest_cache_size == 0)
		return;
	divide();
	RequestAddinShmemSpace(ngroups * group_size);
	RequestNamedLWLockTranche(TRANCHE_NAME, ngroups + 1);
}

static void
startup_shmem(void)
{
	bool found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	if (dbp_latest_cache_size == 0)
		return;
	divide();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	groups = ShmemInitStruct(DBP_LIBRARY_NAME " latest rows", ngroups * group_size, &found);
	locks = GetNamedLWLockTranche(TRANCHE_NAME);
	if (!found)
	{
		for (int i = 0; i < ngroups; i++)
		{
			RowGroup *group = group_number(i);

			memset(group, 0, offsetof(RowGroup, slots));
			pg_atomic_init_u32(&group->used, 0);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * To be called when the library is loaded.
 */
void
dbp_latest_init(void)
{
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}
