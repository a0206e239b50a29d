/*-------------------------------------------------------------------------
 *
 * alert_callbacks.c
 *		Which functions of users are called for alerts.
 *
 * Who may say so is decided here, by the ownership of the function: it will be
 * called as its owner.  The list is the extension's; src/worker/callbacks.c
 * makes the calls.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "compat.h"
#include "partition/statement.h"

PG_FUNCTION_INFO_V1(dbperf_add_alert_callback);
PG_FUNCTION_INFO_V1(dbperf_remove_alert_callback);

static DbpStatement add_function = {
	/* one that is there is left alone by its trigger */
	.sql =
		"WITH n AS (SELECT n.nspname, p.proname, pg_catalog.pg_get_userbyid(p.proowner) AS owner,"
		" (SELECT coalesce(max(e.seq), 0) FROM dbperf.alert_events e) AS position"
		" FROM pg_catalog.pg_proc p"
		" JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = $1),"
		" again AS (UPDATE dbperf.alert_functions f SET owner = n.owner, enabled = true,"
		" failures = 0, position = greatest(f.position, n.position)"
		" FROM n WHERE f.schema_name = n.nspname AND f.function_name = n.proname"
		" AND (NOT f.enabled OR f.owner <> n.owner))"
		" INSERT INTO dbperf.alert_functions (schema_name, function_name, owner, position)"
		" SELECT n.nspname, n.proname, n.owner, n.position FROM n",
	.expected = SPI_OK_INSERT,
	.nargs = 1,
	.types = {OIDOID},
};

static DbpStatement remove_function = {
	.sql = "DELETE FROM dbperf.alert_functions f USING pg_catalog.pg_proc p,"
		   " pg_catalog.pg_namespace n WHERE p.oid = $1 AND n.oid = p.pronamespace"
		   " AND f.schema_name = n.nspname AND f.function_name = p.proname",
	.expected = SPI_OK_DELETE,
	.nargs = 1,
	.types = {OIDOID},
};

/* Must be a function that the caller owns; returns a copy of its row in pg_proc */
static HeapTuple
function_arg(FunctionCallInfo fcinfo)
{
	HeapTuple tuple;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("callback must not be null")));
	tuple = SearchSysCacheCopy1(PROCOID, PG_GETARG_DATUM(0));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function with OID %u does not exist", PG_GETARG_OID(0))));
	if (!dbp_owns_function(PG_GETARG_OID(0), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_FUNCTION,
					   NameStr(((Form_pg_proc) GETSTRUCT(tuple))->proname));
	return tuple;
}

static void
check_callable(Oid oid, Form_pg_proc form)
{
	if (form->prokind != PROKIND_FUNCTION || form->proretset || form->pronargs != 1 ||
		form->proargtypes.values[0] != JSONBOID)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s cannot be called for alerts", format_procedure(oid)),
				 errhint("It must be a function with one argument of type jsonb, and return one "
						 "value or void.")));
	if (isAnyTempNamespace(form->pronamespace))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("temporary function %s cannot be called for alerts", format_procedure(oid)),
				 errhint("The process that would call it cannot see it.")));
}

static uint64
run(DbpStatement *statement, Oid oid)
{
	Datum values[1] = {ObjectIdGetDatum(oid)};
	uint64 processed;

	SPI_connect();
	dbp_statement_run(statement, values, NULL);
	processed = SPI_processed;
	SPI_finish();
	return processed;
}

/*
 * add_alert_callback(callback regprocedure) returns void
 *
 * Once more for one that is there does no harm, and enables it again.  Raises
 * insufficient_privilege, wrong_object_type, feature_not_supported.
 */
Datum
dbperf_add_alert_callback(PG_FUNCTION_ARGS)
{
	HeapTuple tuple = function_arg(fcinfo);

	check_callable(PG_GETARG_OID(0), (Form_pg_proc) GETSTRUCT(tuple));
	(void) run(&add_function, PG_GETARG_OID(0));
	heap_freetuple(tuple);
	PG_RETURN_VOID();
}

/*
 * remove_alert_callback(callback regprocedure) returns boolean: was it one?
 */
Datum
dbperf_remove_alert_callback(PG_FUNCTION_ARGS)
{
	HeapTuple tuple = function_arg(fcinfo);
	bool found = run(&remove_function, PG_GETARG_OID(0)) > 0;

	if (!found)
		ereport(NOTICE,
				(errmsg("%s is not called for alerts", format_procedure(PG_GETARG_OID(0)))));
	heap_freetuple(tuple);
	PG_RETURN_BOOL(found);
}
