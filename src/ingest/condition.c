/*-------------------------------------------------------------------------
 *
 * condition.c
 *		Conditions on the rows of a table, given as text by users.
 *
 * A condition is what a CHECK constraint may have: an expression of the
 * table's columns, without subqueries, aggregates or parameters.  The text is
 * never pasted into a statement: it is parsed by itself, as an expression and
 * nothing else, and shown again as text that means the same whoever reads it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "ingest/ingest.h"

PG_FUNCTION_INFO_V1(dbperf_condition);

typedef struct Context
{
	Relation rel;
	const char *text;
} Context;

/*
 * A position in the text is none in the statement that the client has sent.
 */
static void
show_context(void *arg)
{
	const Context *context = arg;
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(context->text);
	}
	errcontext("condition on the rows of table \"%s\"", RelationGetRelationName(context->rel));
}

static void
refuse(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR), errmsg("condition is not one plain expression"),
			 errdetail("%s", detail),
			 errhint("Give what a CHECK constraint of the table could have, such as price > 0.")));
}

/*
 * The one expression of a text.  The grammar that PL/pgSQL has for its
 * expressions is that of a SELECT without its first word, so that everything
 * else that a SELECT has must be seen to be missing.
 */
static Node *
parse_expression(const char *text)
{
	List *parsed = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt);
	ResTarget *target;

	if (list_length(parsed) != 1 || select->op != SETOP_NONE || select->withClause != NULL ||
		select->valuesLists != NIL || select->intoClause != NULL)
		refuse("It holds a statement.");
	if (select->distinctClause != NIL || select->fromClause != NIL || select->whereClause != NULL ||
		select->groupClause != NIL || select->havingClause != NULL || select->windowClause != NIL ||
		select->sortClause != NIL || select->limitOffset != NULL || select->limitCount != NULL ||
		select->lockingClause != NIL)
		refuse("It holds clauses of a query.");
	if (list_length(select->targetList) != 1)
		refuse(select->targetList == NIL ? "It is empty." : "It holds several expressions.");
	target = linitial_node(ResTarget, select->targetList);
	if (target->name != NULL || target->indirection != NIL)
		refuse("It gives a name to its result.");
	/* elsewhere, a star is expanded before expressions are looked at */
	if (IsA(target->val, ColumnRef) && IsA(llast(castNode(ColumnRef, target->val)->fields), A_Star))
		refuse("It stands for several columns.");
	return target->val;
}

Node *
dbp_condition_parse(Relation rel, const char *text)
{
	Context context = {.rel = rel, .text = text};
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = show_context,
		.arg = &context,
	};
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	Node *expr;

	error_context_stack = &callback;
	expr = parse_expression(text);
	pstate->p_sourcetext = text;
	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, false, true);
	addNSItemToQuery(pstate, item, true, true, true);
	expr = transformExpr(pstate, expr, EXPR_KIND_CHECK_CONSTRAINT);
	expr = coerce_to_boolean(pstate, expr, "condition");
	assign_expr_collations(pstate, expr);
	if (list_length(pstate->p_rtable) != 1)
		refuse("It refers to another table.");
	error_context_stack = callback.previous;
	free_parsestate(pstate);
	return expr;
}

/*
 * From here to the end of the nest level, names are looked up as canonical
 * text has them.
 */
int
dbp_condition_pin_search_path(void)
{
	int level = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/*
 * Columns are shown by their names alone, but a whole row by the name of its
 * table, which may become another, and is another in a partition.
 */
static void
refuse_whole_row(Relation rel, Node *expr)
{
	Bitmapset *columns = NULL;

	pull_varattnos(expr, 1, &columns);
	if (bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, columns))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("condition refers to a row of table \"%s\" as a whole",
						RelationGetRelationName(rel)),
				 errhint("Name the columns.")));
}

char *
dbp_condition_canonical(Relation rel, const char *text)
{
	Node *expr = dbp_condition_parse(rel, text);
	List *names = deparse_context_for(RelationGetRelationName(rel), RelationGetRelid(rel));
	int level;
	char *canonical;

	refuse_whole_row(rel, expr);
	level = dbp_condition_pin_search_path();
	canonical = deparse_expression(expr, names, false, false);
	AtEOXact_GUC(false, level);
	return canonical;
}

/*
 * The table that a condition is for, opened.  The lock stays until the
 * transaction ends: what is noted about the table must not outlive it.
 */
Relation
dbp_condition_open(Oid relid)
{
	Relation rel = try_relation_open(relid, AccessShareLock);

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_FOREIGN_TABLE:
		case RELKIND_VIEW:
			return rel;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" is not a table or view", RelationGetRelationName(rel))));
	}
	return NULL;
}

/*
 * condition("table" regclass, expression text) returns text
 *
 * The canonical text; errors as in dbp_condition_parse().
 */
Datum
dbperf_condition(PG_FUNCTION_ARGS)
{
	Relation rel;
	char *canonical;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("table and expression must not be null")));
	rel = dbp_condition_open(PG_GETARG_OID(0));
	canonical = dbp_condition_canonical(rel, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	relation_close(rel, NoLock);
	PG_RETURN_TEXT_P(cstring_to_text(canonical));
}
