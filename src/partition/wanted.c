/*-------------------------------------------------------------------------
 *
 * wanted.c
 *		Whether a key that no partition takes is to have one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "partition/drain.h"
#include "partition/partition.h"

/*
 * Can a partition be made for a key, and is it to be?  *current is the key that
 * inserts are at, NULL when there is nothing to tell it by.  With
 * DBP_KEY_WANTED, *range is what the partition would have; with
 * DBP_KEY_COVERED and DBP_KEY_DETACHING, what the one that is there has; with
 * DBP_KEY_PAST, what it would have.  SPI must be connected.
 */
DbpKeyVerdict
dbp_key_verdict(const DbpPolicy *policy, const DbpParts *parts, const int64 *current, int64 key,
				DbpRange *range)
{
	int above = dbp_parts_first_above(parts, key);
	int64 k;
	int64 lower;

	if (above < parts->n && parts->part[above].lower <= key)
	{
		const DbpPart *part = &parts->part[above];

		range->lower = part->lower;
		range->upper = part->upper;
		return part->detaching ? DBP_KEY_DETACHING : DBP_KEY_COVERED;
	}
	if (current == NULL || !dbp_key_is_sane(policy, key, *current))
		return DBP_KEY_NOT_SANE;
	if (!dbp_grid_cell(policy, key, &k) || !dbp_grid_bound(policy, k, &lower) ||
		!dbp_drain_range(policy, parts, key, range))
	{
		range->lower = 1;
		range->upper = 0;
		return DBP_KEY_WITHOUT_CELL;
	}
	if (policy->retires && dbp_is_past_retiring(policy, range))
		return DBP_KEY_PAST;
	return DBP_KEY_WANTED;
}
