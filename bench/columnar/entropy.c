/*
 * entropy: the order-0 entropy of each column of a COPY in binary format, in bytes a value: what an
 * ideal coder would need that knows how often each value comes and nothing else.  Of the values and of their
 * differences from row to row, the smaller one is printed.
 *
 *	entropy KIND… <rows.copy		prints a line for each column: bytes a value, "values" or "differences"
 *
 * KIND is int (integers, dates, times), double or text.  Doubles that are decimal with at most five
 * places count as whole numbers of the fifth, since differences of doubles have errors that
 * their decimals do not have; others count as the bits that they are.  Of text there are no differences.
 *
 * Where nearly every value is another, as those of microseconds are, a sample says too little about how
 * often each one comes: its entropy cannot exceed log2 of the number of rows.  There values are
 * counted by their highest bits, and the lower ones as if all were equally likely.
 */
#include <endian.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COLUMNS 1600
#define MAX_FIELD (1 << 20)

/* Above this many different values they are no longer counted one by one. */
#define MAX_DISTINCT (1 << 20)
#define SLOTS (MAX_DISTINCT * 2)

/* Highest bits by which values are put together */
#define PREFIX_BITS 6
#define CLASSES (2 * 65 * (1 << PREFIX_BITS))

typedef struct Counts
{
	int64_t rows;
	uint64_t *keys;
	uint32_t *counts; /* 0: the slot is free */
	int64_t distinct;
	int64_t *classes;
} Counts;

typedef enum Kind
{
	KIND_INT,
	KIND_DOUBLE,
	KIND_TEXT
} Kind;

typedef struct Column
{
	Kind kind;
	Counts values;
	Counts differences;
	uint64_t previous;
} Column;

static void
fail(const char *why)
{
	fprintf(stderr, "entropy: %s\n", why);
	exit(1);
}

static void *
allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (memory == NULL)
		fail("no memory");
	return memory;
}

static void
counts_init(Counts *counts)
{
	memset(counts, 0, sizeof(*counts));
	counts->keys = allocate(SLOTS, sizeof(uint64_t));
	counts->counts = allocate(SLOTS, sizeof(uint32_t));
	counts->classes = allocate(CLASSES, sizeof(int64_t));
}

static uint64_t
mix(uint64_t key)
{
	key ^= key >> 32;
	key *= UINT64_C(0xD6E8FEB86659FD93);
	key ^= key >> 32;
	key *= UINT64_C(0xD6E8FEB86659FD93);
	return key ^ key >> 32;
}

/* Bits below the highest ones that make the class */
static int
class_width(uint64_t magnitude)
{
	int bits = magnitude == 0 ? 0 : 64 - __builtin_clzll(magnitude);

	return bits > PREFIX_BITS ? bits - PREFIX_BITS : 0;
}

static void
counts_add(Counts *counts, uint64_t key)
{
	bool negative = (int64_t) key < 0;
	uint64_t magnitude = negative ? -key : key;
	int width = class_width(magnitude);

	counts->rows++;
	counts->classes[(((negative ? 65 : 0) + width) << PREFIX_BITS) + (int) (magnitude >> width)]++;
	if (counts->distinct <= MAX_DISTINCT)
	{
		uint64_t slot = mix(key) % SLOTS;

		while (counts->counts[slot] != 0 && counts->keys[slot] != key)
			slot = (slot + 1) % SLOTS;
		if (counts->counts[slot] == 0)
			counts->distinct++;
		counts->keys[slot] = key;
		counts->counts[slot]++;
	}
}

static double
bits_of(double count, double rows)
{
	return count > 0 ? -count / rows * log2(count / rows) : 0;
}

/* Bits a value */
static double
counts_entropy(const Counts *counts)
{
	double rows = (double) counts->rows;
	double bits = 0;

	if (counts->rows == 0)
		return 0;
	if (counts->distinct <= MAX_DISTINCT && counts->distinct * 8 <= counts->rows)
	{
		for (int64_t i = 0; i < SLOTS; i++)
			bits += bits_of(counts->counts[i], rows);
		/* what a sample is short by, after Miller and Madow (1955) */
		return bits + (double) (counts->distinct - 1) / (2 * rows * log(2));
	}
	for (int64_t i = 0; i < CLASSES; i++)
		bits += bits_of((double) counts->classes[i], rows) +
			(double) counts->classes[i] / rows * (double) ((i >> PREFIX_BITS) % 65);
	return bits;
}

static void
read_exactly(void *to, size_t size)
{
	if (fread(to, 1, size, stdin) != size)
		fail("the input ends early");
}

static uint16_t
read16(void)
{
	uint16_t value;

	read_exactly(&value, sizeof(value));
	return be16toh(value);
}

static uint32_t
read32(void)
{
	uint32_t value;

	read_exactly(&value, sizeof(value));
	return be32toh(value);
}

/* An integer of 2, 4 or 8 bytes, sign-extended */
static uint64_t
integer_key(const uint8_t *field, uint32_t len)
{
	int64_t value = (int8_t) field[0];

	for (uint32_t i = 1; i < len; i++)
		value = (int64_t) ((uint64_t) value << 8 | field[i]);
	return (uint64_t) value;
}

static uint64_t
double_key(const uint8_t *field)
{
	uint64_t bits = integer_key(field, 8);
	double value;
	double scaled;

	memcpy(&value, &bits, sizeof(value));
	if (!(value > -1e10 && value < 1e10))
		return bits;
	scaled = rint(value * 1e5);
	return scaled / 1e5 == value ? (uint64_t) (int64_t) scaled : bits;
}

/* FNV-1a */
static uint64_t
text_key(const uint8_t *field, uint32_t len)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (uint32_t i = 0; i < len; i++)
		hash = (hash ^ field[i]) * UINT64_C(1099511628211);
	return hash;
}

static void
add_field(Column *column, const uint8_t *field, uint32_t len)
{
	uint64_t key;

	if (column->kind == KIND_TEXT)
		key = text_key(field, len);
	else if (len != 8 && (column->kind == KIND_DOUBLE || (len != 2 && len != 4)))
		fail("a field is not of the kind that was named");
	else
		key = column->kind == KIND_DOUBLE ? double_key(field) : integer_key(field, len);
	counts_add(&column->values, key);
	if (column->kind != KIND_TEXT)
		counts_add(&column->differences, key - column->previous);
	column->previous = key;
}

static void
read_rows(Column *columns, int ncolumns)
{
	static const char signature[] = "PGCOPY\n\377\r\n";
	static uint8_t field[MAX_FIELD];
	char head[sizeof(signature)];
	uint32_t extension;
	uint16_t fields;

	read_exactly(head, sizeof(head));
	if (memcmp(head, signature, sizeof(head)) != 0)
		fail("this is no COPY in binary format");
	(void) read32(); /* flags */
	for (extension = read32(); extension > 0; extension--)
		read_exactly(field, 1);
	while ((fields = read16()) != 0xFFFF)
	{
		if (fields != ncolumns)
			fail("a row has another number of columns");
		for (int i = 0; i < ncolumns; i++)
		{
			uint32_t len = read32();

			if (len == UINT32_MAX)
				continue;
			if (len > MAX_FIELD)
				fail("a field is too long");
			read_exactly(field, len);
			add_field(&columns[i], field, len);
		}
	}
}

int
main(int argc, char **argv)
{
	static Column columns[MAX_COLUMNS];
	int ncolumns = argc - 1;

	if (ncolumns < 1 || ncolumns > MAX_COLUMNS)
		fail("usage: entropy int|double|text …");
	for (int i = 0; i < ncolumns; i++)
	{
		const char *kind = argv[i + 1];

		if (strcmp(kind, "int") != 0 && strcmp(kind, "double") != 0 && strcmp(kind, "text") != 0)
			fail("a kind is int, double or text");
		columns[i].kind = kind[0] == 'i' ? KIND_INT : kind[0] == 'd' ? KIND_DOUBLE : KIND_TEXT;
		counts_init(&columns[i].values);
		counts_init(&columns[i].differences);
	}
	read_rows(columns, ncolumns);
	for (int i = 0; i < ncolumns; i++)
	{
		double values = counts_entropy(&columns[i].values);
		double differences = counts_entropy(&columns[i].differences);

		if (columns[i].kind != KIND_TEXT && differences < values)
			printf("%.4f differences\n", differences / 8);
		else
			printf("%.4f values\n", values / 8);
	}
	return 0;
}
