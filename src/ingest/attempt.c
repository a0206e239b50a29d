/*-------------------------------------------------------------------------
 *
 * attempt.c
 *		Inserts a batch, without the rows that fail if these are to be left out.
 *
 * Where the row that fails is always known and ends the call, a batch is
 * inserted just so.  Otherwise each attempt is a subtransaction.  When rows are
 * to be left out and one fails, half as many are tried, but not that one until
 * it can be tried alone: if an earlier row has been left out by then, it may be
 * right.  Attempts that succeed double in size, so that those that fail cost
 * about as much as the rows do, however many are bad.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "ingest/bulk.h"

void
dbp_bulk_reject(DbpBulk *bulk, int64 row, int sqlerrcode, const char *reason, const char *detail,
				const char *column)
{
	MemoryContext scratch =
		AllocSetContextCreate(bulk->batch_context, "dbperf reject", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	Jsonb *json = bulk->source->as_json(bulk->source, row);
	DbpReject *reject;

	MemoryContextSwitchTo(bulk->batch_context);
	reject = palloc0(sizeof(DbpReject));
	reject->relid = RelationGetRelid(bulk->rel);
	reject->row = row;
	reject->sqlerrcode = sqlerrcode;
	reject->reason = pstrdup(reason);
	reject->detail = detail != NULL ? pstrdup(detail) : NULL;
	reject->column = column != NULL ? pstrdup(column) : NULL;
	reject->json = (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(json));
	bulk->attempt_rejects = lappend(bulk->attempt_rejects, reject);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
}

bool
dbp_bulk_check_rules(DbpBulk *bulk, DbpRules *rules, TupleTableSlot *slot, ExprContext *econtext)
{
	const char *rule = dbp_rules_check(rules, slot, econtext);
	const char *table = RelationGetRelationName(bulk->rel);
	char *detail;

	if (rule == NULL)
		return true;
	detail = psprintf("The rule is: %s.", dbp_rules_expression(rules, rule));
	if (!bulk->options.reject)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("new row for relation \"%s\" violates ingest rule \"%s\"", table, rule),
				 errdetail("%s", detail),
				 errhint("on_error => 'reject' leaves such rows out and keeps them in "
						 "dbperf.ingest_rejects."),
				 errtableconstraint(bulk->rel, rule)));
	dbp_bulk_reject(bulk, bulk->row, ERRCODE_CHECK_VIOLATION,
					psprintf("new row for relation \"%s\" violates ingest rule \"%s\"", table,
							 rule),
					detail, NULL);
	return false;
}

static void
begin_attempt(DbpBulk *bulk)
{
	bulk->row = -1;
	bulk->source->row = -1;
	bulk->source->column = -1;
	bulk->attempt_rejects = NIL;
	bulk->attempt_inserted = 0;
	bulk->attempt_late = 0;
}

static void
insert_directly(DbpBulk *bulk, const DbpBatch *batch, const bool *skip)
{
	if (bulk->direct == NULL)
	{
		MemoryContext old =
			MemoryContextSwitchTo(bulk->in_subxact ? bulk->attempt_context : bulk->call_context);

		bulk->direct = dbp_direct_begin(bulk);
		MemoryContextSwitchTo(old);
	}
	dbp_direct_run(bulk, bulk->direct, batch, skip);
	if (bulk->in_subxact)
	{
		dbp_direct_end(bulk->direct);
		bulk->direct = NULL;
	}
}

static void
insert_rows(DbpBulk *bulk, int64 first, int count)
{
	MemoryContext old = MemoryContextSwitchTo(bulk->attempt_context);
	DbpBatch batch;
	bool *skip = palloc0(count * sizeof(bool));

	begin_attempt(bulk);
	bulk->source->fill(bulk->source, first, count, &batch);
	if (bulk->router != NULL)
		dbp_router_prepare(bulk, &batch, skip);
	if (bulk->by_statement)
		dbp_statement_insert(bulk, &batch, skip);
	else
		insert_directly(bulk, &batch, skip);

	MemoryContextSwitchTo(bulk->batch_context);
	bulk->rejects = list_concat(bulk->rejects, bulk->attempt_rejects);
	bulk->inserted += bulk->attempt_inserted;
	bulk->late += bulk->attempt_late;
	MemoryContextSwitchTo(old);
	MemoryContextReset(bulk->attempt_context);
}

/* The same in a subtransaction; returns the error that it ended with, or NULL. */
static ErrorData *
try_rows(DbpBulk *bulk, int64 first, int count)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		insert_rows(bulk, first, count);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(bulk->batch_context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		bulk->direct = NULL;
		MemoryContextReset(bulk->attempt_context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	return error;
}

/*
 * Can a row be to blame?  What the server lacks, what others do and what the
 * caller may not do at all is no property of a row.
 */
static bool
blames_row(const DbpBulk *bulk, const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_INVALID_TRANSACTION_STATE:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_CONFIG_FILE_ERROR:
		case ERRCODE_INTERNAL_ERROR:
		case ERRCODE_FDW_ERROR:
			return false;
		case ERRCODE_FEATURE_NOT_SUPPORTED:
			/* such as a trigger's moving of a row to another partition */
			return bulk->row >= 0;
		default:
			break;
	}
	/* a row that row security does not allow has the code of a missing privilege */
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) ==
		ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION))
		return bulk->source->row >= 0 ||
			(error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE && error->message_id != NULL &&
			 strstr(error->message_id, "row-level security") != NULL);
	return error->elevel == ERROR;
}

/* The row that an attempt at these failed at, or -1 */
static int64
failing_row(const DbpBulk *bulk, int64 first, int count)
{
	int64 row = bulk->row >= 0 ? bulk->row : bulk->source->row;

	return row >= first && row < first + count ? row : count == 1 ? first : -1;
}

/* The column that it failed at, or NULL */
static const char *
failing_column(const DbpBulk *bulk, const ErrorData *error)
{
	const DbpSource *source = bulk->source;

	if (error->column_name != NULL || source->row < 0 || source->column < 0)
		return error->column_name;
	return NameStr(
		TupleDescAttr(RelationGetDescr(bulk->rel), source->attnums[source->column] - 1)->attname);
}

static void
reject_row(DbpBulk *bulk, int64 row, const ErrorData *error, const char *column)
{
	MemoryContext old = MemoryContextSwitchTo(bulk->batch_context);

	bulk->attempt_rejects = NIL;
	dbp_bulk_reject(bulk, row, error->sqlerrcode, error->message, error->detail, column);
	bulk->rejects = list_concat(bulk->rejects, bulk->attempt_rejects);
	bulk->attempt_rejects = NIL;
	MemoryContextSwitchTo(old);
}

/*
 * Raises the error, or that of the first row that fails when the rows come one
 * by one: it names the row.
 */
static void
abort_batch(DbpBulk *bulk, ErrorData *error, int64 first, int count)
{
	bool one_row = !blames_row(bulk, error) || failing_row(bulk, first, count) >= 0;

	for (int i = 0; i < count && !one_row; i++)
	{
		ErrorData *of_row;

		bulk->batch_first = first + i;
		bulk->batch_count = 1;
		of_row = try_rows(bulk, first + i, 1);
		if (of_row != NULL)
			ReThrowError(of_row);
	}
	ReThrowError(error);
}

/*
 * Two rows of one statement that mean the same row of the table: the later
 * one is to win, so they have to be two statements.
 */
static bool
is_double_update(const DbpBulk *bulk, const ErrorData *error, int count)
{
	return bulk->options.on_conflict == DBP_CONFLICT_UPDATE &&
		error->sqlerrcode == ERRCODE_CARDINALITY_VIOLATION && count > 1;
}

static void
insert_range(DbpBulk *bulk, int64 first, int64 end)
{
	int64 size = end - first;
	int64 suspect = -1; /* row that failed among others */

	while (first < end)
	{
		int64 limit = suspect > first ? suspect : suspect == first ? first + 1 : end;
		int count = Min(size, limit - first);
		ErrorData *error = try_rows(bulk, first, count);
		int64 bad;

		if (error == NULL)
		{
			first += count;
			size = (int64) count * 2;
			continue;
		}
		if (is_double_update(bulk, error, count))
		{
			size = (count + 1) / 2;
			continue;
		}
		if (!bulk->options.reject || !blames_row(bulk, error))
			abort_batch(bulk, error, first, count);
		if (count == 1)
		{
			reject_row(bulk, first++, error, failing_column(bulk, error));
			continue;
		}
		bad = failing_row(bulk, first, count);
		if (bad >= 0)
			suspect = bad;
		size = (count + 1) / 2;
	}
}

void
dbp_attempt_batch(DbpBulk *bulk)
{
	if (bulk->in_subxact)
		insert_range(bulk, bulk->batch_first, bulk->batch_first + bulk->batch_count);
	else
		insert_rows(bulk, bulk->batch_first, bulk->batch_count);
}
