/*-------------------------------------------------------------------------
 *
 * missing.c
 *		Notices inserts that failed because no partition takes the row.
 *
 * The hook looks at every error on its way to the server log, so it sees COPY
 * and logical replication as well as INSERT, but no error that a function
 * caught, and none at all where log_min_messages leaves out errors. It copies
 * table and key to shared memory and wakes the launcher; whether the table is
 * managed and the key is sane is decided by the worker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/elog.h"
#include "utils/guc.h"

#include "compat.h"
#include "guc.h"
#include "shmem.h"

/* execPartition.c, untranslated */
#define DBP_NO_PARTITION_MESSAGE "no partition of relation \"%s\" found for row"

static emit_log_hook_type prev_emit_log_hook = NULL;

/*
 * Finds the key in a text such as
 *		Partition key of the failing row contains (col) = (value).
 * in any language, for any name of the column: the value of a date, a time or
 * a number holds no parenthesis, so what stands after the last ") = (" up to
 * the last ")" is the value. False when there is none, or it was cut short.
 */
static bool
parse_key(const char *detail, char *key, size_t keylen)
{
	static const char separator[] = ") = (";
	const char *start = NULL;
	const char *end;
	size_t len;

	if (detail == NULL)
		return false;
	for (const char *p = strstr(detail, separator); p != NULL; p = strstr(p + 1, separator))
		start = p + strlen(separator);
	if (start == NULL)
		return false;
	end = strrchr(start, ')');
	if (end == NULL)
		return false;

	len = end - start;
	if (len == 0 || len >= keylen)
		return false;
	if (len >= 3 && strncmp(end - 3, "...", 3) == 0)
		return false;
	memcpy(key, start, len);
	key[len] = '\0';
	return true;
}

static void
copy_setting(const char *name, char *value, size_t valuelen)
{
	const char *current = GetConfigOption(name, true, false);

	strlcpy(value, current != NULL ? current : "", valuelen);
}

/*
 * Runs in the middle of error handling: nothing here may throw or allocate.
 */
static void
note_missing_partition(const ErrorData *edata)
{
	DbpMissing missing;

	memset(&missing, 0, sizeof(missing));
	missing.dboid = MyDatabaseId;
	strlcpy(missing.schema, edata->schema_name, sizeof(missing.schema));
	strlcpy(missing.table, edata->table_name, sizeof(missing.table));
	missing.has_key = parse_key(edata->detail, missing.key, sizeof(missing.key));
	copy_setting("DateStyle", missing.datestyle, sizeof(missing.datestyle));
	copy_setting("TimeZone", missing.timezone, sizeof(missing.timezone));

	(void) dbp_shmem_add_missing(&missing);
}

static void
watch_errors(ErrorData *edata)
{
	if (edata->elevel == ERROR && edata->sqlerrcode == ERRCODE_CHECK_VIOLATION &&
		edata->message_id != NULL && edata->schema_name != NULL && edata->table_name != NULL &&
		strcmp(edata->message_id, DBP_NO_PARTITION_MESSAGE) == 0 && dbp_shmem != NULL &&
		dbp_enabled && !dbp_is_worker_process && !proc_exit_inprogress && MyProc != NULL &&
		OidIsValid(MyDatabaseId) && !LWLockHeldByMe(dbp_shmem->lock))
		note_missing_partition(edata);

	if (prev_emit_log_hook)
		prev_emit_log_hook(edata);
}

void
dbp_missing_init(void)
{
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = watch_errors;
}
