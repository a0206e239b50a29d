/*-------------------------------------------------------------------------
 *
 * rewrite_check.c
 *		Which tables can be compressed, decompressed and recompressed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/catalog.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"

#include "columnar/columnar.h"
#include "columnar/rewrite_parts.h"
#include "partition/partition.h"

static const char *
function_name(DbpRewriteKind kind)
{
	switch (kind)
	{
		case DBP_REWRITE_COMPRESS:
			return "dbperf.compress_partition()";
		case DBP_REWRITE_DECOMPRESS:
			return "dbperf.decompress_partition()";
		case DBP_REWRITE_RECOMPRESS:
			return "dbperf.recompress_partition()";
	}
	return "?";
}

static const char *
verb(DbpRewriteKind kind)
{
	switch (kind)
	{
		case DBP_REWRITE_COMPRESS:
			return "compress";
		case DBP_REWRITE_DECOMPRESS:
			return "decompress";
		case DBP_REWRITE_RECOMPRESS:
			return "recompress";
	}
	return "?";
}

/*
 * Only what has rows of its own that are ours to move.
 */
static void
check_kind(Relation rel, DbpRewriteKind kind)
{
	const char *name = RelationGetRelationName(rel);

	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_MATVIEW:
			break;
		case RELKIND_PARTITIONED_TABLE:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("cannot %s partitioned table \"%s\"", verb(kind), name),
					 errhint("Its partitions have the rows: call %s for each of them, or set "
							 "compress_after with dbperf.alter_policy().",
							 function_name(kind))));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("cannot %s \"%s\": it is not a table", verb(kind), name)));
	}
	if (IsSystemRelation(rel))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot %s \"%s\": it is a system catalog", verb(kind), name)));
	if (RELATION_IS_OTHER_TEMP(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot %s temporary tables of other sessions", verb(kind))));
}

static void
check_access_method(Relation rel, DbpRewriteKind kind)
{
	const char *name = RelationGetRelationName(rel);
	bool columnar = dbp_is_columnar(rel);

	if (!columnar && rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot %s table \"%s\" of access method \"%s\"", verb(kind), name,
						get_am_name(rel->rd_rel->relam)),
				 errhint("Use ALTER TABLE ... SET ACCESS METHOD.")));
	if (kind == DBP_REWRITE_COMPRESS && columnar)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is already compressed", name),
				 errhint("dbperf.recompress_partition() merges its late rows.")));
	if (kind != DBP_REWRITE_COMPRESS && !columnar)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not compressed", name),
				 errhint("dbperf.compress_partition() compresses it.")));
}

Relation
dbp_rewrite_open(const DbpRewriteRequest *request, LOCKMODE lock)
{
	/* the lock is there; the table may have gone while it was waited for */
	Relation rel = try_relation_open(request->relid, NoLock);

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", request->relid)));
	check_kind(rel, request->kind);
	dbp_check_table_owner(request->relid);
	check_access_method(rel, request->kind);
	CheckTableNotInUse(rel, verb(request->kind));
	return rel;
}
