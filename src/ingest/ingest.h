/*-------------------------------------------------------------------------
 *
 * ingest.h
 *		Bulk insert: rows from arrays or JSON into any table.
 *
 * A call's rows come from a DbpSource, batch by batch, already converted to
 * the types of the target's columns.  A batch goes to the table in one of two
 * ways: directly through the executor's own parts, as COPY does it (direct.c),
 * or as an INSERT statement where only that is right: row level security,
 * ON CONFLICT, views, foreign tables, rules (statement.c).  attempt.c runs a
 * batch inside a subtransaction where one is needed, to find or to leave out
 * the rows that fail.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_INGEST_H
#define DBP_INGEST_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "funcapi.h"
#include "nodes/execnodes.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

/* Rows [first, first + count) of a call, column by column */
typedef struct DbpBatch
{
	int64 first; /* from 0 */
	int count;
	Datum **values; /* [column of the source][row] */
	bool **isnull;
	bool **absent; /* [column], or NULL: all there. true: the column's default is to be taken */
} DbpBatch;

/* The rows of one call */
typedef struct DbpSource DbpSource;
struct DbpSource
{
	Relation rel; /* the target */
	int64 nrows;
	int ncolumns;
	AttrNumber *attnums; /* of the target, for each column */

	/* What is being converted now, for messages; row -1: nothing. column is an index, -1: none. */
	int64 row;
	int column;

	/*
	 * Fills in the batch for rows [first, first + count); allocates all of it,
	 * and the values, in CurrentMemoryContext.  Values are of the column's
	 * type, domains and type modifiers checked.  May be called again for the
	 * same rows, and for fewer of them, but never for rows before those of a
	 * call with a greater "first" that succeeded -- except those of the batch
	 * that was begun last (see begin).
	 */
	void (*fill)(DbpSource *source, int64 first, int count, DbpBatch *batch);

	/* Says that rows before this one will not be asked for again. May be NULL. */
	void (*begin)(DbpSource *source, int64 first);

	/* The row as it was given, for ingest_rejects; in CurrentMemoryContext */
	Jsonb *(*as_json)(DbpSource *source, int64 row);
};

/*
 * source_array.c: one array for each column.  Raises undefined_column,
 * duplicate_column, generated_always, datatype_mismatch, array_subscript_error
 * (unequal lengths, wrong number of dimensions), null_value_not_allowed.
 */
extern DbpSource *dbp_source_arrays(Relation rel, const char **columns, int ncolumns, Datum *arrays,
									bool *isnull, Oid *types);

/*
 * source_json.c: a jsonb array of objects; columns are all keys that occur.
 * A key that is no column (or a dropped, system or generated one) is an error
 * of its row, raised by fill(); so is an element that is no object.
 */
extern DbpSource *dbp_source_json(Relation rel, Jsonb *rows);

/*
 * Raises undefined_column, or generated_always for a column that cannot be
 * given (generated; identity GENERATED ALWAYS), else returns its number.
 */
extern AttrNumber dbp_source_column(Relation rel, const char *name);

/* rules.c: the rules of a table, compiled.  NULL when it has none. */
typedef struct DbpRules DbpRules;

extern DbpRules *dbp_rules_load(Relation rel, EState *estate);

/*
 * The name of the first rule that the row in the slot (of the target's row
 * type) breaks, or NULL.  Evaluates in econtext's per-tuple memory, which the
 * caller resets.  An expression's own errors are raised.
 */
extern const char *dbp_rules_check(DbpRules *rules, TupleTableSlot *slot, ExprContext *econtext);

/* The text of a rule, for messages */
extern const char *dbp_rules_expression(DbpRules *rules, const char *name);

/*
 * condition.c: the text of a boolean expression of a table's columns, as a
 * CHECK constraint may have it (no subqueries, aggregates, parameters), parsed
 * under the present search_path and transformed.  Raises syntax errors,
 * undefined_column and so on.
 */
extern Node *dbp_condition_parse(Relation rel, const char *text);

/*
 * The same as text that means the same under search_path pg_catalog, pg_temp,
 * whatever the table is called.  Refuses references to whole rows as well.
 */
extern char *dbp_condition_canonical(Relation rel, const char *text);

/*
 * Have names looked up as canonical text has them, until AtEOXact_GUC(false,
 * level) with the level returned.
 */
extern int dbp_condition_pin_search_path(void);

/*
 * The table or view that a condition is for, opened and locked as long as the
 * transaction lasts (AccessShareLock).  Raises undefined_table, wrong_object_type.
 */
extern Relation dbp_condition_open(Oid relid);

/* rejects.c: one row of dbperf.ingest_rejects, written as the owner of the extension */
typedef struct DbpReject
{
	Oid relid;
	int64 row;			/* from 0 */
	int sqlerrcode;		/* as in ErrorData */
	const char *reason; /* message */
	const char *detail; /* NULL: none */
	const char *column; /* NULL: not known */
	Jsonb *json;
} DbpReject;

extern void dbp_reject_write(const DbpReject *reject);

/*
 * partition_request.c: has a background worker make the partitions for some
 * keys of a managed table, and waits for it, at most dbperf.partition_wait.
 * The caller needs INSERT on the table only (the worker acts as the owner), and
 * must have no partition of it open in a way that keeps ATTACH from working.
 *
 * Keys outside the policy's sanity window, and tables that are not managed, are
 * no error: returns NULL when a partition now exists for every key, else why
 * not (a clause, no sentence), with *hint saying what to do (sentences); both
 * palloc'd.  Of several reasons it is one; those that concern one key name it.
 * Does not raise errors other than cancels.
 */
extern char *dbp_request_partitions(Oid parent, const int64 *keys, int nkeys, char **hint);

#endif /* DBP_INGEST_H */
