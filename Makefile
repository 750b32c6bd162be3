# make help tells what there is.
VERSION = 0.1.0
B       = build
PREFIX  = /usr/local
LIBDIR  = $(PREFIX)/lib
DESTDIR =

CC      = gcc
CFLAGS  = -O2 -g
SHIM_CFLAGS = -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-missing-attributes -fPIC -fvisibility=hidden -ftls-model=initial-exec \
              -fexceptions -fno-plt -pthread -MMD -MP -DVERSION='"$(VERSION)"'
# noseparate-code: two mappings fewer for each fork of a program to copy.
SHIM_LDFLAGS = -shared -Wl,-z,noseparate-code -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack -Wl,-z,nodelete -Wl,--as-needed -Wl,-z,defs -Wl,-Bsymbolic-functions \
               -Wl,--version-script=$(B)/lingerclose.map
NAGLE_LDFLAGS = $(subst $(B)/lingerclose.map,shim/nagle/nagle.map,$(SHIM_LDFLAGS))
STATUS_CFLAGS = -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror
TEST_CFLAGS = -std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -pthread

SOURCES  = $(wildcard shim/*.c) $(wildcard shim/*.S)
OBJECTS  = $(patsubst shim/%,$(B)/%.o,$(SOURCES))
NAGLE    = $(patsubst shim/%,$(B)/%.o,$(wildcard shim/nagle/*.c) shim/config.c shim/execl.c shim/settings.c)
DEBUG    = $(patsubst shim/%,$(B)/debug/%.o,$(SOURCES))
PROGRAMS = $(patsubst tests/%.c,$(B)/tests/%,$(filter-out %.preload.c,$(wildcard tests/*.c))) \
           $(patsubst tests/bench/%.c,$(B)/tests/bench/%,$(wildcard tests/bench/*.c)) \
           $(patsubst tests/%.preload.c,$(B)/tests/%.so,$(wildcard tests/*.preload.c))

TOOLS    = build/lingerclose-check build/lingerclose-unit build/lingerclose-status build/lingerclose-report

.PHONY: all debug test-programs check check-load check-modes check-threads check-faults check-asan check-valgrind check-programs coverage fuzz soak soak-million demo bench pictures readme lint install uninstall clean help

all: build/liblingerclose.so build/liblingerclose-nagle.so $(TOOLS)

help:
	@echo 'make                the shared object, build/liblingerclose.so'
	@echo 'make demo           a real program with and without it'
	@echo 'make check          the test suite'
	@echo 'make check-load     the races: 20,000 connections in every process model'
	@echo 'make check-modes    the suite in the modes that are not the default'
	@echo 'make check-threads  ThreadSanitizer and helgrind over the stress'
	@echo 'make check-faults   every system call on the ways of a close made to fail in turn'
	@echo 'make check-asan     AddressSanitizer and UndefinedBehaviorSanitizer; make check-valgrind: memcheck'
	@echo 'make check-programs unmodified programs of Debian, which it installs; the table in README.md is its'
	@echo 'make fuzz           what others may write, to the parsers and the launcher, for SECONDS (600) each'
	@echo 'make coverage       which lines and branches of the shim the suite runs: build/coverage/html'
	@echo 'make soak           nginx, busybox httpd and redis under load for SECONDS (600): nothing may grow'
	@echo 'make soak-million   a million connections over all process models: sent and received'
	@echo 'make bench          what it costs: tables, CSV and SVG plots in build/bench; make bench SHORT=1 is quick'
	@echo 'make pictures       what it does, as SVG and PNG, from real runs (it installs Chromium)'
	@echo 'make readme         write the figures of README.md anew from their commands'
	@echo 'make lint           formatter, analysers, exported names'
	@echo 'make install        into $$DESTDIR$$PREFIX (now $(DESTDIR)$(PREFIX)); make uninstall'
	@echo 'make debug          build/debug/liblingerclose.so, with delays and mutants for the tests'
	@echo 'make i386 aarch64   for another architecture, with the test programs: build/i386, build/aarch64'
	@echo 'make deb            build/lingerclose_$(VERSION)_*.deb, for this architecture; sh scripts/deb i386 for another'
	@echo 'make clean'

# What is exported, and where time_t has 32 bits glibc's names for 64-bit time as well.
MAP = sed "$$(echo __TIMESIZE | $(CC) -E -P -include features.h - | sed -n 's|^ *32$$|/global:/r shim/time64.map|p')"
$(B)/lingerclose.map: shim/lingerclose.map shim/time64.map Makefile | $(B)
	$(MAP) $< >$@

$(B)/liblingerclose.so: $(OBJECTS) $(B)/lingerclose.map
	$(CC) $(CFLAGS) $(SHIM_LDFLAGS) -o $@.new $(OBJECTS) -ldl
	mv $@.new $@

$(B)/liblingerclose-nagle.so: $(NAGLE) shim/nagle/nagle.map
	$(CC) $(CFLAGS) $(NAGLE_LDFLAGS) -o $@.new $(NAGLE) -ldl
	mv $@.new $@

$(B)/debug/liblingerclose.so: $(DEBUG) $(B)/lingerclose.map
	$(CC) $(CFLAGS) $(SHIM_LDFLAGS) -o $@.new $(DEBUG) -ldl
	mv $@.new $@

build/lingerclose-status: $(wildcard scripts/lingerclose-status*.c) scripts/lingerclose-status.h shim/stats.h shim/lingerclose.h | build
	$(CC) $(STATUS_CFLAGS) $(CFLAGS) -o $@.new $(filter %.c,$^)
	mv $@.new $@

build/lingerclose-report: scripts/lingerclose-report | build
	install -m 755 $< $@

debug: $(B)/debug/liblingerclose.so

$(B)/debug/%.o: shim/% Makefile | $(B)/debug
	$(CC) $(SHIM_CFLAGS) -DLINGERCLOSE_DEBUG $(CFLAGS) -c -o $@ $<

$(B)/%.o: shim/% Makefile | $(B)/nagle
	$(CC) $(SHIM_CFLAGS) $(CFLAGS) -c -o $@ $<

build/lingerclose-check: scripts/lingerclose-check.c $(wildcard scripts/check-*.c) shim/config.c shim/settings.c \
                         scripts/check.h shim/lingerclose.h | build
	$(CC) $(TEST_CFLAGS) $(CFLAGS) -o $@ $(filter %.c,$^)

build/lingerclose-unit: scripts/lingerclose-unit | build
	install -m 755 $< $@

-include $(wildcard $(B)/*.d $(B)/nagle/*.d $(B)/debug/*.d)

# For another architecture, by its compiler: all but the tools once more, in a directory of its own.
# gcc-multilib cannot be installed beside a cross compiler; where there is no i686-linux-gnu-gcc, it is asked.
# (psabi: gcc notes at every struct with a 64-bit atomic that gcc 10 had aligned it otherwise.)
CC_i386    = $(if $(shell command -v i686-linux-gnu-gcc),i686-linux-gnu-gcc,gcc -m32) -Wno-psabi
CC_aarch64 = aarch64-linux-gnu-gcc
# Likewise with AddressSanitizer and UndefinedBehaviorSanitizer, for tests/check-asan. (nonnull: execve(2) takes a NULL argv
# on Linux, glibc's declaration does not.)
CC_asan    = $(CC) -fsanitize=address,undefined -fno-sanitize=nonnull-attribute -fno-sanitize-recover=undefined \
             -fno-omit-frame-pointer
.PHONY: i386 aarch64 asan
i386 aarch64 asan:
	$(MAKE) B=build/$@ CC='$(CC_$@)' build/$@/liblingerclose.so build/$@/liblingerclose-nagle.so debug test-programs

test-programs: $(PROGRAMS)

$(B)/tests/%.so: tests/%.preload.c | $(B)/tests/bench
	$(CC) $(TEST_CFLAGS) -fPIC -shared -o $@ $< -ldl

$(B)/tests/%: tests/%.c $(wildcard tests/*.h tests/bench/*.h) | $(B)/tests/bench
	$(CC) $(TEST_CFLAGS) -o $@ $<

$(B) $(B)/nagle $(B)/debug $(B)/tests/bench:
	mkdir -p $@

check: all debug test-programs
	sh scripts/run-tests

check-load: all debug test-programs
	sh tests/check-load

check-modes: all debug test-programs
	sh tests/check-modes

check-threads: all test-programs
	sh tests/check-threads

check-faults: all debug test-programs
	sh tests/check-faults

check-asan: all test-programs
	sh tests/check-asan

check-valgrind: all test-programs
	sh tests/check-valgrind

check-programs: all test-programs
	sh tests/check-programs

coverage: all debug test-programs
	sh tests/check-coverage

fuzz: all
	sh tests/fuzz/run

soak: all test-programs
	sh tests/soak

soak-million: all test-programs
	sh tests/soak-million

demo: all
	sh scripts/demo

bench: all test-programs
	sh scripts/packages bench || echo 'bench: goes on without'
	sh tests/bench/all

pictures: all test-programs
	sh scripts/pictures

readme: all test-programs
	sh scripts/readme

lint: all
	sh scripts/lint

# What is installed: a file of the tree (or of build/), and its place.
BINDIR  = $(PREFIX)/bin
DATADIR = $(PREFIX)/share
FILES   = build/liblingerclose.so:$(LIBDIR)/liblingerclose.so \
          build/liblingerclose-nagle.so:$(LIBDIR)/liblingerclose-nagle.so \
          $(foreach tool,$(TOOLS),$(tool):$(LIBDIR)/lingerclose/$(notdir $(tool))) \
          scripts/lingerclose:$(BINDIR)/lingerclose \
          scripts/lingerclose.1:$(DATADIR)/man/man1/lingerclose.1 \
          scripts/liblingerclose.7:$(DATADIR)/man/man7/liblingerclose.7 \
          scripts/lingerclose.pc.in:$(LIBDIR)/pkgconfig/lingerclose.pc \
          scripts/completions/lingerclose.bash:$(DATADIR)/bash-completion/completions/lingerclose \
          scripts/completions/_lingerclose:$(DATADIR)/zsh/site-functions/_lingerclose
# These name the places of others.
FILLED  = $(BINDIR)/lingerclose $(DATADIR)/man/man1/lingerclose.1 $(DATADIR)/man/man7/liblingerclose.7 \
          $(LIBDIR)/pkgconfig/lingerclose.pc

install: all
	set -e; for pair in $(FILES); do \
	    from=$${pair%%:*} to='$(DESTDIR)'$${pair#*:}; \
	    if [ -x $$from ]; then mode=755; else mode=644; fi; \
	    install -D -m $$mode $$from "$$to"; \
	done
	set -e; for place in $(FILLED); do \
	    sed -i 's|@PREFIX@|$(PREFIX)|; s|@BINDIR@|$(BINDIR)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' '$(DESTDIR)'$$place; \
	done

uninstall:
	for pair in $(FILES); do rm -f '$(DESTDIR)'$${pair#*:}; done
	rmdir '$(DESTDIR)$(LIBDIR)/lingerclose' 2>/dev/null || :

.PHONY: deb
deb:
	sh scripts/deb

# A variable, for scripts: make -s print-VERSION
print-%:
	@echo '$($*)'

clean:
	rm -rf build
