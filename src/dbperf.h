/*-------------------------------------------------------------------------
 *
 * dbperf.h
 *		Names that every part of tradeassist_dbperf shares.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_DBPERF_H
#define DBP_DBPERF_H

#define DBP_EXTENSION_NAME "tradeassist_dbperf"
#define DBP_LIBRARY_NAME "tradeassist_dbperf"

extern PGDLLEXPORT void _PG_init(void);

#endif /* DBP_DBPERF_H */
