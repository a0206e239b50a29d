/*-------------------------------------------------------------------------
 *
 * router.c
 *		Finds the partition for a key by comparing integers.
 *
 * For parents with one plain key column of a type that a policy can have.  The
 * executor's own routing does the same for one row at a time through the
 * type's comparison function; it is asked once for each partition of a batch,
 * and for every row where parents are of another kind.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "ingest/bulk.h"

/* Rows of a batch that are told why they have no partition */
#define REASONS 20

struct DbpRouter
{
	AttrNumber attnum;
	Oid keytype;
	MemoryContext context;
	int nbounds;
	int64 *bounds; /* ascending: where a range begins that ends before the next */
	int *places;   /* [nbounds + 1], of the range below each bound and above the last; -1: none */
	int fallback;  /* the default partition's place, or -1 */
	int nparts;
	bool *is_leaf;
	int64 now; /* as a key; DBP_KEY_MIN: keys are no times */
	int last;  /* range that was found last */
};

/* The clock in a type of times; numbers may count anything */
static int64
clock_key(Oid keytype)
{
	TimestampTz now = dbp_now();

	switch (keytype)
	{
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
			return now;
		case DATEOID:
			return now / USECS_PER_DAY;
		default:
			return DBP_KEY_MIN;
	}
}

/*
 * Reads the partitions anew. The caller holds a lock on the parent.
 */
void
dbp_router_refresh(DbpRouter *router, Relation rel)
{
	PartitionDesc desc = RelationGetPartitionDesc(rel, !IsolationUsesXactSnapshot());
	PartitionBoundInfo info = desc->boundinfo;
	MemoryContext old;

	MemoryContextReset(router->context);
	old = MemoryContextSwitchTo(router->context);
	router->nparts = desc->nparts;
	router->nbounds = info != NULL ? info->ndatums : 0;
	router->bounds = palloc(Max(router->nbounds, 1) * sizeof(int64));
	router->places = palloc((router->nbounds + 1) * sizeof(int));
	router->is_leaf = palloc(Max(router->nparts, 1) * sizeof(bool));
	router->fallback = info != NULL ? info->default_index : -1;
	router->places[0] = -1;
	for (int i = 0; i < router->nbounds; i++)
	{
		PartitionRangeDatumKind kind = info->kind[i][0];

		router->bounds[i] = kind == PARTITION_RANGE_DATUM_MINVALUE ? DBP_KEY_MIN
			: kind == PARTITION_RANGE_DATUM_MAXVALUE
			? DBP_KEY_MAX
			: dbp_key_from_datum(router->keytype, info->datums[i][0]);
	}
	for (int i = 0; i <= router->nbounds; i++)
		router->places[i] = info != NULL ? info->indexes[i] : -1;
	for (int i = 0; i < router->nparts; i++)
		router->is_leaf[i] =
			i != router->fallback && get_rel_relkind(desc->oids[i]) == RELKIND_RELATION;
	/* no key lies above MAXVALUE, not even the greatest of its type */
	if (router->nbounds > 0 && info->kind[router->nbounds - 1][0] == PARTITION_RANGE_DATUM_MAXVALUE)
		router->nbounds--;
	router->last = 0;
	router->now = clock_key(router->keytype);
	MemoryContextSwitchTo(old);
}

/*
 * NULL for tables whose partitions, if any, are of another kind.
 */
DbpRouter *
dbp_router_make(Relation rel)
{
	Oid keytype;
	PartitionKey key;
	DbpRouter *router;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return NULL;
	keytype = dbp_partition_key_type(RelationGetRelid(rel));
	if (!OidIsValid(keytype))
		return NULL;
	key = RelationGetPartitionKey(rel);
	if (key->partopfamily[0] != get_opclass_family(GetDefaultOpClass(keytype, BTREE_AM_OID)))
		return NULL;

	router = palloc0(sizeof(DbpRouter));
	router->attnum = key->partattrs[0];
	router->keytype = keytype;
	router->context =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf router", ALLOCSET_SMALL_SIZES);
	dbp_router_refresh(router, rel);
	return router;
}

AttrNumber
dbp_router_attnum(const DbpRouter *router)
{
	return router->attnum;
}

/* Which column of the source is the key; -1: it is not given */
int
dbp_router_column(const DbpRouter *router, const DbpSource *source)
{
	for (int i = 0; i < source->ncolumns; i++)
		if (source->attnums[i] == router->attnum)
			return i;
	return -1;
}

int64
dbp_router_key(const DbpRouter *router, Datum value)
{
	return dbp_key_from_datum(router->keytype, value);
}

int
dbp_router_count(const DbpRouter *router)
{
	return router->nparts;
}

bool
dbp_router_is_leaf(const DbpRouter *router, int place)
{
	return router->is_leaf[place];
}

/* The range that a key lies in: the number of bounds that are not above it */
static int
find_range(const DbpRouter *router, int64 key)
{
	int low = 0;
	int high = router->nbounds;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (router->bounds[middle] <= key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int
dbp_router_find(DbpRouter *router, int64 key, bool *late)
{
	int range = router->last;

	/* most rows go where the one before went */
	if ((range > 0 && router->bounds[range - 1] > key) ||
		(range < router->nbounds && router->bounds[range] <= key))
		router->last = range = find_range(router, key);
	*late = range < router->nbounds && router->bounds[range] <= router->now;
	return router->places[range] >= 0 ? router->places[range] : router->fallback;
}

/*
 * The keys of a batch that no partition takes. Returns how many there are, and
 * the rows they belong to.
 */
static int
find_missing(DbpBulk *bulk, const DbpBatch *batch, int column, int *rows, int64 *keys)
{
	int count = 0;

	for (int i = 0; i < batch->count; i++)
	{
		int64 key;
		bool late;

		if (batch->isnull[column][i] || (batch->absent[column] && batch->absent[column][i]))
			continue; /* for the executor to judge */
		key = dbp_router_key(bulk->router, batch->values[column][i]);
		if (dbp_router_find(bulk->router, key, &late) < 0)
		{
			rows[count] = i;
			keys[count++] = key;
		}
		else if (late)
			bulk->attempt_late++;
	}
	return count;
}

/* As PostgreSQL shows a key that finds no partition */
static char *
missing_detail(DbpBulk *bulk, Datum value)
{
	Oid output;
	bool is_varlena;

	getTypeOutputInfo(bulk->router->keytype, &output, &is_varlena);
	return psprintf("Partition key of the failing row contains (%s) = (%s).",
					get_attname(RelationGetRelid(bulk->rel), bulk->router->attnum, false),
					OidOutputFunctionCall(output, value));
}

static void
raise_missing(DbpBulk *bulk, const char *detail, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("no partition of relation \"%s\" found for row",
					RelationGetRelationName(bulk->rel)),
			 errdetail("%s", detail),
			 /* what is in parentheses at the end of the detail is read as the key */
			 why == NULL		? 0
				 : hint != NULL ? errhint("None was made: %s. %s", why, hint)
								: errhint("None was made: %s.", why),
			 errtable(bulk->rel)));
}

void
dbp_router_prepare(DbpBulk *bulk, const DbpBatch *batch, bool *skip)
{
	int column = dbp_router_column(bulk->router, bulk->source);
	int *rows;
	int64 *keys;
	int count;
	uint64 late_before = bulk->attempt_late;
	char *why;
	char *hint = NULL;

	if (column < 0)
		return;
	rows = palloc(batch->count * sizeof(int));
	keys = palloc(batch->count * sizeof(int64));
	count = find_missing(bulk, batch, column, rows, keys);
	if (count == 0)
		return;

	why = dbp_request_partitions(RelationGetRelid(bulk->rel), keys, count, &hint);
	AcceptInvalidationMessages();
	dbp_router_refresh(bulk->router, bulk->rel);
	if (bulk->direct != NULL)
	{
		/* it knows the partitions of before */
		dbp_direct_end(bulk->direct);
		bulk->direct = NULL;
	}
	bulk->attempt_late = late_before;
	count = find_missing(bulk, batch, column, rows, keys);
	for (int i = 0; i < count; i++)
	{
		Datum value = batch->values[column][rows[i]];
		char *detail = missing_detail(bulk, value);

		bulk->row = batch->first + rows[i];
		if (!bulk->options.reject)
			raise_missing(bulk, detail, why, hint);
		/* what was said of all keys together may not be true of each */
		if (count > 1)
			why = i < REASONS
				? dbp_request_partitions(RelationGetRelid(bulk->rel), &keys[i], 1, &hint)
				: NULL;
		dbp_bulk_reject(bulk, bulk->row, ERRCODE_CHECK_VIOLATION,
						psprintf("no partition of relation \"%s\" found for row",
								 RelationGetRelationName(bulk->rel)),
						why != NULL ? psprintf("%s None was made: %s.", detail, why) : detail,
						get_attname(RelationGetRelid(bulk->rel), bulk->router->attnum, false));
		skip[rows[i]] = true;
	}
	bulk->row = -1;
}
