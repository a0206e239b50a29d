/*-------------------------------------------------------------------------
 *
 * vectors.c
 *		Integers bit-packed, each vector of 1,024 in the way that suits it.
 *
 * A vector is made of the values themselves, of their differences, or of the
 * differences of those (order 0, 1, 2); what they have in common at the bottom
 * is subtracted (frame of reference), or else they are made small numbers
 * without a sign (zigzag); the result is packed in as many bits as most of them
 * need, and the higher bits of the others are patched in (the PFOR of Zukowski,
 * Heman, Nes and Boncz, ICDE 2006).
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>

#include "codec/bitpack.h"
#include "codec/bytes.h"
#include "codec/vectors.h"

#define ORDER_MASK 0x03
#define MAX_ORDER 2
#define ZIGZAG 0x04
#define PATCHED 0x08
#define ALL_FLAGS 0x0f

/* A position of a patch within its vector */
#define POSITION_BITS 10

/* flags, width, patches, their width, base and first values */
#define MAX_HEADER (3 + (MAX_ORDER + 2) * DBP_VARINT_MAX)

typedef struct Plan
{
	int order;
	bool zigzag;
	int width;
	int patches;
	int patch_width;
	uint64_t base; /* subtracted, unless zigzag */
	size_t size;
} Plan;

/* to: of values from "order" on, the differences of that order */
static void
difference(const uint64_t *values, int n, int order, uint64_t *to)
{
	if (order == 0)
	{
		memcpy(to, values, (size_t) n * sizeof(*to));
		return;
	}
	for (int i = order; i < n; i++)
		*to++ =
			order == 1 ? values[i] - values[i - 1] : values[i] - 2 * values[i - 1] + values[i - 2];
}

static void
sum_up(uint64_t *values, int from, int n)
{
	uint64_t sum = values[from - 1];

	for (int i = from; i < n; i++)
		values[i] = sum += values[i];
}

/* The bytes of n numbers in so many bits each, of which some are patched */
static size_t
packed_size(int n, int width, int patches, int patch_width)
{
	return 6 + ((size_t) n * (size_t) width + 7) / 8 +
		((size_t) patches * (size_t) (POSITION_BITS + patch_width) + 14) / 8;
}

/*
 * The best width for n numbers, if counts[w] of a sample of them take w bits
 * each
 */
static void
choose_width(const int *counts, int nsample, int n, Plan *plan)
{
	int widest = 64;
	int more = 0; /* how many of the sample take more bits than the width in question */

	while (widest > 0 && counts[widest] == 0)
		widest--;
	plan->width = widest;
	plan->patches = 0;
	plan->patch_width = 0;
	plan->size = 3 + ((size_t) n * (size_t) widest + 7) / 8;
	for (int width = widest - 1; width >= 0; width--)
	{
		size_t size;

		more += counts[width + 1];
		/* then nothing else would be left of what is saved by a bit less */
		if (more * POSITION_BITS > nsample * (widest - width))
			break;
		size = packed_size(n, width, nsample == n ? more : more * n / nsample, widest - width);
		if (size < plan->size)
		{
			plan->size = size;
			plan->width = width;
			plan->patches = more;
			plan->patch_width = widest - width;
		}
	}
}

/* The best frame for n residuals, as some of them tell */
static Plan
choose_frame(const uint64_t *residuals, int nresiduals, int n)
{
	Plan framed = {0};
	Plan zigzag = {.zigzag = true};
	int framed_counts[65] = {0};
	int zigzag_counts[65] = {0};
	int64_t min = nresiduals > 0 ? INT64_MAX : 0;

	for (int i = 0; i < nresiduals; i++)
		min = (int64_t) residuals[i] < min ? (int64_t) residuals[i] : min;
	framed.base = (uint64_t) min;
	for (int i = 0; i < nresiduals; i++)
	{
		framed_counts[dbp_bit_width(residuals[i] - framed.base)]++;
		zigzag_counts[dbp_bit_width(dbp_zigzag(residuals[i]))]++;
	}
	choose_width(framed_counts, nresiduals, n, &framed);
	choose_width(zigzag_counts, nresiduals, n, &zigzag);
	framed.size += (size_t) dbp_varint_size(dbp_zigzag(framed.base));
	return framed.size <= zigzag.size ? framed : zigzag;
}

/* bytes: room for twice the vector and the header; returns how many were used */
static size_t
write_patches(const uint64_t *values, int n, const Plan *plan, uint8_t *bytes)
{
	uint64_t positions[DBP_VECTOR];
	uint64_t patches[DBP_VECTOR];
	int found = 0;
	size_t len;

	if (plan->patches == 0)
		return 0;
	for (int i = 0; i < n; i++)
	{
		if (values[i] >> plan->width != 0)
		{
			positions[found] = (uint64_t) i;
			patches[found++] = values[i] >> plan->width;
		}
	}
	len = dbp_bitpack_size(found, POSITION_BITS);
	dbp_bitpack(positions, found, POSITION_BITS, bytes);
	dbp_bitpack(patches, found, plan->patch_width, bytes + len);
	return len + dbp_bitpack_size(found, plan->patch_width);
}

/* values: the residuals after the first ones, which the header has */
static bool
write_vector(uint64_t *values, int n, const uint64_t *firsts, const Plan *plan, DbpBuffer *out)
{
	uint8_t *bytes;
	size_t len = 0;

	for (int i = 0; i < n; i++)
		values[i] = plan->zigzag ? dbp_zigzag(values[i]) : values[i] - plan->base;
	if (!dbp_buffer_reserve(out, MAX_HEADER + 3 * (size_t) DBP_VECTOR * 8))
		return false;
	bytes = out->data + out->len;
	bytes[len++] =
		(uint8_t) (plan->order | (plan->zigzag ? ZIGZAG : 0) | (plan->patches > 0 ? PATCHED : 0));
	bytes[len++] = (uint8_t) plan->width;
	for (int i = 0; i < plan->order; i++)
		len += (size_t) dbp_varint_put(bytes + len, dbp_zigzag(firsts[i]));
	if (!plan->zigzag)
		len += (size_t) dbp_varint_put(bytes + len, dbp_zigzag(plan->base));
	if (plan->patches > 0)
	{
		len += (size_t) dbp_varint_put(bytes + len, (uint64_t) plan->patches);
		bytes[len++] = (uint8_t) plan->patch_width;
		len += write_patches(values, n, plan, bytes + len);
	}
	dbp_bitpack(values, n, plan->width, bytes + len);
	out->len += len + dbp_bitpack_size(n, plan->width);
	return true;
}

/* One value in so many tells which order is best, of a whole vector */
#define SAMPLE_STEP 5

static int
choose_order(const uint64_t *values, int n)
{
	uint64_t sample[MAX_ORDER + 1][DBP_VECTOR];
	int step = n < DBP_VECTOR ? 1 : SAMPLE_STEP;
	int nsample = 0;
	int best = 0;
	size_t best_size = 0;

	if (n <= MAX_ORDER)
		return 0;
	for (int i = MAX_ORDER; i < n; i += step)
	{
		sample[0][nsample] = values[i];
		sample[1][nsample] = values[i] - values[i - 1];
		sample[2][nsample++] = values[i] - 2 * values[i - 1] + values[i - 2];
	}
	for (int order = 0; order <= MAX_ORDER; order++)
	{
		size_t size = choose_frame(sample[order], nsample, n - order).size;

		for (int i = 0; i < order; i++)
			size += (size_t) dbp_varint_size(dbp_zigzag(values[i] - (i > 0 ? values[i - 1] : 0)));
		if (order == 0 || size < best_size)
		{
			best = order;
			best_size = size;
		}
	}
	return best;
}

static bool
encode_vector(const uint64_t *values, int n, DbpBuffer *out)
{
	uint64_t residuals[DBP_VECTOR];
	uint64_t firsts[MAX_ORDER] = {values[0], n > 1 ? values[1] - values[0] : 0};
	int order = choose_order(values, n);
	Plan plan;

	difference(values, n, order, residuals);
	plan = choose_frame(residuals, n - order, n - order);
	plan.order = order;
	return write_vector(residuals, n - order, firsts, &plan, out);
}

bool
dbp_vectors_encode(const uint64_t *values, int n, DbpBuffer *out)
{
	size_t before = out->len;

	for (int from = 0; from < n; from += DBP_VECTOR)
	{
		if (!encode_vector(values + from, n - from < DBP_VECTOR ? n - from : DBP_VECTOR, out))
		{
			out->len = before;
			return false;
		}
	}
	return true;
}

static bool
read_header(DbpReader *in, int n, Plan *plan, uint64_t *firsts)
{
	int flags;
	uint64_t base = 0;
	size_t patches = 0;

	if (!dbp_read_byte(in, &flags) || !dbp_read_byte(in, &plan->width) ||
		(flags & ~ALL_FLAGS) != 0 || (flags & ORDER_MASK) > MAX_ORDER || (flags & ORDER_MASK) > n ||
		plan->width > 64)
		return false;
	plan->order = flags & ORDER_MASK;
	plan->zigzag = (flags & ZIGZAG) != 0;
	for (int i = 0; i < plan->order; i++)
	{
		if (!dbp_read_varint(in, &firsts[i]))
			return false;
		firsts[i] = dbp_unzigzag(firsts[i]);
	}
	if (!plan->zigzag && !dbp_read_varint(in, &base))
		return false;
	plan->base = dbp_unzigzag(base);
	plan->patch_width = 0;
	if ((flags & PATCHED) != 0 &&
		(!dbp_read_count(in, (uint64_t) (n - plan->order), &patches) || patches == 0 ||
		 !dbp_read_byte(in, &plan->patch_width) || plan->patch_width > 64 - plan->width))
		return false;
	plan->patches = (int) patches;
	return true;
}

static bool
patch_values(const uint8_t *bytes, int n, const Plan *plan, uint64_t *values)
{
	uint64_t positions[DBP_VECTOR];
	uint64_t patches[DBP_VECTOR];

	dbp_bitunpack(bytes, plan->patches, POSITION_BITS, positions);
	dbp_bitunpack(bytes + dbp_bitpack_size(plan->patches, POSITION_BITS), plan->patches,
				  plan->patch_width, patches);
	for (int i = 0; i < plan->patches; i++)
	{
		if (positions[i] >= (uint64_t) n)
			return false;
		/* a width of 64 leaves no bits for patches */
		values[positions[i]] |= plan->width < 64 ? patches[i] << plan->width : 0;
	}
	return true;
}

static bool
decode_vector(DbpReader *in, int n, uint64_t *values)
{
	Plan plan;
	const uint8_t *patches;
	const uint8_t *packed;
	uint64_t *rest;
	int nrest;

	if (!read_header(in, n, &plan, values))
		return false;
	rest = values + plan.order;
	nrest = n - plan.order;
	patches = dbp_read_bytes(in,
							 dbp_bitpack_size(plan.patches, POSITION_BITS) +
								 dbp_bitpack_size(plan.patches, plan.patch_width));
	packed = dbp_read_bytes(in, dbp_bitpack_size(nrest, plan.width));
	if (patches == NULL || packed == NULL)
		return false;
	dbp_bitunpack(packed, nrest, plan.width, rest);
	if (plan.patches > 0 && !patch_values(patches, nrest, &plan, rest))
		return false;
	if (plan.zigzag)
	{
		for (int i = 0; i < nrest; i++)
			rest[i] = dbp_unzigzag(rest[i]);
	}
	else
	{
		for (int i = 0; i < nrest; i++)
			rest[i] += plan.base;
	}
	for (int order = plan.order; order > 0; order--)
		sum_up(values, order, n);
	return true;
}

bool
dbp_vectors_decode(const uint8_t *bytes, size_t len, int n, uint64_t *values)
{
	DbpReader in = {bytes, len};

	for (int from = 0; from < n; from += DBP_VECTOR)
	{
		if (!decode_vector(&in, n - from < DBP_VECTOR ? n - from : DBP_VECTOR, values + from))
			return false;
	}
	return in.left == 0;
}

void
dbp_vectors_describe(const uint8_t *bytes, size_t len, int n, char *out, size_t size)
{
	static const char *const orders[] = {"frame of reference", "delta", "delta of delta"};
	uint64_t firsts[MAX_ORDER];
	DbpReader in = {bytes, len};
	Plan plan;

	if (n == 0 || !read_header(&in, n < DBP_VECTOR ? n : DBP_VECTOR, &plan, firsts))
		snprintf(out, size, "damaged");
	else
		snprintf(out, size, "%s, %d bits%s%s", orders[plan.order], plan.width,
				 plan.patches > 0 ? ", patched" : "", n > DBP_VECTOR ? ", by vector" : "");
}
