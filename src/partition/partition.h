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
	int failures;			 /* in a row, from policy_state */
	TimestampTz next_try_at; /* 0: at once */
	char *last_error;		 /* NULL: none */
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
	Oid defpart; /* default partition, or InvalidOid */
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
extern void dbp_check_table_owner(Oid relid);

/* policy.c */
extern List *dbp_policy_load(Oid parent, bool enabled_only);
extern DbpPolicy *dbp_policy_get(Oid parent);
extern Oid dbp_policy_find(const char *schema, const char *table);

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
extern List *dbp_parts_uncovered(const DbpParts *parts, int64 lower, int64 upper);
extern List *dbp_missing_cells(const DbpPolicy *policy, const DbpParts *parts, int64 from,
							   int64 to);
extern bool dbp_current_key(const DbpPolicy *policy, const DbpParts *parts, int64 *key);
extern List *dbp_missing_ahead(const DbpPolicy *policy, const DbpParts *parts);
extern List *dbp_parts_read_ahead(const DbpPolicy *policy, DbpParts *parts);
extern Oid dbp_partition_key_type(Oid parent);
extern bool dbp_relation_is_empty(Oid relid, bool *known);

/* name.c */
extern char *dbp_partition_name(const DbpPolicy *policy, const DbpRange *range);

/* lock.c */
extern void dbp_lock_for_attach(const DbpPolicy *policy, Oid defpart, DbpCost *cost);
extern void dbp_lock_relation(const DbpPolicy *policy, Oid relid, LOCKMODE mode, DbpCost *cost);
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
extern bool dbp_default_sweep(Oid defpart, const DbpPolicy *policy, List *ranges);

/* create.c */
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
	const DbpPolicy *policy;
	const char *partition; /* NULL: none */
	const DbpRange *range; /* NULL: none */
	const DbpCost *cost;   /* NULL: none */
	const char *message;   /* NULL: none */
} DbpEvent;

extern void dbp_event_write(const DbpEvent *event);
extern bool dbp_audit_is_held(void);

#endif /* DBP_PARTITION_H */
