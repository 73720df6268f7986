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
BRIDGE_FILES = src/bridge/auth-session-bridge.service \
	src/bridge/auth-session-bridge.conf

BRIDGE_CPPFLAGS = -D_GNU_SOURCE -DBR_VERSION='"$(EXTVERSION)"' \
	$(shell $(PKG_CONFIG) --cflags $(BRIDGE_LIBS))
BRIDGE_LDLIBS = $(shell $(PKG_CONFIG) --libs $(BRIDGE_LIBS)) -lpthread

.PHONY: bridge install-bridge uninstall-bridge clean-bridge check-floors-bridge

ifeq ($(shell $(PKG_CONFIG) --exists $(BRIDGE_LIBS) 2>/dev/null && echo yes),yes)
all: bridge
install: install-bridge
check-floors: check-floors-bridge
else
all:
	@echo "The extension alone: auth-session-bridge is not built." >&2
	@echo "It needs: apt-get install $(BRIDGE_PACKAGES)" >&2
endif
uninstall: uninstall-bridge
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

install-bridge: bridge
	$(MKDIR_P) '$(DESTDIR)$(bindir)' '$(DESTDIR)$(mandir)/man1' \
		'$(DESTDIR)$(datadir)/auth_session'
	$(INSTALL_PROGRAM) $(BRIDGE) '$(DESTDIR)$(bindir)'
	$(INSTALL_DATA) doc/auth-session-bridge.1 '$(DESTDIR)$(mandir)/man1'
	$(INSTALL_DATA) $(BRIDGE_FILES) '$(DESTDIR)$(datadir)/auth_session'

uninstall-bridge:
	rm -f '$(DESTDIR)$(bindir)/auth-session-bridge' \
		'$(DESTDIR)$(mandir)/man1/auth-session-bridge.1' \
		$(addprefix '$(DESTDIR)$(datadir)/auth_session'/,$(notdir $(BRIDGE_FILES)))

clean-bridge:
	rm -f $(BRIDGE) $(BRIDGE_OBJS) src/bridge/builtin.c
