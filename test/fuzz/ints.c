/*-------------------------------------------------------------------------
 *
 * ints.c
 *		Fuzz target: chunks of integers.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#define NUMBER int64_t
#define FAMILY DBP_FAMILY_INT
#define ENCODE dbp_ints_encode
#define DECODE dbp_ints_decode

/* Of one, two, four or eight bytes; as they are, differences, runs, or multiples of something */
static int64_t
make_number(int style, FuzzInput *in, int64_t last)
{
	int64_t number = fuzz_number(in, 1 << (style & 3));

	switch (style >> 2 & 3)
	{
		case 1:
			return (int64_t) ((uint64_t) last + (uint64_t) number);
		case 2:
			return number % 4 != 0 ? last : number;
		case 3:
			return (int64_t) ((uint64_t) number * 86400000000 + 17);
		default:
			return number;
	}
}

#include "numbers.h"
