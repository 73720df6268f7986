# auth_session: builds, installs, tests and shows the extension.
#
#   make                 the extension (and the bridge, where its headers are)
#   make install         into the PostgreSQL that PG_CONFIG names (V=1 says what)
#   make uninstall       out of it again
#   make clean           removes what was built, and the staged server
#
#   make demo            the five flows, and what is behind them, on a throw-away
#                        cluster
#   make shell           a psql on such a cluster, with two users
#   make demo-web        an application on one, at http://localhost:8080 (PORT=)
#   make check           every test on throw-away clusters; ends in "N passed,
#                        N failed" (make test is the same)
#   make test-regress    only test/sql, against expected/
#   make test-pgtap      only test/pgtap
#   make test-isolation  only test/isolation
#   make test-tap        only test/t
#   make installcheck    test/sql on a running server, PGHOST and PGPORT, that
#                        has the extension installed and preloaded
#   make check-floors    no call goes up (test/lib/floors)
#   make check-statements
#                        statements would do on several nodes, without a server
#   make check-jose      vectors and attacks on tokens, without a server
#   make check-redact    statements at random, without a server
#   make check-recorder  who gets a place in the queue, without a server
#   make check-throttle  counts under a clock of its own, without a server
#   make check-bridge    messages at random, without a server
#   make fuzz            libFuzzer on jose, redact, bridge, FUZZ_SECONDS=60 each
#   make check-install   make install and uninstall, into a directory
#   make check-dist      the archive for PGXN, installed by its client and tried
#   make check-deb       the Debian packages in a fresh chroot, as root (minutes)
#   make bench           the figures of doc/guide.md
#   make bench-scale     the same calls beside ten million sessions (an hour)
#
#   make reference       doc/reference.md and doc/settings.md, from the catalog
#
#   make dist            the archive for PGXN, in build/
#   make deb             the Debian packages, in build/deb/
#
#   make stage           a private copy of the server with the extension
#   make packages        the Debian packages that a build needs (PACKAGES=test,
#                        bench ... those of another group)
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
BUILD_LIBS = libsodium libcrypto libidn2 libqrencode
BUILD_HEADERS = sodium.h openssl/evp.h idn2.h qrencode.h unistr.h crypt.h
PG_CPPFLAGS = -Isrc -I$(BUILD) $(shell $(PKG_CONFIG) --cflags $(BUILD_LIBS) 2>/dev/null) \
	-DPGDLLEXPORT='__attribute__((visibility("default")))' \
	-DAS_VERSION='"$(EXTVERSION)"'
# ASSERT=1 checks what callers must hold, and columns against their statements.
ifneq ($(ASSERT),)
PG_CPPFLAGS += -DUSE_ASSERT_CHECKING
endif
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -fvisibility=hidden
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs $(BUILD_LIBS) 2>/dev/null) -lunistring -lcrypt

# For installcheck: expected/ is looked for where the output goes.
REGRESS = $(sort $(basename $(notdir $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=test --outputdir=$(BUILD)/regress
REGRESS_PREP = $(BUILD)/regress/expected

# The system's own choice: pg_config on the PATH, else Debian's newest.
PG_CONFIG ?= $(shell command -v pg_config || \
	ls /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -V | tail -n 1)
ifneq ($(PG_CONFIG),)
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
endif
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)
else
all install uninstall installcheck:
ifeq ($(PG_CONFIG),)
	@echo "There is no pg_config, so no PostgreSQL to build for." >&2
else
	@echo "$(PG_CONFIG) has no PostgreSQL with development files to build for." >&2
endif
	@echo "On Debian, as root: make packages" >&2
	@echo "Of another or a second server name the pg_config:" >&2
	@echo "  make PG_CONFIG=/usr/lib/postgresql/17/bin/pg_config" >&2
	@false
endif

# What is lacking is said once and with its cure, before the compiler says it.
.PHONY: can-build can-install
can-build:
	@[ '$(MAJORVERSION)' -ge 15 ] || { \
		echo "$(PG_CONFIG) is of PostgreSQL $(MAJORVERSION); auth_session needs 15 or later." >&2; \
		false; }
	@{ $(PKG_CONFIG) --exists $(BUILD_LIBS) && \
		printf '#include <%s>\n' $(BUILD_HEADERS) | \
		$(CC) $(PG_CPPFLAGS) -E -x c - >/dev/null; } 2>/dev/null || { \
		echo "Missing is $(CC), $(PKG_CONFIG) or one of $(BUILD_HEADERS)." >&2; \
		echo "On Debian: apt-get install $$(test/lib/packages list build | tr '\n' ' ')" >&2; \
		echo "Other systems' names are in doc/install.md." >&2; \
		false; }
$(OBJS): | can-build

can-install:
	@for dir in '$(DESTDIR)$(pkglibdir)' '$(DESTDIR)$(datadir)/extension'; do \
		while [ ! -e "$$dir" ]; do dir=$$(dirname "$$dir"); done; \
		[ -w "$$dir" ] || { \
			echo "$$dir is not yours to write to: sudo make install PG_CONFIG=$(PG_CONFIG)" >&2; \
			echo "(without root: make stage, a private copy of the server)" >&2; \
			exit 1; }; \
	done
ifneq ($(wildcard $(PGXS)),)
installdirs uninstall install-bridge uninstall-bridge: can-install
endif
# PGXS would print a line for each file of bitcode.
ifeq ($(V),)
.SILENT: install installdirs install-bridge
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

# Only where the tables are on several nodes would the server refuse these.
.PHONY: check-statements
check-statements: | $(BUILD)
	@test/lib/statements '$(CC) -E $(filter -I%,$(CPPFLAGS))' \
		$$(grep -lE '^static AsStatement ' $(wildcard $(FLOORS:%=src/%/*.c)))

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

include src/packaging/packaging.mk
include test/test.mk
include test/fuzz/fuzz.mk
