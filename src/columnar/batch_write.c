/*-------------------------------------------------------------------------
 *
 * batch_write.c
 *		From the values of a batch's columns to its stream.
 *
 * Each chunk is decoded again and compared with what went in, bit for bit,
 * before it is kept: whatever may be wrong with an encoding is found while the
 * rows are still in another place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "utils/memutils.h"

#include "columnar/batch.h"

struct DbpEncoder
{
	DbpBuffer stream;
	MemoryContext column;			/* memory of one column */
	MemoryContextCallback callback; /* frees the stream, which is malloc'd, after an error */
};

/* The values of a column that are not null, as its family's encoder takes them */
typedef struct Input
{
	DbpFamily family;
	int n;
	void *values;
	size_t width; /* of one */
} Input;

static void
out_of_memory(void)
{
	ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

static void
free_stream(void *arg)
{
	dbp_buffer_free(arg);
}

DbpEncoder *
dbp_encoder_create(MemoryContext context)
{
	DbpEncoder *encoder = MemoryContextAllocZero(context, sizeof(DbpEncoder));

	encoder->column =
		AllocSetContextCreate(context, "dbperf columnar encoder", ALLOCSET_DEFAULT_SIZES);
	encoder->callback.func = free_stream;
	encoder->callback.arg = &encoder->stream;
	MemoryContextRegisterResetCallback(context, &encoder->callback);
	return encoder;
}

void
dbp_encoder_free(DbpEncoder *encoder)
{
	/* The callback stays: its context may live on.  So does the struct, for the same reason. */
	dbp_buffer_free(&encoder->stream);
	MemoryContextDelete(encoder->column);
}

DbpBuffer *
dbp_encoder_stream(DbpEncoder *encoder)
{
	return &encoder->stream;
}

void
dbp_encoder_reset(DbpEncoder *encoder)
{
	encoder->stream.len = 0;
}

static int64
int_of_datum(Datum value, int16 attlen)
{
	switch (attlen)
	{
		case 1:
			return (int8) value;
		case 2:
			return (int16) value;
		case 4:
			return (int32) value;
		case 8:
			return (int64) value;
		default:
			elog(ERROR, "a value of %d bytes is not passed by value", attlen);
	}
}

static DbpSlice
slice_of_datum(Datum value, int16 attlen)
{
	struct varlena *varlena = (struct varlena *) DatumGetPointer(value);
	DbpSlice slice;

	if (attlen == -1)
	{
		slice.data = (const uint8 *) VARDATA_ANY(varlena);
		slice.len = VARSIZE_ANY_EXHDR(varlena);
	}
	else
	{
		slice.data = (const uint8 *) varlena;
		slice.len = attlen > 0 ? (uint32) attlen : strlen((const char *) varlena);
	}
	return slice;
}

static void
put_value(Input *input, Datum value, int16 attlen)
{
	int i = input->n++;

	switch (input->family)
	{
		case DBP_FAMILY_INT:
			((int64 *) input->values)[i] = int_of_datum(value, attlen);
			break;
		case DBP_FAMILY_DOUBLE:
			((uint64 *) input->values)[i] = (uint64) value;
			break;
		case DBP_FAMILY_FLOAT:
			((uint32 *) input->values)[i] = (uint32) value;
			break;
		case DBP_FAMILY_SLICE:
		case DBP_FAMILY_NUMERIC:
			((DbpSlice *) input->values)[i] = slice_of_datum(value, attlen);
			break;
	}
}

static void
gather(Input *input, DbpFamily family, int16 attlen, const Datum *values, const bool *nulls,
	   int nrows)
{
	static const size_t widths[] = {[DBP_FAMILY_INT] = sizeof(int64),
									[DBP_FAMILY_DOUBLE] = sizeof(uint64),
									[DBP_FAMILY_FLOAT] = sizeof(uint32),
									[DBP_FAMILY_SLICE] = sizeof(DbpSlice),
									[DBP_FAMILY_NUMERIC] = sizeof(DbpSlice)};

	input->family = family;
	input->n = 0;
	input->width = widths[family];
	input->values = palloc(input->width * nrows);
	for (int i = 0; i < nrows; i++)
		if (nulls == NULL || !nulls[i])
			put_value(input, values[i], attlen);
}

static bool
encode(const Input *input, DbpBuffer *out)
{
	switch (input->family)
	{
		case DBP_FAMILY_INT:
			return dbp_ints_encode(input->values, input->n, DBP_EFFORT_DEFAULT, out);
		case DBP_FAMILY_DOUBLE:
			return dbp_doubles_encode(input->values, input->n, DBP_EFFORT_DEFAULT, out);
		case DBP_FAMILY_FLOAT:
			return dbp_floats_encode(input->values, input->n, DBP_EFFORT_DEFAULT, out);
		case DBP_FAMILY_SLICE:
			return dbp_slices_encode(input->values, input->n, DBP_EFFORT_DEFAULT, out);
		case DBP_FAMILY_NUMERIC:
			return dbp_numerics_encode(input->values, input->n, DBP_EFFORT_DEFAULT, out);
	}
	return false;
}

static bool
decodes_to_slices(const Input *input, const uint8 *chunk, size_t length)
{
	const DbpSlice *slices = input->values;
	int64 total = 0;
	int64 size;
	uint8 *arena;
	uint32 *ends;
	uint32 start = 0;

	for (int i = 0; i < input->n; i++)
		total += slices[i].len;
	size = dbp_slices_size(chunk, length, input->n, PG_INT32_MAX);
	if (size != total)
		return false;
	arena = MemoryContextAllocHuge(CurrentMemoryContext, Max(size, 1));
	ends = palloc(sizeof(uint32) * input->n);
	if (!dbp_slices_decode(chunk, length, input->n, arena, size, ends))
		return false;
	for (int i = 0; i < input->n; i++)
	{
		if (ends[i] - start != slices[i].len ||
			(slices[i].len > 0 && memcmp(arena + start, slices[i].data, slices[i].len) != 0))
			return false;
		start = ends[i];
	}
	return true;
}

static bool
decodes_to_input(const Input *input, const uint8 *chunk, size_t length)
{
	void *again;
	bool decoded = false;

	if (input->family == DBP_FAMILY_SLICE || input->family == DBP_FAMILY_NUMERIC)
		return decodes_to_slices(input, chunk, length);
	again = palloc(input->width * input->n);
	if (input->family == DBP_FAMILY_INT)
		decoded = dbp_ints_decode(chunk, length, input->n, again);
	else if (input->family == DBP_FAMILY_DOUBLE)
		decoded = dbp_doubles_decode(chunk, length, input->n, again);
	else if (input->family == DBP_FAMILY_FLOAT)
		decoded = dbp_floats_decode(chunk, length, input->n, again);
	return decoded && memcmp(again, input->values, input->width * input->n) == 0;
}

static void
add_nulls(DbpEncoder *encoder, const bool *nulls, int nrows)
{
	int length = (nrows + 7) / 8;
	uint8 *bitmap = palloc0(length);
	uint8 *again = palloc(length);
	size_t start = encoder->stream.len;

	for (int i = 0; i < nrows; i++)
		if (nulls[i])
			bitmap[i / 8] |= 1 << (i % 8);
	if (!dbp_bitmap_encode(bitmap, nrows, &encoder->stream))
		out_of_memory();
	if (!dbp_bitmap_decode(encoder->stream.data + start, encoder->stream.len - start, nrows,
						   again) ||
		memcmp(bitmap, again, length) != 0)
		elog(ERROR, "a bitmap of nulls was encoded wrongly");
}

static void
add_values(DbpEncoder *encoder, const Input *input)
{
	size_t start = encoder->stream.len;

	if (!encode(input, &encoder->stream))
		out_of_memory();
	if (!decodes_to_input(input, encoder->stream.data + start, encoder->stream.len - start))
		elog(ERROR, "values were encoded wrongly");
}

static int
count_nulls(const bool *nulls, int nrows)
{
	int count = 0;

	if (nulls != NULL)
		for (int i = 0; i < nrows; i++)
			count += nulls[i];
	return count;
}

static uint64
payload_of(const Input *input, int16 attlen)
{
	uint64 payload = 0;

	if (attlen > 0)
		return (uint64) attlen * input->n;
	for (int i = 0; i < input->n; i++)
		payload += ((const DbpSlice *) input->values)[i].len;
	return payload;
}

/* Values that are not in memory as they should be are made so in a copy of the array */
static const Datum *
detoasted_values(const Datum *values, const bool *nulls, int nrows)
{
	Datum *copy = NULL;

	for (int i = 0; i < nrows; i++)
	{
		struct varlena *value;

		if (nulls != NULL && nulls[i])
			continue;
		value = (struct varlena *) DatumGetPointer(values[i]);
		if (!VARATT_IS_EXTENDED(value) || VARATT_IS_SHORT(value))
			continue;
		if (copy == NULL)
		{
			copy = palloc(sizeof(Datum) * nrows);
			memcpy(copy, values, sizeof(Datum) * nrows);
		}
		copy[i] = PointerGetDatum(detoast_attr(value));
	}
	return copy != NULL ? copy : values;
}

void
dbp_encoder_column(DbpEncoder *encoder, const DbpRows *rows, AttrNumber attnum, DbpEntry *entry)
{
	MemoryContext old = MemoryContextSwitchTo(encoder->column);
	Form_pg_attribute att = TupleDescAttr(rows->tupdesc, attnum - 1);
	const Datum *values = rows->values[attnum - 1];
	const bool *nulls = rows->nulls[attnum - 1];
	size_t start = encoder->stream.len;
	DbpZoneType zone_type = dbp_zone_type(att);
	Input input;

	if (att->attlen == -1)
		values = detoasted_values(values, nulls, rows->nrows);
	memset(entry, 0, sizeof(DbpEntry));
	entry->attnum = attnum;
	entry->attlen = att->attlen;
	entry->attalign = att->attalign;
	entry->attbyval = att->attbyval;
	entry->family = dbp_column_family(att);
	entry->nulls = count_nulls(nulls, rows->nrows);
	entry->offset = (uint32) start;
	if (entry->nulls > 0 && entry->nulls < rows->nrows)
		add_nulls(encoder, nulls, rows->nrows);
	entry->nulls_length = (uint32) (encoder->stream.len - start);
	if (entry->nulls < rows->nrows)
	{
		gather(&input, entry->family, att->attlen, values, nulls, rows->nrows);
		entry->payload = payload_of(&input, att->attlen);
		add_values(encoder, &input);
	}
	if (encoder->stream.len >= DBP_SEQ_TOMBSTONE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("a batch would be too large")));
	entry->values_length = (uint32) (encoder->stream.len - start) - entry->nulls_length;
	entry->crc = dbp_crc(encoder->stream.data + start, encoder->stream.len - start);
	dbp_zone_compute(zone_type, att->attlen, values, nulls, rows->nrows, &entry->zone);
	entry->zone_unsigned = zone_type.no_sign;
	MemoryContextSwitchTo(old);
	MemoryContextReset(encoder->column);
}

int
dbp_column_candidates(const DbpEntry *entry, const Datum *values, const bool *nulls, int nrows,
					  DbpCandidate *candidates, int max)
{
	Input input;

	gather(&input, entry->family, entry->attlen, values, nulls, nrows);
	return dbp_chunk_candidates(entry->family, input.values, input.n, DBP_EFFORT_DEFAULT,
								candidates, max);
}
