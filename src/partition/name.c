/*-------------------------------------------------------------------------
 *
 * name.c
 *		Names for new partitions.
 *
 * A naming pattern holds {table}, {from}, {to}, {from:FORMAT} and
 * {to:FORMAT}, with a FORMAT of to_char().  Names are for people: nothing is
 * ever read from them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "partition/partition.h"

/* Is a rendered part of a time the given text, such as a first of month? */
static bool
renders_as(const DbpPolicy *policy, int64 key, const char *fmt, const char *expected)
{
	return strcmp(dbp_key_format(policy, key, fmt), expected) == 0;
}

/*
 * The coarsest format that the policy's interval and the bound itself allow.
 */
static const char *
default_format(const DbpPolicy *policy, int64 key)
{
	const Interval *interval = &policy->interval;
	int64 time = interval->time;

	if (!policy->by_time)
		return "";
	if (time == 0 && !renders_as(policy, key, "HH24MISS", "000000"))
		time = USECS_PER_SEC;
	if (time % USECS_PER_MINUTE != 0)
		return "YYYY_MM_DD_HH24MISS";
	if (time % USECS_PER_HOUR != 0)
		return "YYYY_MM_DD_HH24MI";
	if (time != 0)
		return "YYYY_MM_DD_HH24";
	if (interval->day != 0 || !renders_as(policy, key, "DD", "01"))
		return "YYYY_MM_DD";
	if (interval->month % MONTHS_PER_YEAR == 0 && renders_as(policy, key, "MM", "01"))
		return "YYYY";
	if (interval->month % 3 == 0 &&
		strstr("01 04 07 10", dbp_key_format(policy, key, "MM")) != NULL)
		return "YYYY_\"q\"Q";
	return "YYYY_MM";
}

static void
append_key(StringInfo buf, const DbpPolicy *policy, int64 key, const char *fmt, size_t len)
{
	if (key == DBP_KEY_MIN)
		appendStringInfoString(buf, "minvalue");
	else if (key == DBP_KEY_MAX)
		appendStringInfoString(buf, "maxvalue");
	else if (len > 0)
		appendStringInfoString(buf, dbp_key_format(policy, key, pnstrdup(fmt, len)));
	else
		appendStringInfoString(buf, dbp_key_format(policy, key, default_format(policy, key)));
}

/*
 * Expand the pattern with a given text for {table}.  The policy's trigger has
 * seen to it that braces pair up and hold nothing else.
 */
static char *
expand(const DbpPolicy *policy, const DbpRange *range, const char *table)
{
	StringInfoData buf;
	const char *p = policy->naming_pattern;

	initStringInfo(&buf);
	while (*p != '\0')
	{
		const char *end = *p == '{' ? strchr(p, '}') : NULL;
		const char *colon;
		const char *fmt;

		if (end == NULL)
		{
			appendStringInfoChar(&buf, *p++);
			continue;
		}
		colon = memchr(p, ':', end - p);
		fmt = colon ? colon + 1 : end;
		if (strncmp(p, "{table", 6) == 0)
			appendStringInfoString(&buf, table);
		else
			append_key(&buf, policy, strncmp(p, "{from", 5) == 0 ? range->lower : range->upper, fmt,
					   end - fmt);
		p = end + 1;
	}
	return buf.data;
}

/*
 * The name, with a suffix, in NAMEDATALEN - 1 bytes.  Where the parent's name
 * has to be shortened, a hash of the whole of it tells parents apart that
 * begin alike.
 */
static char *
fit(const DbpPolicy *policy, const DbpRange *range, const char *suffix)
{
	char *name = psprintf("%s%s", expand(policy, range, policy->table), suffix);
	char hash[10];
	int without;
	int room;

	if (strlen(name) < NAMEDATALEN)
		return name;
	without = strlen(expand(policy, range, "")) + strlen(suffix);
	room = NAMEDATALEN - 1 - without - 9;
	if (strstr(policy->naming_pattern, "{table}") == NULL || room < 1)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("naming pattern \"%s\" of table \"%s\" makes a name of more than %d bytes",
						policy->naming_pattern, policy->table, NAMEDATALEN - 1),
				 errhint("Shorten it with dbperf.alter_policy().")));
	snprintf(hash, sizeof(hash), "_%08x",
			 hash_bytes((const unsigned char *) policy->table, strlen(policy->table)));
	room = pg_mbcliplen(policy->table, strlen(policy->table), room);
	return psprintf("%s%s",
					expand(policy, range, psprintf("%s%s", pnstrdup(policy->table, room), hash)),
					suffix);
}

/*
 * A name for a partition that is free in the parent's schema.
 */
char *
dbp_partition_name(const DbpPolicy *policy, const DbpRange *range)
{
	char *name = fit(policy, range, "");

	for (int i = 1; OidIsValid(get_relname_relid(name, policy->nspoid)) ||
		 SearchSysCacheExists2(TYPENAMENSP, CStringGetDatum(name),
							   ObjectIdGetDatum(policy->nspoid));
		 i++)
		name = fit(policy, range, psprintf("_%d", i));
	return name;
}

/*
 * A relation's name with its schema, quoted where need be; NULL: it has gone.
 */
char *
dbp_qualified_name(Oid relid)
{
	char *name = get_rel_name(relid);

	if (name == NULL)
		return NULL;
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
}
