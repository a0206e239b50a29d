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

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "storage/procarray.h"
#include "utils/builtins.h"

#include "partition/statement.h"

const char *dbp_event_actor = NULL;

static DbpStatement insert_event = {
	.sql = "INSERT INTO dbperf.partition_events (source, action, parent, partition, lower_bound,"
		   " upper_bound, ms_waited, ms_held, tries, message, actor, detail)"
		   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11, session_user),"
		   " $12::jsonb)",
	.expected = SPI_OK_INSERT,
	.nargs = 12,
	.types = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, FLOAT8OID, FLOAT8OID, INT4OID,
			  TEXTOID, TEXTOID, TEXTOID},
};

static DbpStatement look_at_end = {
	.sql = "SELECT xmax FROM dbperf.audit_head",
	.expected = SPI_OK_SELECT,
};

/*
 * Does an open transaction of somebody else hold the end of the chain, since
 * it has chained events already?  Then a commit with events waits for it, and
 * all locks wait with it.  SPI must be connected.
 */
bool
dbp_audit_is_held(void)
{
	TransactionId xmax = InvalidTransactionId;
	bool isnull;

	dbp_statement_run(&look_at_end, NULL, NULL);
	if (SPI_processed > 0)
		xmax = DatumGetTransactionId(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return TransactionIdIsNormal(xmax) && !TransactionIdIsCurrentTransactionId(xmax) &&
		TransactionIdIsInProgress(xmax);
}

/*
 * Add one event, in the current transaction.  SPI must be connected.  What is
 * about a table without a policy names only that.
 */
void
dbp_event_write(const DbpEvent *event)
{
	Datum values[12];
	char nulls[12];
	const DbpPolicy *policy = event->policy;
	const DbpRange *range = event->range;
	DbpIdentity saved;

	/* pins how times are shown */
	dbp_become_extension(&saved);
	values[0] = dbp_text_or_null(event->source, &nulls[0]);
	values[1] = dbp_text_or_null(event->action, &nulls[1]);
	values[2] =
		dbp_text_or_null(policy ? quote_qualified_identifier(policy->schema, policy->table) : NULL,
						 &nulls[2]);
	values[3] = dbp_text_or_null(event->partition, &nulls[3]);
	values[4] = dbp_text_or_null(range ? dbp_key_display(policy, range->lower) : event->lower_bound,
								 &nulls[4]);
	values[5] = dbp_text_or_null(range ? dbp_key_display(policy, range->upper) : event->upper_bound,
								 &nulls[5]);
	memset(&nulls[6], event->cost ? ' ' : 'n', 3);
	values[6] = Float8GetDatum(event->cost ? event->cost->ms_waited : 0);
	values[7] = Float8GetDatum(event->cost ? event->cost->ms_held : 0);
	values[8] = Int32GetDatum(event->cost ? event->cost->tries : 0);
	values[9] = dbp_text_or_null(event->message, &nulls[9]);
	values[10] = dbp_text_or_null(dbp_event_actor, &nulls[10]);
	values[11] = dbp_text_or_null(event->detail, &nulls[11]);
	dbp_statement_run(&insert_event, values, nulls);
	dbp_restore_identity(&saved);
}
