/*-------------------------------------------------------------------------
 *
 * zone.c
 *		Zone maps: which types have them, and between what their values lie.
 *
 * A zone says something about the order that a type's default btree operator
 * class has, or about equality: types whose order is none of these, such as
 * enums, have no zones.  The type of a column may become another one without a
 * rewrite (int to oid): therefore what a zone was made for is compared with
 * what the column is now.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "columnar/batch.h"

/* That of a domain is what it is over */
static Oid
base_type(Form_pg_attribute att)
{
	return att->atttypid < FirstGenbkiObjectId ? att->atttypid : getBaseType(att->atttypid);
}

static DbpZoneType
builtin_zone_type(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case CASHOID:
			return (DbpZoneType){DBP_ZONE_INT, false};
		case OIDOID:
		case CHAROID:
			return (DbpZoneType){DBP_ZONE_INT, true};
		case FLOAT4OID:
		case FLOAT8OID:
			return (DbpZoneType){DBP_ZONE_DOUBLE, false};
		case TEXTOID:
		case VARCHAROID:
		case BYTEAOID:
		case UUIDOID:
			return (DbpZoneType){DBP_ZONE_BYTES, false};
		default:
			return (DbpZoneType){DBP_ZONE_NONE, false};
	}
}

DbpZoneType
dbp_zone_type(Form_pg_attribute att)
{
	DbpZoneType type = builtin_zone_type(base_type(att));

	/* A machine of 32 bits: such values are bytes in memory somewhere */
	if ((type.kind == DBP_ZONE_INT || type.kind == DBP_ZONE_DOUBLE) && !att->attbyval)
		type.kind = DBP_ZONE_NONE;
	return type;
}

DbpFamily
dbp_column_family(Form_pg_attribute att)
{
	Oid type = base_type(att);

	if (att->attbyval)
	{
		if (type == FLOAT8OID)
			return DBP_FAMILY_DOUBLE;
		return type == FLOAT4OID ? DBP_FAMILY_FLOAT : DBP_FAMILY_INT;
	}
	return type == NUMERICOID ? DBP_FAMILY_NUMERIC : DBP_FAMILY_SLICE;
}

static int64
widen(Datum value, int16 attlen, bool no_sign)
{
	switch (attlen)
	{
		case 1:
			return no_sign ? (int64) (uint8) value : (int64) (int8) value;
		case 2:
			return (int16) value;
		case 4:
			return no_sign ? (int64) (uint32) value : (int64) (int32) value;
		default:
			return DatumGetInt64(value);
	}
}

static void
zone_of_ints(DbpZoneType type, int16 attlen, const Datum *values, const bool *nulls, int n,
			 DbpZone *zone)
{
	for (int i = 0; i < n; i++)
	{
		int64 value;

		if (nulls != NULL && nulls[i])
			continue;
		value = widen(values[i], attlen, type.no_sign);
		if (zone->kind == DBP_ZONE_NONE)
		{
			zone->kind = DBP_ZONE_INT;
			zone->u.i.min = zone->u.i.max = value;
		}
		zone->u.i.min = Min(zone->u.i.min, value);
		zone->u.i.max = Max(zone->u.i.max, value);
	}
}

static bool
double_is_less(double a, double b)
{
	return isnan(b) ? !isnan(a) : a < b;
}

static void
zone_of_doubles(int16 attlen, const Datum *values, const bool *nulls, int n, DbpZone *zone)
{
	for (int i = 0; i < n; i++)
	{
		double value;

		if (nulls != NULL && nulls[i])
			continue;
		value = attlen == sizeof(float4) ? (double) DatumGetFloat4(values[i])
										 : DatumGetFloat8(values[i]);
		if (zone->kind == DBP_ZONE_NONE)
		{
			zone->kind = DBP_ZONE_DOUBLE;
			zone->u.d.min = zone->u.d.max = value;
		}
		if (double_is_less(value, zone->u.d.min))
			zone->u.d.min = value;
		if (double_is_less(zone->u.d.max, value))
			zone->u.d.max = value;
	}
}

static void
zone_of_bytes(int16 attlen, const Datum *values, const bool *nulls, int n, DbpZone *zone)
{
	for (int i = 0; i < n; i++)
	{
		uint8 prefix[DBP_ZONE_PREFIX] = {0};
		struct varlena *value;

		if (nulls != NULL && nulls[i])
			continue;
		value = (struct varlena *) DatumGetPointer(values[i]);
		if (attlen > 0)
			memcpy(prefix, value, Min(attlen, DBP_ZONE_PREFIX));
		else
			memcpy(prefix, VARDATA_ANY(value), Min(VARSIZE_ANY_EXHDR(value), DBP_ZONE_PREFIX));
		if (zone->kind == DBP_ZONE_NONE)
		{
			zone->kind = DBP_ZONE_BYTES;
			memcpy(zone->u.b.min, prefix, DBP_ZONE_PREFIX);
			memcpy(zone->u.b.max, prefix, DBP_ZONE_PREFIX);
		}
		if (memcmp(prefix, zone->u.b.min, DBP_ZONE_PREFIX) < 0)
			memcpy(zone->u.b.min, prefix, DBP_ZONE_PREFIX);
		if (memcmp(prefix, zone->u.b.max, DBP_ZONE_PREFIX) > 0)
			memcpy(zone->u.b.max, prefix, DBP_ZONE_PREFIX);
	}
}

void
dbp_zone_compute(DbpZoneType type, int16 attlen, const Datum *values, const bool *nulls, int n,
				 DbpZone *zone)
{
	memset(zone, 0, sizeof(DbpZone));
	switch (type.kind)
	{
		case DBP_ZONE_NONE:
			break;
		case DBP_ZONE_INT:
			zone_of_ints(type, attlen, values, nulls, n, zone);
			break;
		case DBP_ZONE_DOUBLE:
			zone_of_doubles(attlen, values, nulls, n, zone);
			break;
		case DBP_ZONE_BYTES:
			zone_of_bytes(attlen, values, nulls, n, zone);
			break;
	}
}

void
dbp_batch_zone(DbpBatch *batch, TupleDesc tupdesc, AttrNumber attnum, DbpZone *zone,
			   int *null_count)
{
	Form_pg_attribute att = TupleDescAttr(tupdesc, attnum - 1);
	DbpEntry room;
	const DbpEntry *entry;
	DbpZoneType type;

	memset(zone, 0, sizeof(DbpZone));
	*null_count = batch->head.nrows;
	if (att->attisdropped)
		return;
	type = dbp_zone_type(att);
	entry = dbp_batch_entry(batch, attnum, &room);
	if (entry == NULL)
	{
		bool isnull;
		Datum missing = getmissingattr(tupdesc, attnum, &isnull);

		if (!isnull)
		{
			dbp_zone_compute(type, att->attlen, &missing, NULL, 1, zone);
			*null_count = 0;
		}
		return;
	}
	*null_count = entry->nulls;
	if (entry->zone.kind == type.kind && entry->zone_unsigned == type.no_sign &&
		entry->attlen == att->attlen && entry->attbyval == att->attbyval)
		*zone = entry->zone;
}
