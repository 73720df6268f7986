# auth_session: builds, installs, tests and shows the extension.
#
#   make                 the extension (and the bridge, where its headers are)
#   make install         into the PostgreSQL that PG_CONFIG names
#   make demo            the five flows on a throw-away cluster
#   make test            every test on throw-away clusters
#   make bench           the figures of the README

EXTENSION = auth_session
# The control file owns the version.
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" auth_session.control)

MODULE_big = auth_session
# By floor, from the doors down to the ground.
OBJS = \
	src/account_deleted.o \
	src/signup.o \
	src/confirm.o \
	src/signin.o \
	src/renew.o \
	src/logout.o \
	src/sessions.o \
	src/context.o \
	src/profile.o \
	src/recovery.o \
	src/notifications.o \
	src/maintenance.o \
	src/worker.o \
	src/worker_task.o \
	src/code_try.o \
	src/message.o \
	src/door.o \
	src/access_token.o \
	src/payload.o \
	src/account.o \
	src/identifier.o \
	src/session.o \
	src/reuse.o \
	src/code.o \
	src/outbox.o \
	src/audit.o \
	src/password.o \
	src/request.o \
	src/mac_key.o \
	src/jwt_sql.o \
	src/keys.o \
	src/signing_key.o \
	src/key_ring.o \
	src/key_life.o \
	src/key_show.o \
	src/claims_hook.o \
	src/sealed.o \
	src/recorder.o \
	src/record_file.o \
	src/dispatch.o \
	src/hash_gate.o \
	src/throttle.o \
	src/shared_area.o \
	src/claims.o \
	src/jwt.o \
	src/jwk.o \
	src/pem.o \
	src/key.o \
	src/key_seal.o \
	src/base64url.o \
	src/json_reader.o \
	src/normalize.o \
	src/one_time_code.o \
	src/refresh_token.o \
	src/password_hash.o \
	src/mac.o \
	src/random_id.o \
	src/redact_name.o \
	src/redact_token.o \
	src/redact_literal.o \
	src/auth_session.o \
	src/redact.o \
	src/store.o \
	src/json_writer.o \
	src/hook.o \
	src/encoding.o \
	src/failure.o

# Number the fragments of the script; never number the tests.
SQL_FRAGMENTS = $(sort $(wildcard sql/[0-9][0-9]_*.sql))
SQL_SCRIPT = sql/$(EXTENSION)--$(EXTVERSION).sql
DATA_built = $(SQL_SCRIPT)
DATA = $(filter-out $(SQL_SCRIPT),$(wildcard sql/$(EXTENSION)--*.sql))

PKG_CONFIG ?= pkg-config
PG_CPPFLAGS = $(shell $(PKG_CONFIG) --cflags libsodium libcrypto) \
	-DPGDLLEXPORT='__attribute__((visibility("default")))' \
	-DAS_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -fvisibility=hidden
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs libsodium libcrypto)

EXTRA_CLEAN = $(SQL_SCRIPT) results regression.diffs regression.out \
	test/results tmp_check output_iso log

# The system's own choice: pg_config on the PATH, else Debian's default.
PG_CONFIG ?= $(shell command -v pg_config || ls /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | tail -1)
ifneq ($(PG_CONFIG),)
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
endif
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)
endif

# PGXS makes no object depend on a header.
$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h)

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
include test/jose/jose.mk
include test/fuzz/redact.mk
include test/fuzz/bridge.mk
