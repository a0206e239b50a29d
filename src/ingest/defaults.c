/*-------------------------------------------------------------------------
 *
 * defaults.c
 *		The defaults of a table's columns, ready to be evaluated.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "rewrite/rewriteHandler.h"
#include "utils/lsyscache.h"

#include "ingest/bulk.h"

/* A domain may not allow the NULL that a column without a default gets; NULL: no domain. */
static Node *
null_of_domain(Form_pg_attribute attribute)
{
	int32 typmod = attribute->atttypmod;
	Oid base = getBaseTypeAndTypmod(attribute->atttypid, &typmod);

	if (base == attribute->atttypid)
		return NULL;
	return coerce_to_domain((Node *) makeNullConst(base, typmod, attribute->attcollation), base,
							typmod, attribute->atttypid, COERCION_IMPLICIT, COERCE_IMPLICIT_CAST,
							-1, false);
}

/*
 * One entry for each column of the table. What is not volatile may be
 * evaluated once for many rows. *any_volatile: one of them is more than a
 * call of nextval(), and may look at the table.
 */
DbpDefault *
dbp_defaults_prepare(Relation rel, EState *estate, bool *any_volatile)
{
	TupleDesc desc = RelationGetDescr(rel);
	DbpDefault *defaults = palloc0(desc->natts * sizeof(DbpDefault));

	*any_volatile = false;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Node *expression;

		defaults[i].attnum = i + 1;
		if (attribute->attisdropped || attribute->attgenerated != '\0')
			continue;
		expression = build_column_default(rel, i + 1);
		if (expression == NULL)
			expression = null_of_domain(attribute);
		if (expression == NULL)
			continue;
		defaults[i].is_volatile = contain_volatile_functions(expression);
		if (contain_volatile_functions_not_nextval(expression))
			*any_volatile = true;
		defaults[i].state = ExecPrepareExpr((Expr *) expression, estate);
	}
	return defaults;
}
