/*-------------------------------------------------------------------------
 *
 * latest_columnar.h
 *		Reading a compressed partition for the last row of each key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_LATEST_COLUMNAR_H
#define DBP_LATEST_COLUMNAR_H

#include "postgres.h"

#include "access/attnum.h"
#include "executor/tuptable.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

typedef struct DbpColumnarVisitor
{
	/* columns of the table */
	AttrNumber by;
	AttrNumber time;

	/* May a row of a key between these two, and of no later time, be wanted?  NULL: not known */
	bool (*may_want)(void *arg, const Datum *least_by, const Datum *greatest_by,
					 const Datum *latest);
	/* Is a row of this key and time wanted?  A NULL of either never is. */
	bool (*wants)(void *arg, Datum by, Datum time);
	/* It is in the slot */
	void (*take)(void *arg);
	void *arg;
} DbpColumnarVisitor;

/*
 * Has the visitor take every row that it wants, as the snapshot shows them;
 * batches with the latest rows come first.
 */
extern void dbp_latest_read_columnar(Relation rel, Snapshot snapshot, TupleTableSlot *slot,
									 const DbpColumnarVisitor *visitor);

#endif /* DBP_LATEST_COLUMNAR_H */
