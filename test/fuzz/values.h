/*-------------------------------------------------------------------------
 *
 * values.h
 *		The fuzz target of a family of values of any length.
 *
 * To be included once, with these defined: FAMILY, ENCODE, and make_value(),
 * which takes the style, what is left, and room for the value.
 *
 *-------------------------------------------------------------------------
 */

/* No chunk of a few thousand bytes has to claim more */
#define LIMIT (1 << 20)

static void
decode(FuzzInput in)
{
	int n = fuzz_count(&in);
	int64_t size = dbp_slices_size(in.at, in.left, n, LIMIT);

	FUZZ_CHECK(size >= -1 && size <= LIMIT);
	if (size >= 0)
	{
		uint8_t *arena = fuzz_alloc((size_t) size, 0);
		uint8_t *again = fuzz_alloc((size_t) size, 0xff);
		uint32_t *ends = fuzz_alloc((size_t) n * sizeof(uint32_t), 0);
		uint32_t *ends_again = fuzz_alloc((size_t) n * sizeof(uint32_t), 0xff);
		bool decoded = dbp_slices_decode(in.at, in.left, n, arena, (size_t) size, ends);

		/* what is not written would differ */
		FUZZ_CHECK(dbp_slices_decode(in.at, in.left, n, again, (size_t) size, ends_again) ==
				   decoded);
		if (decoded)
		{
			FUZZ_CHECK(memcmp(arena, again, (size_t) size) == 0);
			FUZZ_CHECK(memcmp(ends, ends_again, (size_t) n * sizeof(uint32_t)) == 0);
			FUZZ_CHECK(n == 0 ? size == 0 : ends[n - 1] == (uint32_t) size);
			for (int i = 1; i < n; i++)
				FUZZ_CHECK(ends[i - 1] <= ends[i]);
		}
		free(arena);
		free(again);
		free(ends);
		free(ends_again);
	}
	fuzz_describe(FAMILY, in, n);
}

static void
check_same(const uint8_t *chunk, size_t len, const DbpSlice *values, int n, size_t total)
{
	uint8_t *arena = fuzz_alloc(total, 0xff);
	uint32_t *ends = fuzz_alloc((size_t) n * sizeof(uint32_t), 0xff);
	size_t at = 0;
	char text[100];

	FUZZ_CHECK(dbp_slices_size(chunk, len, n, INT32_MAX) == (int64_t) total);
	FUZZ_CHECK(dbp_slices_decode(chunk, len, n, arena, total, ends));
	for (int i = 0; i < n; i++)
	{
		FUZZ_CHECK(ends[i] == at + values[i].len);
		FUZZ_CHECK(values[i].len == 0 || memcmp(arena + at, values[i].data, values[i].len) == 0);
		at += values[i].len;
	}
	dbp_chunk_describe(FAMILY, chunk, len, n, text, sizeof(text));
	FUZZ_CHECK(strcmp(text, "damaged") != 0);
	for (size_t cut = 0; cut < len; cut += len / 8 + 1)
		dbp_slices_decode(chunk, cut, n, arena, total, ends);
	free(arena);
	free(ends);
}

/* Every value is a copy on its own, with its end where the checker knows it. */
static void
encode(FuzzInput in, int effort, int style)
{
	int most = (int) (in.left < DBP_CODEC_MAX_VALUES ? in.left : DBP_CODEC_MAX_VALUES);
	DbpSlice *values = fuzz_alloc((size_t) most * sizeof(DbpSlice), 0);
	int n = 0;
	size_t total = 0;
	DbpBuffer out;
	uint8_t *chunk;
	size_t len;

	while (in.left > 0 && n < most)
	{
		uint8_t room[VALUE_ROOM];
		uint32_t value_len = make_value(style, &in, room);
		uint8_t *copy = fuzz_alloc(value_len, 0);

		memcpy(copy, room, value_len);
		values[n].data = copy;
		values[n++].len = value_len;
		total += value_len;
	}
	fuzz_begin(&out);
	FUZZ_CHECK(ENCODE(values, n, effort, &out));
	chunk = fuzz_end(&out, &len);
	check_same(chunk, len, values, n, total);
	free(chunk);
	for (int i = 0; i < n; i++)
		free((void *) values[i].data);
	free(values);
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
