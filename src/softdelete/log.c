/*-------------------------------------------------------------------------
 *
 * log.c
 *		What was deleted, restored and purged by whom: dbperf.soft_delete_log.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "metrics/metrics.h"
#include "partition/statement.h"
#include "softdelete/softdelete.h"

static DbpStatement insert_log = {
	.sql = "INSERT INTO dbperf.soft_delete_log (relation, parent, action, deleted_by, reason,"
		   " row_count, keys, from_at, to_at, predicate, deleted_before)"
		   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
	.expected = SPI_OK_INSERT,
	.nargs = 11,
	.types = {REGCLASSOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, TEXTARRAYOID, TEXTOID,
			  TEXTOID, TEXTOID, TIMESTAMPTZOID},
};

/* A key as text; of several columns, as a row is written */
static Datum
key_text(const DbpSoftJob *job, HeapTuple row, TupleDesc desc)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < job->nkeys; i++)
	{
		bool isnull;
		Datum value = SPI_getbinval(row, desc, i + 1, &isnull);

		appendStringInfo(&buf, "%s%s",
						 i > 0				  ? ","
							 : job->nkeys > 1 ? "("
											  : "",
						 isnull ? "" : OidOutputFunctionCall(job->keys[i].output, value));
	}
	if (job->nkeys > 1)
		appendStringInfoChar(&buf, ')');
	return CStringGetTextDatum(buf.data);
}

/* The same whatever the caller's settings are */
static ArrayType *
key_texts(const DbpSoftJob *job, int64 rows, SPITupleTable *keys)
{
	Datum *texts = palloc(sizeof(Datum) * rows);
	DbpIdentity saved;

	dbp_become_extension(&saved);
	for (int64 i = 0; i < rows; i++)
		texts[i] = key_text(job, keys->vals[i], keys->tupdesc);
	dbp_restore_identity(&saved);
	return construct_array(texts, (int) rows, TEXTOID, -1, false, TYPALIGN_INT);
}

/*
 * Write down and count one batch; nothing is written of a batch of no rows.
 * Without a table of keys, they are not known.
 */
void
dbp_soft_log(const DbpSoftJob *job, int64 rows, SPITupleTable *keys, const instr_time *started)
{
	static const char *const actions[] = {"soft_delete", "restore", "purge"};
	static const DbpOperation operations[] = {DBP_OP_SOFT_DELETE, DBP_OP_RESTORE, DBP_OP_PURGE};
	Datum values[11];
	char nulls[11];

	if (rows > 0)
	{
		memset(nulls, ' ', sizeof(nulls));
		values[0] = ObjectIdGetDatum(job->relid);
		values[1] = CStringGetTextDatum(job->table);
		values[2] = CStringGetTextDatum(actions[job->action]);
		values[3] = dbp_text_or_null(job->by, &nulls[3]);
		values[4] = dbp_text_or_null(job->reason, &nulls[4]);
		values[5] = Int64GetDatum(rows);
		nulls[6] = keys == NULL ? 'n' : ' ';
		values[6] = keys == NULL ? (Datum) 0 : PointerGetDatum(key_texts(job, rows, keys));
		values[7] = dbp_text_or_null(job->from, &nulls[7]);
		values[8] = dbp_text_or_null(job->to, &nulls[8]);
		values[9] = dbp_text_or_null(job->predicate, &nulls[9]);
		nulls[10] = job->action == DBP_SOFT_PURGE ? ' ' : 'n';
		values[10] = TimestampTzGetDatum(job->cutoff);
		dbp_statement_run(&insert_log, values, nulls);
	}
	dbp_count(job->relid, operations[job->action], rows, (uint64) (dbp_ms_since(started) * 1000));
}
