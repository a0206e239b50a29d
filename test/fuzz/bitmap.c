/*-------------------------------------------------------------------------
 *
 * bitmap.c
 *		Fuzz target: sets of positions.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

static void
decode(FuzzInput in)
{
	int n = fuzz_count(&in);
	size_t size = ((size_t) n + 7) / 8;
	uint8_t *bitmap = fuzz_alloc(size, 0);
	uint8_t *again = fuzz_alloc(size, 0xff);
	bool decoded = dbp_bitmap_decode(in.at, in.left, n, bitmap);

	/* what is not written would differ, and spare bits are 0 */
	FUZZ_CHECK(dbp_bitmap_decode(in.at, in.left, n, again) == decoded);
	FUZZ_CHECK(!decoded || memcmp(bitmap, again, size) == 0);
	FUZZ_CHECK(!decoded || n % 8 == 0 || bitmap[n / 8] >> n % 8 == 0);
	free(bitmap);
	free(again);
}

/* Bits as they are, or as the ends of runs */
static void
encode(FuzzInput in, int style)
{
	int spare = (int) (fuzz_byte(&in) % 8);
	size_t size = in.left < DBP_CODEC_MAX_VALUES / 8 ? in.left : DBP_CODEC_MAX_VALUES / 8;
	int n = (int) size * 8 - (size == 0 ? 0 : spare);
	uint8_t *bitmap = fuzz_alloc(size, 0);
	uint8_t *again = fuzz_alloc(size, 0xff);
	uint8_t byte = 0;
	DbpBuffer out;
	uint8_t *chunk;
	size_t len;

	for (size_t i = 0; i < size; i++)
	{
		byte = style % 2 == 0 ? fuzz_byte(&in) : fuzz_byte(&in) < 8 ? (uint8_t) ~byte : byte;
		bitmap[i] = byte;
	}
	if (n % 8 != 0)
		bitmap[n / 8] &= (uint8_t) ((1 << n % 8) - 1);
	fuzz_begin(&out);
	FUZZ_CHECK(dbp_bitmap_encode(bitmap, n, &out));
	chunk = fuzz_end(&out, &len);
	FUZZ_CHECK(dbp_bitmap_decode(chunk, len, n, again));
	FUZZ_CHECK(memcmp(bitmap, again, size) == 0);
	free(chunk);
	free(bitmap);
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
		encode(in, FUZZ_STYLE(mode));
	return 0;
}
