/*-------------------------------------------------------------------------
 *
 * batch.h
 *		Batches as they lie on disk and in this backend's memory: for the files
 *		that write, read and verify them only.
 *
 * On disk
 *
 * A batch tuple's body is a DbpBatchHead, and behind it the directory, unless that
 * is too long.  All else is in the relation's TOAST table, whose tuples are
 * (chunk_id, chunk_seq, chunk_data):
 *
 *		batch id, offset in the stream			a piece of the stream
 *		batch id, DBP_SEQ_TOMBSTONE + row		DbpTombstoneBody
 *		DBP_TOAST_RUNS, block of the main fork	a run of pages with batches starts there
 *		DBP_TOAST_TOMBSTONES, any number		there may be tombstones
 *		DBP_TOAST_SORT_KEY, 0					attnums (int16) by which somebody wants it sorted
 *
 * Runs and tombstones save looking for what is not there.  Values never have their ids:
 * the server gives out none below FirstNormalObjectId.
 *
 * The stream has the chunks of the columns one after the other: for each column
 * the bitmap of its nulls, if it has some but not all, and its values, if it has any; and
 * behind them the directory, where it is not in the batch tuple.  It is cut into pieces
 * where pages are full, not where chunks end.
 *
 * The directory has an entry for each column, in the order of their numbers.
 * "varint": seven bits a byte, the lowest first, the eighth says that more follow.
 *
 *		flags		1 byte	bits 0-2 DbpFamily, 3-4 alignment (c, s, i, d), 5 by value, 6 has nulls
 *		zone		1 byte	bits 0-1 DbpZoneKind, bit 2: integers without sign
 *		number		varint	less that of the entry before (at first 0)
 *		attlen		varint	and 2 more
 *		nulls		varint	how many, and varint: length of their bitmap's chunk; if bit 6 is set
 *		length		varint	of the values' chunk
 *		payload		varint	bytes of the values without headers; if attlen < 0
 *		back		varint	how far before the chunks the piece starts that they start in
 *		crc			4 bytes	of both chunks
 *		zone		DBP_ZONE_INT: zigzag varint of min, varint of max - min
 *					DBP_ZONE_DOUBLE: min, max
 *					DBP_ZONE_BYTES: min, max, each as a byte of length and so many bytes
 *
 * Numbers of several bytes are in the machine's order, as in all of a data
 * directory.  Checksums are CRC-32C.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_BATCH_H
#define DBP_COLUMNAR_BATCH_H

#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/heaptoast.h"
#include "lib/ilist.h"
#include "port/pg_crc32c.h"
#include "storage/buf.h"
#include "storage/lockdefs.h"

#include "codec/codec.h"
#include "columnar/columnar.h"
#include "compat.h"

#define DBP_BATCH_MAGIC 0x31426244 /* "DbB1" on little-endian machines */
#define DBP_BATCH_VERSION 1

/* directory_offset: the directory is behind the head */
#define DBP_DIRECTORY_INLINE PG_UINT32_MAX

typedef struct DbpBatchHead
{
	uint32 magic;
	uint32 crc; /* of all that follows in the tuple */
	uint16 version;
	uint16 nrows;
	uint16 ncolumns;
	uint16 directory_back; /* as of columns */
	Oid id;
	uint32 stream_length;
	uint32 directory_offset;
	uint32 directory_length;
	uint32 directory_crc;
} DbpBatchHead;

StaticAssertDecl(sizeof(DbpBatchHead) == 36, "DbpBatchHead has padding");

/* A batch tuple is never longer, so that heap_insert() has no reason to toast it */
#define DBP_BATCH_TUPLE_MAX (TOAST_TUPLE_THRESHOLD - 200)

/* Where TIDs of rows have room for the batch's */
#define DBP_BATCH_MAX_BLOCK ((BlockNumber) (1 << 25) - 1)
#define DBP_BATCH_MAX_OFFSET 511

#define DBP_TOAST_RUNS ((Oid) 1)
#define DBP_TOAST_TOMBSTONES ((Oid) 2)
#define DBP_TOAST_SORT_KEY ((Oid) 3)

typedef struct DbpTombstoneBody
{
	uint16 kind;
	uint16 successor_offset;
	uint32 successor_block;
	uint32 crc; /* of batch id, row and the above */
} DbpTombstoneBody;

StaticAssertDecl(sizeof(DbpTombstoneBody) == 12, "DbpTombstoneBody has padding");

/* An entry of the directory */
typedef struct DbpEntry
{
	AttrNumber attnum;
	int16 attlen;
	char attalign;
	bool attbyval;
	bool zone_unsigned;
	DbpFamily family;
	int nulls;
	uint32 offset; /* in the stream */
	uint32 nulls_length;
	uint32 values_length;
	uint32 back;
	uint64 payload;
	uint32 crc;
	DbpZone zone;
} DbpEntry;

#define DBP_ENTRY_SEQ(entry) ((entry)->offset - (entry)->back)
#define DBP_ENTRY_LENGTH(entry) ((entry)->nulls_length + (entry)->values_length)

/* An entry takes no more bytes than this */
#define DBP_ENTRY_MAX 96

/* Zones of a type */
typedef struct DbpZoneType
{
	DbpZoneKind kind;
	bool no_sign;
} DbpZoneType;

typedef struct DbpBatchKey
{
	DbpRelFile file;
	int backend; /* of temporary relations, whose numbers are their own */
	BlockNumber block;
	OffsetNumber offset;
} DbpBatchKey;

typedef struct DbpBatchColumn
{
	enum
	{
		DBP_COLUMN_UNKNOWN,
		DBP_COLUMN_DECODED,
		DBP_COLUMN_MISSING /* the batch does not have it: all rows have the same value */
	} state;
	Datum *values;
	bool *nulls;
	Datum missing;
	bool missing_null;
} DbpBatchColumn;

/* All batches of a relation */
typedef struct DbpBatchList
{
	DbpBatchKey key; /* block and offset are 0 */
	Oid relid;
	Oid toast;
	MemoryContext context;
	int n;
	DbpBatch **batches;
	bool known;	   /* false: to be made anew */
	bool new_file; /* made by this transaction, with which it may go */
	dlist_node node;
} DbpBatchList;

struct DbpBatch
{
	DbpBatchKey key;
	ItemPointerData tid;
	Oid relid; /* that it was last opened for */
	Oid toast; /* and its TOAST table */
	DbpBatchHead head;
	uint8 *directory; /* NULL: in the stream */

	/* All below is gone when memory is short and nobody holds the batch */
	MemoryContext context;
	uint8 *read_directory;
	DbpEntry *entries;
	int ncolumns; /* of the array */
	DbpBatchColumn *columns;
	Size bytes; /* of their values */

	int references;
	bool known;			/* in the hash table */
	DbpBatchList *list; /* that it belongs to, or NULL */
	MemoryContext own;	/* that it is in, if it belongs to none */
	dlist_node live;	/* if the end of the transaction has to look at it */
	bool is_live;
	dlist_node idle; /* if it has memory, but no references */
	bool is_idle;
};

/* batch.c: heads and directories */
extern void dbp_batch_parse_head(Relation rel, HeapTuple tuple, DbpBatchHead *head,
								 const uint8 **directory);
/* As it stands there; false: there is no room for one */
extern bool dbp_batch_read_head(HeapTuple tuple, DbpBatchHead *head);
/* Raises data_corrupted, naming table, batch and column (0: none) */
extern void dbp_batch_damaged(Oid relid, Oid batch_id, AttrNumber attnum, const char *what)
	__attribute__((noreturn));
extern int dbp_entry_write(const DbpEntry *entry, AttrNumber previous, uint8 *out);
/*
 * Reads the entry at *at, which is moved on; *entry has the one before it, or
 * zeros.  false: damaged.
 */
extern bool dbp_entry_read(const uint8 **at, const uint8 *end, int nrows, DbpEntry *entry);
/* All entries, held by the batch */
extern const DbpEntry *dbp_batch_entries(DbpBatch *batch);
/* One of them, NULL: the batch does not have this column */
extern const DbpEntry *dbp_batch_entry(DbpBatch *batch, AttrNumber attnum, DbpEntry *room);

/* column.c: values from chunks.  context is where values and nulls go to. */
extern void dbp_column_decode(DbpBatch *batch, const DbpEntry *entry, MemoryContext context,
							  Datum **values, bool **nulls);
/* The two chunks, palloc'd, checked against the checksum */
extern uint8 *dbp_column_read(DbpBatch *batch, const DbpEntry *entry);

/* zone.c */
extern DbpZoneType dbp_zone_type(Form_pg_attribute att);
extern DbpFamily dbp_column_family(Form_pg_attribute att);
/* nulls may be NULL */
extern void dbp_zone_compute(DbpZoneType type, int16 attlen, const Datum *values, const bool *nulls,
							 int n, DbpZone *zone);

/* batch_write.c: what the values of a batch become */
typedef struct DbpEncoder DbpEncoder;

extern DbpEncoder *dbp_encoder_create(MemoryContext context);
/* Both chunks of a column are added to the stream; fills entry but for back */
extern void dbp_encoder_column(DbpEncoder *encoder, const DbpRows *rows, AttrNumber attnum,
							   DbpEntry *entry);
extern DbpBuffer *dbp_encoder_stream(DbpEncoder *encoder);
extern void dbp_encoder_reset(DbpEncoder *encoder);
extern void dbp_encoder_free(DbpEncoder *encoder);
/* What the encodings that were in question for a column would have taken, see codec.h */
extern int dbp_column_candidates(const DbpEntry *entry, const Datum *values, const bool *nulls,
								 int nrows, DbpCandidate *candidates, int max);

/* toast.c: tuples of TOAST tables */
typedef struct DbpToast
{
	Relation rel;
	Relation *indexes;
	int nindexes;
	Relation index; /* the one to search in */
	LOCKMODE lock;
} DbpToast;

extern void dbp_toast_open(DbpToast *toast, Oid relid, LOCKMODE lock);
extern void dbp_toast_close(DbpToast *toast);
extern void dbp_toast_insert(DbpToast *toast, Oid id, int32 seq, const void *data, uint32 length,
							 CommandId cid, int options, BulkInsertState bistate);
/* An id that no tuple has, dead or alive, and none of another TOAST table either */
extern Oid dbp_toast_new_id(DbpToast *toast, DbpToast *other);

typedef struct DbpToastScan
{
	IndexScanDesc scan;
	TupleTableSlot *slot;
	Oid id;
	/* the current tuple; data is in a buffer, until the next step */
	HeapTuple tuple;
	int32 seq;
	const uint8 *data;
	uint32 length;
} DbpToastScan;

/* false: it is no tuple of a TOAST table, or one that the toaster would not write */
extern bool dbp_toast_parse(const HeapTupleData *tuple, Oid *id, int32 *seq, const uint8 **data,
							uint32 *length);
/* from <= seq < to */
extern void dbp_toast_scan_begin(DbpToastScan *scan, DbpToast *toast, Oid id, int32 from, int64 to,
								 Snapshot snapshot);
/* Raises data_corrupted for a tuple that is none of a TOAST table */
extern bool dbp_toast_scan_next(DbpToastScan *scan);
extern void dbp_toast_scan_end(DbpToastScan *scan);

/* store.c: part of a batch's stream, which is known to be in it, from the piece at seq on */
extern void dbp_stream_read(const DbpBatch *batch, AttrNumber attnum, uint32 seq, uint32 offset,
							uint32 length, uint8 *out);

/* cache.c: a copy that stays as long as the rest of what was read of the batch */
extern void *dbp_batch_keep(DbpBatch *batch, const void *data, size_t length);
/* A copy of the batch tuple there, whatever its visibility; NULL: there is none */
extern HeapTuple dbp_batch_tuple(Relation rel, const ItemPointerData *tid);
/* The same in a buffer that is locked */
extern HeapTuple dbp_batch_copy_tuple(Relation rel, Buffer buffer, OffsetNumber offset);
/* Made on the first call; lasts as long as the backend */
extern MemoryContext dbp_batch_cache(void);
extern void dbp_batch_key(DbpBatchKey *key, Relation rel, const ItemPointerData *tid);
extern DbpBatch *dbp_batch_create(Relation rel, const ItemPointerData *tid,
								  const DbpBatchHead *head, const uint8 *directory,
								  DbpBatchList *list);
extern void dbp_batch_leave_list(DbpBatch *batch);

/* batch_list.c: after a batch was written to a relation in this transaction */
extern void dbp_batch_list_forget(Relation rel);
/* After a subtransaction was rolled back, and after the transaction */
extern void dbp_batch_lists_doubt(void);
extern void dbp_batch_lists_end(bool aborted);
/* The blocks where runs of batches start, in order; palloc'd, as many as *n */
extern BlockNumber *dbp_batch_runs(Relation rel, int *n);

/* tombstone.c: false: damaged */
extern bool dbp_tombstone_sound(Oid batch_id, int row, const uint8 *data, uint32 length);

static inline pg_crc32c
dbp_crc(const void *data, size_t length)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, length);
	FIN_CRC32C(crc);
	return crc;
}

#endif /* DBP_COLUMNAR_BATCH_H */
