# fuzz.mk: the code that reads what strangers send, without a server: checked,
# fuzzed and measured. Included by the Makefile, after src/bridge/bridge.mk.
#
# Three kinds of program, each with one rule, all made in $(BUILD):
#
#   NAME-check    vectors or inputs at random, under AddressSanitizer and UBSan,
#                 where a report ends it (test/t runs them)
#   NAME-fuzz     libFuzzer with clang under the same two
#   NAME-bench    optimised (test/bench/run runs them)
#
# FUZZ_SECONDS is the time of each fuzzer. What one finds is kept in $(BUILD),
# under its name, and not in the seed corpus.

CHECKS = jose redact bridge throttle recorder
FUZZERS = jose redact bridge
BENCHES = jose hash

FUZZ_SECONDS ?= 60
FUZZ_CC ?= clang

# ---- what each is made of ----
#
# NAME_SOURCES are what is looked at; NAME_CHECK, NAME_FUZZ and NAME_BENCH what
# looks at it.

# All tools but what needs the server to normalise texts. The server's JSON
# parser as a library; Debian keeps it with the modules.
jose_SOURCES = $(wildcard src/jose/*.c) \
	$(filter-out src/tool/normalize.c,$(wildcard src/tool/*.c))
jose_CHECK = $(wildcard test/jose/*.c)
jose_FUZZ = test/fuzz/verifier.c test/fuzz/memory.c
jose_BENCH = test/bench/jose.c
jose_CFLAGS = -std=gnu11 -Wno-ignored-attributes -Isrc -Itest/jose -DFRONTEND \
	-DUSE_PRIVATE_ENCODING_FUNCS -I$(shell $(PG_CONFIG) --includedir-server) \
	$(shell $(PKG_CONFIG) --cflags libsodium libcrypto libqrencode)
jose_LIBS = -L$(shell $(PG_CONFIG) --pkglibdir) -L$(shell $(PG_CONFIG) --libdir) \
	-lpgcommon -lpgport \
	$(shell $(PKG_CONFIG) --libs libsodium libcrypto libqrencode) \
	-lcrypt -lm -lpthread
jose_FUZZ_ARGS = -max_len=8192 -dict="$(abspath test/fuzz/dictionary)"
jose_CORPUS = test/fuzz/corpus

redact_SOURCES = $(addprefix src/redact/redact_,name.c token.c literal.c)
redact_CHECK = test/fuzz/redact.c
redact_FUZZ = test/fuzz/redact.c
redact_CFLAGS = -std=c99 -D_DEFAULT_SOURCE -Isrc -I$(BUILD)
redact_FUZZ_ARGS = -max_len=512

bridge_SOURCES = $(addprefix src/bridge/,basics.c log.c url.c notification.c \
	mail.c render.c template.c template_set.c builtin.c)
bridge_CHECK = test/fuzz/bridge.c
bridge_FUZZ = test/fuzz/bridge.c
bridge_CFLAGS = -std=gnu99 $(BRIDGE_CPPFLAGS)
bridge_LIBS = $(BRIDGE_LDLIBS)
bridge_FUZZ_ARGS = -max_len=2048

# What is in shared memory, a server stood in for.
throttle_SOURCES = src/shared/throttle.c
throttle_CHECK = test/throttle/check.c
throttle_CFLAGS = $(shared_CFLAGS)
throttle_LIBS = $(shared_LIBS)

recorder_SOURCES = src/shared/recorder.c src/shared/commit_wake.c src/tool/random_id.c
recorder_CHECK = test/recorder/check.c
recorder_CFLAGS = $(shared_CFLAGS)
recorder_LIBS = $(shared_LIBS)

shared_CFLAGS = -std=gnu11 -Wno-unused-parameter -Wno-sign-compare -Isrc \
	-DUSE_ASSERT_CHECKING -I$(shell $(PG_CONFIG) --includedir-server) \
	$(shell $(PKG_CONFIG) --cflags libsodium)
shared_LIBS = -L$(shell $(PG_CONFIG) --pkglibdir) -L$(shell $(PG_CONFIG) --libdir) \
	-lpgcommon -lpgport $(shell $(PKG_CONFIG) --libs libsodium)

# What the library alone can hash, to hold sign-ins against.
hash_BENCH = test/bench/hash_rate.c
hash_CFLAGS = $(shell $(PKG_CONFIG) --cflags libsodium)
hash_LIBS = $(shell $(PKG_CONFIG) --libs libsodium)

# ---- the three rules ----

HARNESS_CFLAGS = -g -Wall -Wextra
HARNESS_HEADERS = $(wildcard src/*/*.h test/*/*.h) $(SECRET_FUNCTIONS)
SANITIZERS = address,undefined
SANITIZED_CFLAGS = -O1 -fno-omit-frame-pointer -fno-sanitize-recover=undefined

.PHONY: $(CHECKS:%=check-%) fuzz $(FUZZERS:%=fuzz-%)

# NAME_... is known only when the rule is: $* is the name.
.SECONDEXPANSION:

$(CHECKS:%=$(BUILD)/%-check): $(BUILD)/%-check: $$($$*_CHECK) $$($$*_SOURCES) $(HARNESS_HEADERS) | $(BUILD)
	$(CC) $(HARNESS_CFLAGS) $(SANITIZED_CFLAGS) $($*_CFLAGS) -DFUZZ_MAIN \
		-fsanitize=$(SANITIZERS) -o $@ $(filter %.c,$^) $($*_LIBS)

$(FUZZERS:%=$(BUILD)/%-fuzz): $(BUILD)/%-fuzz: $$($$*_FUZZ) $$($$*_SOURCES) $(HARNESS_HEADERS) | $(BUILD)
	$(FUZZ_CC) $(HARNESS_CFLAGS) $(SANITIZED_CFLAGS) $($*_CFLAGS) \
		-fsanitize=fuzzer,$(SANITIZERS) -o $@ $(filter %.c,$^) $($*_LIBS)

$(BENCHES:%=$(BUILD)/%-bench): $(BUILD)/%-bench: $$($$*_BENCH) $$($$*_SOURCES) $(HARNESS_HEADERS) | $(BUILD)
	$(CC) $(HARNESS_CFLAGS) -O2 $($*_CFLAGS) -o $@ $(filter %.c,$^) $($*_LIBS)

# ---- and how they are run by hand ----

# Nothing here resets the memory that the server's JSON parser counts on.
check-jose: $(BUILD)/jose-check
	ASAN_OPTIONS=detect_leaks=0 $< test/jose/vectors.txt

check-throttle check-recorder: check-%: $(BUILD)/%-check
	$<

check-redact check-bridge: check-%: $(BUILD)/%-check
	$< 100000

fuzz: $(FUZZERS:%=fuzz-%)

# The first directory is where a fuzzer puts its new inputs.
$(FUZZERS:%=fuzz-%): fuzz-%: $(BUILD)/%-fuzz
	dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && cd "$$dir" && \
	"$(abspath $<)" -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
		-print_final_stats=1 -artifact_prefix="$(abspath $(BUILD))/$*-" \
		$($*_FUZZ_ARGS) "$$dir" $(abspath $($*_CORPUS))
