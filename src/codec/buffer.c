/*-------------------------------------------------------------------------
 *
 * buffer.c
 *		Growing arrays of bytes.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"

/* The smallest allocation: most chunks fit, and the rest double from there */
#define FIRST_SIZE 1024

/*
 * Makes room for so many bytes beyond the length.  false: no memory; the buffer
 * is as it was.
 */
bool
dbp_buffer_reserve(DbpBuffer *buffer, size_t more)
{
	size_t size;
	uint8_t *data;

	if (more <= buffer->size - buffer->len)
		return true;
	if (more > SIZE_MAX / 2 - buffer->len)
		return false;
	size = buffer->size < FIRST_SIZE / 2 ? FIRST_SIZE : buffer->size * 2;
	if (size < buffer->len + more)
		size = buffer->len + more;
	data = realloc(buffer->data, size);
	if (data == NULL)
		return false;
	buffer->data = data;
	buffer->size = size;
	return true;
}

/* data: not within the buffer itself; may be NULL where len is 0 */
bool
dbp_buffer_append(DbpBuffer *buffer, const void *data, size_t len)
{
	if (!dbp_buffer_reserve(buffer, len))
		return false;
	if (len > 0)
	{
		memcpy(buffer->data + buffer->len, data, len);
		buffer->len += len;
	}
	return true;
}

/* What is left is an empty buffer. */
void
dbp_buffer_free(DbpBuffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}
