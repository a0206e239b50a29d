/*-------------------------------------------------------------------------
 *
 * normalize.c
 *		The text of a statement without its constants.
 *
 * Splits the text into tokens as the server's scan.l does, but knows only as
 * much of them as is needed to tell constants from the rest: strings of all
 * kinds, with escapes, in dollars, of bits, Unicode, continued on another
 * line; numbers; quoted identifiers; nested comments.  What the server's
 * scanner would refuse has not been executed, and need not be understood; it
 * must only never end up as text that is not a constant.
 *
 * Whether a backslash in a plain string is an escape depends on a setting
 * (standard_conforming_strings) as it was when the text was parsed, which
 * nobody knows any more.  So it is read both ways, and if that is not the same
 * the text is given up.
 *
 *-------------------------------------------------------------------------
 */
#include "metrics/normalize.h"

#include <string.h>

typedef struct Scanner
{
	const char *at;
	const char *end;
	bool escapes; /* is a backslash one in a plain string? */
	bool unsure;  /* something has no end */
} Scanner;

static int
peek(const Scanner *scan, size_t ahead)
{
	return (size_t) (scan->end - scan->at) > ahead ? (unsigned char) scan->at[ahead] : -1;
}

static bool
is_space(int c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool
is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool
begins_identifier(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool
is_in_identifier(int c)
{
	return begins_identifier(c) || is_digit(c) || c == '$';
}

static bool
is_line_end(int c)
{
	return c == '\n' || c == '\r';
}

static void
skip_line(Scanner *scan)
{
	while (scan->at < scan->end && !is_line_end(*scan->at))
		scan->at++;
}

static void
skip_comment(Scanner *scan)
{
	int depth = 0;

	while (scan->at < scan->end)
	{
		if (peek(scan, 0) == '/' && peek(scan, 1) == '*')
		{
			depth++;
			scan->at += 2;
		}
		else if (peek(scan, 0) == '*' && peek(scan, 1) == '/')
		{
			scan->at += 2;
			if (--depth == 0)
				return;
		}
		else
			scan->at++;
	}
	scan->unsure = true;
}

/* False: there was nothing to skip */
static bool
skip_space(Scanner *scan)
{
	const char *start = scan->at;

	for (;;)
	{
		if (is_space(peek(scan, 0)))
			scan->at++;
		else if (peek(scan, 0) == '-' && peek(scan, 1) == '-')
			skip_line(scan);
		else if (peek(scan, 0) == '/' && peek(scan, 1) == '*')
			skip_comment(scan);
		else
			return scan->at > start;
	}
}

/* A string goes on after white space with a line's end in it (and comments to such an end) */
static bool
skip_to_continuation(Scanner *scan)
{
	const char *start = scan->at;
	bool line_end = false;

	for (;;)
	{
		if (is_space(peek(scan, 0)))
			line_end |= is_line_end(*scan->at++);
		else if (peek(scan, 0) == '-' && peek(scan, 1) == '-')
			skip_line(scan);
		else
			break;
	}
	if (line_end && peek(scan, 0) == '\'')
		return true;
	scan->at = start;
	return false;
}

/* From the opening quote on; to a closing one that is not doubled */
static void
skip_quoted(Scanner *scan, bool escapes)
{
	int quote = *scan->at++;

	for (;;)
	{
		int c = peek(scan, 0);

		if (c < 0)
		{
			scan->unsure = true;
			return;
		}
		scan->at++;
		if (c == '\\' && escapes && scan->at < scan->end)
			scan->at++;
		else if (c == quote && peek(scan, 0) == quote)
			scan->at++;
		else if (c == quote && (quote != '\'' || !skip_to_continuation(scan)))
			return;
		else if (c == quote)
			scan->at++;
	}
}

/* $tag$ ... $tag$; false if that is not what is here */
static bool
skip_dollar_quoted(Scanner *scan)
{
	size_t length = 1;

	if (peek(scan, 1) != '$' && !begins_identifier(peek(scan, 1)))
		return false;
	while (is_in_identifier(peek(scan, length)) && peek(scan, length) != '$')
		length++;
	if (peek(scan, length) != '$')
		return false;
	length++;
	for (const char *to = scan->at + length; to + length <= scan->end; to++)
	{
		if (memcmp(to, scan->at, length) == 0)
		{
			scan->at = to + length;
			return true;
		}
	}
	scan->at = scan->end;
	scan->unsure = true;
	return true;
}

/*
 * Digits and whatever is right behind them: 1.5e-3, 0x1F, 1_000.  Not so a
 * dollar, where a string may begin or not: that is given up.
 */
static void
skip_number(Scanner *scan)
{
	int before = 0;

	for (;;)
	{
		int c = peek(scan, 0);
		bool is_sign =
			(c == '+' || c == '-') && (before == 'e' || before == 'E') && is_digit(peek(scan, 1));

		if (!is_in_identifier(c) && c != '.' && !is_sign)
			return;
		scan->unsure |= c == '$';
		before = c;
		scan->at++;
	}
}

/* What begins with a letter: E'', B'', X'', N'' and U&'' are constants, U&"" is none */
static bool
skip_word(Scanner *scan)
{
	int first = peek(scan, 0) | 0x20;

	if (strchr("ebxn", first) != NULL && peek(scan, 1) == '\'')
	{
		scan->at++;
		skip_quoted(scan, first == 'e' || (first == 'n' && scan->escapes));
		return true;
	}
	if (first == 'u' && peek(scan, 1) == '&' && (peek(scan, 2) == '\'' || peek(scan, 2) == '"'))
	{
		bool is_constant = peek(scan, 2) == '\'';

		scan->at += 2;
		skip_quoted(scan, false);
		return is_constant;
	}
	while (is_in_identifier(peek(scan, 0)))
		scan->at++;
	return false;
}

/* Is it a constant? */
static bool
skip_token(Scanner *scan)
{
	int c = peek(scan, 0);

	if (c == '\'')
	{
		skip_quoted(scan, scan->escapes);
		return true;
	}
	if (c == '"')
	{
		skip_quoted(scan, false);
		return false;
	}
	if (c == '$' && skip_dollar_quoted(scan))
		return true;
	if (is_digit(c) || (c == '.' && is_digit(peek(scan, 1))))
	{
		skip_number(scan);
		return true;
	}
	if (begins_identifier(c))
		return skip_word(scan);

	scan->at++;
	/* a parameter is no constant */
	while (c == '$' && is_digit(peek(scan, 0)))
		scan->at++;
	return false;
}

static bool
normalize(const char *text, size_t length, bool escapes, char *result, size_t size)
{
	Scanner scan = {text, text + length, escapes, false};
	size_t used = 0;

	(void) skip_space(&scan);
	while (scan.at < scan.end)
	{
		const char *token = scan.at;
		bool is_constant = skip_token(&scan);
		size_t token_length = is_constant ? 1 : (size_t) (scan.at - token);
		bool space = skip_space(&scan) && scan.at < scan.end;

		if (used + token_length + 1 > size)
			break;
		memcpy(result + used, is_constant ? "?" : token, token_length);
		used += token_length;
		if (space && used + 2 <= size)
			result[used++] = ' ';
	}
	while (used > 0 && result[used - 1] == ' ')
		used--;
	result[used] = '\0';
	return !scan.unsure;
}

bool
dbp_normalize(const char *text, size_t length, char *result, size_t size)
{
	char other[4096];

	if (size == 0 || size > sizeof(other))
		return false;
	if (normalize(text, length, false, result, size) &&
		(memchr(text, '\\', length) == NULL ||
		 (normalize(text, length, true, other, size) && strcmp(result, other) == 0)))
		return true;
	result[0] = '\0';
	return false;
}
