/*-------------------------------------------------------------------------
 *
 * rejects.c
 *		dbperf.ingest_rejects: rows that bulk_insert() left out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "ingest/ingest.h"
#include "partition/statement.h"

PG_FUNCTION_INFO_V1(dbperf_clear_ingest_rejects);

/* As the policies of the table have it for those who look */
static const char *const delete_rejects =
	"DELETE FROM dbperf.ingest_rejects r"
	" WHERE (r.rejected_by = $1 OR EXISTS (SELECT FROM pg_class c"
	"  WHERE c.oid = r.parent AND pg_has_role($1, c.relowner, 'USAGE')))"
	" AND ($2 IS NULL OR r.parent = $2) AND ($3 IS NULL OR r.reject_id = ANY ($3))"
	" AND ($4 IS NULL OR r.at < clock_timestamp() - $4)";

static DbpStatement insert_reject = {
	.sql = "INSERT INTO dbperf.ingest_rejects (parent, rejected_by, row_number, sqlstate, reason,"
		   " detail, column_name, \"row\") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
	.expected = SPI_OK_INSERT,
	.nargs = 8,
	.types = {REGCLASSOID, NAMEOID, INT8OID, TEXTOID, TEXTOID, TEXTOID, NAMEOID, JSONBOID},
};

/*
 * Note one row, in the current transaction, as the owner of the extension.
 * The row belongs to whoever is the current user now.
 */
void
dbp_reject_write(const DbpReject *reject)
{
	Datum values[8];
	char nulls[8];
	NameData role;
	NameData column;

	namestrcpy(&role, GetUserNameFromId(GetUserId(), false));
	memset(nulls, ' ', sizeof(nulls));
	values[0] = ObjectIdGetDatum(reject->relid);
	values[1] = NameGetDatum(&role);
	values[2] = Int64GetDatum(reject->row + 1);
	values[3] = CStringGetTextDatum(unpack_sql_state(reject->sqlerrcode));
	values[4] = dbp_text_or_null(reject->reason, &nulls[4]);
	values[5] = dbp_text_or_null(reject->detail, &nulls[5]);
	nulls[6] = reject->column == NULL ? 'n' : ' ';
	if (reject->column != NULL)
		namestrcpy(&column, reject->column);
	values[6] = NameGetDatum(&column);
	nulls[7] = reject->json == NULL ? 'n' : ' ';
	values[7] = JsonbPGetDatum(reject->json);

	SPI_connect();
	dbp_statement_run(&insert_reject, values, nulls);
	SPI_finish();
}

/*
 * clear_ingest_rejects("table" regclass, reject_ids bigint[], older_than
 * interval) returns bigint: how many there were.  NULL: whichever.
 *
 * Not by a DELETE of the caller's: a role with that privilege could lock the
 * table against maintenance and everybody's rejects.
 */
Datum
dbperf_clear_ingest_rejects(PG_FUNCTION_ARGS)
{
	Oid types[4] = {NAMEOID, REGCLASSOID, INT8ARRAYOID, INTERVALOID};
	Datum values[4];
	char nulls[4];
	NameData role;
	DbpIdentity saved;
	int result;
	uint64 count;

	namestrcpy(&role, GetUserNameFromId(GetUserId(), false));
	values[0] = NameGetDatum(&role);
	nulls[0] = ' ';
	for (int i = 0; i < 3; i++)
	{
		nulls[i + 1] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i + 1] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	SPI_connect();
	dbp_become_extension(&saved);
	result = SPI_execute_with_args(delete_rejects, 4, types, values, nulls, false, 0);
	if (result != SPI_OK_DELETE)
		elog(ERROR, "SPI_execute_with_args returned %s", SPI_result_code_string(result));
	count = SPI_processed;
	dbp_restore_identity(&saved);
	SPI_finish();
	PG_RETURN_INT64(count);
}
