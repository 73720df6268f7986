# auth_session: builds, installs, tests and shows the extension.
#
#   make                 the extension (and the bridge, where its headers are)
#   make install         into the PostgreSQL that PG_CONFIG names
#   make demo            the five flows on a throw-away cluster
#   make test            every test on throw-away clusters
#   make check-floors    no call goes up (test/lib/floors)
#   make bench           the figures of the README

EXTENSION = auth_session
# The control file owns the version.
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" auth_session.control)

# Whatever is built but what PGXS puts beside its source.
BUILD = build

MODULE_big = auth_session
# Folders are floors, from the top down; each has one header with its law.
FLOORS = entry service keys table shared redact jose base tool
OBJS = src/init.o $(patsubst %.c,%.o,$(foreach floor,$(FLOORS),$(sort $(wildcard src/$(floor)/*.c))))

# Number the fragments of the script; never number the tests.
SQL_FRAGMENTS = $(sort $(wildcard sql/[0-9][0-9]_*.sql))
SQL_SCRIPT = sql/$(EXTENSION)--$(EXTVERSION).sql
DATA_built = $(SQL_SCRIPT)
DATA = $(filter-out $(SQL_SCRIPT),$(wildcard sql/$(EXTENSION)--*.sql))

PKG_CONFIG ?= pkg-config
PG_CPPFLAGS = -Isrc $(shell $(PKG_CONFIG) --cflags libsodium libcrypto) \
	-DPGDLLEXPORT='__attribute__((visibility("default")))' \
	-DAS_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -fvisibility=hidden
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs libsodium libcrypto)

# The system's own choice: pg_config on the PATH, else Debian's default.
PG_CONFIG ?= $(shell command -v pg_config || ls /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | tail -1)
ifneq ($(PG_CONFIG),)
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
endif
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)
else
all install installcheck:
	@echo "No PostgreSQL to build for: make packages PACKAGES=build installs one," >&2
	@echo "PG_CONFIG=... names another one's pg_config." >&2
	@false
endif

$(BUILD):
	mkdir -p $@

.PHONY: clean-build
clean: clean-build
clean-build:
	rm -rf $(BUILD)
	@test/lib/stage --remove

# PGXS makes no object depend on a header.
$(OBJS) $(OBJS:.o=.bc): $(wildcard $(FLOORS:%=src/%/*.h))

.PHONY: check-floors check-floors-extension
check-floors: check-floors-extension
check-floors-extension: all
	@test/lib/floors $(OBJS)

# The common passwords are data, not SQL; behind the grants they need none.
$(SQL_SCRIPT): $(SQL_FRAGMENTS) sql/common-passwords.txt auth_session.control
	{ cat $(SQL_FRAGMENTS); echo; \
	  sed 's/^/-- /; s/ *$$//' sql/common-passwords.LICENSE; \
	  printf 'INSERT INTO auth_private.common_passwords (word, is_builtin)\nSELECT word, true FROM pg_catalog.unnest(ARRAY[\n'; \
	  sed "s/.*/'&',/; \$$s/,\$$//" sql/common-passwords.txt; \
	  printf ']) AS word;\n'; } >$@

ifneq ($(wildcard $(PGXS)),)
include src/bridge/bridge.mk
endif

include test/test.mk
include test/fuzz/fuzz.mk
