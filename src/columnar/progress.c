/*-------------------------------------------------------------------------
 *
 * progress.c
 *		How far a rewrite has got, for dbperf.compression_progress.
 *
 * Every process has twenty numbers in shared memory that say how far a command
 * has got.  Core's views show them for the kinds of commands that they know; a
 * rewrite is none of those, so it leaves the kind alone and marks its numbers as
 * its own.  They lie behind those that CLUSTER and COPY use.  When indexes are
 * built in the midst of it, core starts afresh with these numbers, and they are
 * set again then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "commands/progress.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/acl.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"

#include "compat.h"
#include "columnar/progress.h"

PG_FUNCTION_INFO_V1(dbperf_compression_progress);

#define MARK INT64CONST(0x6462702d636f6c75)

enum
{
	PROGRESS_MARK = 10,
	PROGRESS_RELID,
	PROGRESS_KIND,
	PROGRESS_PHASE,
	PROGRESS_TOTAL,
	PROGRESS_READ,
	PROGRESS_WRITTEN,
	PROGRESS_BATCHES,
	PROGRESS_BYTES,
	PROGRESS_END
};

StaticAssertDecl(PROGRESS_END <= PGSTAT_NUM_PROGRESS_PARAM, "there are not as many numbers");

/* What this process last said */
static int64 mine[PROGRESS_END];

static void
publish(void)
{
	for (int i = PROGRESS_MARK; i < PROGRESS_END; i++)
		pgstat_progress_update_param(i, mine[i]);
}

void
dbp_progress_begin(DbpRewriteKind kind, Oid relid, int64 rows_total)
{
	memset(mine, 0, sizeof(mine));
	mine[PROGRESS_MARK] = MARK;
	mine[PROGRESS_RELID] = relid;
	mine[PROGRESS_KIND] = kind;
	mine[PROGRESS_PHASE] = DBP_PHASE_WAITING;
	mine[PROGRESS_TOTAL] = rows_total;
	publish();
}

void
dbp_progress_phase(DbpPhase phase)
{
	if (mine[PROGRESS_MARK] == 0)
		return;
	mine[PROGRESS_PHASE] = phase;
	publish();
}

void
dbp_progress_total(int64 rows_total)
{
	if (mine[PROGRESS_MARK] == 0)
		return;
	mine[PROGRESS_TOTAL] = rows_total;
	publish();
}

void
dbp_progress_read(int64 rows)
{
	if (mine[PROGRESS_MARK] == 0)
		return;
	mine[PROGRESS_READ] += rows;
	pgstat_progress_update_param(PROGRESS_READ, mine[PROGRESS_READ]);
}

void
dbp_progress_written(int64 rows, int batches, uint64 bytes_in_all)
{
	if (mine[PROGRESS_MARK] == 0)
		return;
	mine[PROGRESS_WRITTEN] += rows;
	mine[PROGRESS_BATCHES] += batches;
	mine[PROGRESS_BYTES] = (int64) bytes_in_all;
	publish();
}

void
dbp_progress_end(void)
{
	if (mine[PROGRESS_MARK] == 0)
		return;
	memset(mine, 0, sizeof(mine));
	publish();
}

static const char *
kind_name(int64 kind)
{
	static const char *const names[] = {"compress", "decompress", "recompress"};

	return kind >= 0 && kind < (int) lengthof(names) ? names[kind] : "?";
}

static const char *
phase_name(int64 phase)
{
	static const char *const names[] = {"waiting", "copying",  "sorting",  "writing",
										"locking", "swapping", "analyzing"};

	return phase >= 0 && phase < (int) lengthof(names) ? names[phase] : "?";
}

/*
 * compression_progress() returns setof (pid, datid, relid, command, phase,
 * rows_total, rows_read, rows_written, batches, bytes_written): of the whole
 * server.  As in core's views, others see no more than who is at it.
 */
Datum
dbperf_compression_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	int n = pgstat_fetch_stat_numbackends();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 1; i <= n; i++)
	{
		LocalPgBackendStatus *local = dbp_local_beentry(i);
		PgBackendStatus *entry = local != NULL ? &local->backendStatus : NULL;
		Datum values[10] = {0};
		bool nulls[10] = {false};
		const int64 *param;

		if (entry == NULL || entry->st_progress_param[PROGRESS_MARK] != MARK)
			continue;
		param = entry->st_progress_param;
		values[0] = Int32GetDatum(entry->st_procpid);
		values[1] = ObjectIdGetDatum(entry->st_databaseid);
		if (has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
			has_privs_of_role(GetUserId(), entry->st_userid))
		{
			values[2] = ObjectIdGetDatum((Oid) param[PROGRESS_RELID]);
			values[3] = CStringGetTextDatum(kind_name(param[PROGRESS_KIND]));
			values[4] = CStringGetTextDatum(phase_name(param[PROGRESS_PHASE]));
			values[5] = Int64GetDatum(param[PROGRESS_TOTAL]);
			nulls[5] = param[PROGRESS_TOTAL] < 0;
			values[6] = Int64GetDatum(param[PROGRESS_READ]);
			values[7] = Int64GetDatum(param[PROGRESS_WRITTEN]);
			values[8] = Int64GetDatum(param[PROGRESS_BATCHES]);
			values[9] = Int64GetDatum(param[PROGRESS_BYTES]);
		}
		else
			memset(nulls + 2, true, sizeof(bool) * 8);
		tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
	}
	return (Datum) 0;
}
