# test.mk: what tests, shows and measures. Included by the Makefile, with or
# without a PostgreSQL to build for: the targets install what they need first.

# With CI set, a warning is an error.
ifneq ($(CI),)
export COPT ?= -Werror
endif
export PG_CONFIG STAGE

.PHONY: packages stage

# Which group of packages `make packages` installs.
PACKAGES ?= build

packages:
	@test/lib/packages install $(PACKAGES)

stage:
	@MAKE='$(MAKE)' test/lib/stage
