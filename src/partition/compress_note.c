/*-------------------------------------------------------------------------
 *
 * compress_note.c
 *		What is written down of tables that were compressed, by whomever.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "partition/compress.h"
#include "partition/partition.h"

static const char *const kinds[] = {
	[DBP_REWRITE_COMPRESS] = "compress",
	[DBP_REWRITE_DECOMPRESS] = "decompress",
	[DBP_REWRITE_RECOMPRESS] = "recompress",
};

/* The managed parent's policy, or NULL.  SPI must be connected. */
static DbpPolicy *
policy_of(Oid relid)
{
	List *policies = NIL;

	if (get_rel_relispartition(relid))
		policies = dbp_policy_load(get_partition_parent(relid, true), false);
	return policies == NIL ? NULL : linitial(policies);
}

List *
dbp_compress_sort_key(Oid relid)
{
	MemoryContext caller = CurrentMemoryContext;
	List *names = NIL;
	DbpPolicy *policy;
	ListCell *cell;

	if (!dbp_extension_exists())
		return NIL;
	SPI_connect();
	policy = policy_of(relid);
	MemoryContextSwitchTo(caller);
	if (policy != NULL)
		foreach(cell, policy->sort_by)
			names = lappend(names, pstrdup(lfirst(cell)));
	SPI_finish();
	return names;
}

static void
write_state(Oid relid, DbpRewriteKind kind, const DbpRewriteResult *result)
{
	Oid types[6] = {OIDOID, TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID};
	Datum values[6];
	DbpIdentity saved;

	values[0] = ObjectIdGetDatum(relid);
	values[1] = CStringGetTextDatum(kinds[kind]);
	values[2] = Int64GetDatum(result->rows);
	values[3] = Int64GetDatum(result->late_rows);
	values[4] = Int64GetDatum(result->bytes_before);
	values[5] = Int64GetDatum(result->bytes_after);
	dbp_become_extension(&saved);
	if (SPI_execute_with_args("SELECT dbperf.note_rewrite($1, $2, $3, $4, $5, $6)", 6, types,
							  values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not note what was done to table %u", relid);
	dbp_restore_identity(&saved);
}

static void
write_event(Oid relid, DbpRewriteKind kind, const DbpRewriteResult *result, const char *source)
{
	DbpPolicy *policy = policy_of(relid);
	DbpCost cost = {result->ms_waited, result->ms_held, 1};
	DbpEvent event = {0};
	DbpParts parts = {0};

	if (policy != NULL)
		dbp_parts_read(policy->parent, policy->keytype, &parts);
	for (int i = 0; i < parts.n; i++)
	{
		DbpPart *part = &parts.part[i];
		DbpRange *range;

		if (part->relid != relid)
			continue;
		range = palloc(sizeof(DbpRange));
		range->lower = part->lower;
		range->upper = part->upper;
		event.range = range;
	}
	event.source = source;
	event.action = kinds[kind];
	event.policy = policy;
	event.partition = dbp_qualified_name(relid);
	event.cost = &cost;
	event.detail = psprintf("{\"rows\": " INT64_FORMAT ", \"late_rows\": " INT64_FORMAT
							", \"batches\": " INT64_FORMAT ", \"bytes_before\": " INT64_FORMAT
							", \"bytes_after\": " INT64_FORMAT "}",
							result->rows, result->late_rows, result->batches, result->bytes_before,
							result->bytes_after);
	dbp_event_write(&event);
}

void
dbp_compress_note(Oid relid, DbpRewriteKind kind, const DbpRewriteResult *result,
				  const char *source)
{
	/* the library may be there without it */
	if (!dbp_extension_exists())
		return;
	SPI_connect();
	write_state(relid, kind, result);
	write_event(relid, kind, result, source);
	SPI_finish();
}
