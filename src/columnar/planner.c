/*-------------------------------------------------------------------------
 *
 * planner.c
 *		What the planner is told of columnar relations: no index is there to
 *		be scanned, and how large they are.
 *
 * An index has no entries for most rows, so that no plan may use one.  It stays known
 * to the planner as something hypothetical, which proves uniqueness
 * where it is unique.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "nodes/pathnodes.h"
#include "optimizer/plancat.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "columnar.h"
#include "compat.h"

/* Pages to plan for of a table that may have no statistics only because it is new */
#define DBP_MIN_PAGES 10

static get_relation_info_hook_type prev_get_relation_info_hook = NULL;

/*
 * get_actual_variable_range() keeps off what is hypothetical.  A parallel scan would
 * be considered even of an index that has neither way of being scanned.
 */
static void
hide_indexes(RelOptInfo *rel)
{
	ListCell *lc;

	foreach(lc, rel->indexlist)
	{
		IndexOptInfo *index = lfirst_node(IndexOptInfo, lc);

		index->amhasgettuple = false;
		index->amhasgetbitmap = false;
		index->amcanparallel = false;
		index->hypothetical = true;
	}
}

/*
 * A columnar table that is a parent by inheritance comes here twice; for its
 * role as a parent (inhparent) it has neither indexes nor scans.  The planning of an index
 * build comes as if it were that, too, and learns that there are to be no workers.
 */
static void
adjust_relation_info(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	Relation relation;

	if (prev_get_relation_info_hook != NULL)
		prev_get_relation_info_hook(root, relid, inhparent, rel);
	relation = table_open(relid, NoLock);
	if (dbp_is_columnar(relation))
	{
		if (inhparent)
			rel->rel_parallel_workers = 0;
		hide_indexes(rel);
	}
	table_close(relation, NoLock);
}

void
dbp_columnar_planner_init(void)
{
	prev_get_relation_info_hook = get_relation_info_hook;
	get_relation_info_hook = adjust_relation_info;
}

static BlockNumber
toast_pages(Relation rel)
{
	Relation toast;
	BlockNumber pages;

	if (!OidIsValid(rel->rd_rel->reltoastrelid))
		return 0;
	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);
	pages = RelationGetNumberOfBlocks(toast);
	table_close(toast, AccessShareLock);
	return pages;
}

/* Row tuples that fit a page */
static double
rows_per_page(Relation rel, int32 *attr_widths)
{
	int32 width = get_rel_data_width(rel, attr_widths);

	width += MAXALIGN(SizeofHeapTupleHeader) + sizeof(ItemIdData);
	return (BLCKSZ - SizeOfPageHeaderData) / width;
}

/* Rows of batches, and row tuples as if all other pages were full of them */
static double
guess_rows(Relation rel, BlockNumber pages, double per_page)
{
	DbpBatch **batches;
	int nbatches = dbp_batch_list(rel, &batches);
	BlockNumber last = InvalidBlockNumber;
	double rows = 0;

	for (int i = 0; i < nbatches; i++)
	{
		BlockNumber block = ItemPointerGetBlockNumber(dbp_batch_tid(batches[i]));

		rows += dbp_batch_nrows(batches[i]);
		if (block != last && pages > 0)
			pages--;
		last = block;
	}
	return rows + pages * per_page;
}

/*
 * Pages are all that a scan reads, so that costs and the number of parallel
 * workers become right.  Rows are those of pg_class, plus as many as row tuples fit
 * the pages that the main fork has grown by since.
 */
void
dbp_relation_estimate_size(Relation rel, int32 *attr_widths, BlockNumber *pages, double *tuples,
						   double *allvisfrac)
{
	BlockNumber main_pages = RelationGetNumberOfBlocks(rel);
	BlockNumber known_pages = rel->rd_rel->relpages;
	double known_tuples = rel->rd_rel->reltuples;
	double per_page = rows_per_page(rel, attr_widths);

	/* An empty table that was never vacuumed will soon have rows, as everywhere */
	if (main_pages < DBP_MIN_PAGES && known_tuples < 0 && !rel->rd_rel->relhassubclass)
		main_pages = DBP_MIN_PAGES;
	*pages = main_pages + toast_pages(rel);
	*allvisfrac = 0;
	if (known_tuples < 0)
		*tuples = guess_rows(rel, main_pages, per_page);
	else if (main_pages > known_pages)
		*tuples = known_tuples + rint((main_pages - known_pages) * per_page);
	else
		*tuples = known_tuples;
}
