# bridge.mk: what the bridge reads of strangers. Included by the Makefile,
# after test/jose/jose.mk and src/bridge/bridge.mk, whose settings hold here.
#
#   make fuzz             fuzzes it too
#   (test/t/bridge_inputs.pl runs it with inputs put together at random)

BRIDGE_FUZZED = $(addprefix src/bridge/,basics.c log.c url.c notification.c \
	render.c template.c template_set.c builtin.c)
BRIDGE_OUT ?= .
BRIDGE_FUZZ_CFLAGS = -std=gnu99 -g -O1 -Wall -Wextra \
	-fno-omit-frame-pointer $(BRIDGE_CPPFLAGS)

.PHONY: fuzz-bridge

$(BRIDGE_OUT)/bridge-check: test/fuzz/bridge.c $(BRIDGE_FUZZED) \
		$(wildcard src/bridge/*.h)
	$(CC) $(BRIDGE_FUZZ_CFLAGS) -fsanitize=address,undefined \
		-fno-sanitize-recover=undefined -DFUZZ_MAIN -o $@ \
		$(filter %.c,$^) $(BRIDGE_LDLIBS)

$(BRIDGE_OUT)/bridge-fuzz: test/fuzz/bridge.c $(BRIDGE_FUZZED) \
		$(wildcard src/bridge/*.h)
	$(FUZZ_CC) $(BRIDGE_FUZZ_CFLAGS) \
		-fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -o $@ \
		$(filter %.c,$^) $(BRIDGE_LDLIBS)

fuzz: fuzz-bridge

fuzz-bridge: $(BRIDGE_OUT)/bridge-fuzz
	dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && cd "$$dir" && \
	"$(abspath $(BRIDGE_OUT)/bridge-fuzz)" -max_total_time=$(FUZZ_SECONDS) \
		-timeout=10 -max_len=2048 -print_final_stats=1 "$$dir"
