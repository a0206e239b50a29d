/*-------------------------------------------------------------------------
 *
 * tid.c
 *		TIDs of rows in batches; columnar.h has the layout.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "columnar.h"

/* How many blocks can hold batch tuples, and the parts of a line pointer's number */
#define BLOCK_LIMIT ((BlockNumber) 1 << 25)
#define LINE_HIGH_BITS 6
#define LINE_LOW_BITS 3

StaticAssertDecl(MaxHeapTuplesPerPage < (1 << (LINE_HIGH_BITS + LINE_LOW_BITS)),
				 "line pointers fit");
StaticAssertDecl((1 << LINE_LOW_BITS) * DBP_BATCH_ROWS < 0xfffd, "offsets stay valid");

bool
dbp_tid_is_batch_row(const ItemPointerData *tid)
{
	return (ItemPointerGetBlockNumberNoCheck(tid) & DBP_TID_BATCH_FLAG) != 0 &&
		!ItemPointerIndicatesMovedPartitions(tid);
}

void
dbp_tid_make(ItemPointer tid, const ItemPointerData *batch, int row)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(batch);
	OffsetNumber line = ItemPointerGetOffsetNumberNoCheck(batch);

	Assert(row >= 0 && row < DBP_BATCH_ROWS);
	if (block >= BLOCK_LIMIT)
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("a batch in block %u is beyond what a TID can name", block));
	ItemPointerSet(tid, DBP_TID_BATCH_FLAG | (block << LINE_HIGH_BITS) | (line >> LINE_LOW_BITS),
				   (line & ((1 << LINE_LOW_BITS) - 1)) * DBP_BATCH_ROWS + row + 1);
}

int
dbp_tid_split(const ItemPointerData *tid, ItemPointer batch)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(tid) & ~DBP_TID_BATCH_FLAG;
	int offset = (int) ItemPointerGetOffsetNumberNoCheck(tid) - 1;

	/* Users can write any TID; what names no batch is found out when it is looked for */
	if (offset < 0)
	{
		ItemPointerSet(batch, block >> LINE_HIGH_BITS, InvalidOffsetNumber);
		return 0;
	}
	ItemPointerSet(batch, block >> LINE_HIGH_BITS,
				   (block & ((1 << LINE_HIGH_BITS) - 1)) << LINE_LOW_BITS |
					   (offset / DBP_BATCH_ROWS & ((1 << LINE_LOW_BITS) - 1)));
	return offset % DBP_BATCH_ROWS;
}
