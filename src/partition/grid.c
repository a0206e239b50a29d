/*-------------------------------------------------------------------------
 *
 * grid.c
 *		Arithmetic of keys and of the grid of bounds.
 *
 * Bound k of a grid of times is the anchor plus k times the interval, always
 * counted from the anchor and never from the bound before: so a grid anchored
 * on the 31st comes back to the 31st after February.  Months and days are
 * calendar units in the policy's time zone; hours and less are exact, so that
 * a grid of hours knows no daylight saving time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "partition/partition.h"

#define DAYS_PER_MONTH_MEAN 30.436875
#define UNIX_EPOCH_USECS ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* Room for time zones and calendar rounding at both ends of the calendar */
#define TIME_MARGIN ((int64) 400 * USECS_PER_DAY)
#define TIME_LOWEST (MIN_TIMESTAMP + TIME_MARGIN)
#define TIME_HIGHEST (END_TIMESTAMP - TIME_MARGIN)

static int64
epoch_usecs(const DbpPolicy *policy)
{
	switch (policy->unit)
	{
		case DBP_EPOCH_SECONDS:
			return USECS_PER_SEC;
		case DBP_EPOCH_MILLISECONDS:
			return 1000;
		default:
			return 1;
	}
}

/* Does the grid count instants, rather than what a wall clock shows? */
static bool
is_absolute(const DbpPolicy *policy)
{
	return policy->keytype == TIMESTAMPTZOID || policy->unit != DBP_EPOCH_NONE;
}

static TimestampTz
local_to_instant(Timestamp local, pg_tz *tz)
{
	struct pg_tm tm;
	fsec_t fsec;
	TimestampTz instant;
	int offset;

	if (timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	offset = DetermineTimeZoneOffset(&tm, tz);
	if (tm2timestamp(&tm, fsec, &offset, &instant) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return instant;
}

static Timestamp
instant_to_local(TimestampTz instant, pg_tz *tz)
{
	struct pg_tm tm;
	fsec_t fsec;
	Timestamp local;
	int offset;

	if (timestamp2tm(instant, &offset, &tm, &fsec, NULL, tz) != 0 ||
		tm2timestamp(&tm, fsec, NULL, &local) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return local;
}

/*
 * A point of the grid's own time line (instants, or local times) as a key.
 */
static bool
key_from_point(const DbpPolicy *policy, int64 point, int64 *key)
{
	int64 unix_usecs;

	if (policy->keytype == DATEOID)
	{
		*key = (point - (point % USECS_PER_DAY + USECS_PER_DAY) % USECS_PER_DAY) / USECS_PER_DAY;
		return true;
	}
	if (policy->unit == DBP_EPOCH_NONE)
	{
		*key = point;
		return true;
	}
	if (pg_add_s64_overflow(point, UNIX_EPOCH_USECS, &unix_usecs))
		return false;
	*key = unix_usecs / epoch_usecs(policy);
	if (unix_usecs % epoch_usecs(policy) < 0)
		(*key)--;
	return policy->keytype == INT8OID || (*key >= INT_MIN && *key <= INT_MAX);
}

/*
 * The other way.  Keys outside the calendar are moved to its end.
 */
static int64
point_from_key(const DbpPolicy *policy, int64 key)
{
	int64 point = key;

	if (policy->keytype == DATEOID && pg_mul_s64_overflow(key, USECS_PER_DAY, &point))
		point = key < 0 ? PG_INT64_MIN : PG_INT64_MAX;
	if (policy->unit != DBP_EPOCH_NONE &&
		(pg_mul_s64_overflow(key, epoch_usecs(policy), &point) ||
		 pg_sub_s64_overflow(point, UNIX_EPOCH_USECS, &point)))
		point = key < 0 ? PG_INT64_MIN : PG_INT64_MAX;
	return Min(Max(point, TIME_LOWEST), TIME_HIGHEST);
}

static double
interval_usecs(const Interval *interval)
{
	return (interval->month * DAYS_PER_MONTH_MEAN + interval->day) * (double) USECS_PER_DAY +
		(double) interval->time;
}

static bool
time_bound(const DbpPolicy *policy, int64 k, int64 *point)
{
	double guess = (double) policy->anchor + (double) k * interval_usecs(&policy->interval);
	Interval calendar = {0};
	int64 at;

	/* leaves no later step anything to overflow */
	if (guess < (double) TIME_LOWEST || guess > (double) TIME_HIGHEST)
		return false;
	calendar.month = (int32) (k * policy->interval.month);
	calendar.day = (int32) (k * policy->interval.day);
	at = DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval,
											   TimestampGetDatum(policy->anchor),
											   IntervalPGetDatum(&calendar)));
	if (is_absolute(policy))
		at = local_to_instant(at, policy->tz);
	*point = at + k * policy->interval.time;
	return true;
}

/*
 * Bound k of the grid as a key.  False when that lies outside what the key's
 * type can hold.
 */
bool
dbp_grid_bound(const DbpPolicy *policy, int64 k, int64 *key)
{
	int64 value;

	if (policy->by_time)
		return time_bound(policy, k, &value) && key_from_point(policy, value, key);

	if (pg_mul_s64_overflow(k, policy->step, &value) ||
		pg_add_s64_overflow(value, policy->anchor_key, &value) || value == DBP_KEY_MIN ||
		value == DBP_KEY_MAX ||
		(policy->keytype == INT4OID && (value < INT_MIN || value > INT_MAX)))
		return false;
	*key = value;
	return true;
}

/*
 * The number of the cell that holds a key: the largest k whose bound is not
 * above it.  False when that cell has no lower or no upper bound.
 */
bool
dbp_grid_cell(const DbpPolicy *policy, int64 key, int64 *k)
{
	int64 bound;
	int64 guess;

	if (policy->by_time)
	{
		int64 point = point_from_key(policy, key);
		double distance = (double) point - (double) policy->anchor;

		if (point <= TIME_LOWEST || point >= TIME_HIGHEST)
			return false;

		/* one lower, since the guess may be off by a day or two of months */
		guess = (int64) floor(distance / interval_usecs(&policy->interval)) - 1;
	}
	else
	{
		int64 distance;

		if (pg_sub_s64_overflow(key, policy->anchor_key, &distance))
			return false;
		guess = distance / policy->step - (distance % policy->step < 0 ? 1 : 0);
	}

	for (;;)
	{
		if (!dbp_grid_bound(policy, guess, &bound))
			return false;
		if (bound <= key)
			break;
		guess--;
	}
	for (;;)
	{
		if (!dbp_grid_bound(policy, guess + 1, &bound))
			return false;
		if (bound > key)
			break;
		guess++;
	}
	*k = guess;
	return true;
}

/*
 * A point in time as a key.  Policies by time only.
 */
int64
dbp_key_from_time(const DbpPolicy *policy, TimestampTz at)
{
	int64 key;

	Assert(policy->by_time);
	if (TIMESTAMP_IS_NOBEGIN(at))
		return DBP_KEY_MIN;
	if (TIMESTAMP_IS_NOEND(at))
		return DBP_KEY_MAX;
	if (!key_from_point(policy, is_absolute(policy) ? at : instant_to_local(at, policy->tz), &key))
		return DBP_KEY_MAX;
	return key;
}

/*
 * The instant that a key stands for; false when the key is no time or is
 * without limit.
 */
bool
dbp_key_to_time(const DbpPolicy *policy, int64 key, TimestampTz *at)
{
	if (!policy->by_time || key == DBP_KEY_MIN || key == DBP_KEY_MAX)
		return false;
	*at = point_from_key(policy, key);
	if (!is_absolute(policy))
		*at = local_to_instant(*at, policy->tz);
	return true;
}

/*
 * A value of the key's type as a key.
 */
int64
dbp_key_from_datum(Oid keytype, Datum value)
{
	switch (keytype)
	{
		case INT4OID:
			return DatumGetInt32(value);
		case DATEOID:
			if (DATE_IS_NOBEGIN(DatumGetDateADT(value)))
				return DBP_KEY_MIN;
			if (DATE_IS_NOEND(DatumGetDateADT(value)))
				return DBP_KEY_MAX;
			return DatumGetDateADT(value);
		default:
			/* infinite timestamps are the ends of int64 */
			return DatumGetInt64(value);
	}
}

static bool
is_number(const char *str)
{
	if (*str == '-' || *str == '+')
		str++;
	return *str != '\0' && strspn(str, "0123456789") == strlen(str);
}

static int64
epoch_key(const DbpPolicy *policy, TimestampTz at, const char *str)
{
	int64 key = dbp_key_from_time(policy, at);

	if (key == DBP_KEY_MAX && !TIMESTAMP_IS_NOEND(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("time \"%s\" is out of range for type %s", str,
						format_type_be(policy->keytype))));
	return key;
}

/*
 * Reads a key from text with the input function of its type, under the
 * DateStyle and TimeZone in force.  An epoch key may be given as a number or
 * as a time.
 */
int64
dbp_key_parse(const DbpPolicy *policy, const char *str)
{
	Oid type = policy->keytype;
	Oid input;
	Oid ioparam;
	Datum value;

	if (policy->unit != DBP_EPOCH_NONE && !is_number(str))
		type = TIMESTAMPTZOID;
	getTypeInputInfo(type, &input, &ioparam);
	value = OidInputFunctionCall(input, pstrdup(str), ioparam, -1);
	if (type != policy->keytype)
		return epoch_key(policy, DatumGetTimestampTz(value), str);
	return dbp_key_from_datum(type, value);
}

/*
 * The same for a key that a partition is to hold: no infinities.
 */
int64
dbp_key_parse_finite(const DbpPolicy *policy, const char *str)
{
	int64 key = dbp_key_parse(policy, str);

	if (policy->by_time && (key == DBP_KEY_MIN || key == DBP_KEY_MAX))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("partition key must be finite"),
				 errdetail("\"%s\" lies in no partition of limited length.", str)));
	return key;
}

static char *
key_out(Oid keytype, int64 key)
{
	Datum value;
	Oid output;
	bool varlena;

	if (keytype == INT4OID)
		value = Int32GetDatum((int32) key);
	else if (keytype == DATEOID)
		value = DateADTGetDatum((DateADT) key);
	else
		value = Int64GetDatum(key);
	getTypeOutputInfo(keytype, &output, &varlena);
	return OidOutputFunctionCall(output, value);
}

/*
 * A key as it stands in FOR VALUES FROM () TO (), under settings pinned by
 * dbp_become_owner().
 */
char *
dbp_key_literal(const DbpPolicy *policy, int64 key)
{
	if (key == DBP_KEY_MIN)
		return pstrdup("MINVALUE");
	if (key == DBP_KEY_MAX)
		return pstrdup("MAXVALUE");
	return psprintf("'%s'", key_out(policy->keytype, key));
}

/*
 * A key for people, under the session's own DateStyle and TimeZone.
 */
char *
dbp_key_display(const DbpPolicy *policy, int64 key)
{
	if (key == DBP_KEY_MIN)
		return pstrdup("MINVALUE");
	if (key == DBP_KEY_MAX)
		return pstrdup("MAXVALUE");
	return key_out(policy->keytype, key);
}

/*
 * Does a key lie within the policy's sanity window around the current key?
 */
bool
dbp_key_is_sane(const DbpPolicy *policy, int64 key, int64 now_key)
{
	TimestampTz at;
	TimestampTz now;
	double window;

	if (!policy->by_time)
		return fabs((double) key - (double) now_key) <= (double) policy->sanity_step;
	if (!dbp_key_to_time(policy, key, &at) || !dbp_key_to_time(policy, now_key, &now))
		return false;
	window = interval_usecs(&policy->sanity_window);
	return fabs((double) at - (double) now) <= window;
}

/*
 * A key through to_char(): in the policy's time zone; numbers as they are,
 * with m for minus.
 */
char *
dbp_key_format(const DbpPolicy *policy, int64 key, const char *fmt)
{
	int64 point;

	if (!policy->by_time)
		return key < 0 ? psprintf("m" UINT64_FORMAT, -(uint64) key) : psprintf(INT64_FORMAT, key);
	point = point_from_key(policy, key);
	if (is_absolute(policy))
		point = instant_to_local(point, policy->tz);
	return text_to_cstring(DatumGetTextPP(
		DirectFunctionCall2Coll(timestamp_to_char, DEFAULT_COLLATION_OID, TimestampGetDatum(point),
								CStringGetTextDatum(fmt))));
}
