# test.mk: what tests, shows and measures. Included by the Makefile, with or
# without a PostgreSQL to build for: the targets install what they need first.
#
#   make test                      everything; ends in "N passed, N failed"
#   make test-regress              test/sql, against expected/ (pg_regress)
#   make test-pgtap                test/pgtap (pg_prove)
#   make test-isolation            test/isolation (pg_isolation_regress)
#   make test-tap                  test/t (prove)
#   make test-tap TESTS='crash standby'    files by name, of one part or of all
#   make demo                      the five flows with psql (test/demo)
#   make bench                     the figures of the README (test/bench/run)
#   make stage                     a private copy of the server with the extension

# With CI set, a warning is an error.
ifneq ($(CI),)
export COPT ?= -Werror
endif
export PG_CONFIG STAGE TESTS

TEST_PARTS = regress pgtap isolation tap

.PHONY: packages stage test $(addprefix test-,$(TEST_PARTS))

# Which group of packages `make packages` installs.
PACKAGES ?= build

packages:
	@test/lib/packages install $(PACKAGES)

stage:
	@MAKE='$(MAKE)' test/lib/stage

test:
	@test/lib/packages install test
	@MAKE='$(MAKE)' test/lib/run

$(addprefix test-,$(TEST_PARTS)): test-%:
	@test/lib/packages install test
	@MAKE='$(MAKE)' test/lib/run $*

.PHONY: demo bench

demo:
	@test/lib/packages install demo
	@MAKE='$(MAKE)' test/demo

bench:
	@test/lib/packages install bench
	@MAKE='$(MAKE)' test/bench/run
