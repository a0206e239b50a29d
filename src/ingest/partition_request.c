/*-------------------------------------------------------------------------
 *
 * partition_request.c
 *		Partitions that rows of a bulk insert are missing, made while it waits.
 *
 * A partition that is made in the transaction of an insert would keep its
 * locks on the parent until that ends.  So a background worker makes it, in a
 * transaction of its own.  This works as long as the insert's own transaction
 * holds nothing that ATTACH needs: then nobody is asked.
 *
 * Of several sessions that miss partitions of one table, one asks and the
 * others wait for it.  They will mostly miss the same one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "ingest/ingest.h"
#include "ingest/partition_request.h"
#include "partition/drain.h"
#include "partition/maintain.h"
#include "partition/partition.h"
#include "partition/run.h"

/* Between two looks whether it is our turn, or a process is free */
#define POLL_MS 10

/* And how many of them pass between two looks at the partitions */
#define POLLS_PER_LOOK 20

/* The worker gives up so much earlier, or half as late, and says what it was waiting for */
#define TO_ANSWER_MS 500

/* What is known of the keys, and of what stands against them */
typedef struct DbpLook
{
	DbpPolicy *policy;
	int nwanted; /* partitions; of more than DBP_REMOTE_MAX_KEYS, the rest is not looked at */
	int64 wanted[DBP_REMOTE_MAX_KEYS];
	DbpRange first; /* of them */
	DbpRange last;
	char *refusal; /* of the first key that is to have none; NULL: there is no such key */
	char *hint;
} DbpLook;

/* One call in the session */
typedef struct DbpAsk
{
	Oid parent;
	MemoryContext context; /* of the last look */
	int64 *keys;		   /* sorted */
	int nkeys;
	instr_time started;
	LOCKTAG turn;
	bool has_turn;
	DbpLook look;
	char *reason; /* the answer */
	char *hint;
} DbpAsk;

/*
 * The last wait in vain.  A statement may come again for many batches, or for
 * parts of one: as long as it has waited, it does not wait once more.
 */
typedef struct DbpInVain
{
	Oid parent;
	TimestampTz statement;
	int waited_ms;
	instr_time ended;
	char *reason;
	char *hint;
} DbpInVain;

static DbpInVain in_vain = {0};

static int
by_value(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return (x > y) - (x < y);
}

static char *
table_name(const DbpPolicy *policy)
{
	return quote_qualified_identifier(policy->schema, policy->table);
}

/* dbp_key_display() is for bounds */
static char *
key_text(const DbpPolicy *policy, int64 key)
{
	if (policy->keytype == INT8OID || policy->keytype == INT4OID)
		return psprintf(INT64_FORMAT, key);
	if (key == DBP_KEY_MIN)
		return pstrdup("-infinity");
	if (key == DBP_KEY_MAX)
		return pstrdup("infinity");
	return dbp_key_display(policy, key);
}

static char *
window_text(const DbpPolicy *policy)
{
	if (!policy->by_time)
		return psprintf(INT64_FORMAT " on both sides of the highest partition that has rows",
						policy->sanity_step);
	return psprintf("%s on both sides of now",
					DatumGetCString(
						DirectFunctionCall1(interval_out,
											IntervalPGetDatum(&policy->sanity_window))));
}

/* What the owner of the table can do about a range */
static char *
create_call(const DbpPolicy *policy, int64 lower, int64 upper)
{
	return psprintf("dbperf.create_partitions(%s, %s, %s)", quote_literal_cstr(table_name(policy)),
					quote_literal_cstr(dbp_key_display(policy, lower)),
					quote_literal_cstr(dbp_key_display(policy, upper)));
}

/*
 * Why a key is to have no partition.
 */
static void
refuse(DbpLook *look, DbpKeyVerdict verdict, int64 key, const DbpRange *range)
{
	const DbpPolicy *policy = look->policy;
	char *name = table_name(policy);
	char *text = key_text(policy, key);

	switch (verdict)
	{
		case DBP_KEY_NOT_SANE:
			look->refusal =
				psprintf("key %s lies outside the sanity window of table %s, which is %s", text,
						 name, window_text(policy));
			look->hint =
				pstrdup("If the row is right, the owner of the table can raise sanity_window with "
						"dbperf.alter_policy(), or make the partition with "
						"dbperf.create_partitions().");
			break;
		case DBP_KEY_PAST:
			look->refusal = psprintf("a partition of table %s for key %s would be so old that the "
									 "policy has it detached or dropped at once",
									 name, text);
			look->hint = psprintf("If the row is to be kept, the owner of the table can raise "
								  "detach_after or drop_after with dbperf.alter_policy(), or call "
								  "%s.",
								  create_call(policy, range->lower, range->upper));
			break;
		case DBP_KEY_DETACHING:
			look->refusal =
				psprintf("the partition of table %s that key %s belongs to is being detached", name,
						 text);
			look->hint = pstrdup("To keep it, the owner of the table can call "
								 "dbperf.attach_partition() when that is done.");
			break;
		default:
			look->refusal = psprintf("no partition of table %s can hold key %s, because its bounds "
									 "would lie outside the range of the key's type",
									 name, text);
			look->hint = pstrdup("Correct the row.");
			break;
	}
}

/*
 * What is to be made for keys, which are sorted.
 */
static void
look_at_keys(DbpLook *look, const int64 *keys, int nkeys)
{
	const DbpPolicy *policy = look->policy;
	DbpKeyVerdict verdict = DBP_KEY_COVERED;
	DbpRange range = {1, 0};
	DbpParts parts;
	int64 current;
	bool has_current;

	dbp_parts_read(policy->parent, policy->keytype, &parts);
	has_current = dbp_current_key(policy, &parts, &current);
	for (int i = 0; i < nkeys; i++)
	{
		if (range.lower <= keys[i] && keys[i] < range.upper)
			continue;
		range.lower = 1;
		range.upper = 0;
		verdict = dbp_key_verdict(policy, &parts, has_current ? &current : NULL, keys[i], &range);
		if (verdict == DBP_KEY_WANTED)
		{
			if (look->nwanted == 0)
				look->first = range;
			look->last = range;
			if (look->nwanted < DBP_REMOTE_MAX_KEYS)
				look->wanted[look->nwanted] = keys[i];
			look->nwanted++;
		}
		else if (verdict != DBP_KEY_COVERED && look->refusal == NULL)
			refuse(look, verdict, keys[i], &range);
	}
}

/*
 * The policy of a parent that partitions may be made for by themselves, or
 * NULL; then *reason says why.
 */
static DbpPolicy *
load_policy(Oid parent, char **reason, char **hint)
{
	List *policies = dbp_policy_load(parent, true);
	char *name;

	if (policies != NIL)
	{
		dbp_check_time_zone(linitial(policies));
		return linitial(policies);
	}
	name = dbp_qualified_name(parent);
	if (dbp_policy_load(parent, false) == NIL)
	{
		*reason = psprintf("table %s has no partition policy", name);
		*hint = pstrdup("The owner of the table can make the partition by hand, or give it a "
						"policy with dbperf.manage().");
	}
	else
	{
		*reason = psprintf("the partition policy of table %s is disabled", name);
		*hint = pstrdup("The owner of the table can enable it with dbperf.alter_policy(), or make "
						"the partition with dbperf.create_partitions().");
	}
	return NULL;
}

static double
ms_left(const DbpAsk *ask)
{
	return dbp_partition_wait - dbp_ms_since(&ask->started);
}

static void
answer(DbpAsk *ask, char *reason, char *hint)
{
	ask->reason = reason;
	ask->hint = hint;
}

/* The same, with what the owner can do instead of the worker */
static void
answer_create(DbpAsk *ask, char *reason, const char *first)
{
	answer(ask, reason,
		   psprintf("%s%sThe owner of the table can make what is missing with %s.",
					first != NULL ? first : "", first != NULL ? " " : "",
					create_call(ask->look.policy, ask->look.first.lower, ask->look.last.upper)));
}

/*
 * See what is missing.  False when there is no more to be done: then nothing
 * is, or the reason is set.
 */
static bool
look_again(DbpAsk *ask)
{
	DbpLook *look = &ask->look;
	MemoryContext old = MemoryContextSwitchTo(ask->context);

	memset(look, 0, sizeof(DbpLook));
	ask->reason = NULL;
	MemoryContextReset(ask->context);
	AcceptInvalidationMessages();
	look->policy = load_policy(ask->parent, &ask->reason, &ask->hint);
	if (look->policy != NULL)
	{
		look_at_keys(look, ask->keys, ask->nkeys);
		if (look->nwanted == 0)
			answer(ask, look->refusal, look->hint);
	}
	MemoryContextSwitchTo(old);
	return look->nwanted > 0;
}

/*
 * Would the worker wait for this transaction?
 */
static bool
stands_in_the_way(DbpAsk *ask)
{
	List *requests = dbp_lock_list_for_attach(ask->parent, InvalidOid);
	Oid relid = dbp_lock_own_conflict(lappend(requests, dbp_lock_end_of_audit()));

	if (!OidIsValid(relid))
		return false;
	answer_create(ask,
				  psprintf("a background worker cannot make partitions of table %s while your own "
						   "transaction has table %s in use",
						   table_name(ask->look.policy), dbp_qualified_name(relid)),
				  "Commit before, and insert in a transaction of its own.");
	return true;
}

static void
remember_in_vain(const DbpAsk *ask)
{
	char *reason = MemoryContextStrdup(TopMemoryContext, ask->reason);
	char *hint = MemoryContextStrdup(TopMemoryContext, ask->hint);

	if (in_vain.reason != NULL)
	{
		pfree(in_vain.reason);
		pfree(in_vain.hint);
	}
	in_vain.parent = ask->parent;
	in_vain.statement = GetCurrentStatementStartTimestamp();
	in_vain.waited_ms = (int) dbp_ms_since(&ask->started);
	INSTR_TIME_SET_CURRENT(in_vain.ended);
	in_vain.reason = reason;
	in_vain.hint = hint;
}

static bool
was_in_vain(DbpAsk *ask)
{
	if (in_vain.parent != ask->parent || in_vain.statement != GetCurrentStatementStartTimestamp() ||
		dbp_ms_since(&in_vain.ended) > in_vain.waited_ms)
		return false;
	answer(ask, pstrdup(in_vain.reason), pstrdup(in_vain.hint));
	return true;
}

/*
 * What would make asking pointless?
 */
static bool
is_pointless(DbpAsk *ask)
{
	char *name = table_name(ask->look.policy);

	if (ask->look.nwanted > DBP_REMOTE_MAX_KEYS)
		answer_create(
			ask,
			psprintf("the rows need %d missing partitions of table %s, and at most %d are "
					 "made while an insert waits",
					 ask->look.nwanted, name, DBP_REMOTE_MAX_KEYS),
			NULL);
	else if (dbp_partition_wait == 0)
		answer_create(ask,
					  psprintf("dbperf.partition_wait is 0, so that no worker is asked for "
							   "partitions of table %s",
							   name),
					  "Set dbperf.partition_wait.");
	else if (max_worker_processes == 0)
		answer_create(
			ask,
			psprintf("max_worker_processes is 0, so that no worker can make partitions of "
					 "table %s",
					 name),
			"Increase max_worker_processes.");
	else
		return was_in_vain(ask) || stands_in_the_way(ask);
	return true;
}

/*
 * Wait until no other session asks for partitions of this table.  False when
 * there is no more to be done.
 */
static bool
take_turn(DbpAsk *ask)
{
	/* the last number keeps it apart from advisory locks of SQL */
	SET_LOCKTAG_ADVISORY(ask->turn, MyDatabaseId, ask->parent, 0, 0xdba);
	for (int polls = 0;
		 LockAcquire(&ask->turn, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL; polls++)
	{
		if (ms_left(ask) <= 0)
		{
			answer_create(
				ask,
				psprintf("another session has been having partitions of table %s made for "
						 "%d ms",
						 table_name(ask->look.policy), dbp_partition_wait),
				"Try again, or increase dbperf.partition_wait.");
			return false;
		}
		dbp_pause_ms(POLL_MS);
		/* they may be there already */
		if (polls % POLLS_PER_LOOK == POLLS_PER_LOOK - 1 && !look_again(ask))
			return false;
	}
	ask->has_turn = true;
	return look_again(ask);
}

static DbpRemoteOutcome
ask_worker(DbpAsk *ask, ErrorData **error)
{
	DbpRemoteRequest request;
	int left = (int) Max(ms_left(ask), 1);

	dbp_remote_request_init(&request, DBP_REMOTE_MISSING, ask->parent);
	request.patience_ms = left - Min(left / 2, TO_ANSWER_MS);
	request.asked_at = GetCurrentTimestamp();
	request.nkeys = Min(ask->look.nwanted, DBP_REMOTE_MAX_KEYS);
	memcpy(request.keys, ask->look.wanted, sizeof(int64) * request.nkeys);
	return dbp_remote_try(&request, left, error);
}

/*
 * A sentence as a part of another one.
 */
static char *
clause(const char *sentence)
{
	char *result = pstrdup(sentence);
	size_t len = strlen(result);

	/* not where it begins with a name */
	if (len > 1 && result[0] >= 'A' && result[0] <= 'Z' && !(result[1] >= 'A' && result[1] <= 'Z'))
		result[0] = pg_tolower((unsigned char) result[0]);
	if (len > 0 && result[len - 1] == '.')
		result[len - 1] = '\0';
	return result;
}

/*
 * Put an error into words.
 */
static void
answer_error(DbpAsk *ask, const ErrorData *error)
{
	bool has_detail = error->detail != NULL;

	answer(ask,
		   psprintf("%s%s%s", error->message != NULL ? error->message : "unknown error",
					has_detail ? ": " : "", has_detail ? clause(error->detail) : ""),
		   pstrdup(error->hint != NULL ? error->hint
									   : "Remove what is in the way, and try again."));
}

/*
 * The same for an error of the worker.
 */
static void
answer_failure(DbpAsk *ask, const ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		answer_create(ask, pstrdup("the background worker was canceled"), "Try again.");
	else if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && error->table_name != NULL)
		answer_create(ask,
					  psprintf("table \"%s\" could not be locked within %d ms%s%s",
							   error->table_name, dbp_partition_wait,
							   error->detail != NULL ? ": " : "",
							   error->detail != NULL ? clause(error->detail) : ""),
					  "Try again when that transaction has ended.");
	else
		answer_error(ask, error);
}

/*
 * What came of it, for the case that the partitions are not there.
 */
static void
answer_outcome(DbpAsk *ask, DbpRemoteOutcome outcome, const ErrorData *error)
{
	char *name = table_name(ask->look.policy);

	switch (outcome)
	{
		case DBP_REMOTE_SERVED:
			answer(ask, psprintf("others have changed the partitions of table %s meanwhile", name),
				   pstrdup("Try again."));
			break;
		case DBP_REMOTE_FAILED:
			answer_failure(ask, error);
			break;
		case DBP_REMOTE_NO_PROCESS:
			answer_create(ask,
						  psprintf("no background worker process has been free for %d ms to make "
								   "partitions of table %s",
								   dbp_partition_wait, name),
						  "Try again, or increase max_worker_processes.");
			break;
		case DBP_REMOTE_TOO_LATE:
			answer_create(ask,
						  psprintf("a background worker did not make the partitions of table %s "
								   "within %d ms",
								   name, dbp_partition_wait),
						  "Try again, or increase dbperf.partition_wait.");
			break;
		case DBP_REMOTE_NEVER_CAME:
		case DBP_REMOTE_LOST:
			answer_create(ask,
						  psprintf("the background worker that was to make partitions of table %s "
								   "%s, see the server log",
								   name,
								   outcome == DBP_REMOTE_LOST ? "ended early"
															  : "could not be started"),
						  "Try again.");
			break;
	}
}

/*
 * Have them made.  Whatever the worker says, what counts is what is there then.
 */
static void
have_them_made(DbpAsk *ask)
{
	DbpRemoteOutcome outcome;
	ErrorData *error = NULL;

	while ((outcome = ask_worker(ask, &error)) == DBP_REMOTE_NO_PROCESS && ms_left(ask) > 0)
	{
		for (int polls = 0; polls < POLLS_PER_LOOK / 4; polls++)
			dbp_pause_ms(POLL_MS);
		if (!look_again(ask))
			return;
	}
	if (look_again(ask))
		answer_outcome(ask, outcome, error);
}

static void
ask_guarded(void *arg)
{
	DbpAsk *ask = arg;
	MemoryContext context = CurrentMemoryContext;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(context);
	if (look_again(ask) && !is_pointless(ask))
	{
		if (take_turn(ask))
			have_them_made(ask);
		/* if keys that are to have none are the only reason, nothing was waited for in vain */
		if (ask->reason != NULL && ask->look.nwanted > 0)
			remember_in_vain(ask);
	}
	if (ask->has_turn)
		(void) LockRelease(&ask->turn, ExclusiveLock, false);
	MemoryContextSwitchTo(context);
	SPI_finish();
}

char *
dbp_request_partitions(Oid parent, const int64 *keys, int nkeys, char **hint)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	DbpAsk ask = {0};
	ErrorData *error;
	char *reason = NULL;

	*hint = NULL;
	if (nkeys == 0)
		return NULL;
	if (IsInParallelMode())
	{
		*hint = pstrdup("Insert in a statement of its own.");
		return pstrdup("this is a parallel operation");
	}
	context = AllocSetContextCreate(caller, "dbperf partition request", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	ask.parent = parent;
	ask.context =
		AllocSetContextCreate(context, "dbperf look at partitions", ALLOCSET_DEFAULT_SIZES);
	ask.nkeys = nkeys;
	ask.keys = palloc(sizeof(int64) * nkeys);
	memcpy(ask.keys, keys, sizeof(int64) * nkeys);
	qsort(ask.keys, nkeys, sizeof(int64), by_value);
	INSTR_TIME_SET_CURRENT(ask.started);

	error = dbp_guarded(ask_guarded, &ask);
	MemoryContextSwitchTo(caller);
	/* our own cancel; that of the worker is no error here */
	if (error != NULL && dbp_ends_run(error))
		ReThrowError(error);
	if (error != NULL)
		answer_error(&ask, error);
	if (ask.reason != NULL)
	{
		reason = pstrdup(ask.reason);
		*hint = pstrdup(ask.hint);
	}
	MemoryContextDelete(context);
	AcceptInvalidationMessages();
	return reason;
}

/*
 * INSERT on the table or on any of its columns, or on a table that routes rows
 * to it.
 */
static bool
may_insert(Oid relid, Oid userid)
{
	return pg_class_aclcheck(relid, userid, ACL_INSERT) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, userid, ACL_INSERT, ACLMASK_ANY) == ACLCHECK_OK;
}

static void
check_caller_may_insert(const DbpPolicy *policy, Oid userid)
{
	bool may = may_insert(policy->parent, userid);

	if (!may && get_rel_relispartition(policy->parent))
	{
		ListCell *cell;

		foreach(cell, get_partition_ancestors(policy->parent))
			may |= may_insert(lfirst_oid(cell), userid);
	}
	if (!may)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s", policy->table),
				 errhint("The owner of the table can grant INSERT.")));
}

/* Of the request's patience, after the time that it took the worker to get here */
static int
patience_left(const DbpRemoteRequest *request)
{
	long passed = TimestampDifferenceMilliseconds(request->asked_at, GetCurrentTimestamp());

	return Max(request->patience_ms - (int) Min(passed, request->patience_ms), 1);
}

void
dbp_request_serve(const DbpRemoteRequest *request)
{
	DbpMaintainRequest asked = {0};
	DbpMaintainResult result;
	DbpLook look = {0};
	char *reason;
	char *hint;

	look.policy = load_policy(request->relid, &reason, &hint);
	if (look.policy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg_internal("%s", reason),
				 errhint("%s", hint)));
	check_caller_may_insert(look.policy, request->userid);
	look_at_keys(&look, request->keys, Min(request->nkeys, DBP_REMOTE_MAX_KEYS));
	if (look.nwanted > 0)
	{
		asked.parent = request->relid;
		asked.source = "worker";
		asked.reason = "missing_partition";
		asked.commit_each = true;
		asked.wanted_keys = look.wanted;
		asked.nwanted_keys = look.nwanted;
		asked.patience_ms = patience_left(request);
		dbp_maintain_run(&asked, &result);
	}
	if (look.refusal != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_internal("%s", look.refusal), errhint("%s", look.hint)));
}
