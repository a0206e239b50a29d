/*-------------------------------------------------------------------------
 *
 * columns.h
 *		Fields of values of one length.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_CODEC_COLUMNS_H
#define DBP_CODEC_COLUMNS_H

#include "codec/bytes.h"

/* Longer values are rarely made of columns */
#define DBP_COLUMNS_MAX_LENGTH 256

/* What a field is: the bytes of its number - 1 in the lowest bits, and flags */
#define DBP_FIELD_BYTES(what) (((what) &0x07) + 1)
#define DBP_FIELD_BIG_ENDIAN 0x08
#define DBP_FIELD_SIGNED 0x10
#define DBP_FIELD_DOUBLE 0x20
/* the number is written with two hexadecimal digits a byte, capital ones with BIG_ENDIAN */
#define DBP_FIELD_HEX 0x40
#define DBP_FIELD_CAPITAL DBP_FIELD_BIG_ENDIAN
/* the same bytes in all values */
#define DBP_FIELD_CONSTANT 0x80

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define DBP_FIELD_NATIVE DBP_FIELD_BIG_ENDIAN
#else
#define DBP_FIELD_NATIVE 0
#endif

/* It begins where the one before ends */
typedef struct DbpField
{
	uint8_t what;
	int width; /* bytes of the value */
} DbpField;

typedef struct DbpLayout
{
	int nfields;
	DbpField fields[DBP_COLUMNS_MAX_LENGTH];
} DbpLayout;

/* columns.c */
extern int64_t dbp_field_get(const uint8_t *at, int what);

static inline int64_t
dbp_field_extend_sign(int64_t number, int bytes)
{
	return (int64_t) ((uint64_t) number << (64 - 8 * bytes)) >> (64 - 8 * bytes);
}

/* column_layout.c.  false: no memory; no fields: not worth it */
extern bool dbp_layout_choose(const DbpSlice *values, int n, DbpLayout *layout);

#endif /* DBP_CODEC_COLUMNS_H */
