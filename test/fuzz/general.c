/*-------------------------------------------------------------------------
 *
 * general.c
 *		Fuzz target: general compression.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "codec/general.h"

static void
decode(FuzzInput in)
{
	size_t size = (size_t) fuzz_count(&in);
	uint8_t *bytes = fuzz_alloc(size, 0);
	uint8_t *again = fuzz_alloc(size, 0xff);
	bool decoded = dbp_general_decompress(in.at, in.left, bytes, size);

	/* what is not written would differ */
	FUZZ_CHECK(dbp_general_decompress(in.at, in.left, again, size) == decoded);
	FUZZ_CHECK(!decoded || memcmp(bytes, again, size) == 0);
	free(bytes);
	free(again);
}

static void
encode(FuzzInput in, int effort)
{
	uint8_t *again = fuzz_alloc(in.left, 0xff);
	DbpBuffer out;
	uint8_t *frame;
	size_t len;

	fuzz_begin(&out);
	FUZZ_CHECK(dbp_general_compress(in.at, in.left, effort, &out));
	frame = fuzz_end(&out, &len);
	FUZZ_CHECK(dbp_general_decompress(frame, len, again, in.left));
	FUZZ_CHECK(in.left == 0 || memcmp(in.at, again, in.left) == 0);
	FUZZ_CHECK(!dbp_general_decompress(frame, len - 1, again, in.left));
	free(frame);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzInput in = {data, size};
	int mode = fuzz_byte(&in);

	if (FUZZ_DECODE(mode))
		decode(in);
	else
		encode(in, FUZZ_EFFORT(mode));
	return 0;
}
