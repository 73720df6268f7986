# test.mk: what tests, shows and measures (make help). Included by the Makefile,
# with or without a PostgreSQL to build for: the targets install what they need
# first.

# With CI set, a warning is an error.
ifneq ($(CI),)
export COPT ?= -Werror
endif
export MAKE PG_CONFIG STAGE TESTS

TEST_PARTS = regress pgtap isolation tap

.PHONY: packages stage check test $(addprefix test-,$(TEST_PARTS))

# Which groups of packages `make packages` installs.
PACKAGES ?= build bridge

packages:
	@test/lib/packages install $(PACKAGES)
	@# A server that came along has no cluster, which nobody asked for.
	@! command -v pg_lsclusters >/dev/null || [ -n "$$(pg_lsclusters -h)" ] || \
		echo "There is no cluster to install the extension into: pg_createcluster $$(test/lib/packages version) main --start"

stage:
	@test/lib/stage

test:
	@test/lib/run

# PGXS has a recipe for check, which says that there is none and what to do
# instead: no shell runs it.
check: private SHELL = true
check: test

$(addprefix test-,$(TEST_PARTS)): test-%:
	@test/lib/run $*

.PHONY: demo demo-web shell bench bench-scale

demo:
	@test/demo

shell:
	@test/demo --shell

demo-web:
	@test/demo-web $(PORT)

bench:
	@test/lib/packages install bench
	@test/bench/run

bench-scale:
	@test/lib/packages install bench
	@test/bench/scale

# What is handed on, as who gets it would: each installed somewhere of its own.
.PHONY: check-install check-dist check-deb

check-install:
	@test/packaging/install

check-dist: dist
	@test/packaging/dist $(DIST)

check-deb:
	@test/packaging/deb

# Written beside, so that what fails leaves the pages as they are.
.PHONY: reference

reference:
	@test/lib/stage >/dev/null
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	test/lib/cluster run -e test/lib/reference "$$dir" && \
	cp "$$dir"/reference.md "$$dir"/settings.md doc/
