# packaging.mk: what is handed on: the archive for PGXN and the Debian packages.
# Included by the Makefile.

DIST = $(BUILD)/$(EXTENSION)-$(EXTVERSION).zip

.PHONY: dist deb

# The script is generated, and what META.json names has to be in the archive.
dist: $(SQL_SCRIPT) | $(BUILD)
	@src/packaging/dist $(DIST)

deb:
	@src/packaging/deb $(BUILD)/deb
