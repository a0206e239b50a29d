/*-------------------------------------------------------------------------
 *
 * normalize.c
 *		Tests src/metrics/normalize.c, without a server; prints TAP.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/normalize.h"

static int tests = 0;
static int failed = 0;

static void
ok(int passed, const char *name)
{
	printf("%sok %d - %s\n", passed ? "" : "not ", ++tests, name);
	failed += !passed;
}

/* Expected: NULL if the text is to be given up */
static void
becomes(const char *text, const char *expected)
{
	/* with its end where the allocation ends */
	size_t length = strlen(text);
	char *copy = malloc(length + 1);
	char result[1024];
	char name[512];
	int kept;
	int passed;

	memcpy(copy, text, length);
	kept = dbp_normalize(copy, length, result, sizeof(result));
	passed = expected == NULL ? !kept && result[0] == '\0' : kept && strcmp(result, expected) == 0;
	if (!passed)
		printf("# got: %s\n", result);
	snprintf(name, sizeof(name), "%.200s", text);
	for (char *at = name; *at != '\0'; at++)
		if (*at == '\n')
			*at = ' ';
	ok(passed, name);
	free(copy);
}

static void
test_strings(void)
{
	becomes("SELECT 'a', 'it''s', ''", "SELECT ?, ?, ?");
	becomes("SELECT 'a' 'b'", "SELECT ? ?");
	becomes("SELECT 'a'\n  'b', 1", "SELECT ?, ?");
	becomes("SELECT 'a' -- more\n 'b', 1", "SELECT ?, ?");
	becomes("SELECT e'a\\'b', 'c'", "SELECT ?, ?");
	becomes("SELECT E'a\\\\', 'c'", "SELECT ?, ?");
	becomes("SELECT E'a'\n'b\\'secret'", "SELECT ?");
	becomes("SELECT b'01', X'1f', N'n', U&'\\0041' UESCAPE '!', nothing",
			"SELECT ?, ?, ?, ? UESCAPE ?, nothing");
	becomes("SELECT xe'a'", "SELECT xe?");
	becomes("SELECT $$a'b$$, $x$ $$ ' $x$, $1, $12", "SELECT ?, ?, $1, $12");
	becomes("SELECT a$b$, 'x' FROM c$b$", "SELECT a$b$, ? FROM c$b$");
	becomes("SELECT $\xc3\xa4$ secret $\xc3\xa4$", "SELECT ?");
	becomes("DO $$ BEGIN SELECT 'secret'; END $$", "DO ?");
	becomes("ALTER ROLE joe PASSWORD 'secret' VALID UNTIL '2030-01-01'",
			"ALTER ROLE joe PASSWORD ? VALID UNTIL ?");
}

static void
test_backslashes(void)
{
	/* the same, whatever the setting was */
	becomes("SELECT 'a\\b', c", "SELECT ?, c");
	becomes("SELECT 'a\\\\', c", "SELECT ?, c");
	/* 'a\' ends there, or goes on */
	becomes("SELECT 'a\\', 'secret', c", NULL);
	becomes("SELECT 'a\\' || 'secret'", NULL);
	becomes("SELECT 'a\\'' , secret, ''", NULL);
}

static void
test_numbers(void)
{
	becomes("SELECT 1, 1.5, .5, 1., 1e10, 1.5E-3, -2", "SELECT ?, ?, ?, ?, ?, ?, -?");
	becomes("SELECT 0x1F, 0b01, 1_000", "SELECT ?, ?, ?");
	becomes("SELECT 1$$my secret$$", NULL);
	becomes("SELECT 1$x$, secret$x$", NULL);
	becomes("SELECT a1, a[1:2], t1.x2, 1+2, 1e1-2", "SELECT a1, a[?:?], t1.x2, ?+?, ?-?");
	becomes("SELECT x FROM t LIMIT 10;", "SELECT x FROM t LIMIT ?;");
}

static void
test_the_rest(void)
{
	becomes("", "");
	becomes("  \n SELECT\t a ,\r\n  b  ", "SELECT a , b");
	becomes("/* secret */ SELECT /* a /* nested 'one' */ secret */ a -- secret\n, b --",
			"SELECT a , b");
	becomes("SELECT a/**/b", "SELECT a b");
	becomes("SELECT 5--3\n+a", "SELECT ? +a");
	becomes("SELECT a */* secret */ b", "SELECT a * b");
	becomes("SELECT \"a 'b'\", \"it\"\"s\", U&\"d!0061\" UESCAPE '!'",
			"SELECT \"a 'b'\", \"it\"\"s\", U&\"d!0061\" UESCAPE ?");
	becomes("SELECT \xc3\xa4, '\xc3\xa4'", "SELECT \xc3\xa4, ?");
	becomes("SELECT a::text <> 'b' AND c->>'d' @> '{\"k\": 1}'",
			"SELECT a::text <> ? AND c->>? @> ?");
	/* without an end */
	becomes("SELECT 'secret", NULL);
	becomes("SELECT $$secret", NULL);
	becomes("SELECT \"secret", NULL);
	becomes("SELECT a /* secret", NULL);
}

/* No more than there is room for, whole tokens only, and nothing read beyond the end */
static void
test_sizes(void)
{
	static const char text[] = "SELECT  alpha , 'beta', \"gamma\"";
	static const char whole[] = "SELECT alpha , ?, \"gamma\"";
	int passed = 1;

	for (size_t size = 1; size < 40; size++)
	{
		char result[40];
		size_t length;

		memset(result, 'x', sizeof(result));
		passed &= dbp_normalize(text, strlen(text), result, size);
		length = strlen(result);
		passed &= length < size && strncmp(result, whole, length) == 0;
		/* up to the end of a token */
		passed &= whole[length] == '\0' || strchr(" ,", whole[length]) != NULL || length == 0 ||
			strchr(" ,?", result[length - 1]) != NULL;
	}
	ok(passed, "cut off between tokens");
	passed = 1;
	for (size_t length = 0; length <= strlen(text); length++)
	{
		char *copy = malloc(length + 1);
		char result[64];

		memcpy(copy, text, length);
		(void) dbp_normalize(copy, length, result, sizeof(result));
		passed &= strstr(result, "bet") == NULL;
		free(copy);
	}
	ok(passed, "of part of a text, no constant is left");
}

int
main(void)
{
	test_strings();
	test_backslashes();
	test_numbers();
	test_the_rest();
	test_sizes();
	printf("1..%d\n", tests);
	return failed > 0;
}
