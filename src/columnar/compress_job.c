/*-------------------------------------------------------------------------
 *
 * compress_job.c
 *		Compressing one table as somebody asked for, in a worker or here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "columnar/compress_job.h"
#include "columnar/progress.h"
#include "compat.h"
#include "partition/compress.h"
#include "partition/partition.h"

/* For tables that no policy speaks of */
#define LOCK_BUDGET_MS 1000

/* How long to poll for the last lock, when nobody waits for us meanwhile */
#define PATIENCE_MS 60000

/* For ANALYZE: it is no loss if it cannot be done now */
#define ANALYZE_LOCK_MS 1000

static Oid
owner_of(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * How long others may be made to wait: as the policy says, if there is one.
 */
static int
lock_budget_ms(Oid relid)
{
	List *policies = NIL;

	if (get_rel_relispartition(relid) && dbp_extension_exists())
		policies = dbp_policy_load(get_partition_parent(relid, true), false);
	return policies == NIL ? LOCK_BUDGET_MS : ((DbpPolicy *) linitial(policies))->lock_budget_ms;
}

static List *
column_names(DbpRewriteKind kind, Oid relid, List *attnums)
{
	List *names = NIL;
	ListCell *cell;

	if (kind == DBP_REWRITE_DECOMPRESS)
		return NIL;
	if (attnums == NIL)
		return dbp_compress_sort_key(relid);
	foreach(cell, attnums)
		names = lappend(names, get_attname(relid, lfirst_int(cell), false));
	return names;
}

static void
rewrite(DbpRewriteRequest *request, DbpRewriteResult *result)
{
	DbpIdentity saved;

	dbp_become_owner(&saved, owner_of(request->relid), request->lock_budget_ms);
	dbp_rewrite(request, result);
	dbp_restore_identity(&saved);
	if (!result->done)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE), errmsg("%s", result->why_not),
				 errdetail("The table is as it was."),
				 errhint("Try again when the table is written to less, and no transaction "
						 "that uses it stays open for long.")));
	if (get_rel_persistence(request->relid) != RELPERSISTENCE_TEMP)
		dbp_compress_note(request->relid, request->kind, result, "manual");
}

/*
 * SPI is connected.
 */
static void
analyze(const DbpRewriteRequest *request, const DbpRewriteResult *result)
{
	char *name = dbp_qualified_name(request->relid);
	DbpIdentity saved;

	if (name == NULL)
		return;
	dbp_progress_begin(request->kind, request->relid, result->rows + result->late_rows);
	PG_TRY();
	{
		dbp_progress_phase(DBP_PHASE_ANALYZING);
		dbp_become_owner(&saved, owner_of(request->relid), ANALYZE_LOCK_MS);
		dbp_execute(psprintf("ANALYZE (SKIP_LOCKED) %s", name));
		dbp_restore_identity(&saved);
	}
	PG_FINALLY();
	{
		dbp_progress_end();
	}
	PG_END_TRY();
}

void
dbp_compress_table(DbpRewriteKind kind, Oid relid, List *sort_by, bool commit,
				   DbpRewriteResult *result)
{
	DbpRewriteRequest request = {0};

	request.kind = kind;
	request.relid = relid;
	request.sort_by = column_names(kind, relid, sort_by);
	request.lock_budget_ms = lock_budget_ms(relid);
	request.patience_ms = PATIENCE_MS;
	request.pause_ms = 0;
	request.exclusive = !commit;
	rewrite(&request, result);
	if (commit)
		SPI_commit();
	analyze(&request, result);
	if (commit)
		SPI_commit();
}

static const DbpRemoteKind remote_kinds[] = {
	[DBP_REWRITE_COMPRESS] = DBP_REMOTE_COMPRESS,
	[DBP_REWRITE_DECOMPRESS] = DBP_REMOTE_DECOMPRESS,
	[DBP_REWRITE_RECOMPRESS] = DBP_REMOTE_RECOMPRESS,
};

bool
dbp_compress_is_for(DbpRemoteKind kind)
{
	return kind == DBP_REMOTE_COMPRESS || kind == DBP_REMOTE_DECOMPRESS ||
		kind == DBP_REMOTE_RECOMPRESS;
}

/* The result on its way from the worker */
#define RESULT_FORMAT \
	INT64_FORMAT " " INT64_FORMAT " " INT64_FORMAT " " INT64_FORMAT " " INT64_FORMAT " %lf %lf"

void
dbp_compress_serve(const DbpRemoteRequest *request)
{
	DbpRewriteResult result;
	DbpRewriteKind kind = DBP_REWRITE_COMPRESS;
	List *sort_by = NIL;

	while (remote_kinds[kind] != request->kind)
		kind++;
	for (int i = 0; i < request->nkeys; i++)
		sort_by = lappend_int(sort_by, (int) request->keys[i]);
	if (!dbp_owns_relation(request->relid, request->userid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s",
						get_rel_name(request->relid) ? get_rel_name(request->relid) : "?")));
	dbp_compress_table(kind, request->relid, sort_by, true, &result);
	dbp_remote_row(request->relid,
				   psprintf(RESULT_FORMAT, result.rows, result.late_rows, result.batches,
							result.bytes_before, result.bytes_after, result.ms_waited,
							result.ms_held),
				   "rewrite", "done", NULL);
}

void
dbp_compress_ask(DbpRewriteKind kind, Oid relid, List *sort_by, DbpRewriteResult *result)
{
	DbpRemoteRequest request;
	ListCell *cell;
	char *answer;

	dbp_remote_request_init(&request, remote_kinds[kind], relid);
	foreach(cell, sort_by)
		request.keys[request.nkeys++] = lfirst_int(cell);
	answer = dbp_remote_call(&request, NULL);
	memset(result, 0, sizeof(DbpRewriteResult));
	if (answer == NULL ||
		sscanf(answer, RESULT_FORMAT, &result->rows, &result->late_rows, &result->batches,
			   &result->bytes_before, &result->bytes_after, &result->ms_waited,
			   &result->ms_held) != 7)
		elog(ERROR, "the background worker gave no result");
	result->done = true;
}
