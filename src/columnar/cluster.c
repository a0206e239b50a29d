/*-------------------------------------------------------------------------
 *
 * cluster.c
 *		VACUUM FULL and CLUSTER of a columnar table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "utils/rel.h"

#include "columnar/columnar.h"
#include "columnar/rewrite.h"
#include "columnar/transfer.h"

/*
 * The order that an index brings, as far as its columns are plain; else that
 * which the table has.
 */
static List *
sort_key(Relation old, Relation index)
{
	List *result = NIL;

	if (index == NULL || index->rd_rel->relam != BTREE_AM_OID)
		return dbp_table_sort_key(old);
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		AttrNumber attnum = index->rd_index->indkey.values[i];

		if (!dbp_can_sort_by(RelationGetDescr(old), attnum))
			break;
		result = list_append_unique_int(result, attnum);
	}
	return result != NIL ? result : dbp_table_sort_key(old);
}

void
dbp_copy_for_cluster(Relation old, Relation new, Relation index, bool use_sort,
					 TransactionId oldest_xmin, TransactionId *xid_cutoff,
					 MultiXactId *multi_cutoff, double *num_tuples, double *tups_vacuumed,
					 double *tups_recently_dead)
{
	DbpTransferOptions options = {0};
	DbpTransferCounts counts;
	DbpTransfer *transfer;

	dbp_pending_flush(old);
	options.sort_by = sort_key(old, index);
	options.exclusive = true;
	options.report_cluster = true;
	options.horizon = oldest_xmin;
	options.freeze_limit = *xid_cutoff;
	options.multi_cutoff = *multi_cutoff;
	transfer = dbp_transfer_begin(old, new, &options);
	dbp_transfer_copy(transfer);
	dbp_transfer_finish(transfer, &counts);
	dbp_transfer_end(transfer);
	dbp_sort_key_store(new, dbp_sort_key_stored(old), GetCurrentCommandId(true));
	*num_tuples = counts.rows - counts.gone + counts.carried;
	*tups_vacuumed = counts.dead;
	*tups_recently_dead = counts.recently;
}
