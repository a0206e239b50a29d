/*-------------------------------------------------------------------------
 *
 * index_key.c
 *		How values of a column that an index has are compared, and found in
 *		zone maps.
 *
 * What is known here of types is what zone maps know of them.  It is used only
 * where the equality that the index goes by is the type's own; any other
 * operator class is left to its functions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "port/pg_bswap.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "columnar.h"
#include "compat.h"
#include "index.h"

/* Order of unsigned numbers as one of signed ones */
#define UNSIGNED_PLACE(u) ((int64) ((u) ^ (UINT64CONST(1) << 63)))

/* Types that zones know, and the functions that are their own equality */
static const struct
{
	Oid type;
	Oid equal;
	DbpKeyForm form;
} own_equality[] = {
	{BOOLOID, F_BOOLEQ, DBP_KEY_INT},
	{CHAROID, F_CHAREQ, DBP_KEY_INT},
	{INT2OID, F_INT2EQ, DBP_KEY_INT},
	{INT4OID, F_INT4EQ, DBP_KEY_INT},
	{INT8OID, F_INT8EQ, DBP_KEY_INT},
	{OIDOID, F_OIDEQ, DBP_KEY_INT},
	{DATEOID, F_DATE_EQ, DBP_KEY_INT},
	{TIMEOID, F_TIME_EQ, DBP_KEY_INT},
	{TIMESTAMPOID, F_TIMESTAMP_EQ, DBP_KEY_INT},
	{TIMESTAMPTZOID, F_TIMESTAMPTZ_EQ, DBP_KEY_INT},
	{CASHOID, F_CASH_EQ, DBP_KEY_INT},
	{FLOAT4OID, F_FLOAT4EQ, DBP_KEY_DOUBLE},
	{FLOAT8OID, F_FLOAT8EQ, DBP_KEY_DOUBLE},
	{TEXTOID, F_TEXTEQ, DBP_KEY_BYTES},
	{VARCHAROID, F_TEXTEQ, DBP_KEY_BYTES},
	{BYTEAOID, F_BYTEAEQ, DBP_KEY_BYTES},
	{UUIDOID, F_UUID_EQ, DBP_KEY_UUID},
};

static DbpKeyForm
form_of(Oid type, Oid collation, Oid equal)
{
	for (int i = 0; i < (int) lengthof(own_equality); i++)
	{
		if (own_equality[i].type != type || own_equality[i].equal != equal)
			continue;
		if (equal == F_TEXTEQ && !get_collation_isdeterministic(collation))
			return DBP_KEY_OTHER;
		if (own_equality[i].form == DBP_KEY_INT && !get_typbyval(type))
			return DBP_KEY_OTHER; /* machine of 32 bits */
		return own_equality[i].form;
	}
	return DBP_KEY_OTHER;
}

void
dbp_key_column_init(DbpKeyColumn *column, AttrNumber attnum, Oid type, Oid collation, Oid equal,
					MemoryContext context)
{
	type = getBaseType(type);
	column->attnum = attnum;
	column->type = type;
	column->length = get_typlen(type);
	column->collation = collation;
	column->form = form_of(type, collation, equal);
	fmgr_info_cxt(equal, &column->equal, context);
	column->hashable = column->form != DBP_KEY_OTHER;
	if (!column->hashable)
	{
		TypeCacheEntry *cache = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_HASH_PROC);

		/* A hash function of the very equality: others may find different values equal */
		if (OidIsValid(cache->hash_proc) && OidIsValid(cache->eq_opr) &&
			get_opcode(cache->eq_opr) == equal)
		{
			fmgr_info_cxt(cache->hash_proc, &column->hash, context);
			column->hashable = true;
		}
	}
}

bool
dbp_key_column(DbpKeyColumn *column, Relation rel, Relation index, int number,
			   MemoryContext context)
{
	int i = number - 1;
	Oid equal = get_opfamily_member(index->rd_opfamily[i], index->rd_opcintype[i],
									index->rd_opcintype[i], BTEqualStrategyNumber);
	AttrNumber attnum = index->rd_index->indkey.values[i];

	if (!OidIsValid(equal) || attnum <= 0)
		return false;
	dbp_key_column_init(column, attnum, TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid,
						index->rd_indcollation[i], get_opcode(equal), context);
	return true;
}

/* As zones have them: widened, with the sign that the type has */
static inline int64
int_place(const DbpKeyColumn *column, Datum value)
{
	switch (column->length)
	{
		case 1:
			return DatumGetUInt8(value);
		case 2:
			return DatumGetInt16(value);
		case 4:
			return column->type == OIDOID ? (int64) DatumGetObjectId(value) : DatumGetInt32(value);
		default:
			return DatumGetInt64(value);
	}
}

/* Every NaN is equal to every other and larger than all else; both zeros are the same */
static int64
double_place(double value)
{
	uint64 bits;

	if (isnan(value))
		return PG_INT64_MAX;
	value += 0.0;
	memcpy(&bits, &value, sizeof(bits));
	if (bits & (UINT64CONST(1) << 63))
		bits = ~bits;
	else
		bits |= UINT64CONST(1) << 63;
	return UNSIGNED_PLACE(bits);
}

/* By the first bytes only */
static int64
bytes_place(const void *bytes, Size length)
{
	uint64 first = 0;

	memcpy(&first, bytes, Min(length, sizeof(first)));
	return UNSIGNED_PLACE(pg_ntoh64(first));
}

/* The bytes of a value of DBP_KEY_BYTES or DBP_KEY_UUID; *copy: to be freed, or NULL */
static const void *
get_bytes(const DbpKeyColumn *column, Datum value, Size *length, void **copy)
{
	struct varlena *plain;

	*copy = NULL;
	if (column->form == DBP_KEY_UUID)
	{
		*length = UUID_LEN;
		return DatumGetUUIDP(value)->data;
	}
	plain = PG_DETOAST_DATUM_PACKED(value);
	if ((Pointer) plain != DatumGetPointer(value))
		*copy = plain;
	*length = VARSIZE_ANY_EXHDR(plain);
	return VARDATA_ANY(plain);
}

int64
dbp_key_place(const DbpKeyColumn *column, Datum value)
{
	switch (column->form)
	{
		case DBP_KEY_INT:
			return int_place(column, value);
		case DBP_KEY_DOUBLE:
			return double_place(column->length == sizeof(float4) ? DatumGetFloat4(value)
																 : DatumGetFloat8(value));
		case DBP_KEY_BYTES:
		case DBP_KEY_UUID:
		{
			Size length;
			void *copy;
			const void *bytes = get_bytes(column, value, &length, &copy);
			int64 place = bytes_place(bytes, length);

			if (copy != NULL)
				pfree(copy);
			return place;
		}
		case DBP_KEY_OTHER:
			break;
	}
	return 0;
}

void
dbp_key_range(const DbpKeyColumn *column, const DbpZone *zone, int64 *low, int64 *high)
{
	*low = PG_INT64_MIN;
	*high = PG_INT64_MAX;
	if (column->form == DBP_KEY_INT && zone->kind == DBP_ZONE_INT)
	{
		*low = zone->u.i.min;
		*high = zone->u.i.max;
	}
	else if (column->form == DBP_KEY_DOUBLE && zone->kind == DBP_ZONE_DOUBLE)
	{
		*low = double_place(zone->u.d.min);
		*high = double_place(zone->u.d.max);
	}
	else if ((column->form == DBP_KEY_BYTES || column->form == DBP_KEY_UUID) &&
			 zone->kind == DBP_ZONE_BYTES)
	{
		*low = bytes_place(zone->u.b.min, DBP_ZONE_PREFIX);
		*high = bytes_place(zone->u.b.max, DBP_ZONE_PREFIX);
	}
}

bool
dbp_key_in_zone(const DbpKeyColumn *column, const DbpZone *zone, Datum value)
{
	uint8 prefix[DBP_ZONE_PREFIX] = {0};
	int64 low;
	int64 high;
	const void *bytes;
	Size length;
	void *copy;

	if (zone->kind != DBP_ZONE_BYTES ||
		(column->form != DBP_KEY_BYTES && column->form != DBP_KEY_UUID))
	{
		int64 place = dbp_key_place(column, value);

		dbp_key_range(column, zone, &low, &high);
		return column->form == DBP_KEY_OTHER || (low <= place && place <= high);
	}
	bytes = get_bytes(column, value, &length, &copy);
	memcpy(prefix, bytes, Min(length, sizeof(prefix)));
	if (copy != NULL)
		pfree(copy);
	return memcmp(zone->u.b.min, prefix, sizeof(prefix)) <= 0 &&
		memcmp(prefix, zone->u.b.max, sizeof(prefix)) <= 0;
}

bool
dbp_key_equal(DbpKeyColumn *column, Datum a, Datum b)
{
	if (column->form == DBP_KEY_INT)
		return dbp_key_place(column, a) == dbp_key_place(column, b);
	return DatumGetBool(FunctionCall2Coll(&column->equal, column->collation, a, b));
}

/* Spreads a number over 64 bits: the finalizer of MurmurHash3 */
static inline uint64
mix(uint64 number)
{
	number ^= number >> 33;
	number *= UINT64CONST(0xff51afd7ed558ccd);
	number ^= number >> 33;
	number *= UINT64CONST(0xc4ceb9fe1a85ec53);
	return number ^ number >> 33;
}

uint64
dbp_key_hash(DbpKeyColumn *column, Datum value)
{
	if (column->form == DBP_KEY_INT || column->form == DBP_KEY_DOUBLE)
		return mix((uint64) dbp_key_place(column, value));
	if (column->form == DBP_KEY_BYTES || column->form == DBP_KEY_UUID)
	{
		Size length;
		void *copy;
		const void *bytes = get_bytes(column, value, &length, &copy);
		uint64 hash = hash_bytes_extended(bytes, length, 0);

		if (copy != NULL)
			pfree(copy);
		return hash;
	}
	if (!column->hashable)
		return 0;
	return mix(DatumGetUInt32(FunctionCall1Coll(&column->hash, column->collation, value)));
}
