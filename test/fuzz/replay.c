/*-------------------------------------------------------------------------
 *
 * replay.c
 *		Gives each file that it is told of to a fuzz target, as libFuzzer would.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

static uint8_t *
read_file(const char *name, size_t *size)
{
	FILE *file = fopen(name, "rb");
	uint8_t *data;
	long end;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (end = ftell(file)) < 0 ||
		fseek(file, 0, SEEK_SET) != 0)
	{
		perror(name);
		exit(1);
	}
	*size = (size_t) end;
	data = fuzz_alloc(*size, 0);
	if (fread(data, 1, *size, file) != *size)
	{
		perror(name);
		exit(1);
	}
	fclose(file);
	return data;
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		size_t size;
		uint8_t *data = read_file(argv[i], &size);

		fprintf(stderr, "Running: %s\n", argv[i]);
		LLVMFuzzerTestOneInput(data, size);
		free(data);
	}
	return 0;
}
