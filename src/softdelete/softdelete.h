/*-------------------------------------------------------------------------
 *
 * softdelete.h
 *		Soft delete: rows that are marked as deleted, and stay.
 *
 * A row is deleted when its column deleted_at is not null.  Rows are marked,
 * restored and purged by ordinary statements of the caller's, so that
 * privileges, row level security, triggers and whatever access method a table
 * has apply as they do to any UPDATE and DELETE.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_SOFTDELETE_H
#define DBP_SOFTDELETE_H

#include "postgres.h"

#include "access/attnum.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/acl.h"
#include "utils/array.h"

#define DBP_DELETED_AT "deleted_at"
#define DBP_DELETED_BY "deleted_by"

/* How often a long call says how far it is */
#define DBP_SOFT_PROGRESS_MS 10000

typedef enum DbpSoftAction
{
	DBP_SOFT_DELETE,
	DBP_SOFT_RESTORE,
	DBP_SOFT_PURGE
} DbpSoftAction;

/* A column by which rows are found; of a domain, what is said is of its base type */
typedef struct DbpSoftKey
{
	char *column; /* quoted */
	Oid type;
	Oid array_type;
	Oid collation;
	char *equals; /* OPERATOR(...) */
	Oid output;
	int16 len;
	bool byval;
	char align;
} DbpSoftKey;

/* One call: what is done with which table, and how far it is */
typedef struct DbpSoftJob
{
	DbpSoftAction action;
	const char *function; /* for messages */
	Oid relid;
	char *table;		   /* qualified and quoted */
	char *name;			   /* quoted */
	DbpSoftKey *keys;	   /* what rows are looked for by, and then the rest of the primary key */
	int nkeys;			   /* of them, what they are looked for by */
	int nfound;			   /* all of them: what rows that were found are told apart by */
	char *order;		   /* what else settles the order of locking, ", a, b" or "" */
	const char *by;		   /* who deletes or restores */
	const char *reason;	   /* NULL: none */
	const char *from;	   /* of a range; NULL: not bounded */
	const char *to;		   /* the same */
	const char *predicate; /* NULL: none */
	TimestampTz cutoff;	   /* rows deleted before are purged */
	int batch_size;
	int64 total; /* rows that there may be; -1: not known */
	int64 seen;
	int64 changed;
	instr_time noticed;
	SPIPlanPtr lock;   /* NULL: not locked beforehand */
	SPIPlanPtr change; /* UPDATE or DELETE */
	MemoryContext batch_context;
} DbpSoftJob;

/* target.c */
extern Oid dbp_soft_table_arg(FunctionCallInfo fcinfo, int n);
extern AttrNumber dbp_soft_natts(Oid relid);
extern void dbp_soft_check_columns(Oid relid);
extern void dbp_soft_check_needed(Oid relid);
extern bool dbp_soft_column_fits(Oid relid, const char *column, bool *exists);
extern void dbp_soft_job_init(DbpSoftJob *job, DbpSoftAction action, const char *function,
							  Oid relid, int batch_size);
extern void dbp_soft_key_by_name(DbpSoftJob *job, const char *column);
extern void dbp_soft_key_default(DbpSoftJob *job);
extern bool dbp_soft_key_primary(DbpSoftJob *job);
extern List *dbp_soft_primary_columns(Oid relid);
extern char *dbp_soft_operator(Oid operator);
extern void dbp_soft_key_describe(Oid relid, AttrNumber attnum, DbpSoftKey *key);

/* ids.c */
extern Datum *dbp_soft_ids(const DbpSoftJob *job, ArrayType *ids, int *count);

/* batch.c */
extern const char *dbp_soft_condition(const DbpSoftJob *job, int cutoff_param);
extern char *dbp_soft_changing(const DbpSoftJob *job, int by_param);
extern void dbp_soft_prepare(DbpSoftJob *job);
extern void dbp_soft_batch(DbpSoftJob *job, Datum **values, int count);
extern void dbp_soft_progress(DbpSoftJob *job, int count);
extern void dbp_soft_executed(int result, const char *what);

/* log.c */
extern void dbp_soft_log(const DbpSoftJob *job, int64 rows, SPITupleTable *keys,
						 const instr_time *started);

/* on_delete.c: the DELETE of purge_deleted() goes past triggers */
extern Oid dbp_soft_purge_begin(Oid relid); /* returns the one that this is inside of */
extern void dbp_soft_purge_end(Oid outer);

/* enable.c: raises feature_not_supported for foreign keys with ON DELETE CASCADE */
extern void dbp_soft_check_cascade(Oid relid);

/* registry.c: rows of dbperf.soft_delete_tables */
typedef struct DbpSoftTable
{
	Oid relid;
	Oid view;		/* InvalidOid: somebody dropped it */
	char on_delete; /* 'a', 's' or 'f' */
} DbpSoftTable;

extern List *dbp_soft_tables(void);
extern DbpSoftTable *dbp_soft_table_find(Oid relid);
extern List *dbp_soft_tables_below(Oid relid);
extern void dbp_soft_table_put(Oid relid, Oid view, const char *on_delete);
extern bool dbp_soft_table_remove(Oid relid);
extern void dbp_soft_table_set_view(Oid relid, Oid view);

/* view.c */
extern char *dbp_view_name_for(const char *table);
extern Oid dbp_view_create(Oid relid);
extern void dbp_view_drop(Oid view, bool cascade);
extern void dbp_view_set_aside(const DbpSoftTable *table, bool cascade);
extern void dbp_view_sync(DbpSoftTable *table);
extern void dbp_view_rename(const DbpSoftTable *table, const char *new_table);
extern void dbp_view_move(const DbpSoftTable *table, const char *new_schema);

/* view_settings.c: what a view has besides its query, while it is made anew */
typedef struct DbpSavedView
{
	SubTransactionId subid;
	Oid relid; /* the table */
	char *schema;
	char *name;
	Oid owner;
	char *options; /* " WITH (...)" */
	Acl *acl;	   /* NULL: none */
	char *comment; /* NULL: none */
	List *columns; /* of DbpSavedColumn */
} DbpSavedView;

extern char *dbp_view_options(Oid view);
extern DbpSavedView *dbp_view_save(Oid relid, Oid view);
extern DbpSavedView *dbp_view_saved(Oid relid);
extern void dbp_view_restore_settings(Oid view, const DbpSavedView *saved);
extern void dbp_view_forget(DbpSavedView *saved);

#endif /* DBP_SOFTDELETE_H */
