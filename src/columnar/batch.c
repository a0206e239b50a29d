/*-------------------------------------------------------------------------
 *
 * batch.c
 *		Heads and directories of batches: from bytes and back.
 *
 * Checksums tell damage from anything that we wrote.  All the same nothing is
 * believed here that could lead out of the memory it is about.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "columnar/batch.h"

#define FLAG_FAMILY 0x07
#define FLAG_ALIGN_SHIFT 3
#define FLAG_BYVAL 0x20
#define FLAG_NULLS 0x40
#define ZONE_KIND 0x03
#define ZONE_NO_SIGN 0x04

/* In the order of their numbers on disk */
static const char alignments[] = {TYPALIGN_CHAR, TYPALIGN_SHORT, TYPALIGN_INT, TYPALIGN_DOUBLE};

void
dbp_batch_damaged(Oid relid, Oid batch_id, AttrNumber attnum, const char *what)
{
	char *relname = get_rel_name(relid);
	char *column = attnum > 0 ? get_attname(relid, attnum, true) : NULL;

	if (relname == NULL)
		relname = psprintf("%u", relid);
	if (attnum > 0 && column == NULL)
		column = psprintf("%d", attnum);
	if (attnum > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("batch %u of table \"%s\" is damaged: column \"%s\": %s", batch_id, relname,
						column, what)));
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("batch %u of table \"%s\" is damaged: %s", batch_id, relname, what)));
	pg_unreachable();
}

/* A head has no id that could be named before its checksum has been found right */
static void
tuple_damaged(Relation rel, HeapTuple tuple, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the batch at (%u,%u) of table \"%s\" is damaged: %s",
					ItemPointerGetBlockNumberNoCheck(&tuple->t_self),
					ItemPointerGetOffsetNumberNoCheck(&tuple->t_self), RelationGetRelationName(rel),
					what)));
}

static bool
head_is_sound(const DbpBatchHead *head, uint32 inline_length)
{
	if (head->nrows == 0 || head->nrows > DBP_BATCH_ROWS ||
		head->ncolumns > MaxHeapAttributeNumber || head->stream_length >= DBP_SEQ_TOMBSTONE ||
		!OidIsValid(head->id))
		return false;
	if (head->directory_offset == DBP_DIRECTORY_INLINE)
		return head->directory_length == inline_length;
	return inline_length == 0 && head->directory_offset <= head->stream_length &&
		head->directory_length == head->stream_length - head->directory_offset &&
		head->directory_back <= head->directory_offset;
}

bool
dbp_batch_read_head(HeapTuple tuple, DbpBatchHead *head)
{
	uint32 hoff = tuple->t_data->t_hoff;

	if (tuple->t_len > MaxHeapTupleSize || hoff < SizeofHeapTupleHeader ||
		tuple->t_len < hoff + sizeof(DbpBatchHead))
		return false;
	memcpy(head, (const uint8 *) tuple->t_data + hoff, sizeof(DbpBatchHead));
	return true;
}

/* *directory: the one in the tuple, or NULL */
void
dbp_batch_parse_head(Relation rel, HeapTuple tuple, DbpBatchHead *head, const uint8 **directory)
{
	const uint8 *body = (const uint8 *) tuple->t_data + tuple->t_data->t_hoff;
	uint32 length;

	if (!dbp_batch_read_head(tuple, head))
		tuple_damaged(rel, tuple, "its length is wrong");
	length = tuple->t_len - tuple->t_data->t_hoff;
	if (head->magic != DBP_BATCH_MAGIC)
		tuple_damaged(rel, tuple, "it does not begin as one");
	if (head->crc !=
		dbp_crc(body + offsetof(DbpBatchHead, version), length - offsetof(DbpBatchHead, version)))
		tuple_damaged(rel, tuple, "its checksum is wrong");
	if (head->version != DBP_BATCH_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" has batches of format %d", RelationGetRelationName(rel),
						head->version),
				 errhint("They were written by another version of tradeassist_dbperf.")));
	if (!head_is_sound(head, length - sizeof(DbpBatchHead)))
		tuple_damaged(rel, tuple, "its head contradicts itself");
	*directory = NULL;
	if (head->directory_offset == DBP_DIRECTORY_INLINE)
	{
		*directory = body + sizeof(DbpBatchHead);
		if (head->directory_crc != dbp_crc(*directory, head->directory_length))
			tuple_damaged(rel, tuple, "the checksum of its directory is wrong");
	}
}

static uint8 *
put_varint(uint8 *out, uint64 value)
{
	while (value >= 0x80)
	{
		*out++ = (uint8) value | 0x80;
		value >>= 7;
	}
	*out++ = (uint8) value;
	return out;
}

static bool
get_varint(const uint8 **at, const uint8 *end, uint64 max, uint64 *value)
{
	*value = 0;
	for (int shift = 0; shift < 64; shift += 7)
	{
		uint64 bits;

		if (*at >= end)
			return false;
		bits = **at & 0x7f;
		if (shift == 63 && bits > 1)
			return false;
		*value |= bits << shift;
		if ((*(*at)++ & 0x80) == 0)
			return *value <= max;
	}
	return false;
}

static uint8 *
put_bytes(uint8 *out, const void *data, size_t length)
{
	memcpy(out, data, length);
	return out + length;
}

static bool
get_bytes(const uint8 **at, const uint8 *end, void *out, size_t length)
{
	if ((size_t) (end - *at) < length)
		return false;
	memcpy(out, *at, length);
	*at += length;
	return true;
}

static uint8 *
put_prefix(uint8 *out, const uint8 *prefix)
{
	int length = DBP_ZONE_PREFIX;

	while (length > 0 && prefix[length - 1] == 0)
		length--;
	*out++ = (uint8) length;
	return put_bytes(out, prefix, length);
}

static bool
get_prefix(const uint8 **at, const uint8 *end, uint8 *prefix)
{
	uint8 length;

	memset(prefix, 0, DBP_ZONE_PREFIX);
	return get_bytes(at, end, &length, 1) && length <= DBP_ZONE_PREFIX &&
		get_bytes(at, end, prefix, length);
}

static uint8 *
put_zone(uint8 *out, const DbpZone *zone)
{
	switch (zone->kind)
	{
		case DBP_ZONE_NONE:
			break;
		case DBP_ZONE_INT:
			out = put_varint(out,
							 ((uint64) zone->u.i.min << 1) ^
								 (zone->u.i.min < 0 ? ~UINT64CONST(0) : 0));
			return put_varint(out, (uint64) zone->u.i.max - (uint64) zone->u.i.min);
		case DBP_ZONE_DOUBLE:
			out = put_bytes(out, &zone->u.d.min, sizeof(double));
			return put_bytes(out, &zone->u.d.max, sizeof(double));
		case DBP_ZONE_BYTES:
			return put_prefix(put_prefix(out, zone->u.b.min), zone->u.b.max);
	}
	return out;
}

static bool
get_zone(const uint8 **at, const uint8 *end, DbpZoneKind kind, DbpZone *zone)
{
	uint64 min;
	uint64 range;

	memset(zone, 0, sizeof(DbpZone));
	zone->kind = kind;
	switch (kind)
	{
		case DBP_ZONE_NONE:
			break;
		case DBP_ZONE_INT:
			if (!get_varint(at, end, PG_UINT64_MAX, &min) ||
				!get_varint(at, end, PG_UINT64_MAX, &range))
				return false;
			zone->u.i.min = (int64) ((min >> 1) ^ (~(min & 1) + 1));
			zone->u.i.max = (int64) ((uint64) zone->u.i.min + range);
			return zone->u.i.max >= zone->u.i.min;
		case DBP_ZONE_DOUBLE:
			return get_bytes(at, end, &zone->u.d.min, sizeof(double)) &&
				get_bytes(at, end, &zone->u.d.max, sizeof(double));
		case DBP_ZONE_BYTES:
			return get_prefix(at, end, zone->u.b.min) && get_prefix(at, end, zone->u.b.max) &&
				memcmp(zone->u.b.min, zone->u.b.max, DBP_ZONE_PREFIX) <= 0;
	}
	return true;
}

int
dbp_entry_write(const DbpEntry *entry, AttrNumber previous, uint8 *start)
{
	uint8 *out = start;
	int align = 0;

	while (alignments[align] != entry->attalign)
		if (++align == lengthof(alignments))
			elog(ERROR, "unknown alignment \"%c\"", entry->attalign);
	*out++ = (uint8) (entry->family | align << FLAG_ALIGN_SHIFT |
					  (entry->attbyval ? FLAG_BYVAL : 0) | (entry->nulls > 0 ? FLAG_NULLS : 0));
	*out++ = (uint8) (entry->zone.kind | (entry->zone_unsigned ? ZONE_NO_SIGN : 0));
	out = put_varint(out, entry->attnum - previous);
	out = put_varint(out, entry->attlen + 2);
	if (entry->nulls > 0)
	{
		out = put_varint(out, entry->nulls);
		out = put_varint(out, entry->nulls_length);
	}
	out = put_varint(out, entry->values_length);
	if (entry->attlen < 0)
		out = put_varint(out, entry->payload);
	out = put_varint(out, entry->back);
	out = put_bytes(out, &entry->crc, sizeof(entry->crc));
	out = put_zone(out, &entry->zone);
	return (int) (out - start);
}

/* What the lengths of a type say about the rest */
static bool
entry_is_sound(const DbpEntry *entry, int nrows)
{
	int present = nrows - entry->nulls;

	if (entry->family > DBP_FAMILY_NUMERIC || entry->attlen == 0 || entry->attlen < -2)
		return false;
	if (entry->attbyval && entry->attlen != 1 && entry->attlen != 2 && entry->attlen != 4 &&
		entry->attlen != 8)
		return false;
	switch (entry->family)
	{
		case DBP_FAMILY_INT:
			if (!entry->attbyval)
				return false;
			break;
		case DBP_FAMILY_DOUBLE:
			if (!entry->attbyval || entry->attlen != sizeof(float8))
				return false;
			break;
		case DBP_FAMILY_FLOAT:
			if (!entry->attbyval || entry->attlen != sizeof(float4))
				return false;
			break;
		case DBP_FAMILY_SLICE:
		case DBP_FAMILY_NUMERIC:
			if (entry->attbyval)
				return false;
			break;
	}
	return (present == 0) == (entry->values_length == 0) &&
		(entry->nulls > 0 && present > 0) == (entry->nulls_length > 0);
}

bool
dbp_entry_read(const uint8 **at, const uint8 *end, int nrows, DbpEntry *entry)
{
	uint64 offset = (uint64) entry->offset + DBP_ENTRY_LENGTH(entry);
	uint8 flags;
	uint8 zone;
	uint64 number;
	uint64 attlen;
	uint64 nulls = 0;
	uint64 nulls_length = 0;
	uint64 values_length;
	uint64 back;

	if (!get_bytes(at, end, &flags, 1) || !get_bytes(at, end, &zone, 1) ||
		!get_varint(at, end, MaxHeapAttributeNumber, &number) ||
		!get_varint(at, end, PG_INT16_MAX, &attlen))
		return false;
	if ((flags & FLAG_NULLS) != 0 &&
		(!get_varint(at, end, nrows, &nulls) || nulls == 0 ||
		 !get_varint(at, end, DBP_SEQ_TOMBSTONE, &nulls_length)))
		return false;
	entry->attlen = (int16) ((int) attlen - 2);
	entry->attbyval = (flags & FLAG_BYVAL) != 0;
	entry->nulls = (int) nulls;
	entry->payload = (uint64) (nrows - entry->nulls) * Max(entry->attlen, 0);
	if (!get_varint(at, end, DBP_SEQ_TOMBSTONE, &values_length) ||
		(entry->attlen < 0 && !get_varint(at, end, PG_INT32_MAX, &entry->payload)) ||
		!get_varint(at, end, BLCKSZ, &back) || !get_bytes(at, end, &entry->crc, 4) ||
		!get_zone(at, end, zone & ZONE_KIND, &entry->zone))
		return false;
	if (number == 0 || entry->attnum + number > MaxHeapAttributeNumber || back > offset ||
		offset + nulls_length + values_length > DBP_SEQ_TOMBSTONE)
		return false;
	entry->attnum += number;
	entry->attalign = alignments[flags >> FLAG_ALIGN_SHIFT & 3];
	entry->family = flags & FLAG_FAMILY;
	entry->zone_unsigned = (zone & ZONE_NO_SIGN) != 0;
	entry->offset = (uint32) offset;
	entry->nulls_length = (uint32) nulls_length;
	entry->values_length = (uint32) values_length;
	entry->back = (uint32) back;
	return entry_is_sound(entry, nrows);
}

/* The bytes of the directory, and where they end */
static const uint8 *
directory_bytes(DbpBatch *batch, const uint8 **end)
{
	const DbpBatchHead *head = &batch->head;

	if (batch->directory == NULL && batch->read_directory == NULL)
	{
		uint8 *bytes = palloc(Max(head->directory_length, 1));

		dbp_stream_read(batch, 0, head->directory_offset - head->directory_back,
						head->directory_offset, head->directory_length, bytes);
		if (head->directory_crc != dbp_crc(bytes, head->directory_length))
			dbp_batch_damaged(batch->relid, head->id, 0, "the checksum of its directory is wrong");
		batch->read_directory = dbp_batch_keep(batch, bytes, head->directory_length);
		pfree(bytes);
	}
	*end = (batch->directory != NULL ? batch->directory : batch->read_directory) +
		head->directory_length;
	return *end - head->directory_length;
}

static void
read_entry(DbpBatch *batch, const uint8 **at, const uint8 *end, DbpEntry *entry)
{
	uint32 limit = batch->head.directory_offset == DBP_DIRECTORY_INLINE
		? batch->head.stream_length
		: batch->head.directory_offset;

	if (!dbp_entry_read(at, end, batch->head.nrows, entry) ||
		entry->offset + DBP_ENTRY_LENGTH(entry) > limit)
		dbp_batch_damaged(batch->relid, batch->head.id, 0,
						  "its directory has an entry that cannot be");
}

const DbpEntry *
dbp_batch_entries(DbpBatch *batch)
{
	const uint8 *end;
	const uint8 *at;
	DbpEntry *entries;

	if (batch->entries != NULL)
		return batch->entries;
	at = directory_bytes(batch, &end);
	entries = palloc0(sizeof(DbpEntry) * (batch->head.ncolumns + 1));
	for (int i = 0; i < batch->head.ncolumns; i++)
	{
		/* It goes on from the one before */
		if (i > 0)
			entries[i] = entries[i - 1];
		read_entry(batch, &at, end, &entries[i]);
	}
	if (at != end)
		dbp_batch_damaged(batch->relid, batch->head.id, 0, "its directory is too long");
	batch->entries = dbp_batch_keep(batch, entries, sizeof(DbpEntry) * (batch->head.ncolumns + 1));
	pfree(entries);
	return batch->entries;
}

static const DbpEntry *
search_entries(const DbpBatch *batch, AttrNumber attnum)
{
	int low = 0;
	int high = batch->head.ncolumns;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (batch->entries[middle].attnum < attnum)
			low = middle + 1;
		else
			high = middle;
	}
	return low < batch->head.ncolumns && batch->entries[low].attnum == attnum ? &batch->entries[low]
																			  : NULL;
}

/*
 * A long list of batches is asked for the zones of a column or two: that
 * takes no more than a look at the bytes.
 */
const DbpEntry *
dbp_batch_entry(DbpBatch *batch, AttrNumber attnum, DbpEntry *room)
{
	const uint8 *end;
	const uint8 *at;

	if (batch->entries == NULL && batch->directory == NULL)
		dbp_batch_entries(batch);
	if (batch->entries != NULL)
		return search_entries(batch, attnum);
	at = directory_bytes(batch, &end);
	memset(room, 0, sizeof(DbpEntry));
	for (int i = 0; i < batch->head.ncolumns && room->attnum < attnum; i++)
		read_entry(batch, &at, end, room);
	return room->attnum == attnum ? room : NULL;
}
