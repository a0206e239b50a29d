/*-------------------------------------------------------------------------
 *
 * audit.c
 *		Writes dbperf.partition_events.
 *
 * The rows are chained by a trigger of the table, at commit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "partition/statement.h"

static DbpStatement insert_event = {
	.sql = "INSERT INTO dbperf.partition_events (source, action, parent, partition, lower_bound,"
	" upper_bound, ms_waited, ms_held, tries, message)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
	.expected = SPI_OK_INSERT,
	.nargs = 10,
	.types = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, FLOAT8OID, FLOAT8OID, INT4OID, TEXTOID},
};

static Datum
text_or_null(const char *str, char *null)
{
	*null = str == NULL ? 'n' : ' ';
	return str == NULL ? (Datum) 0 : CStringGetTextDatum(str);
}

/*
 * Add one event, in the current transaction.  SPI must be connected.
 */
void
dbp_event_write(const DbpEvent *event)
{
	Datum		values[10];
	char		nulls[10];
	const DbpPolicy *policy = event->policy;
	const DbpRange *range = event->range;
	DbpIdentity saved;

	/* pins how times are shown */
	dbp_become_extension(&saved);
	values[0] = text_or_null(event->source, &nulls[0]);
	values[1] = text_or_null(event->action, &nulls[1]);
	values[2] = text_or_null(quote_qualified_identifier(policy->schema, policy->table), &nulls[2]);
	values[3] = text_or_null(event->partition, &nulls[3]);
	values[4] = text_or_null(range ? dbp_key_display(policy, range->lower) : NULL, &nulls[4]);
	values[5] = text_or_null(range ? dbp_key_display(policy, range->upper) : NULL, &nulls[5]);
	memset(&nulls[6], event->cost ? ' ' : 'n', 3);
	values[6] = Float8GetDatum(event->cost ? event->cost->ms_waited : 0);
	values[7] = Float8GetDatum(event->cost ? event->cost->ms_held : 0);
	values[8] = Int32GetDatum(event->cost ? event->cost->tries : 0);
	values[9] = text_or_null(event->message, &nulls[9]);
	dbp_statement_run(&insert_event, values, nulls);
	dbp_restore_identity(&saved);
}
