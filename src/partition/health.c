/*-------------------------------------------------------------------------
 *
 * health.c
 *		What the views show: partitions, health of each parent, file sizes.
 *
 * Everything comes from the catalogs and the file system.  No partition is
 * opened or locked, but for the one look into a default partition, so that
 * thousands of them cost neither locks nor waiting.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_tablespace.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "partition/partition.h"

PG_FUNCTION_INFO_V1(dbperf_partition_bounds);
PG_FUNCTION_INFO_V1(dbperf_partition_gaps);
PG_FUNCTION_INFO_V1(dbperf_policy_health);
PG_FUNCTION_INFO_V1(dbperf_relation_files);

/* Two bounds this close, but not the same, differ by daylight saving time */
#define DST_USECS (2 * USECS_PER_HOUR)

/*
 * A policy for any range-partitioned table, enough of one to read and show
 * its bounds; or the real one, if it has one.
 */
static DbpPolicy *
policy_or_key(Oid parent, bool *managed)
{
	List *policies = OidIsValid(parent) ? dbp_policy_load(parent, false) : NIL;
	DbpPolicy *policy;

	*managed = policies != NIL;
	if (*managed)
		return linitial(policies);
	policy = palloc0(sizeof(DbpPolicy));
	policy->parent = parent;
	policy->keytype = dbp_partition_key_type(parent);
	return policy;
}

/*
 * The state of a partition as views show it; NULL: it cannot be told.
 */
const char *
dbp_part_state(const DbpPart *part, bool has_current, int64 current)
{
	if (part->detaching)
		return "detach pending";
	if (!has_current)
		return NULL;
	if (part->upper <= current)
		return "past";
	return part->lower > current ? "future" : "current";
}

static void
put_row(ReturnSetInfo *rows, Datum *values, bool *nulls)
{
	tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
}

/*
 * partition_bounds(parent regclass) returns setof (partition, ord,
 * lower_bound, upper_bound, is_default, detach_pending, state)
 */
Datum
dbperf_partition_bounds(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	DbpPolicy *policy;
	DbpParts parts;
	bool managed;
	bool has_current;
	int64 current = 0;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	policy = policy_or_key(PG_GETARG_OID(0), &managed);
	if (!OidIsValid(policy->keytype))
	{
		SPI_finish();
		return (Datum) 0;
	}
	dbp_parts_read(policy->parent, policy->keytype, &parts);
	has_current = managed && dbp_current_key(policy, &parts, &current);
	for (int i = 0; i < parts.n; i++)
	{
		const DbpPart *part = &parts.part[i];
		const char *state = dbp_part_state(part, has_current, current);
		Datum values[7];
		bool nulls[7] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = ObjectIdGetDatum(part->relid);
		values[1] = Int32GetDatum(i + 1);
		values[2] = CStringGetTextDatum(dbp_key_display(policy, part->lower));
		values[3] = CStringGetTextDatum(dbp_key_display(policy, part->upper));
		values[4] = BoolGetDatum(false);
		values[5] = BoolGetDatum(part->detaching);
		values[6] = state ? CStringGetTextDatum(state) : (Datum) 0;
		nulls[6] = state == NULL;
		put_row(rows, values, nulls);
	}
	if (OidIsValid(parts.defpart))
	{
		Datum values[7];
		bool nulls[7] = {false, false, true, true, false, false, false};

		values[0] = ObjectIdGetDatum(parts.defpart);
		values[1] = Int32GetDatum(parts.n + 1);
		values[4] = BoolGetDatum(true);
		values[5] = BoolGetDatum(false);
		values[6] = CStringGetTextDatum("default");
		put_row(rows, values, nulls);
	}
	SPI_finish();
	return (Datum) 0;
}

/*
 * partition_gaps(parent regclass) returns setof (lower_bound, upper_bound):
 * ranges without a partition between the first and the last one.
 */
Datum
dbperf_partition_gaps(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rows = (ReturnSetInfo *) fcinfo->resultinfo;
	DbpPolicy *policy;
	DbpParts parts;
	bool managed;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	policy = policy_or_key(PG_GETARG_OID(0), &managed);
	if (OidIsValid(policy->keytype))
	{
		dbp_parts_read(policy->parent, policy->keytype, &parts);
		for (int i = 1; i < parts.n; i++)
		{
			Datum values[2];
			bool nulls[2] = {false};

			if (parts.part[i - 1].upper >= parts.part[i].lower)
				continue;
			values[0] = CStringGetTextDatum(dbp_key_display(policy, parts.part[i - 1].upper));
			values[1] = CStringGetTextDatum(dbp_key_display(policy, parts.part[i].lower));
			put_row(rows, values, nulls);
		}
	}
	SPI_finish();
	return (Datum) 0;
}

typedef struct DbpHealth
{
	int future_ready; /* partitions after the current one, without a gap */
	int missing;	  /* that maintenance would make now */
	int gaps;
	int spanning;  /* partitions over several cells of the grid */
	int off_grid;  /* partitions with a bound that is not the grid's */
	int dst_drift; /* those that miss it by daylight saving time */
	int detaching; /* DETACH CONCURRENTLY is under way, or was interrupted */
	bool has_current;
	bool covered; /* there is a partition for the current key */
	int64 current;
	int64 covered_until; /* first key after the current one without a partition */
} DbpHealth;

/*
 * Is a bound on the grid?  If not, by how far it is off, where that is small.
 */
static bool
on_grid(const DbpPolicy *policy, int64 key, bool *dst)
{
	int64 k;
	int64 bound;

	*dst = false;
	if (key == DBP_KEY_MIN || key == DBP_KEY_MAX)
		return true;
	if (!dbp_grid_cell(policy, key, &k))
		return false;
	for (int i = 0; i < 2; i++)
	{
		TimestampTz a;
		TimestampTz b;

		if (!dbp_grid_bound(policy, k + i, &bound))
			continue;
		if (bound == key)
			return true;
		if (dbp_key_to_time(policy, key, &a) && dbp_key_to_time(policy, bound, &b))
			*dst |= a - b <= DST_USECS && b - a <= DST_USECS;
	}
	return false;
}

static void
check_grid(const DbpPolicy *policy, const DbpPart *part, DbpHealth *health)
{
	bool lower_dst;
	bool upper_dst;
	bool lower_ok = on_grid(policy, part->lower, &lower_dst);
	bool upper_ok = on_grid(policy, part->upper, &upper_dst);
	int64 k;
	int64 end;

	if (!lower_ok || !upper_ok)
		health->off_grid++;
	if (lower_dst || upper_dst)
		health->dst_drift++;
	if (part->lower != DBP_KEY_MIN && part->upper != DBP_KEY_MAX &&
		dbp_grid_cell(policy, part->lower, &k) && dbp_grid_bound(policy, k + 1, &end) &&
		end < part->upper && !lower_dst && !upper_dst)
		health->spanning++;
}

static void
check_parts(const DbpPolicy *policy, const DbpParts *parts, DbpHealth *health)
{
	memset(health, 0, sizeof(DbpHealth));
	health->has_current = dbp_current_key(policy, parts, &health->current);
	health->covered_until = health->current;
	health->missing = list_length(dbp_missing_ahead(policy, parts));
	for (int i = 0; i < parts->n; i++)
	{
		const DbpPart *part = &parts->part[i];

		CHECK_FOR_INTERRUPTS();
		if (i > 0 && parts->part[i - 1].upper < part->lower)
			health->gaps++;
		/* still holds its range, but takes no row any more */
		if (part->detaching)
		{
			health->detaching++;
			continue;
		}
		if (part->lower <= health->covered_until && part->upper > health->covered_until)
		{
			health->covered_until = part->upper;
			if (part->lower <= health->current)
				health->covered = true;
			else
				health->future_ready++;
		}
		check_grid(policy, part, health);
	}
}

/* NULL when inserts at the clock's pace never run out, or nothing can be said */
static Datum
runway(const DbpPolicy *policy, const DbpHealth *health, bool *isnull)
{
	Interval *interval = palloc0(sizeof(Interval));
	TimestampTz end;

	*isnull = !policy->by_time || health->covered_until == DBP_KEY_MAX;
	if (!*isnull && health->covered && dbp_key_to_time(policy, health->covered_until, &end))
		interval->time = Max(0, end - dbp_now());
	return IntervalPGetDatum(interval);
}

static void
health_row(ReturnSetInfo *rows, const DbpPolicy *policy)
{
	DbpParts parts;
	DbpHealth health;
	Datum values[14];
	bool nulls[14] = {false};
	bool known = true;
	bool empty = true;

	dbp_parts_read(policy->parent, policy->keytype, &parts);
	check_parts(policy, &parts, &health);
	if (OidIsValid(parts.defpart))
		empty = dbp_relation_is_empty(parts.defpart, &known);
	values[0] = ObjectIdGetDatum(policy->parent);
	values[1] = Int32GetDatum(parts.n);
	values[2] = Int32GetDatum(health.future_ready);
	values[3] = Int32GetDatum(health.missing);
	values[4] = BoolGetDatum(health.covered);
	values[5] = runway(policy, &health, &nulls[5]);
	nulls[6] = health.covered_until == DBP_KEY_MAX;
	values[6] = CStringGetTextDatum(dbp_key_display(policy, health.covered_until));
	values[7] = Int32GetDatum(health.gaps);
	values[8] = Int32GetDatum(health.spanning);
	values[9] = Int32GetDatum(health.off_grid);
	values[10] = Int32GetDatum(health.dst_drift);
	values[11] = ObjectIdGetDatum(parts.defpart);
	nulls[11] = !OidIsValid(parts.defpart);
	values[12] = BoolGetDatum(!empty);
	nulls[12] = nulls[11] || !known;
	values[13] = Int32GetDatum(health.detaching);
	put_row(rows, values, nulls);
}

/*
 * policy_health() returns setof (…): a row for each policy; see 70_views.sql.
 */
Datum
dbperf_policy_health(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	MemoryContext caller;
	ListCell *cell;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	caller = CurrentMemoryContext;
	context = AllocSetContextCreate(caller, "dbperf health", ALLOCSET_DEFAULT_SIZES);
	foreach(cell, dbp_policy_load(InvalidOid, false))
	{
		DbpPolicy *policy = lfirst(cell);

		/* maintenance fails with that, and says so in last_error */
		if (policy->tz == NULL)
			policy->tz = pg_tzset("GMT");
		MemoryContextSwitchTo(context);
		health_row((ReturnSetInfo *) fcinfo->resultinfo, policy);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(context);
	}
	SPI_finish();
	return (Datum) 0;
}

/*
 * Bytes and latest write of a relation's main fork.  False when it has no
 * storage.
 */
static bool
main_fork_files(Oid relid, int64 *bytes, time_t *written)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	DbpRelFile file;
	char *path;
	struct stat st;

	*bytes = 0;
	*written = 0;
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	dbp_relfile_set(file,
					OidIsValid(form->reltablespace) ? form->reltablespace : MyDatabaseTableSpace,
					form->reltablespace == GLOBALTABLESPACE_OID ? InvalidOid : MyDatabaseId,
					form->relfilenode);
	ReleaseSysCache(tuple);
	if (dbp_relfile_number(file) == 0)
		return false;
	path = dbp_relpath(file);
	for (int segment = 0;; segment++)
	{
		char *name = segment == 0 ? path : psprintf("%s.%d", path, segment);

		if (stat(name, &st) != 0)
			break;
		*bytes += st.st_size;
		*written = Max(*written, st.st_mtime);
		/* only the last segment is shorter than the others */
		if (st.st_size < (off_t) RELSEG_SIZE * BLCKSZ)
			break;
	}
	return true;
}

/*
 * relation_files(relation oid) returns (bytes bigint, last_write timestamptz):
 * size of the main fork, and when the operating system last saw it written.
 * Needs no lock, so that it answers while the relation is locked.
 */
Datum
dbperf_relation_files(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Datum values[2];
	bool nulls[2] = {false};
	int64 bytes;
	time_t written;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	nulls[0] = !main_fork_files(PG_GETARG_OID(0), &bytes, &written);
	values[0] = Int64GetDatum(bytes);
	nulls[1] = bytes == 0;
	values[1] = TimestampTzGetDatum(time_t_to_timestamptz(written));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
