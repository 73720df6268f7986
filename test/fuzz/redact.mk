# redact.mk: the tools that mask secrets, without a server. Included by the
# Makefile, after test/jose/jose.mk, whose settings hold here too.
#
#   make check-redact     random statements (test/t/redact_text.pl runs it)
#   make fuzz             fuzzes them too

REDACT_TOOLS = $(addprefix src/redact/redact_,name.c token.c literal.c)
REDACT_OUT ?= .
REDACT_CFLAGS = -std=c99 -g -O1 -Wall -Wextra -Isrc

.PHONY: check-redact fuzz-redact

$(REDACT_OUT)/redact-check: test/fuzz/redact.c $(REDACT_TOOLS) src/redact/redact.h
	$(CC) $(REDACT_CFLAGS) -D_DEFAULT_SOURCE -DFUZZ_MAIN -o $@ $(filter %.c,$^)

check-redact: $(REDACT_OUT)/redact-check
	$(REDACT_OUT)/redact-check 100000

$(REDACT_OUT)/redact-fuzz: test/fuzz/redact.c $(REDACT_TOOLS) src/redact/redact.h
	$(FUZZ_CC) $(REDACT_CFLAGS) -D_DEFAULT_SOURCE -fno-omit-frame-pointer \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		-o $@ $(filter %.c,$^)

fuzz: fuzz-redact

fuzz-redact: $(REDACT_OUT)/redact-fuzz
	dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && cd "$$dir" && \
	"$(abspath $(REDACT_OUT)/redact-fuzz)" -max_total_time=$(FUZZ_SECONDS) \
		-timeout=10 -max_len=512 -print_final_stats=1 "$$dir"
