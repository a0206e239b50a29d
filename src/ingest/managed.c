/*-------------------------------------------------------------------------
 *
 * managed.c
 *		Managed tables by their bare names.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "ingest/managed.h"
#include "partition/partition.h"

static SPIPlanPtr
find_plan(void)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {NAMEOID};

	if (plan == NULL)
	{
		SPIPlanPtr prepared = SPI_prepare("SELECT p.parent FROM dbperf.policy p"
										  " JOIN pg_catalog.pg_class c ON c.oid = p.parent"
										  " WHERE c.relname = $1",
										  lengthof(types), types);

		if (prepared == NULL)
			elog(ERROR, "SPI_prepare returned %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(prepared);
		plan = prepared;
	}
	return plan;
}

Oid
dbp_managed_table(const char *name)
{
	DbpIdentity saved;
	NameData key = {{0}};
	Datum values[] = {NameGetDatum(&key)};
	Oid found = InvalidOid;
	uint64 count;
	bool isnull;

	namestrcpy(&key, name);
	dbp_become_extension(&saved);
	SPI_connect();
	if (SPI_execute_plan(find_plan(), values, NULL, true, 2) != SPI_OK_SELECT)
		elog(ERROR, "could not read dbperf.policy");
	count = SPI_processed;
	if (count > 0)
		found = DatumGetObjectId(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	dbp_restore_identity(&saved);

	if (count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("no managed table is called \"%s\"", name),
				 errhint("Make one with dbperf.create_market_schema(), or name the table.")));
	if (count > 1)
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_ALIAS),
				 errmsg("several managed tables are called \"%s\"", name),
				 errhint("Name the table.")));
	return found;
}
