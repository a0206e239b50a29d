/*-------------------------------------------------------------------------
 *
 * numerics.c
 *		Fuzz target: chunks of numeric.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#define FAMILY DBP_FAMILY_NUMERIC
#define ENCODE dbp_numerics_encode
#define VALUE_ROOM 256

static uint32_t
put_word(uint8_t *room, uint32_t len, int word)
{
	uint16_t value = (uint16_t) word;

	memcpy(room + len, &value, sizeof(value));
	return len + 2;
}

/*
 * Any bytes; else a header and digits: with a fixed display scale, or any; of
 * the short form or the long one; digits are small, or any below 10000, or any at all.
 */
static uint32_t
make_value(int style, FuzzInput *in, uint8_t *room)
{
	uint8_t shape = fuzz_byte(in);
	uint32_t ndigits = shape & 7;
	uint32_t len = 0;
	int scale = (style & 4) != 0 ? 2 : fuzz_byte(in) & 0x3f;
	int weight = (style & 8) != 0 ? (int) ndigits - 2 : (int) fuzz_number(in, 1);

	if ((style & 3) == 0)
	{
		while (len < shape && in->left > 0)
			room[len++] = fuzz_byte(in);
		return len;
	}
	if (shape >= 0xf0)
		return put_word(room, 0, 0xc000 | (shape & 3) << 12);
	if (shape >= 0xe0)
	{
		len = put_word(room, len, (shape & 8) << 11 | scale);
		len = put_word(room, len, weight);
	}
	else
		len = put_word(room, len,
					   0x8000 | (shape & 8) << 10 | scale << 7 | (weight < 0 ? 0x40 : 0) |
						   (weight & 0x3f));
	for (uint32_t i = 0; i < ndigits; i++)
	{
		int digit = (style & 3) == 1 ? fuzz_byte(in) : (uint16_t) fuzz_number(in, 2);

		if (i == ndigits - 1 && scale == 2 && (shape & 0x10) != 0)
			digit = digit % 100 * 100;
		len = put_word(room, len, (style & 3) == 3 ? digit : digit % 10000);
	}
	return len;
}

#include "values.h"
