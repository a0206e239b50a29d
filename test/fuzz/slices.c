/*-------------------------------------------------------------------------
 *
 * slices.c
 *		Fuzz target: chunks of values of any length.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#define FAMILY DBP_FAMILY_SLICE
#define ENCODE dbp_slices_encode
#define VALUE_ROOM 256

/*
 * Up to a zero; of a length that comes first; of one length; text of a small
 * alphabet, half of which are digits.
 */
static uint32_t
make_value(int style, FuzzInput *in, uint8_t *room)
{
	static const char alphabet[] = "0123456789-.:/ a";
	uint32_t len = 0;
	uint32_t want;

	switch (style & 3)
	{
		case 1:
			want = fuzz_byte(in);
			break;
		case 2:
			want = (uint32_t) (style >> 2) * 3 + 1;
			break;
		default:
			want = VALUE_ROOM;
			break;
	}
	while (len < want && in->left > 0)
	{
		uint8_t byte = fuzz_byte(in);

		if ((style & 3) == 0 && byte == 0)
			break;
		if ((style & 3) == 3)
		{
			if (byte >= 0xe0)
				break;
			byte = (uint8_t) alphabet[byte % 16];
		}
		room[len++] = byte;
	}
	/* a cut value would not be of the one length */
	while ((style & 3) == 2 && len < want)
		room[len++] = 0;
	return len;
}

#include "values.h"
