/*-------------------------------------------------------------------------
 *
 * general.c
 *		General compression with zstd.
 *
 * Frames are as small as they get: no magic number, no length of the content
 * (whoever decompresses knows it), no checksum (the batch has one).
 *
 * Of zstd's experimental interface only values of parameters are used, which
 * have been the same since 1.4.0, no functions: those a shared library need not
 * have.
 *
 *-------------------------------------------------------------------------
 */
#define ZSTD_STATIC_LINKING_ONLY
#include <string.h>
#include <zstd.h>

#include "codec/general.h"

/* The default effort tries a quick level, and a slower one where that found something */
#define QUICK_LEVEL 3
#define SLOW_LEVEL 6
#define BEST_LEVEL 19

/* Twice the time is well spent on small inputs only: those of most columns */
#define SLOW_MAX ((size_t) 1024 * 1024)

/* The slower level rarely saves more than that part of what the quick one leaves */
#define SLOW_GAIN 8

/* A context that has grown beyond this is not kept */
#define KEEP_MAX ((size_t) 8 * 1024 * 1024)

/* Bytes before the first block of a frame and of each block; a block of one byte repeated */
#define FRAME_HEADER 2
#define BLOCK_HEADER 3
#define BLOCK_REPEATED 1

/* One for each process: making one anew takes longer than most chunks do */
static ZSTD_CCtx *compressor = NULL;
static ZSTD_DCtx *decompressor = NULL;

static bool
prepare_compressor(int level)
{
	if (compressor == NULL)
	{
		compressor = ZSTD_createCCtx();
		if (compressor == NULL)
			return false;
		if (ZSTD_isError(
				ZSTD_CCtx_setParameter(compressor, ZSTD_c_format, ZSTD_f_zstd1_magicless)) ||
			ZSTD_isError(ZSTD_CCtx_setParameter(compressor, ZSTD_c_contentSizeFlag, 0)))
		{
			ZSTD_freeCCtx(compressor);
			compressor = NULL;
			return false;
		}
	}
	return !ZSTD_isError(ZSTD_CCtx_setParameter(compressor, ZSTD_c_compressionLevel, level));
}

/* To room bytes at out: the length of the frame, or 0 where it failed */
static size_t
compress_at(const uint8_t *in, size_t len, int level, uint8_t *out, size_t room)
{
	size_t result;

	if (!prepare_compressor(level))
		return 0;
	result = ZSTD_compress2(compressor, out, room, in, len);
	if (ZSTD_sizeof_CCtx(compressor) > KEEP_MAX)
	{
		ZSTD_freeCCtx(compressor);
		compressor = NULL;
	}
	return ZSTD_isError(result) ? 0 : result;
}

bool
dbp_general_compress_towards(const uint8_t *in, size_t len, int effort, size_t goal, DbpBuffer *out)
{
	size_t room = ZSTD_compressBound(len);
	size_t first;
	size_t second;

	if (ZSTD_isError(room) || !dbp_buffer_reserve(out, room))
		return false;
	first = compress_at(in, len, effort >= DBP_EFFORT_BEST ? BEST_LEVEL : QUICK_LEVEL,
						out->data + out->len, room);
	if (first == 0)
		return false;

	/* Where the quick level found nothing, there is nothing */
	if (effort < DBP_EFFORT_BEST && len <= SLOW_MAX && first < len - len / 32 &&
		first - first / SLOW_GAIN <= goal)
	{
		if (!dbp_buffer_reserve(out, first + room))
			return false;
		second = compress_at(in, len, SLOW_LEVEL, out->data + out->len + first, room);
		if (second == 0)
			return false;
		if (second < first)
		{
			memmove(out->data + out->len, out->data + out->len + first, second);
			first = second;
		}
	}
	out->len += first;
	return true;
}

bool
dbp_general_compress(const uint8_t *in, size_t len, int effort, DbpBuffer *out)
{
	return dbp_general_compress_towards(in, len, effort, SIZE_MAX, out);
}

/*
 * Is it one frame, such as is made here, and nothing behind it?  In its header is
 * nothing but the size of the window.  Each block begins with three bytes: is
 * it the last one, its type, its size.
 *
 * The library would ask that itself, but 1.5.4 looks for a magic number in what
 * is behind a frame, even where that is less than four bytes.
 */
static bool
is_one_frame(const uint8_t *in, size_t len)
{
	size_t at = FRAME_HEADER;

	if (len < FRAME_HEADER + BLOCK_HEADER || in[0] != 0)
		return false;
	while (len - at >= BLOCK_HEADER)
	{
		uint32_t block = in[at] | (uint32_t) in[at + 1] << 8 | (uint32_t) in[at + 2] << 16;
		size_t size = (block >> 1 & 3) == BLOCK_REPEATED ? 1 : block >> 3;

		at += BLOCK_HEADER;
		if (size > len - at)
			return false;
		at += size;
		if ((block & 1) != 0)
			return at == len;
	}
	return false;
}

bool
dbp_general_decompress(const uint8_t *in, size_t len, uint8_t *out, size_t outlen)
{
	if (decompressor == NULL)
	{
		decompressor = ZSTD_createDCtx();
		if (decompressor == NULL)
			return false;
		if (ZSTD_isError(
				ZSTD_DCtx_setParameter(decompressor, ZSTD_d_format, ZSTD_f_zstd1_magicless)))
		{
			ZSTD_freeDCtx(decompressor);
			decompressor = NULL;
			return false;
		}
	}
	return is_one_frame(in, len) &&
		ZSTD_decompressDCtx(decompressor, out, outlen, in, len) == outlen;
}
