# auth_session: builds, installs, tests and shows the extension.
#
#   make                 the extension (and the bridge, where its headers are)
#   make install         into the PostgreSQL that PG_CONFIG names
#   make uninstall       out of it again
#   make clean           removes what was built, and the staged server
#
#   make demo            the five flows on a throw-away cluster
#   make check           every test on throw-away clusters; ends in "N passed,
#                        N failed" (make test is the same)
#   make test-regress    only test/sql, against expected/
#   make test-pgtap      only test/pgtap
#   make test-isolation  only test/isolation
#   make test-tap        only test/t
#   make installcheck    test/sql on a running server, PGHOST and PGPORT, that
#                        has the extension installed and preloaded
#   make check-floors    no call goes up (test/lib/floors)
#   make check-jose      vectors and attacks on tokens, without a server
#   make check-redact    statements at random, without a server
#   make check-recorder  who gets a place in the queue, without a server
#   make check-throttle  counts under a clock of its own, without a server
#   make check-bridge    messages at random, without a server
#   make fuzz            libFuzzer on these three, FUZZ_SECONDS=60 each
#   make bench           the figures of the README
#   make bench-scale     the same calls beside ten million sessions (an hour)
#
#   make stage           a private copy of the server with the extension
#   make packages        the Debian packages for PACKAGES=build (test, bench...)
#   make help            this list
#
# Of the tests TESTS='signin renew' are only those of these names; KEEP=1 leaves
# their directory and says where it is; CI=true makes a warning an error.

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
PG_CPPFLAGS = -Isrc -I$(BUILD) $(shell $(PKG_CONFIG) --cflags libsodium libcrypto libidn2 libqrencode) \
	-DPGDLLEXPORT='__attribute__((visibility("default")))' \
	-DAS_VERSION='"$(EXTVERSION)"'
# ASSERT=1 checks what callers must hold, and columns against their statements.
ifneq ($(ASSERT),)
PG_CPPFLAGS += -DUSE_ASSERT_CHECKING
endif
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -fvisibility=hidden
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs libsodium libcrypto libidn2 libqrencode) -lunistring -lcrypt

# For installcheck: expected/ is looked for where the output goes.
REGRESS = $(sort $(basename $(notdir $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=test --outputdir=$(BUILD)/regress
REGRESS_PREP = $(BUILD)/regress/expected

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

$(BUILD) $(BUILD)/regress:
	mkdir -p $@

$(BUILD)/regress/expected: | $(BUILD)/regress
	ln -sfn '$(abspath expected)' $@

.PHONY: help
help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

.PHONY: clean-build
clean: clean-build
clean-build:
	rm -rf $(BUILD)
	@test/lib/stage --remove

# A function that the script marks as secret is masked in the log.
SECRET_FUNCTIONS = $(BUILD)/secret_functions.h
$(SECRET_FUNCTIONS): $(SQL_FRAGMENTS) | $(BUILD)
	awk '/^-- Secret:/ { secret = 1; next } \
	     secret { split($$3, name, /[.(]/); printf "\t\"%s\",\n", name[2] } \
	     { secret = 0 }' $(SQL_FRAGMENTS) >$@.$$$$ && \
	mv $@.$$$$ $@
src/redact/redact_name.o src/redact/redact_name.bc: $(SECRET_FUNCTIONS)

# Objects of one kind only.
$(shell mkdir -p $(BUILD); echo '$(ASSERT)' | cmp -s - $(BUILD)/assert || \
	echo '$(ASSERT)' >$(BUILD)/assert)
$(OBJS): $(BUILD)/assert

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
