/*-------------------------------------------------------------------------
 *
 * column.c
 *		From the chunks of a column to its values.
 *
 * Only the directory says how: what the column's type is called, or was, does not
 * matter.  The caller has seen to it that values of that length, passed that
 * way, are what the column has now.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupmacs.h"
#include "utils/memutils.h"

#include "columnar/batch.h"

/* What decoding goes by, for shorter calls */
typedef struct Decoder
{
	DbpBatch *batch;
	const DbpEntry *entry;
	MemoryContext context;
	const uint8 *chunk; /* of the values */
	int n;				/* of them */
	Datum *values;
} Decoder;

static void
damaged(const Decoder *decoder, const char *what)
{
	dbp_batch_damaged(decoder->batch->relid, decoder->batch->head.id, decoder->entry->attnum, what);
}

uint8 *
dbp_column_read(DbpBatch *batch, const DbpEntry *entry)
{
	uint32 length = DBP_ENTRY_LENGTH(entry);
	uint8 *chunks = MemoryContextAllocHuge(CurrentMemoryContext, Max(length, 1));

	dbp_stream_read(batch, entry->attnum, DBP_ENTRY_SEQ(entry), entry->offset, length, chunks);
	if (entry->crc != dbp_crc(chunks, length))
		dbp_batch_damaged(batch->relid, batch->head.id, entry->attnum, "its checksum is wrong");
	return chunks;
}

static void
decode_ints(Decoder *decoder)
{
	int16 attlen = decoder->entry->attlen;
	int lost_bits = 64 - 8 * attlen;
	uint64 lost = 0;
	int64 *ints;

	/* A Datum of 8 bytes is what is decoded */
	ints = attlen == sizeof(Datum) ? (int64 *) decoder->values : palloc(sizeof(int64) * decoder->n);
	if (!dbp_ints_decode(decoder->chunk, decoder->entry->values_length, decoder->n, ints))
		damaged(decoder, "its integers cannot be decoded");
	if (attlen == sizeof(Datum))
		return;

	/* As fetch_att() gives them; what does not fit was not there at first */
	for (int i = 0; i < decoder->n; i++)
	{
		lost |= (uint64) (ints[i] ^ (int64) ((uint64) ints[i] << lost_bits) >> lost_bits);
		decoder->values[i] = attlen == 1 ? CharGetDatum((char) ints[i]) : (Datum) ints[i];
	}
	if (lost != 0)
		damaged(decoder, "it has integers that are too large for it");
	pfree(ints);
}

static void
decode_doubles(Decoder *decoder)
{
	StaticAssertStmt(sizeof(Datum) == sizeof(uint64) || !FLOAT8PASSBYVAL,
					 "a double is decoded as a Datum");
	if (!dbp_doubles_decode(decoder->chunk, decoder->entry->values_length, decoder->n,
							(uint64_t *) decoder->values))
		damaged(decoder, "its numbers cannot be decoded");
}

static void
decode_floats(Decoder *decoder)
{
	uint32 *bits = palloc(sizeof(uint32) * decoder->n);

	if (!dbp_floats_decode(decoder->chunk, decoder->entry->values_length, decoder->n, bits))
		damaged(decoder, "its numbers cannot be decoded");
	for (int i = 0; i < decoder->n; i++)
		decoder->values[i] = Int32GetDatum((int32) bits[i]);
	pfree(bits);
}

/* What all values take with their headers, each where its type has it aligned */
static Size
layout_size(const Decoder *decoder, const uint32 *ends)
{
	const DbpEntry *entry = decoder->entry;
	Size size = 0;
	uint32 start = 0;

	for (int i = 0; i < decoder->n; i++)
	{
		uint32 length = ends[i] - start;

		size = att_align_nominal(size, entry->attalign);
		if (entry->attlen == -1)
			size += VARHDRSZ;
		else if (entry->attlen == -2)
			size += 1;
		else if (length != (uint32) entry->attlen)
			damaged(decoder, "it has a value of a wrong length");
		size += length;
		start = ends[i];
	}
	return size;
}

static void
lay_out(Decoder *decoder, const uint8 *arena, const uint32 *ends, char *out)
{
	const DbpEntry *entry = decoder->entry;
	Size at = 0;
	uint32 start = 0;

	for (int i = 0; i < decoder->n; i++)
	{
		uint32 length = ends[i] - start;

		at = att_align_nominal(at, entry->attalign);
		decoder->values[i] = PointerGetDatum(out + at);
		if (entry->attlen == -1)
		{
			SET_VARSIZE(out + at, length + VARHDRSZ);
			at += VARHDRSZ;
		}
		memcpy(out + at, arena + start, length);
		at += length;
		if (entry->attlen == -2)
		{
			if (memchr(arena + start, 0, length) != NULL)
				damaged(decoder, "it has a string with a zero in it");
			out[at++] = '\0';
		}
		start = ends[i];
	}
}

static void
decode_slices(Decoder *decoder)
{
	const DbpEntry *entry = decoder->entry;
	int64 size = dbp_slices_size(decoder->chunk, entry->values_length, decoder->n, PG_INT32_MAX);
	uint8 *arena;
	uint32 *ends;
	Size total;

	if (size < 0 || (uint64) size != entry->payload)
		damaged(decoder, "its values do not have the length that they should have");
	arena = MemoryContextAllocHuge(CurrentMemoryContext, Max(size, 1));
	ends = palloc(sizeof(uint32) * decoder->n);
	if (!dbp_slices_decode(decoder->chunk, entry->values_length, decoder->n, arena, size, ends))
		damaged(decoder, "its values cannot be decoded");
	for (int i = 0; i < decoder->n; i++)
		if (ends[i] > size || (i > 0 && ends[i] < ends[i - 1]) ||
			ends[i] - (i > 0 ? ends[i - 1] : 0) > MaxAllocSize - VARHDRSZ)
			damaged(decoder, "its values overlap");
	total = layout_size(decoder, ends);
	lay_out(decoder, arena, ends, MemoryContextAllocHuge(decoder->context, Max(total, 1)));
	pfree(arena);
	pfree(ends);
}

/* Moves the values to where their rows are; those of nulls are 0 */
static void
spread(Datum *values, const bool *nulls, int nrows, int n)
{
	for (int i = nrows - 1; i >= 0; i--)
		values[i] = nulls[i] ? (Datum) 0 : values[--n];
}

static bool *
decode_nulls(Decoder *decoder, const uint8 *chunk)
{
	int nrows = decoder->batch->head.nrows;
	uint8 *bitmap;
	bool *nulls = MemoryContextAlloc(decoder->context, nrows);
	int count = 0;

	if (decoder->n == 0)
	{
		memset(nulls, true, nrows);
		return nulls;
	}
	bitmap = palloc((nrows + 7) / 8);
	if (!dbp_bitmap_decode(chunk, decoder->entry->nulls_length, nrows, bitmap))
		damaged(decoder, "the bitmap of its nulls cannot be decoded");
	for (int i = 0; i < nrows; i++)
	{
		nulls[i] = (bitmap[i / 8] >> (i % 8) & 1) != 0;
		count += nulls[i];
	}
	if (count != decoder->entry->nulls)
		damaged(decoder, "it does not have as many nulls as it should have");
	pfree(bitmap);
	return nulls;
}

void
dbp_column_decode(DbpBatch *batch, const DbpEntry *entry, MemoryContext context, Datum **values,
				  bool **nulls)
{
	Decoder decoder = {.batch = batch, .entry = entry, .context = context};
	int nrows = batch->head.nrows;
	uint8 *chunks = dbp_column_read(batch, entry);

	decoder.n = nrows - entry->nulls;
	decoder.chunk = chunks + entry->nulls_length;
	decoder.values = *values = MemoryContextAllocZero(context, sizeof(Datum) * nrows);
	*nulls = entry->nulls > 0 ? decode_nulls(&decoder, chunks) : NULL;
	if (decoder.n > 0)
	{
		switch (entry->family)
		{
			case DBP_FAMILY_INT:
				decode_ints(&decoder);
				break;
			case DBP_FAMILY_DOUBLE:
				decode_doubles(&decoder);
				break;
			case DBP_FAMILY_FLOAT:
				decode_floats(&decoder);
				break;
			case DBP_FAMILY_SLICE:
			case DBP_FAMILY_NUMERIC:
				decode_slices(&decoder);
				break;
		}
		if (*nulls != NULL)
			spread(decoder.values, *nulls, nrows, decoder.n);
	}
	pfree(chunks);
}
