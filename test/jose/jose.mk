# jose.mk: the JOSE tools without a server: checked, fuzzed and measured.
# Included by the Makefile.
#
#   make check-jose      vectors and attacks, as TAP (test/t/jose.pl runs it)
#   make fuzz            libFuzzer on the verifier with clang, AddressSanitizer
#                        and UBSan; FUZZ_SECONDS=60
#
# Their figures are of `make bench`, which builds $(JOSE_OUT)/jose-bench.

# All but what needs the server to normalise texts.
TOOLS = $(wildcard src/jose/*.c) \
	$(filter-out src/tool/normalize.c,$(wildcard src/tool/*.c))
JOSE_OUT ?= test/results
FUZZ_SECONDS ?= 60
FUZZ_CC ?= clang

# The server's JSON parser as a library; Debian keeps it with the modules.
TOOL_CFLAGS = -std=gnu11 -g -Wall -Wextra -Wno-ignored-attributes -DFRONTEND \
	-DUSE_PRIVATE_ENCODING_FUNCS -Isrc \
	-I$(shell $(PG_CONFIG) --includedir-server) \
	$(shell $(PKG_CONFIG) --cflags libsodium libcrypto)
TOOL_LIBS = -L$(shell $(PG_CONFIG) --pkglibdir) -L$(shell $(PG_CONFIG) --libdir) \
	-lpgcommon -lpgport $(shell $(PKG_CONFIG) --libs libsodium libcrypto) -lm -lpthread
TOOL_HEADERS = src/jose/jose.h src/tool/tool.h $(wildcard test/jose/*.h)

.PHONY: check-jose fuzz

$(JOSE_OUT):
	mkdir -p $@

# With AddressSanitizer and UBSan: a report ends the program.
$(JOSE_OUT)/jose-check: $(TOOLS) $(wildcard test/jose/*.c) $(TOOL_HEADERS) | $(JOSE_OUT)
	$(CC) -O1 $(TOOL_CFLAGS) -Itest/jose -fno-omit-frame-pointer \
		-fsanitize=address,undefined -fno-sanitize-recover=undefined \
		-o $@ $(filter %.c,$^) $(TOOL_LIBS)

check-jose: $(JOSE_OUT)/jose-check
	ASAN_OPTIONS=detect_leaks=0 $(JOSE_OUT)/jose-check test/jose/vectors.txt

# What the fuzzer finds worth keeping stays out of the seed corpus.
$(JOSE_OUT)/jose-fuzz: $(TOOLS) test/fuzz/verifier.c test/fuzz/memory.c test/fuzz/memory.h $(TOOL_HEADERS) | $(JOSE_OUT)
	$(FUZZ_CC) -O1 $(TOOL_CFLAGS) -fno-omit-frame-pointer \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		-o $@ $(filter %.c,$^) $(TOOL_LIBS)

fuzz: $(JOSE_OUT)/jose-fuzz
	dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && cd "$$dir" && \
	"$(abspath $(JOSE_OUT)/jose-fuzz)" -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
		-max_len=8192 -artifact_prefix="$(abspath $(JOSE_OUT))/" -dict="$(abspath test/fuzz/dictionary)" -print_final_stats=1 \
		"$$dir" "$(abspath test/fuzz/corpus)"

$(JOSE_OUT)/jose-bench: $(TOOLS) test/bench/jose.c $(TOOL_HEADERS) | $(JOSE_OUT)
	$(CC) -O2 $(TOOL_CFLAGS) -o $@ $(filter %.c,$^) $(TOOL_LIBS)
