/*-------------------------------------------------------------------------
 *
 * system.c
 *		What the machine says of itself: processors, memory, disks.
 *
 * Read from /proc and by statvfs(), at most so many bytes of each file. What is
 * not there, or not in the form that is expected, is left out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#ifdef __linux__
#include <sys/sysmacros.h>
#endif
#include <time.h>
#include <unistd.h>

#include "commands/tablespace.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"

#define DBP_PROC_MAX (256 * 1024) /* bytes of a file in /proc that are looked at */
#define DBP_MAX_DIRECTORIES 1000  /* tablespaces that are looked at */
#define DBP_SECTOR_BYTES 512	  /* the unit of /proc/diskstats, whatever the disk's is */

PG_FUNCTION_INFO_V1(dbperf_system_stats);

/* Devices of the directories, each once */
typedef struct Devices
{
	int n;
	dev_t device[DBP_MAX_DIRECTORIES];
} Devices;

static void
put(ReturnSetInfo *result, const char *metric, const char *label, double value, bool is_counter)
{
	Datum values[4];
	bool nulls[4] = {false};

	values[0] = CStringGetTextDatum(metric);
	values[1] = CStringGetTextDatum(label);
	values[2] = Float8GetDatum(value);
	values[3] = BoolGetDatum(is_counter);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_value(ReturnSetInfo *result, const char *metric, double value)
{
	put(result, metric, "", value, false);
}

/* The beginning of a file as a string; NULL when it cannot be read */
static char *
read_beginning(const char *path)
{
	char *text;
	Size length = 0;
	int fd = OpenTransientFile(path, O_RDONLY);

	if (fd < 0)
		return NULL;
	text = palloc(DBP_PROC_MAX + 1);
	while (length < DBP_PROC_MAX)
	{
		ssize_t n = read(fd, text + length, DBP_PROC_MAX - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		length += n;
	}
	CloseTransientFile(fd);
	text[length] = '\0';
	return text;
}

/* Reads up to n numbers that blanks separate; returns how many there were */
static int
read_numbers(const char *text, uint64 *numbers, int n)
{
	int found = 0;

	while (found < n)
	{
		char *end;

		while (*text == ' ' || *text == '\t')
			text++;
		if (*text < '0' || *text > '9')
			break;
		errno = 0;
		numbers[found] = strtoull(text, &end, 10);
		if (errno != 0)
			break;
		found++;
		text = end;
	}
	return found;
}

/* "cpu  user nice system idle iowait irq softirq steal ...", in ticks; later fields are part of these */
static void
put_processors(ReturnSetInfo *result)
{
	enum
	{
		IDLE = 3,
		IOWAIT = 4,
		NUM = 8
	};
	char *text = read_beginning("/proc/stat");
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	uint64 ticks[NUM];

	if (online > 0)
		put_value(result, "cpu_count", online);
	if (text == NULL)
		return;
	if (strncmp(text, "cpu ", 4) == 0 && read_numbers(text + 4, ticks, NUM) == NUM)
	{
		double total = 0;

		for (int i = 0; i < NUM; i++)
			total += ticks[i];
		put(result, "cpu_total", "", total, true);
		put(result, "cpu_busy", "", total - ticks[IDLE] - ticks[IOWAIT], true);
		put(result, "cpu_iowait", "", ticks[IOWAIT], true);
	}
	pfree(text);
}

static void
put_load(ReturnSetInfo *result)
{
	static const char *const names[] = {"load1", "load5", "load15"};
	double load[lengthof(names)];
	int n = getloadavg(load, lengthof(load));

	for (int i = 0; i < n; i++)
		put_value(result, names[i], load[i]);
}

/* "MemTotal:  1234 kB"; false when there is no such line */
static bool
find_memory(const char *text, const char *name, double *bytes)
{
	Size length = strlen(name);
	const char *line = text;
	uint64 kilobytes;

	while (strncmp(line, name, length) != 0)
	{
		line = strchr(line, '\n');
		if (line == NULL)
			return false;
		line++;
	}
	if (read_numbers(line + length, &kilobytes, 1) != 1)
		return false;
	*bytes = (double) kilobytes * 1024;
	return true;
}

static void
put_memory(ReturnSetInfo *result)
{
	char *text = read_beginning("/proc/meminfo");
	double total;
	double available;

	if (text == NULL)
		return;
	if (find_memory(text, "MemTotal:", &total) && total > 0)
	{
		put_value(result, "memory_total_bytes", total);
		if (find_memory(text, "MemAvailable:", &available) && available <= total)
		{
			put_value(result, "memory_available_bytes", available);
			put_value(result, "memory_used_percent", 100 * (total - available) / total);
		}
	}
	pfree(text);
}

/* Free space is what is left for ordinary users, and a percentage of what is theirs, as df has it */
static void
put_file_system(ReturnSetInfo *result, const char *path, const char *label)
{
	struct statvfs fs;
	double available;
	double used;

	if (statvfs(path, &fs) != 0 || fs.f_blocks == 0)
		return;
	available = (double) fs.f_bavail * fs.f_frsize;
	used = ((double) fs.f_blocks - fs.f_bfree) * fs.f_frsize;
	put(result, "disk_total_bytes", label, (double) fs.f_blocks * fs.f_frsize, false);
	put(result, "disk_free_bytes", label, available, false);
	if (available + used > 0)
		put(result, "disk_free_percent", label, 100 * available / (available + used), false);
}

/* False: its device was seen before, or it cannot be asked */
static bool
add_device(Devices *devices, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0 || devices->n == DBP_MAX_DIRECTORIES)
		return false;
	for (int i = 0; i < devices->n; i++)
		if (devices->device[i] == st.st_dev)
			return false;
	devices->device[devices->n++] = st.st_dev;
	return true;
}

/*
 * The file systems of the data directory, of WAL where it has one of its own,
 * and of every tablespace.
 */
static void
put_file_systems(ReturnSetInfo *result, Devices *devices)
{
	DIR *dir;
	struct dirent *entry;
	int n = 0;

	add_device(devices, DataDir);
	put_file_system(result, DataDir, "pg_default");
	if (add_device(devices, "pg_wal"))
		put_file_system(result, "pg_wal", "pg_wal");

	dir = AllocateDir("pg_tblspc");
	while (dir != NULL && n < DBP_MAX_DIRECTORIES &&
		   (entry = ReadDirExtended(dir, "pg_tblspc", LOG)) != NULL)
	{
		char path[MAXPGPATH];
		char *end;
		unsigned long oid;
		char *name;

		errno = 0;
		oid = strtoul(entry->d_name, &end, 10);
		if (errno != 0 || *end != '\0' || oid == 0 || oid > PG_UINT32_MAX)
			continue;
		name = get_tablespace_name((Oid) oid);
		if (name == NULL)
			continue;
		snprintf(path, sizeof(path), "pg_tblspc/%s", entry->d_name);
		add_device(devices, path);
		put_file_system(result, path, name);
		n++;
	}
	if (dir != NULL)
		FreeDir(dir);
}

#ifdef __linux__
/*
 * "8 0 sda reads merged sectors ms writes merged sectors ...".  Devices that
 * are not there, as of file systems that have no disk of their own, are left out.
 */
static void
put_disks(ReturnSetInfo *result, const Devices *devices)
{
	enum
	{
		SECTORS_READ = 2,
		SECTORS_WRITTEN = 6,
		NUM
	};
	char *text = read_beginning("/proc/diskstats");
	char *line = text;
	char *end;

	/* a line that was cut at the end of what was read has no newline */
	while (line != NULL && (end = strchr(line, '\n')) != NULL)
	{
		unsigned int device_major;
		unsigned int device_minor;
		char name[64];
		int at = -1;
		uint64 numbers[NUM];

		*end = '\0';
		if (sscanf(line, "%u %u %63s%n", &device_major, &device_minor, name, &at) == 3 && at > 0 &&
			read_numbers(line + at, numbers, NUM) == NUM)
		{
			for (int i = 0; i < devices->n; i++)
			{
				if (devices->device[i] != makedev(device_major, device_minor))
					continue;
				put(result, "disk_read_bytes", name,
					(double) numbers[SECTORS_READ] * DBP_SECTOR_BYTES, true);
				put(result, "disk_write_bytes", name,
					(double) numbers[SECTORS_WRITTEN] * DBP_SECTOR_BYTES, true);
			}
		}
		line = end + 1;
	}
	if (text != NULL)
		pfree(text);
}

static void
put_clock(ReturnSetInfo *result)
{
	struct timespec up;

	if (clock_gettime(CLOCK_BOOTTIME, &up) == 0)
		put_value(result, "uptime_seconds", up.tv_sec + up.tv_nsec / 1e9);
}
#endif

/*
 * system_stats() returns setof (metric text, label text, value float8,
 * is_counter boolean).  Names are those of dbperf.metric where it has them.
 * Counters: cpu_total, cpu_busy, cpu_iowait in ticks; disk_read_bytes and
 * disk_write_bytes, labelled with the device.
 */
Datum
dbperf_system_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Devices *devices = palloc0(sizeof(Devices));

	InitMaterializedSRF(fcinfo, 0);
	put_processors(result);
	put_load(result);
	put_memory(result);
	put_file_systems(result, devices);
#ifdef __linux__
	put_disks(result, devices);
	put_clock(result);
#endif
	return (Datum) 0;
}
