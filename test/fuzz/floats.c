/*-------------------------------------------------------------------------
 *
 * floats.c
 *		Fuzz target: chunks of real.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#define NUMBER uint32_t
#define FAMILY DBP_FAMILY_FLOAT
#define ENCODE dbp_floats_encode
#define DECODE dbp_floats_decode

static uint32_t
pattern_of(float number)
{
	uint32_t pattern;

	memcpy(&pattern, &number, sizeof(pattern));
	return pattern;
}

/* Any pattern; decimals; the same with patterns among them; patterns near the last one */
static uint32_t
make_number(int style, FuzzInput *in, uint32_t last)
{
	static const float powers[] = {1, 10, 100, 1e3f, 1e4f, 1e6f, 1e9f, 1e-2f};
	float power = powers[style >> 2 & 7];

	switch (style & 3)
	{
		case 1:
			return pattern_of((float) fuzz_number(in, 2) / power);
		case 2:
			if (fuzz_byte(in) < 0xf0)
				return pattern_of((float) fuzz_number(in, 2) / power);
			return (uint32_t) fuzz_number(in, 4);
		case 3:
			return last ^ (uint32_t) fuzz_number(in, 2);
		default:
			return (uint32_t) fuzz_number(in, 4);
	}
}

#include "numbers.h"
