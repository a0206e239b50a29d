/*-------------------------------------------------------------------------
 *
 * statement.c
 *		Statements on the extension's own tables.
 *
 * Bookkeeping is a few small statements again and again, for which parsing and
 * planning would be nearly all of the work.  So each is prepared once in a
 * session; the server makes its plan anew when something that it rests on
 * changes, be it that the extension was dropped and created again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"

#include "partition/statement.h"

static void
prepare(DbpStatement *statement)
{
	SPIPlanPtr plan = SPI_prepare_cursor(statement->sql, statement->nargs, statement->types,
										 CURSOR_OPT_GENERIC_PLAN);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
			 SPI_result_code_string(SPI_result));
	statement->plan = plan;
}

/*
 * Run a statement as the owner of the extension.  nulls is as SPI has it, or
 * NULL.  SPI must be connected; the rows are left in SPI_tuptable.
 */
void
dbp_statement_run(DbpStatement *statement, Datum *values, const char *nulls)
{
	DbpIdentity saved;
	int result;

	dbp_become_extension(&saved);
	if (statement->plan == NULL)
		prepare(statement);
	/* not read-only: that would go by a snapshot from before we waited for locks */
	result = SPI_execute_plan(statement->plan, values, nulls, false, 0);
	if (result != statement->expected)
		elog(ERROR, "SPI_execute_plan returned %s for \"%s\"", SPI_result_code_string(result),
			 statement->sql);
	dbp_restore_identity(&saved);
}

/*
 * An argument of type text, with its place among the nulls.
 */
Datum
dbp_text_or_null(const char *str, char *null)
{
	*null = str == NULL ? 'n' : ' ';
	return str == NULL ? (Datum) 0 : CStringGetTextDatum(str);
}
