#include <stdio.h>

#include "codec/bytes.h"
#include "codec/slices.h"

void
dbp_chunk_describe(DbpFamily family, const uint8_t *chunk, size_t len, int n, char *out,
				   size_t size)
{
	switch (family)
	{
		case DBP_FAMILY_SLICE:
		case DBP_FAMILY_NUMERIC:
			dbp_slices_describe(chunk, len, n, out, size);
			break;
		default:
			snprintf(out, size, "%s", len == 0 ? "damaged" : chunk[0] == 0 ? "constant" : "packed");
			break;
	}
}

int
dbp_chunk_candidates(DbpFamily family, const void *values, int n, int effort,
					 DbpCandidate *candidates, int max)
{
	switch (family)
	{
		case DBP_FAMILY_SLICE:
			return dbp_slices_candidates(values, n, effort, candidates, max);
		case DBP_FAMILY_NUMERIC:
			return dbp_numerics_candidates(values, n, effort, candidates, max);
		default:
			return 0;
	}
}
