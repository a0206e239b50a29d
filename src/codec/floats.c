#include <stdlib.h>

#include "codec/bytes.h"

bool
dbp_floats_encode(const uint32_t *values, int n, int effort, DbpBuffer *out)
{
	int64_t *wide = malloc(((size_t) n + 1) * sizeof(*wide));
	bool done;

	if (wide == NULL)
		return false;
	for (int i = 0; i < n; i++)
		wide[i] = (int64_t) values[i];
	done = dbp_ints_encode(wide, n, effort, out);
	free(wide);
	return done;
}

bool
dbp_floats_decode(const uint8_t *chunk, size_t len, int n, uint32_t *values)
{
	int64_t *wide = malloc(((size_t) n + 1) * sizeof(*wide));
	bool done;

	if (wide == NULL)
		return false;
	done = dbp_ints_decode(chunk, len, n, wide);
	for (int i = 0; done && i < n; i++)
		values[i] = (uint32_t) wide[i];
	free(wide);
	return done;
}
