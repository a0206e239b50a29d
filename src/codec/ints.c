/*-------------------------------------------------------------------------
 *
 * ints.c
 *		Integers of every width.
 *
 * How to encode them is for ints_choose.c to say.
 *
 *-------------------------------------------------------------------------
 */
#include "codec/bins.h"
#include "codec/ints_nested.h"
#include "codec/vectors.h"

bool
dbp_ints_write_part(const uint64_t *values, int n, DbpIntsHow how, DbpBuffer *out)
{
	size_t begin = out->len;
	uint8_t length[DBP_VARINT_MAX];
	size_t size;
	size_t used;

	if (!dbp_ints_write(values, n, how, out))
		return false;
	size = out->len - begin;
	used = (size_t) dbp_varint_put(length, size);
	if (!dbp_buffer_append(out, length, used))
		return false;
	memmove(out->data + begin + used, out->data + begin, size);
	memcpy(out->data + begin, length, used);
	return true;
}

static bool
read_constant(DbpReader *in, int n, uint64_t *values)
{
	uint64_t value = 0;

	if (n > 0 && !dbp_read_varint(in, &value))
		return false;
	value = dbp_unzigzag(value);
	for (int i = 0; i < n; i++)
		values[i] = value;
	return in->left == 0;
}

bool
dbp_ints_read(const uint8_t *chunk, size_t len, int n, DbpIntsKinds kinds, uint64_t *values)
{
	DbpReader in = {chunk, len};
	int kind;

	if (!dbp_read_byte(&in, &kind) || kind >= DBP_INTS_NKINDS || (kinds & DBP_INTS_BIT(kind)) == 0)
		return false;
	kinds &= ~DBP_INTS_BIT(kind);
	switch ((DbpIntsKind) kind)
	{
		case DBP_INTS_CONSTANT:
			return read_constant(&in, n, values);
		case DBP_INTS_VECTORS:
			return dbp_vectors_decode(in.at, in.left, n, values);
		case DBP_INTS_BINS:
			return dbp_bins_decode(in.at, in.left, n, values);
		case DBP_INTS_SCALED:
			return dbp_ints_scaled_read(in, n, kinds, values);
		case DBP_INTS_RUNS:
			return dbp_ints_runs_read(in, n, kinds, values);
		case DBP_INTS_DICTIONARY:
			return dbp_ints_dictionary_read(in, n, kinds, values);
		case DBP_INTS_GENERAL:
			return dbp_ints_general_read(in, n, values);
		case DBP_INTS_TENS:
			return dbp_ints_tens_read(in, n, kinds, values);
		case DBP_INTS_SPLIT:
			return dbp_ints_split_read(in, n, kinds, values);
		default:
			return false;
	}
}

bool
dbp_ints_read_part(DbpReader *in, int n, DbpIntsKinds kinds, uint64_t *values)
{
	size_t size;
	const uint8_t *chunk;

	if (!dbp_read_count(in, in->left, &size))
		return false;
	chunk = dbp_read_bytes(in, size);
	return chunk != NULL && dbp_ints_read(chunk, size, n, kinds, values);
}

/* int64_t and uint64_t may alias each other */
bool
dbp_ints_encode(const int64_t *values, int n, int effort, DbpBuffer *out)
{
	return dbp_ints_write((const uint64_t *) values, n, dbp_ints_how(effort, DBP_INTS_ALL), out);
}

bool
dbp_ints_decode(const uint8_t *chunk, size_t len, int n, int64_t *values)
{
	return dbp_ints_read(chunk, len, n, DBP_INTS_ALL, (uint64_t *) values);
}
