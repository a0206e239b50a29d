/*-------------------------------------------------------------------------
 *
 * dbperf.c
 *		The module itself: what happens when the library is loaded.
 *
 * Loaded by shared_preload_libraries, the library also brings the background
 * worker; loaded by a session (the first call of one of its functions), it
 * brings the functions and the settings only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "dbperf.h"
#include "columnar/columnar.h"
#include "guc.h"
#include "ingest/latest.h"
#include "metrics/metrics.h"
#include "partition/drain.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

void
_PG_init(void)
{
	dbp_guc_init();
	dbp_worker_init();
	dbp_fence_init();
	dbp_latest_init();
	dbp_metrics_init();
	dbp_columnar_init();
}
