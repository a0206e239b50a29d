/*-------------------------------------------------------------------------
 *
 * verify_page.c
 *		Pages and row tuples that may be damaged.
 *
 * The server trusts what is on a page: a length that is wrong makes it read
 * elsewhere.  So pages are copied, and whatever leads from one place to another
 * is looked at before it is followed, as amcheck does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heapam.h"
#include "access/multixact.h"
#include "access/transam.h"
#include "access/tupmacs.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/memutils.h"

#include "columnar/batch.h"
#include "columnar/inspect.h"

static bool
xid_is_known(Relation rel, TransactionId xid)
{
	TransactionId oldest = rel->rd_rel->relfrozenxid;

	if (xid == BootstrapTransactionId || xid == FrozenTransactionId)
		return true;
	return TransactionIdIsNormal(xid) && TransactionIdPrecedes(xid, ReadNextTransactionId()) &&
		!(TransactionIdIsNormal(oldest) && TransactionIdPrecedes(xid, oldest));
}

static bool
multi_is_known(Relation rel, MultiXactId multi)
{
	return MultiXactIdIsValid(multi) && MultiXactIdPrecedes(multi, ReadNextMultiXactId()) &&
		!MultiXactIdPrecedes(multi, rel->rd_rel->relminmxid);
}

/* Can xmin and xmax be looked up? */
static bool
xids_are_sound(Relation rel, HeapTupleHeader header)
{
	TransactionId xmax = HeapTupleHeaderGetRawXmax(header);

	if ((header->t_infomask & HEAP_MOVED) != 0)
		return false;
	if (!HeapTupleHeaderXminFrozen(header) && !xid_is_known(rel, HeapTupleHeaderGetRawXmin(header)))
		return false;
	if ((header->t_infomask & HEAP_XMAX_INVALID) != 0 ||
		((header->t_infomask & HEAP_XMAX_IS_MULTI) == 0 && !TransactionIdIsValid(xmax)))
		return true;
	if ((header->t_infomask & HEAP_XMAX_IS_MULTI) != 0)
		return (header->t_infomask & HEAP_XMAX_COMMITTED) == 0 && multi_is_known(rel, xmax);
	return xid_is_known(rel, xmax);
}

/* Its columns may have gone with the transaction.  xmin is known to be one that can be looked up. */
static bool
is_of_aborted(HeapTupleHeader header)
{
	TransactionId xmin = HeapTupleHeaderGetRawXmin(header);

	return !HeapTupleHeaderXminFrozen(header) && !TransactionIdIsCurrentTransactionId(xmin) &&
		!TransactionIdIsInProgress(xmin) && !TransactionIdDidCommit(xmin);
}

/* NULL: nothing is wrong with the line pointer and the header */
static const char *
problem_of_tuple(Relation rel, const char *page, ItemId item)
{
	HeapTupleHeader header;
	int natts;

	if (ItemIdGetOffset(item) != MAXALIGN(ItemIdGetOffset(item)) ||
		ItemIdGetOffset(item) < SizeOfPageHeaderData ||
		ItemIdGetOffset(item) + ItemIdGetLength(item) > BLCKSZ)
		return "its line pointer leads astray";
	if (ItemIdGetLength(item) < MAXALIGN(SizeofHeapTupleHeader))
		return "it is too short";
	header = (HeapTupleHeader) (page + ItemIdGetOffset(item));
	natts = HeapTupleHeaderGetNatts(header);
	if (header->t_hoff > ItemIdGetLength(item) ||
		header->t_hoff !=
			MAXALIGN(SizeofHeapTupleHeader +
					 ((header->t_infomask & HEAP_HASNULL) != 0 ? BITMAPLEN(natts) : 0)))
		return "the length of its header is wrong";
	if (!xids_are_sound(rel, header))
		return "its xmin or xmax cannot be";
	if (natts > RelationGetDescr(rel)->natts && !is_of_aborted(header))
		return "it has too many columns";
	return NULL;
}

typedef struct PageRead
{
	DbpVerify *verify;
	DbpVerifyPage *page;
	bool report;
} PageRead;

static void
read_page(void *arg)
{
	PageRead *read = arg;
	DbpVerifyPage *page = read->page;
	Buffer buffer = ReadBufferExtended(page->rel, MAIN_FORKNUM, page->block, RBM_NORMAL,
									   read->verify->strategy);
	char *copy = page->copy.data;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	memcpy(copy, BufferGetPage(buffer), BLCKSZ);
	for (OffsetNumber offset = FirstOffsetNumber;
		 !PageIsNew(copy) && offset <= Min(PageGetMaxOffsetNumber(copy), MaxHeapTuplesPerPage);
		 offset++)
	{
		ItemId item = PageGetItemId(copy, offset);
		DbpVerifyTuple *found = &page->tuples[page->n];
		HeapTupleData shared;
		const char *problem;

		if (!ItemIdIsNormal(item))
			continue;
		ItemPointerSet(&found->tuple.t_self, page->block, offset);
		problem = problem_of_tuple(page->rel, copy, item);
		if (problem != NULL)
		{
			if (read->report)
				dbp_verify_report(read->verify, NULL, &found->tuple.t_self, 0, -1,
								  psprintf("a tuple of \"%s\" is damaged: %s",
										   RelationGetRelationName(page->rel), problem));
			continue;
		}
		if (is_of_aborted((HeapTupleHeader) (copy + ItemIdGetOffset(item))))
			continue;
		found->tuple.t_tableOid = RelationGetRelid(page->rel);
		found->tuple.t_len = ItemIdGetLength(item);
		found->tuple.t_data = (HeapTupleHeader) (copy + ItemIdGetOffset(item));
		shared = found->tuple;
		shared.t_data = (HeapTupleHeader) (BufferGetPage(buffer) + ItemIdGetOffset(item));
		found->visible = HeapTupleSatisfiesVisibility(&shared, read->verify->snapshot, buffer);
		page->n++;
	}
	UnlockReleaseBuffer(buffer);
}

void
dbp_verify_page(DbpVerify *verify, Relation rel, BlockNumber block, bool report,
				DbpVerifyPage *page)
{
	PageRead read = {.verify = verify, .page = page, .report = report};
	char *problem;
	ItemPointerData tid;

	CHECK_FOR_INTERRUPTS();
	page->rel = rel;
	page->block = block;
	page->n = 0;
	problem = dbp_problem_of(read_page, &read);
	if (problem == NULL)
		return;
	page->n = 0;
	ItemPointerSet(&tid, block, InvalidOffsetNumber);
	if (report)
		dbp_verify_report(verify, NULL, &tid, 0, -1, problem);
}

/* A value that lies elsewhere, or is compressed: what would be read to use it */
static const char *
problem_of_pointer(DbpVerify *verify, const char *value)
{
	struct varatt_external pointer;

	if (!VARATT_IS_EXTERNAL_ONDISK(value))
		return "it is no value";
	VARATT_EXTERNAL_GET_POINTER(pointer, value);
	if (pointer.va_toastrelid != verify->rel->rd_rel->reltoastrelid)
		return "it is in another TOAST table";
	if (pointer.va_rawsize < VARHDRSZ || (Size) (pointer.va_rawsize - VARHDRSZ) > MaxAllocSize ||
		VARATT_EXTERNAL_GET_EXTSIZE(pointer) > MaxAllocSize)
		return "its length cannot be";
	dbp_verify_know(verify, pointer.va_valueid, -2);
	return NULL;
}

/* A varlena at *at, which is moved on behind it */
static const char *
problem_of_varlena(DbpVerify *verify, const char *data, uint32 length, uint32 *at)
{
	const char *value = data + *at;
	uint32 room = length - *at;

	if (VARATT_IS_EXTERNAL(value))
	{
		if (room < VARHDRSZ_EXTERNAL || VARTAG_EXTERNAL(value) != VARTAG_ONDISK ||
			room < VARSIZE_EXTERNAL(value))
			return "it is no value";
		*at += VARSIZE_EXTERNAL(value);
		return problem_of_pointer(verify, value);
	}
	if (VARATT_IS_SHORT(value))
	{
		*at += VARSIZE_SHORT(value);
		return *at > length ? "it is too long" : NULL;
	}
	if (room < VARHDRSZ || VARSIZE(value) < VARHDRSZ ||
		(VARATT_IS_COMPRESSED(value) && VARSIZE(value) < VARHDRSZ_COMPRESSED))
		return "it is too short";
	if (VARSIZE(value) > room)
		return "it is too long";
	*at += VARSIZE(value);
	return NULL;
}

/* NULL: it is within the tuple, from *start to before *at, which is moved on */
static const char *
problem_of_value(DbpVerify *verify, Form_pg_attribute att, const char *data, uint32 length,
				 uint32 *start, uint32 *at)
{
	if (*at < length)
		*at = att->attlen == -1 ? att_align_pointer(*at, att->attalign, -1, data + *at)
								: att_align_nominal(*at, att->attalign);
	if (*at >= length)
		return "it is behind the end of its tuple";
	*start = *at;
	if (att->attlen == -1)
		return problem_of_varlena(verify, data, length, at);
	if (att->attlen == -2)
	{
		const char *end = memchr(data + *at, 0, length - *at);

		*at = end == NULL ? length + 1 : (uint32) (end - data) + 1;
	}
	else
		*at += att->attlen;
	return *at > length ? "it is too long" : NULL;
}

static void
read_value(void *arg)
{
	pfree(detoast_attr(arg));
}

/* Reads a value as a query would, if it is toasted or compressed */
static const char *
problem_of_content(Form_pg_attribute att, char *value)
{
	if (att->attlen != -1 || att->attisdropped ||
		!(VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value)))
		return NULL;
	return dbp_problem_of(read_value, value);
}

bool
dbp_verify_row(DbpVerify *verify, HeapTuple tuple, bool report)
{
	HeapTupleHeader header = tuple->t_data;
	char *data = (char *) header + header->t_hoff;
	uint32 length = tuple->t_len - header->t_hoff;
	uint32 start = 0;
	uint32 at = 0;

	for (int i = 0; i < HeapTupleHeaderGetNatts(header); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(verify->rel), i);
		const char *problem;
		const char *content;

		if ((header->t_infomask & HEAP_HASNULL) != 0 && att_isnull(i, header->t_bits))
			continue;
		problem = problem_of_value(verify, att, data, length, &start, &at);
		content = problem == NULL && report ? problem_of_content(att, data + start) : NULL;
		if (report && (problem != NULL || content != NULL))
			dbp_verify_report(verify, NULL, &tuple->t_self, att->attnum, -1,
							  problem != NULL ? problem : content);
		if (problem != NULL)
			return false;
	}
	return true;
}
