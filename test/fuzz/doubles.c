/*-------------------------------------------------------------------------
 *
 * doubles.c
 *		Fuzz target: chunks of double precision.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#define NUMBER uint64_t
#define FAMILY DBP_FAMILY_DOUBLE
#define ENCODE dbp_doubles_encode
#define DECODE dbp_doubles_decode

static uint64_t
pattern_of(double number)
{
	uint64_t pattern;

	memcpy(&pattern, &number, sizeof(pattern));
	return pattern;
}

/* Any pattern; decimals; the same with patterns among them; patterns near the last one */
static uint64_t
make_number(int style, FuzzInput *in, uint64_t last)
{
	static const double powers[] = {1, 10, 100, 1e3, 1e4, 1e6, 1e9, 1e-2};
	double power = powers[style >> 2 & 7];

	switch (style & 3)
	{
		case 1:
			return pattern_of((double) fuzz_number(in, 4) / power);
		case 2:
			if (fuzz_byte(in) < 0xf0)
				return pattern_of((double) fuzz_number(in, 2) / power);
			return (uint64_t) fuzz_number(in, 8);
		case 3:
			return last ^ (uint64_t) fuzz_number(in, 4);
		default:
			return (uint64_t) fuzz_number(in, 8);
	}
}

#include "numbers.h"
