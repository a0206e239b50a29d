/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Differences between the supported releases of PostgreSQL (15 to 18).
 *
 * No other file looks at PG_VERSION_NUM.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COMPAT_H
#define DBP_COMPAT_H

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "tradeassist_dbperf supports PostgreSQL 15, 16, 17 and 18"
#endif

/* 16 folded pg_class_ownercheck() and its kin into object_ownercheck() */
#if PG_VERSION_NUM >= 160000
#define dbp_owns_relation(relid, roleid) object_ownercheck(RelationRelationId, (relid), (roleid))
#define dbp_owns_schema(nspoid, roleid) object_ownercheck(NamespaceRelationId, (nspoid), (roleid))
#define dbp_owns_function(oid, roleid) object_ownercheck(ProcedureRelationId, (oid), (roleid))
#define dbp_owns_database(oid, roleid) object_ownercheck(DatabaseRelationId, (oid), (roleid))
#else
#define dbp_owns_relation(relid, roleid) pg_class_ownercheck((relid), (roleid))
#define dbp_owns_schema(nspoid, roleid) pg_namespace_ownercheck((nspoid), (roleid))
#define dbp_owns_function(oid, roleid) pg_proc_ownercheck((oid), (roleid))
#define dbp_owns_database(oid, roleid) pg_database_ownercheck((oid), (roleid))
#endif

/* and pg_namespace_aclcheck() and its kin into object_aclcheck() */
#if PG_VERSION_NUM >= 160000
#define dbp_may_use_schema(nspoid) \
	(object_aclcheck(NamespaceRelationId, (nspoid), GetUserId(), ACL_USAGE) == ACLCHECK_OK)
#else
#define dbp_may_use_schema(nspoid) \
	(pg_namespace_aclcheck((nspoid), GetUserId(), ACL_USAGE) == ACLCHECK_OK)
#endif

/* 16 renamed RelFileNode to RelFileLocator, and its fields */
#if PG_VERSION_NUM >= 160000
#define DbpRelFile RelFileLocator
#define dbp_relfile_set(file, tablespace, database, number) \
	((file).spcOid = (tablespace), (file).dbOid = (database), (file).relNumber = (number))
#define dbp_relfile_number(file) ((file).relNumber)
#else
#define DbpRelFile RelFileNode
#define dbp_relfile_set(file, tablespace, database, number) \
	((file).spcNode = (tablespace), (file).dbNode = (database), (file).relNode = (number))
#define dbp_relfile_number(file) ((file).relNode)
#endif

/* 18 returns the path of a relation's fork in a struct, not palloc'd */
#if PG_VERSION_NUM >= 180000
#define dbp_relpath(file) pstrdup(relpathperm((file), MAIN_FORKNUM).str)
#else
#define dbp_relpath(file) relpathperm((file), MAIN_FORKNUM)
#endif

/* 16 has DecodeDateTime() explain a failure through one more argument */
#if PG_VERSION_NUM >= 160000
#define dbp_decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime((field), (ftype), (nf), (dtype), (tm), (fsec), (tz), &(DateTimeErrorExtra){0})
#else
#define dbp_decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime((field), (ftype), (nf), (dtype), (tm), (fsec), (tz))
#endif

/* 16 keeps settings in a memory context of their own */
#if PG_VERSION_NUM >= 160000
#define dbp_guc_malloc(size) guc_malloc(LOG, (size))
#else
#define dbp_guc_malloc(size) malloc(size)
#endif

/* 17 split backend ids into process numbers */
#if PG_VERSION_NUM >= 170000
#define dbp_backend_proc(vxid) ProcNumberGetProc((vxid).procNumber)
#define dbp_proc_lxid(proc) ((proc)->vxid.lxid)
#define dbp_vxid_backend(vxid) ((vxid).procNumber)
#else
#define dbp_backend_proc(vxid) BackendIdGetProc((vxid).backendId)
#define dbp_proc_lxid(proc) ((proc)->lxid)
#define dbp_vxid_backend(vxid) ((vxid).backendId)
#endif

/* 17 can look for stronger locks at the same time */
#if PG_VERSION_NUM >= 170000
#define dbp_lock_held(tag, mode) LockHeldByMe((tag), (mode), false)
#else
#define dbp_lock_held(tag, mode) LockHeldByMe((tag), (mode))
#endif

/* 16 made a column's statistics target a smallint */
#if PG_VERSION_NUM >= 160000
#define dbp_datum_stattarget(datum) ((int) DatumGetInt16(datum))
#else
#define dbp_datum_stattarget(datum) ((int) DatumGetInt32(datum))
#endif

/* 17 lets a partitioned table have an access method that partitions take on */
#if PG_VERSION_NUM >= 170000
#include "commands/defrem.h"
#include "utils/lsyscache.h"
#define dbp_partitioned_access_method(relid) get_am_name(get_rel_relam(relid))
#else
#define dbp_partitioned_access_method(relid) NULL
#endif

/* 18 has constraints that are not enforced */
#if PG_VERSION_NUM >= 180000
#define dbp_constraint_enforced(constraint) ((constraint)->is_enforced = true)
#else
#define dbp_constraint_enforced(constraint) ((void) (constraint))
#endif

/* 18 counts what a scan of an index does */
#if PG_VERSION_NUM >= 180000
#define dbp_index_beginscan(table, index, snapshot, nkeys) \
	index_beginscan((table), (index), (snapshot), NULL, (nkeys), 0)
#else
#define dbp_index_beginscan(table, index, snapshot, nkeys) \
	index_beginscan((table), (index), (snapshot), (nkeys), 0)
#endif

/* 16 may be asked to leave out all but summarizing indexes */
#if PG_VERSION_NUM >= 160000
#define dbp_insert_index_tuples(result, slot, estate) \
	ExecInsertIndexTuples((result), (slot), (estate), false, false, NULL, NIL, false)
#else
#define dbp_insert_index_tuples(result, slot, estate) \
	ExecInsertIndexTuples((result), (slot), (estate), false, false, NULL, NIL)
#endif

/* 18 has generated columns that are not stored: in an expression, what they stand for */
#if PG_VERSION_NUM >= 180000
#include "rewrite/rewriteHandler.h"
#define dbp_expand_generated(expr, rel) expand_generated_columns_in_expr((expr), (rel), 1)
#else
#define dbp_expand_generated(expr, rel) (expr)
#endif

/*
 * A range table of one entry, to be inserted into.  16 keeps privileges apart
 * from it, 18 wants to know what is not pruned.
 */
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#endif
#if PG_VERSION_NUM >= 180000
#define dbp_init_range_table(estate, entry, inserted) \
	do \
	{ \
		List *permissions_ = NIL; \
		addRTEPermissionInfo(&permissions_, (entry))->insertedCols = (inserted); \
		ExecInitRangeTable((estate), list_make1(entry), permissions_, bms_make_singleton(1)); \
	} while (0)
#elif PG_VERSION_NUM >= 160000
#define dbp_init_range_table(estate, entry, inserted) \
	do \
	{ \
		List *permissions_ = NIL; \
		addRTEPermissionInfo(&permissions_, (entry))->insertedCols = (inserted); \
		ExecInitRangeTable((estate), list_make1(entry), permissions_); \
	} while (0)
#else
#define dbp_init_range_table(estate, entry, inserted) \
	do \
	{ \
		(entry)->insertedCols = (inserted); \
		ExecInitRangeTable((estate), list_make1(entry)); \
	} while (0)
#endif

/* May the current user insert into these columns?  Raises insufficient_privilege. */
#if PG_VERSION_NUM >= 160000
#define dbp_check_insert_privileges(entry, inserted) \
	do \
	{ \
		List *permissions_ = NIL; \
		RTEPermissionInfo *permission_ = addRTEPermissionInfo(&permissions_, (entry)); \
		permission_->requiredPerms = ACL_INSERT; \
		permission_->insertedCols = (inserted); \
		(void) ExecCheckPermissions(list_make1(entry), permissions_, true); \
	} while (0)
#else
#define dbp_check_insert_privileges(entry, inserted) \
	do \
	{ \
		(entry)->requiredPerms = ACL_INSERT; \
		(entry)->insertedCols = (inserted); \
		(void) ExecCheckRTPerms(list_make1(entry), true); \
	} while (0)
#endif

/* 16 makes the map from a root to its child when it is first asked for, if it is a child */
#if PG_VERSION_NUM >= 160000
#define dbp_root_to_child_map(result, estate) \
	((result)->ri_RootResultRelInfo == NULL ? NULL : ExecGetRootToChildMap((result), (estate)))
#else
#define dbp_root_to_child_map(result, estate) ((result)->ri_RootToPartitionMap)
#endif

/* 18 has FINALIZE look up the parent's columns and constraints in the partition */
#define DBP_FINALIZE_WANTS_ALL (PG_VERSION_NUM >= 180000)

/* 16 keeps the privileges that an entry of a range table asks for apart from it */
#if PG_VERSION_NUM >= 160000
#define dbp_required_privileges(plan, entry) \
	((entry)->perminfoindex == 0 \
		 ? 0 \
		 : list_nth_node(RTEPermissionInfo, (plan)->permInfos, (entry)->perminfoindex - 1) \
			   ->requiredPerms)
#else
#define dbp_required_privileges(plan, entry) ((entry)->requiredPerms)
#endif

/* 18 executes a query once and no more, and is not told so */
#if PG_VERSION_NUM >= 180000
#define DBP_EXECUTOR_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count
#define DBP_EXECUTOR_RUN_ARGUMENTS query, direction, count
#else
#define DBP_EXECUTOR_RUN_PARAMETERS \
	QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once
#define DBP_EXECUTOR_RUN_ARGUMENTS query, direction, count, execute_once
#endif

/* 16 renamed in which subtransaction a relation got the file that it has */
#if PG_VERSION_NUM >= 160000
#define dbp_relation_file_subid(rel) \
	((rel)->rd_newRelfilelocatorSubid != InvalidSubTransactionId \
		 ? (rel)->rd_newRelfilelocatorSubid \
		 : (rel)->rd_createSubid)
#define dbp_same_relfile(a, b) RelFileLocatorEquals((a), (b))
#else
#define dbp_relation_file_subid(rel) \
	((rel)->rd_newRelfilenodeSubid != InvalidSubTransactionId ? (rel)->rd_newRelfilenodeSubid \
															  : (rel)->rd_createSubid)
#define dbp_same_relfile(a, b) RelFileNodeEquals((a), (b))
#endif

/* 16 renamed what looks up the status of another process */
#if PG_VERSION_NUM >= 160000
#define dbp_local_beentry(index) pgstat_get_local_beentry_by_index(index)
#else
#define dbp_local_beentry(index) pgstat_fetch_stat_local_beentry(index)
#endif

/* pg_database.datconnlimit of a database whose DROP was interrupted; not in the first 15 */
#ifndef DATCONNLIMIT_INVALID_DB
#define DATCONNLIMIT_INVALID_DB -2
#endif

/* 16 distinguishes indexes that only summarize what blocks have */
#if PG_VERSION_NUM >= 160000
#define DbpUpdateIndexes TU_UpdateIndexes
#define dbp_updates_all_indexes(update) ((update) == TU_All)
#define dbp_set_update_indexes(update, all) (*(update) = (all) ? TU_All : TU_None)
#else
#define DbpUpdateIndexes bool
#define dbp_updates_all_indexes(update) (update)
#define dbp_set_update_indexes(update, all) (*(update) = (all))
#endif

/* 18 can log that a lock was not to be had */
#if PG_VERSION_NUM >= 180000
#define dbp_xact_lock_table_try(xid) ConditionalXactLockTableWait((xid), false)
#else
#define dbp_xact_lock_table_try(xid) ConditionalXactLockTableWait(xid)
#endif

/* 16 renamed where a relation says what its file is */
#if PG_VERSION_NUM >= 160000
#define dbp_relation_file(rel) ((rel)->rd_locator)
#define dbp_new_file_subxact(rel) ((rel)->rd_firstRelfilelocatorSubid)
#else
#define dbp_relation_file(rel) ((rel)->rd_node)
#define dbp_new_file_subxact(rel) ((rel)->rd_firstRelfilenodeSubid)
#endif
/* Did the current transaction make it? */
#define dbp_has_new_file(rel) \
	((rel)->rd_createSubid != InvalidSubTransactionId || \
	 dbp_new_file_subxact(rel) != InvalidSubTransactionId)

/* 16 has bulk inserts extend a relation by more and more pages at a time, and leaves what is not used empty */
#if PG_VERSION_NUM >= 160000
#define dbp_bulk_insert_page_by_page(bistate) ((bistate)->already_extended_by = 0)
#else
#define dbp_bulk_insert_page_by_page(bistate) ((void) (bistate))
#endif

/* 17 reads the blocks for ANALYZE ahead, and gives a stream of them */
#if PG_VERSION_NUM >= 170000
#include "storage/bufmgr.h"
#include "storage/read_stream.h"
#define DBP_ANALYZE_BLOCK_ARGS ReadStream *analyzed_
#define dbp_analyze_block(block) dbp_next_streamed_block(analyzed_, (block))
static inline bool
dbp_next_streamed_block(ReadStream *stream, BlockNumber *block)
{
	Buffer buffer = read_stream_next_buffer(stream, NULL);

	if (!BufferIsValid(buffer))
		return false;
	*block = BufferGetBlockNumber(buffer);
	ReleaseBuffer(buffer);
	return true;
}
#else
#define DBP_ANALYZE_BLOCK_ARGS BlockNumber analyzed_, BufferAccessStrategy strategy_
#define dbp_analyze_block(block) (*(block) = analyzed_, true)
#endif

/* 17 can be asked whether a slot's row is of this transaction */
#if PG_VERSION_NUM >= 170000
#define DBP_HAS_SLOT_IS_CURRENT_XACT 1
#endif

/* 18 has one callback for bitmap scans where there were two */
#if PG_VERSION_NUM >= 180000
#define dbp_no_bitmap_scan(routine) ((routine).scan_bitmap_next_tuple = NULL)
#else
#define dbp_no_bitmap_scan(routine) \
	((routine).scan_bitmap_next_block = NULL, (routine).scan_bitmap_next_tuple = NULL)
#endif

/* 18 keeps the number of frozen pages, too */
#if PG_VERSION_NUM >= 180000
#define dbp_update_relstats(rel, pages, tuples, visible, frozen, hasindex) \
	vac_update_relstats((rel), (pages), (tuples), (visible), (frozen), (hasindex), \
						InvalidTransactionId, InvalidMultiXactId, NULL, NULL, false)
#else
#define dbp_update_relstats(rel, pages, tuples, visible, frozen, hasindex) \
	vac_update_relstats((rel), (pages), (tuples), (visible), (hasindex), InvalidTransactionId, \
						InvalidMultiXactId, NULL, NULL, false)
#endif

/* 18 counts what a scan of an index does, here as well */
#if PG_VERSION_NUM >= 180000
#define dbp_index_beginscan_bitmap(index, snapshot, nkeys) \
	index_beginscan_bitmap((index), (snapshot), NULL, (nkeys))
#else
#define dbp_index_beginscan_bitmap(index, snapshot, nkeys) \
	index_beginscan_bitmap((index), (snapshot), (nkeys))
#endif

/* 17 has an index keep what it likes from one insertion to the next */
#if PG_VERSION_NUM >= 170000
#define dbp_index_insert_cleanup(index, info) index_insert_cleanup((index), (info))
#else
#define dbp_index_insert_cleanup(index, info) ((void) (index), (void) (info))
#endif

/* 16 can hand out copies of what was sorted */
#if PG_VERSION_NUM >= 160000
#define dbp_tuplesort_getdatum(sort, value, isnull) \
	tuplesort_getdatum((sort), true, false, (value), (isnull), NULL)
#else
#define dbp_tuplesort_getdatum(sort, value, isnull) \
	tuplesort_getdatum((sort), true, (value), (isnull), NULL)
#endif

/* 16 renamed where a relation says that its file is of this very transaction */
#if PG_VERSION_NUM >= 160000
#define dbp_relation_file_is_new(rel) \
	((rel)->rd_createSubid != InvalidSubTransactionId || \
	 (rel)->rd_firstRelfilelocatorSubid != InvalidSubTransactionId)
#else
#define dbp_relation_file_is_new(rel) \
	((rel)->rd_createSubid != InvalidSubTransactionId || \
	 (rel)->rd_firstRelfilenodeSubid != InvalidSubTransactionId)
#endif

/* 18 has the largest entry of a B-tree as a constant, before it was one of a page */
#if PG_VERSION_NUM >= 180000
#define DBP_BTREE_MAX_ITEM BTMaxItemSize
#else
#define DBP_PAGE_SIZE_VERSION (BLCKSZ | PG_PAGE_LAYOUT_VERSION)
#define DBP_BTREE_MAX_ITEM \
	BTMaxItemSize((Page) & (PageHeaderData){.pd_pagesize_version = DBP_PAGE_SIZE_VERSION})
#endif

/* 18 can be asked for room before a minimal tuple */
#if PG_VERSION_NUM >= 180000
#define DBP_MINIMAL_TUPLE_ARGS TupleTableSlot *slot, Size extra
#define dbp_copy_minimal_tuple(slot) (slot)->tts_ops->copy_minimal_tuple((slot), extra)
#define dbp_form_minimal_tuple(desc, values, isnull) \
	heap_form_minimal_tuple((desc), (values), (isnull), extra)
#else
#define DBP_MINIMAL_TUPLE_ARGS TupleTableSlot *slot
#define dbp_copy_minimal_tuple(slot) (slot)->tts_ops->copy_minimal_tuple(slot)
#define dbp_form_minimal_tuple(desc, values, isnull) \
	heap_form_minimal_tuple((desc), (values), (isnull))
#endif

#endif /* DBP_COMPAT_H */
