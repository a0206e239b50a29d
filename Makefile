# tradeassist_dbperf: built with PGXS.
#
#   make, make install, make installcheck     for those who have PostgreSQL and its headers
#   make demo, make demo-stop                 a private cluster with data in it, to try things on
#   make test, make quick                     everything, or an answer in under a minute
#   make test-matrix, make test-bare          other releases, and a bare Debian, in chroots
#   make test-cassert                         the suite on a server with assertions, built from Debian's source
#   make fuzz                                 random input for the decoders; SECONDS=600 for longer
#   make bench-partitions, bench-retire, bench-ingest, bench-latest, bench-monitoring, bench-columnar
#                                             the measurements
#   make format, make format-check            clang-format 14
#
# make demo and make test install what is missing, so this file must parse without PostgreSQL.

EXTENSION = tradeassist_dbperf
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)

PG_CONFIG ?= $(firstword $(wildcard /usr/lib/postgresql/$(or $(PGMAJOR),15)/bin/pg_config) pg_config)
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))

SQL_PARTS = $(sort $(wildcard src/sql/*.sql))
SQL_SCRIPT = $(EXTENSION)--$(EXTVERSION).sql
C_FILES = $(sort $(wildcard src/*.[ch] src/*/*.[ch] bench/*/*.[ch] test/unit/*.[ch]))

MODULE_big = $(EXTENSION)
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
DATA = $(wildcard $(EXTENSION)--*--*.sql)
DATA_built = $(SQL_SCRIPT)
EXTRA_CLEAN = $(OBJS:.o=.d) .buildflags bench/ticks/tickgen bench/ingest/feed \
	$(addprefix bench/columnar/,ticks entropy doubles)

# PG_FUNCTION_ARGS declares a parameter that many functions have no use for.
PG_CPPFLAGS = -Isrc -I$(libpq_srcdir) -MMD -MP
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter
# A client as well: of PgBouncer's console.
SHLIB_LINK_INTERNAL = $(libpq)
# General compression, after the codecs for columns.
SHLIB_LINK = -lzstd

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=output_iso

# Bitcode would need clang on every machine, and inlining this library gains nothing.
override with_llvm = no

.DEFAULT_GOAL := all

ifneq ($(PGXS),)
include $(PGXS)

# The server's headers are not ours to warn about.
override CPPFLAGS := $(patsubst -I/%,-isystem /%,$(CPPFLAGS))

# Other flags, another PostgreSQL or another set of files: everything is made anew.
BUILD_FLAGS = $(CC) $(CFLAGS) $(CPPFLAGS) $(VERSION) $(OBJS) $(SQL_PARTS)
.buildflags: FORCE
	@echo '$(BUILD_FLAGS)' | cmp -s - $@ || echo '$(BUILD_FLAGS)' >$@

$(OBJS): .buildflags

# Loops over columns are to be vectorised.
$(filter src/codec/%,$(OBJS)): override CFLAGS += -O3
-include $(OBJS:.o=.d)

$(SQL_SCRIPT): $(SQL_PARTS) $(EXTENSION).control .buildflags
	cat $(SQL_PARTS) >$@
else
all install installcheck clean:
	@echo "$(PG_CONFIG) --pgxs names no PGXS: install Debian's postgresql-server-dev-15" >&2
	@echo "(make demo and make test do it for you), or set PG_CONFIG=/path/to/pg_config" >&2
	@exit 1
endif

# No PostgreSQL in it: it only writes CSV.
bench/ticks/tickgen: bench/ticks/tickgen.c
	gcc -std=c11 -O2 -Wall -Wextra -Werror -o $@ $<

# A client of any server: pkg-config knows libpq wherever the headers of a server are.
LIBPQ = $(or $(shell pkg-config --cflags --libs libpq 2>/dev/null), \
	-I$(shell $(PG_CONFIG) --includedir) -L$(shell $(PG_CONFIG) --libdir) -lpq)
bench/ingest/feed: $(sort $(wildcard bench/ingest/*.[ch]))
	gcc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -pthread -o $@ $(filter %.c,$^) $(LIBPQ)

# The codecs without PostgreSQL, made with the flags that matter to the library.
bench/columnar/ticks bench/columnar/entropy: %: %.c
	gcc -std=gnu11 -O2 -Wall -Wextra -Werror -o $@ $< -lm
bench/columnar/doubles: bench/columnar/doubles.c $(sort $(wildcard src/codec/*.[ch]))
	gcc -std=gnu11 -O3 -fwrapv -fno-strict-aliasing -Wall -Isrc -o $@ $(filter %.c,$^) -lzstd -lm

demo:
	@test/demo/demo.sh start

demo-stop:
	@test/demo/demo.sh stop

test:
	@test/run.sh $(SUITES)

quick:
	@test/run.sh --quick

test-matrix:
	@test/matrix/run.sh 17 18

test-cassert:
	@test/cassert/run.sh

fuzz:
	@test/fuzz/run.sh $(SECONDS)

test-bare:
	@test/matrix/run.sh bare

bench-partitions:
	@bench/partitions/run.sh

bench-retire:
	@bench/retire/run.sh

bench-latest:
	@bench/latest/run.sh

bench-monitoring:
	@bench/monitoring/run.sh

bench-ingest:
	@bench/ingest/run.sh

bench-columnar:
	@bench/columnar/run.sh

format:
	clang-format-14 -i $(C_FILES)

format-check:
	clang-format-14 --dry-run -Werror $(C_FILES)

FORCE:

.PHONY: demo demo-stop test quick test-matrix test-cassert test-bare fuzz bench-partitions bench-retire bench-ingest bench-latest bench-monitoring bench-columnar format format-check FORCE
