/*-------------------------------------------------------------------------
 *
 * held.c
 *		What holds up the retiring or compressing of a table, for health to tell.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "partition/run.h"

#define MAX_MESSAGES 3

DbpHeldUp *
dbp_held_find(List *held_up, Oid parent)
{
	ListCell *cell;

	foreach(cell, held_up)
	{
		DbpHeldUp *held = lfirst(cell);

		if (held->parent == parent)
			return held;
	}
	return NULL;
}

/*
 * Note in a list of DbpHeldUp that a step was not done, why, and after how long
 * to look again.  Returns the list.
 */
List *
dbp_held_add(DbpRun *run, List *held_up, Oid parent, DbpHeldRank rank, const char *message,
			 int seconds)
{
	TimestampTz next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) seconds * 1000);
	MemoryContext caller = MemoryContextSwitchTo(run->context);
	DbpHeldUp *held = dbp_held_find(held_up, parent);

	dbp_run_due_at(run, next);
	if (held == NULL)
	{
		held = palloc0(sizeof(DbpHeldUp));
		held->parent = parent;
		held->next_try = next;
		held_up = lappend(held_up, held);
	}
	if (held->messages == 0)
		held->message = pstrdup(message);
	else if (rank > held->rank)
		held->message = psprintf("%s; %s", message, held->message);
	else if (held->messages < MAX_MESSAGES)
		held->message = psprintf("%s; %s", held->message, message);
	held->messages++;
	held->rank = Max(held->rank, rank);
	held->next_try = Min(held->next_try, next);
	MemoryContextSwitchTo(caller);
	return held_up;
}
