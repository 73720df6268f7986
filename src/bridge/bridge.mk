# bridge.mk: auth-session-bridge. Included by the Makefile after PGXS, which
# makes one module or programs, never both: hence rules of its own, hooked to
# all, install, uninstall and clean. Nothing here is linked into the
# extension, and nothing of the server's is included here.

BRIDGE = src/bridge/auth-session-bridge
BRIDGE_LIBS = libpq librabbitmq libcurl libidn2 jansson openssl
BRIDGE_PACKAGES = libpq-dev librabbitmq-dev libcurl4-openssl-dev \
	libidn2-dev libjansson-dev libssl-dev

# By floor, from the program down to the ground; commas join one floor's.
BRIDGE_FLOORS = main flow \
	outbox,queue,routes,smtp,amqp,webhook,file,sink,broker,transfer \
	template,template_set,mail,render,notification,builtin \
	options,url,metrics,basics,log
comma := ,
BRIDGE_OBJS = $(patsubst %,src/bridge/%.o,$(subst $(comma), ,$(BRIDGE_FLOORS)))
BRIDGE_TEMPLATES = $(sort $(wildcard src/bridge/templates/*/*.tmpl))

# It is of no version of the server. Debian keeps a server's programs out of the
# PATH and its manual pages out of man's way, so there it goes where these look.
ifneq ($(filter /usr/lib/postgresql/%,$(bindir)),)
BRIDGE_BINDIR ?= /usr/bin
BRIDGE_MANDIR ?= /usr/share/man
BRIDGE_DATADIR ?= /usr/share/auth_session
BRIDGE_UNITDIR ?= /usr/lib/systemd/system
else
BRIDGE_BINDIR ?= $(bindir)
BRIDGE_MANDIR ?= $(mandir)
BRIDGE_DATADIR ?= $(datadir)/auth_session
BRIDGE_UNITDIR ?= $(BRIDGE_DATADIR)
endif
# What the unit reads, and where the server's socket is.
BRIDGE_SYSCONFDIR ?= /etc
BRIDGE_SOCKETDIR ?= $(or $(shell sed -n 's/^\#define DEFAULT_PGSOCKET_DIR  *"\(..*\)"/\1/p' \
	'$(includedir_server)/pg_config_manual.h' 2>/dev/null),/tmp)

BRIDGE_UNIT = $(BUILD)/auth-session-bridge.service
BRIDGE_CONF = $(BUILD)/auth-session-bridge.conf
BRIDGE_INSTALLED = $(BRIDGE_BINDIR)/auth-session-bridge \
	$(BRIDGE_MANDIR)/man1/auth-session-bridge.1 \
	$(BRIDGE_DATADIR)/$(notdir $(BRIDGE_CONF)) \
	$(BRIDGE_UNITDIR)/$(notdir $(BRIDGE_UNIT))

BRIDGE_CPPFLAGS = -D_GNU_SOURCE -DBR_VERSION='"$(EXTVERSION)"' \
	$(shell $(PKG_CONFIG) --cflags $(BRIDGE_LIBS) 2>/dev/null)
BRIDGE_LDLIBS = $(shell $(PKG_CONFIG) --libs $(BRIDGE_LIBS) 2>/dev/null) -lpthread

.PHONY: FORCE bridge install-bridge uninstall-bridge clean-bridge check-floors-bridge

# EXTENSION_ONLY=1 leaves the bridge to a call of its own.
ifneq ($(EXTENSION_ONLY),)
else ifeq ($(shell $(PKG_CONFIG) --exists $(BRIDGE_LIBS) 2>/dev/null && echo yes),yes)
all: bridge
install: install-bridge
check-floors: check-floors-bridge
else
all:
	@echo "The extension alone: auth-session-bridge is not built. On Debian it needs:" >&2
	@echo "  apt-get install $(BRIDGE_PACKAGES)" >&2
endif
ifeq ($(EXTENSION_ONLY),)
uninstall: uninstall-bridge
endif
clean: clean-bridge

bridge: $(BRIDGE)

$(BRIDGE): $(BRIDGE_OBJS)
	$(CC) $(CFLAGS) $(BRIDGE_OBJS) $(LDFLAGS) $(BRIDGE_LDLIBS) -o $@

$(BRIDGE_OBJS): src/bridge/%.o: src/bridge/%.c $(wildcard src/bridge/*.h)
	$(CC) $(CFLAGS) $(BRIDGE_CPPFLAGS) -c $< -o $@

src/bridge/builtin.c: src/bridge/embed.awk $(BRIDGE_TEMPLATES)
	awk -f src/bridge/embed.awk $(BRIDGE_TEMPLATES) >$@.new
	mv $@.new $@

# No circle of files, and no call up one of the bridge's own floors.
check-floors-bridge: bridge
	@test/lib/floors $(BRIDGE_OBJS)
	@nm -A -P $(BRIDGE_OBJS) | awk -v floors='$(BRIDGE_FLOORS)' \
		-f src/bridge/floors.awk

# The paths are those of this very call, whatever the last one was told.
$(BRIDGE_UNIT) $(BRIDGE_CONF): $(BUILD)/%: src/bridge/%.in FORCE | $(BUILD)
	sed -e 's|@bindir@|$(BRIDGE_BINDIR)|g' -e 's|@confdir@|$(BRIDGE_DATADIR)|g' \
		-e 's|@sysconfdir@|$(BRIDGE_SYSCONFDIR)|g' \
		-e 's|@socketdir@|$(BRIDGE_SOCKETDIR)|g' $< >$@.new
	mv $@.new $@

install-bridge: bridge $(BRIDGE_UNIT) $(BRIDGE_CONF)
	$(MKDIR_P) $(foreach file,$(BRIDGE_INSTALLED),'$(DESTDIR)$(dir $(file))')
	$(INSTALL_PROGRAM) $(BRIDGE) '$(DESTDIR)$(BRIDGE_BINDIR)'
	$(INSTALL_DATA) doc/auth-session-bridge.1 '$(DESTDIR)$(BRIDGE_MANDIR)/man1'
	$(INSTALL_DATA) $(BRIDGE_CONF) '$(DESTDIR)$(BRIDGE_DATADIR)'
	$(INSTALL_DATA) $(BRIDGE_UNIT) '$(DESTDIR)$(BRIDGE_UNITDIR)'

uninstall-bridge:
	rm -f $(BRIDGE_INSTALLED:%='$(DESTDIR)%')
	[ ! -d '$(DESTDIR)$(BRIDGE_DATADIR)' ] || \
		rmdir --ignore-fail-on-non-empty '$(DESTDIR)$(BRIDGE_DATADIR)'

clean-bridge:
	rm -f $(BRIDGE) $(BRIDGE_OBJS) src/bridge/builtin.c
