/*-------------------------------------------------------------------------
 *
 * partition.h
 *		Policies, the grid of bounds, and making partitions.
 *
 * A policy says how the partitions of one parent are to be.  Its "grid" is
 * the endless row of bounds anchor + k * interval; a "cell" is what lies
 * between two of them.  A partition that is made is a cell, or what existing
 * partitions leave free of it.
 *
 * Partition keys of every supported type are held as one int64, the "key":
 * microseconds since 2000-01-01 for timestamptz and timestamp, days since
 * 2000-01-01 for date, the number itself for integer and bigint.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_PARTITION_H
#define DBP_PARTITION_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "pgtime.h"
#include "portability/instr_time.h"
#include "storage/lock.h"
#include "storage/lockdefs.h"

/* Bounds without a limit (MINVALUE, -infinity; MAXVALUE, infinity) */
#define DBP_KEY_MIN PG_INT64_MIN
#define DBP_KEY_MAX PG_INT64_MAX

/* What integer keys count, when they are times since 1970-01-01 UTC */
typedef enum DbpEpochUnit
{
	DBP_EPOCH_NONE,
	DBP_EPOCH_SECONDS,
	DBP_EPOCH_MILLISECONDS,
	DBP_EPOCH_MICROSECONDS
} DbpEpochUnit;

typedef struct DbpPolicy
{
	Oid parent;
	Oid owner;
	Oid nspoid;
	char *schema;
	char *table;
	char *column; /* partition key */
	Oid keytype;
	bool by_time; /* grid of times; else of numbers */
	DbpEpochUnit unit;
	Interval interval; /* by_time */
	int64 step;		   /* !by_time */
	Timestamp anchor;  /* by_time: wall clock in time_zone */
	int64 anchor_key;  /* !by_time */
	char *time_zone;
	pg_tz *tz;
	int premake;
	int run_order;
	char *naming_pattern;
	char *tablespace; /* NULL: the parent's */
	int lock_budget_ms;
	Interval sanity_window;	 /* by_time */
	int64 sanity_step;		 /* !by_time */
	bool retires;			 /* partitions are to be detached or dropped some day */
	char *archive_schema;	 /* of detached partitions; never NULL */
	int lock_tries;			 /* rounds of polling for the locks of one step */
	int failures;			 /* in a row, from policy_state */
	TimestampTz next_try_at; /* 0: at once */
	char *last_error;		 /* NULL: none */
	int retire_failures;	 /* the same for detaching and dropping */
	TimestampTz retire_next_try_at;
	char *retire_error;
	List *sort_by;		   /* of column names, for compressing; NIL: the default */
	int compress_failures; /* the same for compressing */
	TimestampTz compress_next_try_at;
	char *compress_error;
} DbpPolicy;

/* One partition as the catalogs have it */
typedef struct DbpPart
{
	Oid relid;
	int64 lower;	/* inclusive */
	int64 upper;	/* exclusive */
	bool detaching; /* DETACH CONCURRENTLY was interrupted */
} DbpPart;

typedef struct DbpParts
{
	DbpPart *part; /* sorted by lower; without the default */
	int n;
	Oid defpart;	/* default partition, or InvalidOid */
	bool detaching; /* one of all partitions is */
} DbpParts;

/* A range that no partition covers */
typedef struct DbpRange
{
	int64 lower;
	int64 upper;
} DbpRange;

/* What making one partition cost the traffic */
typedef struct DbpCost
{
	double ms_waited; /* for locks, polling, holding none */
	double ms_held;	  /* from the first lock until just before commit */
	int tries;
} DbpCost;

/* identity.c */
typedef struct DbpIdentity
{
	Oid userid;
	int sec_context;
	int guc_level;
} DbpIdentity;

extern Oid dbp_extension_owner(void);
extern bool dbp_extension_exists(void);
extern void dbp_become_owner(DbpIdentity *saved, Oid owner, int lock_timeout_ms);
extern void dbp_become_extension(DbpIdentity *saved);
extern void dbp_restore_identity(const DbpIdentity *saved);
extern void dbp_execute(const char *sql);
extern void dbp_execute_as_owner(const DbpPolicy *policy, const char *sql);
extern void dbp_check_table_owner(Oid relid);

/* policy.c */
extern List *dbp_policy_load(Oid parent, bool enabled_only);
extern DbpPolicy *dbp_policy_get(Oid parent);
extern Oid dbp_policy_find(const char *schema, const char *table);
extern bool dbp_policy_holds(const DbpPolicy *policy);
extern List *dbp_policies_of_role(Oid parent, Oid role);

/* grid.c */
extern bool dbp_grid_bound(const DbpPolicy *policy, int64 k, int64 *key);
extern bool dbp_grid_cell(const DbpPolicy *policy, int64 key, int64 *k);
extern int64 dbp_key_from_time(const DbpPolicy *policy, TimestampTz at);
extern bool dbp_key_to_time(const DbpPolicy *policy, int64 key, TimestampTz *at);
extern int64 dbp_key_from_datum(Oid keytype, Datum value);
extern int64 dbp_key_parse(const DbpPolicy *policy, const char *str);
extern int64 dbp_key_parse_finite(const DbpPolicy *policy, const char *str);
extern char *dbp_key_literal(const DbpPolicy *policy, int64 key);
extern char *dbp_key_display(const DbpPolicy *policy, int64 key);
extern bool dbp_key_is_sane(const DbpPolicy *policy, int64 key, int64 now_key);
extern char *dbp_key_format(const DbpPolicy *policy, int64 key, const char *fmt);

/* bounds.c */
extern void dbp_parts_read(Oid parent, Oid keytype, DbpParts *parts);
extern int dbp_parts_first_above(const DbpParts *parts, int64 key);
extern List *dbp_parts_uncovered(const DbpParts *parts, int64 lower, int64 upper);
extern List *dbp_missing_cells(const DbpPolicy *policy, const DbpParts *parts, int64 from,
							   int64 to);
extern bool dbp_settled_key(const DbpPolicy *policy, const DbpParts *parts, int64 *key);
extern bool dbp_current_key(const DbpPolicy *policy, const DbpParts *parts, int64 *key);
extern List *dbp_missing_ahead(const DbpPolicy *policy, const DbpParts *parts);
extern List *dbp_parts_read_ahead(const DbpPolicy *policy, DbpParts *parts);
extern Oid dbp_partition_key_type(Oid parent);
extern bool dbp_relation_is_empty(Oid relid, bool *known);

/* health.c */
extern const char *dbp_part_state(const DbpPart *part, bool has_current, int64 current);

/* name.c */
extern char *dbp_partition_name(const DbpPolicy *policy, const DbpRange *range);
extern char *dbp_qualified_name(Oid relid);

/* lock.c */
typedef struct DbpLock
{
	Oid relid;
	LOCKMODE mode;
} DbpLock;

extern List *dbp_lock_list_for_attach(Oid parent, Oid defpart);
extern List *dbp_lock_add(List *requests, Oid relid, LOCKMODE mode);
extern List *dbp_lock_add_tree(List *requests, Oid relid, LOCKMODE mode);
extern List *dbp_lock_add_foreign_keys(List *requests, Oid relid, LOCKMODE referenced,
									   LOCKMODE referencing);
extern void dbp_lock_requests(const DbpPolicy *policy, List *requests, DbpCost *cost);
/* Called between two tries; may raise an error */
typedef void (*DbpLockCheck)(void *arg);
extern void dbp_lock_requests_unless(const DbpPolicy *policy, List *requests, DbpCost *cost,
									 DbpLockCheck check, void *arg);
extern void dbp_lock_give_back(List *requests);
extern Oid dbp_lock_own_conflict(List *requests);
extern void dbp_lock_check_own(List *requests);
extern DbpLock *dbp_lock_end_of_audit(void);
extern void dbp_lock_for_attach(const DbpPolicy *policy, Oid defpart, DbpCost *cost);
extern void dbp_lock_relation(const DbpPolicy *policy, Oid relid, LOCKMODE mode, DbpCost *cost);
extern void dbp_pause_ms(long ms);
extern double dbp_ms_since(const instr_time *start);

/* default.c */
extern bool dbp_default_is_large(Oid defpart);
extern bool dbp_default_is_guarded(Oid defpart, const DbpRange *range, bool *validated);
extern void dbp_default_guard(Oid defpart, const DbpPolicy *policy, const DbpRange *range,
							  DbpCost *cost);
extern void dbp_default_validate(Oid defpart, const DbpPolicy *policy, const DbpRange *range,
								 DbpCost *cost);
extern void dbp_default_unguard(Oid defpart, const DbpPolicy *policy, const DbpRange *range,
								DbpCost *cost);
extern void dbp_default_guard_known(Oid defpart, const DbpPolicy *policy, const DbpRange *range);
extern char *dbp_range_condition(const DbpPolicy *policy, const DbpRange *range, bool inside);
extern void dbp_constraint_mark_valid(Oid constraint);
extern bool dbp_default_sweep(Oid defpart, const DbpPolicy *policy, List *ranges);

/* bound_check.c */
#define DBP_BOUND_CHECK "dbperf_bound"
extern void dbp_bound_check_add(Oid partition);

/* retire_sql.c */
extern bool dbp_is_past_retiring(const DbpPolicy *policy, const DbpRange *range);

/* wanted.c */
typedef enum DbpKeyVerdict
{
	DBP_KEY_COVERED,	  /* a partition takes it */
	DBP_KEY_DETACHING,	  /* it lies in one that is being detached */
	DBP_KEY_NOT_SANE,	  /* outside the sanity window */
	DBP_KEY_WITHOUT_CELL, /* the grid has none for it */
	DBP_KEY_PAST,		  /* its partition would be retired at once */
	DBP_KEY_WANTED
} DbpKeyVerdict;

extern DbpKeyVerdict dbp_key_verdict(const DbpPolicy *policy, const DbpParts *parts,
									 const int64 *current, int64 key, DbpRange *range);

/* older.c */
extern void dbp_older_ignore_caller(void);
extern void dbp_older_regard_caller(void);
extern List *dbp_older_snapshots(TransactionId limit);
extern bool dbp_older_waits_itself(List *older);
extern pid_t dbp_caller_pid; /* of the session that waits for this process; 0: none */
extern struct PGPROC *dbp_vxid_process(VirtualTransactionId vxid);
extern List *dbp_older_awaited(Oid parent, Oid partition, TransactionId marked);
extern void dbp_older_save(Oid partition, List *older);
extern List *dbp_older_remaining(List *older);
extern char *dbp_older_describe(List *older);

/* create.c */
extern Oid dbp_partition_make_table(const DbpPolicy *policy, const DbpParts *parts,
									const char *name);
extern void dbp_partition_attach_table(const DbpPolicy *policy, const DbpRange *range,
									   const char *name, Oid child);
extern bool dbp_range_is_free(const DbpParts *parts, const DbpRange *range);
extern char *dbp_partition_create_sql(const DbpPolicy *policy, const DbpParts *parts,
									  const DbpRange *range, const char *name);
extern Oid dbp_partition_create(const DbpPolicy *policy, const DbpRange *range, const char *source,
								DbpCost *cost);

/* inherit.c */
extern char *dbp_inherit_reloptions(const DbpParts *parts);
extern void dbp_inherit_settings(Oid parent, Oid child);
extern List *dbp_inherit_statements(Oid parent, Oid child);

/* audit.c */
typedef struct DbpEvent
{
	const char *source;
	const char *action;
	const DbpPolicy *policy; /* NULL: the table is not managed */
	const char *partition;	 /* NULL: none */
	const DbpRange *range;	 /* NULL: none, or as text: */
	const char *lower_bound;
	const char *upper_bound;
	const DbpCost *cost; /* NULL: none */
	const char *message; /* NULL: none */
	const char *detail;	 /* an object of JSON; NULL: none */
} DbpEvent;

/* Who is to be recorded, when a worker acts for somebody; NULL: the session user */
extern const char *dbp_event_actor;

extern void dbp_event_write(const DbpEvent *event);
extern bool dbp_audit_is_held(void);

#endif /* DBP_PARTITION_H */
