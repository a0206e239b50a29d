/*-------------------------------------------------------------------------
 *
 * worker.h
 *		What the rest of the extension needs to know of the background worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_WORKER_H
#define DBP_WORKER_H

/*
 * Called by _PG_init. While shared_preload_libraries is processed: asks for
 * shared memory, registers the launcher, sets the hooks. Otherwise nothing.
 */
extern void dbp_worker_init(void);

/*
 * When this transaction commits, have the launcher run maintenance in this
 * database at once. Forgotten when it aborts; nothing without a launcher.
 */
extern void dbp_wake_at_commit(void);

#endif /* DBP_WORKER_H */
