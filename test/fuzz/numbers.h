/*-------------------------------------------------------------------------
 *
 * numbers.h
 *		The fuzz target of a family of numbers of one size.
 *
 * To be included once, with these defined: NUMBER (its type), FAMILY, ENCODE,
 * DECODE, and make_number(), which takes the style, what is left, and the
 * number before.
 *
 *-------------------------------------------------------------------------
 */

/* Both ways to fill what is written to: what is not written would differ. */
static void
decode(FuzzInput in)
{
	int n = fuzz_count(&in);
	NUMBER *numbers = fuzz_alloc((size_t) n * sizeof(NUMBER), 0);
	NUMBER *again = fuzz_alloc((size_t) n * sizeof(NUMBER), 0xff);
	bool decoded = DECODE(in.at, in.left, n, numbers);

	FUZZ_CHECK(DECODE(in.at, in.left, n, again) == decoded);
	FUZZ_CHECK(!decoded || memcmp(numbers, again, (size_t) n * sizeof(NUMBER)) == 0);
	fuzz_describe(FAMILY, in, n);
	free(numbers);
	free(again);
}

static void
encode(FuzzInput in, int effort, int style)
{
	int n = 0;
	NUMBER *numbers = fuzz_alloc(in.left * sizeof(NUMBER), 0);
	NUMBER *again;
	DbpBuffer out;
	uint8_t *chunk;
	size_t len;
	char text[100];

	while (in.left > 0 && n < DBP_CODEC_MAX_VALUES)
	{
		numbers[n] = make_number(style, &in, n == 0 ? 0 : numbers[n - 1]);
		n++;
	}
	fuzz_begin(&out);
	FUZZ_CHECK(ENCODE(numbers, n, effort, &out));
	chunk = fuzz_end(&out, &len);
	again = fuzz_alloc((size_t) n * sizeof(NUMBER), 0xff);
	FUZZ_CHECK(DECODE(chunk, len, n, again));
	FUZZ_CHECK(memcmp(numbers, again, (size_t) n * sizeof(NUMBER)) == 0);
	dbp_chunk_describe(FAMILY, chunk, len, n, text, sizeof(text));
	FUZZ_CHECK(strcmp(text, "damaged") != 0);
	for (size_t cut = 0; cut < len; cut += len / 8 + 1)
		DECODE(chunk + len - cut, cut, n, again);
	free(chunk);
	free(again);
	free(numbers);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzInput in = {data, size};
	int mode = fuzz_byte(&in);

	if (FUZZ_DECODE(mode))
		decode(in);
	else
		encode(in, FUZZ_EFFORT(mode), FUZZ_STYLE(mode));
	return 0;
}
