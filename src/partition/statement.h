/*-------------------------------------------------------------------------
 *
 * statement.h
 *		Statements on the extension's own tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_STATEMENT_H
#define DBP_STATEMENT_H

#include "executor/spi.h"

#include "partition/partition.h"

#define DBP_STATEMENT_ARGS 19

typedef struct DbpStatement
{
	const char *sql;
	int expected; /* SPI_OK_SELECT or another */
	int nargs;
	Oid types[DBP_STATEMENT_ARGS];
	SPIPlanPtr plan; /* once prepared, for the rest of the session */
} DbpStatement;

extern void dbp_statement_run(DbpStatement *statement, Datum *values, const char *nulls);
extern Datum dbp_text_or_null(const char *str, char *null);

#endif /* DBP_STATEMENT_H */
