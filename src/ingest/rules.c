/*-------------------------------------------------------------------------
 *
 * rules.c
 *		Rules that bulk_insert() holds the rows of a table to.
 *
 * Rules are text in dbperf.ingest_rules, since that is what survives a dump.
 * A session keeps them compiled, as plancache.c keeps expressions, and
 * compiles anew what was changed: by the text of the rule, by the definition
 * of the table, or by that of a function or type that the rule uses.
 *
 * The rules of a partitioned table hold for calls that name one of its
 * partitions too, but those of a partition only for calls that name it.  As
 * with CHECK constraints, functions are called with the rights of whoever
 * inserts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "compat.h"
#include "ingest/ingest.h"
#include "partition/statement.h"

PG_FUNCTION_INFO_V1(dbperf_add_ingest_rule);
PG_FUNCTION_INFO_V1(dbperf_drop_ingest_rule);

/* The columns of dbperf.ingest_rules, and of its primary key */
#define ANUM_NAME 2
#define ANUM_EXPRESSION 3
#define ANUM_KEY_PARENT 1

typedef struct Rule
{
	char *name;
	char *expression;
	CachedExpression *cached; /* in the cache of the session */
	ExprState *state;		  /* in a call */
} Rule;

struct DbpRules
{
	Oid relid;
	int count;
	Rule *rules;
	const Rule *current; /* being checked */
};

/* What the session has compiled for one table */
typedef struct Compiled
{
	Oid relid; /* hash key */
	bool valid;
	int count;
	Rule *rules;
	MemoryContext context; /* of the rules; NULL: none */
} Compiled;

static HTAB *compiled_rules = NULL;

static DbpStatement insert_rule = {
	.sql = "INSERT INTO dbperf.ingest_rules (parent, name, expression) VALUES ($1, $2, $3)"
		   " ON CONFLICT (parent, name) DO NOTHING",
	.expected = SPI_OK_INSERT,
	.nargs = 3,
	.types = {REGCLASSOID, NAMEOID, TEXTOID},
};

static DbpStatement delete_rule = {
	.sql = "DELETE FROM dbperf.ingest_rules WHERE parent = $1 AND name = $2",
	.expected = SPI_OK_DELETE,
	.nargs = 2,
	.types = {REGCLASSOID, NAMEOID},
};

/* The table was altered: the numbers and types of its columns may be others now. */
static void
forget_table(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	Compiled *compiled;

	if (OidIsValid(relid))
	{
		compiled = hash_search(compiled_rules, &relid, HASH_FIND, NULL);
		if (compiled != NULL)
			compiled->valid = false;
		return;
	}
	hash_seq_init(&scan, compiled_rules);
	while ((compiled = hash_seq_search(&scan)) != NULL)
		compiled->valid = false;
}

static Compiled *
compiled_entry(Oid relid)
{
	Compiled *compiled;
	bool found;

	if (compiled_rules == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(Compiled)};

		compiled_rules = hash_create("dbperf ingest rules", 16, &control, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
	}
	compiled = hash_search(compiled_rules, &relid, HASH_ENTER, &found);
	if (!found)
	{
		compiled->valid = false;
		compiled->count = 0;
		compiled->rules = NULL;
		compiled->context = NULL;
	}
	return compiled;
}

/*
 * Add the rules of one table to the list, in the order of their names.  The
 * table is read as catalogs are: the caller needs no right to, and a rule
 * counts from its commit, whatever snapshot the caller has.
 */
static List *
read_rules(Relation table, Relation index, Oid relid, List *rules)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, ANUM_KEY_PARENT, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan_ordered(table, index, NULL, 1, &key);
	while ((tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
	{
		Rule *rule = palloc0(sizeof(Rule));
		bool isnull;

		rule->name = pstrdup(NameStr(
			*DatumGetName(heap_getattr(tuple, ANUM_NAME, RelationGetDescr(table), &isnull))));
		rule->expression = TextDatumGetCString(
			heap_getattr(tuple, ANUM_EXPRESSION, RelationGetDescr(table), &isnull));
		rules = lappend(rules, rule);
	}
	systable_endscan_ordered(scan);
	return rules;
}

/* The rules that hold for a table, its own first */
static List *
rules_of_table(Relation rel)
{
	Oid nspoid = get_namespace_oid("dbperf", false);
	Relation table = table_open(get_relname_relid("ingest_rules", nspoid), AccessShareLock);
	Relation index = index_open(get_relname_relid("ingest_rules_pkey", nspoid), AccessShareLock);
	List *rules = read_rules(table, index, RelationGetRelid(rel), NIL);

	if (rel->rd_rel->relispartition)
	{
		ListCell *cell;

		foreach(cell, get_partition_ancestors(RelationGetRelid(rel)))
			rules = read_rules(table, index, lfirst_oid(cell), rules);
	}
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
	return rules;
}

static bool
is_current(const Compiled *compiled, List *rules)
{
	if (!compiled->valid || compiled->count != list_length(rules))
		return false;
	for (int i = 0; i < compiled->count; i++)
	{
		const Rule *rule = list_nth(rules, i);

		if (!compiled->rules[i].cached->is_valid ||
			strcmp(compiled->rules[i].name, rule->name) != 0 ||
			strcmp(compiled->rules[i].expression, rule->expression) != 0)
			return false;
	}
	return true;
}

/* Would the same rule be compiled if it was tried again? */
static bool
is_passing(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return true;
		default:
			return error->elevel > ERROR;
	}
}

/*
 * A rule that was right once: the error says which one it is, and what to do.
 * No row is to blame for it.
 */
static void
rethrow_as_rule_error(Relation rel, const Rule *rule, MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	if (is_passing(error))
		ReThrowError(error);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("ingest rule \"%s\" of table \"%s\" can no longer be checked", rule->name,
					RelationGetRelationName(rel)),
			 errdetail("%s: %s", rule->expression, error->message),
			 errhint("The owner of the table may drop it with dbperf.drop_ingest_rule(), and add "
					 "it anew as it is to be.")));
}

static void
free_rules(Rule *rules, int count, MemoryContext context)
{
	for (int i = 0; i < count; i++)
		FreeCachedExpression(rules[i].cached);
	if (context != NULL)
		MemoryContextDelete(context);
}

/*
 * Compile the rules of a table for the session.  Functions in them may be
 * called while they are simplified, and come back here for the same table:
 * what was there before is replaced only at the end.
 */
static void
compile(Compiled *compiled, Relation rel, List *list)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(CacheMemoryContext, "dbperf ingest rules", ALLOCSET_SMALL_SIZES);
	Rule *rules = MemoryContextAllocZero(context, list_length(list) * sizeof(Rule));
	int level = dbp_condition_pin_search_path();
	volatile int count = 0;

	/* an invalidation from here on counts */
	compiled->valid = true;
	PG_TRY();
	{
		while (count < list_length(list))
		{
			const Rule *rule = list_nth(list, count);
			Node *expr = dbp_condition_parse(rel, rule->expression);

			rules[count].name = MemoryContextStrdup(context, rule->name);
			rules[count].expression = MemoryContextStrdup(context, rule->expression);
			rules[count].cached = GetCachedExpression(dbp_expand_generated(expr, rel));
			count++;
		}
	}
	PG_CATCH();
	{
		const Rule *failed = list_nth(list, count);

		/* what was compiled before is out of date */
		compiled->valid = false;
		free_rules(rules, count, context);
		rethrow_as_rule_error(rel, failed, caller);
	}
	PG_END_TRY();
	AtEOXact_GUC(false, level);

	free_rules(compiled->rules, compiled->count, compiled->context);
	compiled->rules = rules;
	compiled->count = count;
	compiled->context = context;
}

static void
show_rule(void *arg)
{
	const DbpRules *rules = arg;

	errcontext("ingest rule \"%s\" of table \"%s\"", rules->current->name,
			   get_rel_name(rules->relid));
}

/* To be run in memory that lasts as long as the call */
static DbpRules *
make_runnable(const Compiled *compiled, Oid relid)
{
	DbpRules *rules = palloc0(sizeof(DbpRules));
	List *quals = NIL;
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = show_rule,
		.arg = rules,
	};

	rules->relid = relid;
	rules->count = compiled->count;
	rules->rules = palloc0(rules->count * sizeof(Rule));
	/* copies: another call may compile anew while this one goes on */
	for (int i = 0; i < rules->count; i++)
	{
		rules->rules[i].name = pstrdup(compiled->rules[i].name);
		rules->rules[i].expression = pstrdup(compiled->rules[i].expression);
		quals = lappend(quals, list_make1(copyObject(compiled->rules[i].cached->expr)));
	}
	error_context_stack = &callback;
	for (int i = 0; i < rules->count; i++)
	{
		rules->current = &rules->rules[i];
		rules->rules[i].state = ExecInitCheck(list_nth(quals, i), NULL);
	}
	error_context_stack = callback.previous;
	return rules;
}

DbpRules *
dbp_rules_load(Relation rel, EState *estate)
{
	MemoryContext saved = MemoryContextSwitchTo(estate->es_query_cxt);
	List *list = rules_of_table(rel);
	DbpRules *rules = NULL;

	if (list != NIL)
	{
		Compiled *compiled = compiled_entry(RelationGetRelid(rel));

		if (!is_current(compiled, list))
			compile(compiled, rel, list);
		rules = make_runnable(compiled, RelationGetRelid(rel));
	}
	MemoryContextSwitchTo(saved);
	return rules;
}

const char *
dbp_rules_check(DbpRules *rules, TupleTableSlot *slot, ExprContext *econtext)
{
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = show_rule,
		.arg = rules,
	};
	const char *broken = NULL;

	error_context_stack = &callback;
	/* the row is on its way to a partition that is not known yet */
	if (!OidIsValid(slot->tts_tableOid))
		slot->tts_tableOid = rules->relid;
	econtext->ecxt_scantuple = slot;
	for (int i = 0; i < rules->count && broken == NULL; i++)
	{
		rules->current = &rules->rules[i];
		if (!ExecCheck(rules->rules[i].state, econtext))
			broken = rules->rules[i].name;
	}
	error_context_stack = callback.previous;
	return broken;
}

const char *
dbp_rules_expression(DbpRules *rules, const char *name)
{
	for (int i = 0; i < rules->count; i++)
	{
		if (strcmp(rules->rules[i].name, name) == 0)
			return rules->rules[i].expression;
	}
	elog(ERROR, "no ingest rule \"%s\"", name);
	return NULL;
}

/* None of the arguments may be null; returns the table, which must be the caller's. */
static Oid
table_arg(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"table", "name", "expression"};

	for (int i = 0; i < PG_NARGS(); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s of an ingest rule must not be null", names[i])));
	}
	dbp_check_table_owner(PG_GETARG_OID(0));
	return PG_GETARG_OID(0);
}

/*
 * add_ingest_rule("table" regclass, name name, check_expression text) returns
 * void
 *
 * The expression is read under the caller's search_path.  Raises
 * insufficient_privilege, duplicate_object, feature_not_supported, and what is
 * wrong with the expression.
 */
Datum
dbperf_add_ingest_rule(PG_FUNCTION_ARGS)
{
	Oid relid = table_arg(fcinfo);
	char *expression = text_to_cstring(PG_GETARG_TEXT_PP(2));
	Relation rel = dbp_condition_open(relid);
	Datum values[3];

	values[0] = ObjectIdGetDatum(relid);
	values[1] = NameGetDatum(PG_GETARG_NAME(1));
	values[2] = CStringGetTextDatum(dbp_condition_canonical(rel, expression));
	SPI_connect();
	dbp_statement_run(&insert_rule, values, NULL);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table \"%s\" already has an ingest rule \"%s\"",
						RelationGetRelationName(rel), NameStr(*PG_GETARG_NAME(1))),
				 errhint("Drop it with dbperf.drop_ingest_rule(), or choose another name.")));
	SPI_finish();
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * drop_ingest_rule("table" regclass, name name) returns boolean: was there one?
 */
Datum
dbperf_drop_ingest_rule(PG_FUNCTION_ARGS)
{
	Oid relid = table_arg(fcinfo);
	Relation rel = dbp_condition_open(relid);
	Datum values[2] = {ObjectIdGetDatum(relid), NameGetDatum(PG_GETARG_NAME(1))};
	bool found;

	SPI_connect();
	dbp_statement_run(&delete_rule, values, NULL);
	found = SPI_processed > 0;
	SPI_finish();
	if (!found)
		ereport(NOTICE,
				(errmsg("table \"%s\" has no ingest rule \"%s\"", RelationGetRelationName(rel),
						NameStr(*PG_GETARG_NAME(1)))));
	relation_close(rel, NoLock);
	PG_RETURN_BOOL(found);
}
