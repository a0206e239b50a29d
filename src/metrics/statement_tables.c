/*-------------------------------------------------------------------------
 *
 * statement_tables.c
 *		What a statement of the executor's does, and with which tables.
 *
 * A statement counts for each partitioned table that it names, itself or by a
 * partition, once: as what the statement is for the table that it writes to,
 * as a SELECT for those it reads.  What partitions the planner has added is of
 * no interest, and told from what was named by the privileges that are asked
 * for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

#include "compat.h"
#include "metrics/counters.h"
#include "metrics/statements.h"

#define ACL_WRITE (ACL_INSERT | ACL_UPDATE | ACL_DELETE)

DbpStatementKind
dbp_statement_kind(const QueryDesc *query)
{
	switch (query->operation)
	{
		case CMD_SELECT:
			return DBP_KIND_SELECT;
		case CMD_INSERT:
			return DBP_KIND_INSERT;
		case CMD_UPDATE:
			return DBP_KIND_UPDATE;
		case CMD_DELETE:
			return DBP_KIND_DELETE;
		case CMD_MERGE:
			return DBP_KIND_MERGE;
		default:
			return DBP_KIND_UTILITY;
	}
}

/* FOR UPDATE asks for the privilege, too: that alone does not make it one */
static DbpStatementKind
kind_for_table(const PlannedStmt *plan, DbpStatementKind kind, AclMode privileges)
{
	if ((kind == DBP_KIND_INSERT && (privileges & ACL_INSERT)) ||
		(kind == DBP_KIND_UPDATE && (privileges & ACL_UPDATE)) ||
		(kind == DBP_KIND_DELETE && (privileges & ACL_DELETE)) ||
		(kind == DBP_KIND_MERGE && (privileges & ACL_WRITE)) || kind == DBP_KIND_COPY)
		return kind;
	/* INSERT, UPDATE, DELETE inside WITH */
	if (plan->hasModifyingCTE && (privileges & ACL_INSERT))
		return DBP_KIND_INSERT;
	if (plan->hasModifyingCTE && (privileges & ACL_DELETE))
		return DBP_KIND_DELETE;
	if (plan->hasModifyingCTE && (privileges & ACL_UPDATE))
		return DBP_KIND_UPDATE;
	return DBP_KIND_SELECT;
}

/* InvalidOid: neither partitioned nor a partition */
static Oid
root_of_entry(const RangeTblEntry *entry)
{
	Oid root;

	if (entry->relkind != RELKIND_RELATION && entry->relkind != RELKIND_PARTITIONED_TABLE &&
		entry->relkind != RELKIND_FOREIGN_TABLE)
		return InvalidOid;
	root = dbp_root_of(entry->relid);
	return root != entry->relid || entry->relkind == RELKIND_PARTITIONED_TABLE ? root : InvalidOid;
}

static int
add_table(DbpStatementTable *tables, int n, Oid root, DbpStatementKind kind)
{
	for (int i = 0; i < n; i++)
	{
		if (tables[i].root != root)
			continue;
		/* read and written */
		if (tables[i].kind == DBP_KIND_SELECT)
			tables[i].kind = kind;
		return n;
	}
	if (n == DBP_STATEMENT_TABLES)
		return n;
	tables[n].root = root;
	tables[n].kind = kind;
	return n + 1;
}

/*
 * The partitioned tables that a statement names, DBP_STATEMENT_TABLES of them
 * at most.
 */
int
dbp_statement_tables(const QueryDesc *query, DbpStatementKind kind, DbpStatementTable *tables)
{
	const PlannedStmt *plan = query->plannedstmt;
	int n = 0;
	ListCell *cell;

	foreach(cell, plan->rtable)
	{
		const RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);
		AclMode privileges;
		Oid root;

		if (entry->rtekind != RTE_RELATION)
			continue;
		privileges = dbp_required_privileges(plan, entry);
		if (privileges == 0)
			continue;
		root = root_of_entry(entry);
		if (OidIsValid(root))
			n = add_table(tables, n, root, kind_for_table(plan, kind, privileges));
	}
	return n;
}
