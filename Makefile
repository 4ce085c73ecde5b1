# SPDX-License-Identifier: GPL-2.0-only
# Everything is built below $(O); `make help` lists the targets.

O	?= build
V	?= 0
CC	?= cc
CXX	?= c++
CLANG	?= clang
BPFTOOL	?= bpftool
PKG_CONFIG ?= pkg-config
INSTALL	?= install
DESTDIR	?=
PREFIX	?= /usr/local
sbindir	?= $(PREFIX)/sbin
PYTHON	?= /usr/bin/python3
VERSION	:= 0.1.0

ifeq ($(V),1)
  Q :=
  say =
else
  Q := @
  say = @printf '  %-8s %s\n' "$(1)" "$(2:$(O)/%=%)";
endif

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# --- another architecture: make ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- O=build/arm64 …
# clang compiles for all of them; of the cross binutils only ar and ld are needed. (Debian's cross gcc can't be
# installed beside gcc-multilib.) Libraries come from SYSROOT, by default one of Debian's packages, made and kept
# below the user's cache.
CROSS_COMPILE :=
ARCH	:= $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')
cross	:= $(CROSS_COMPILE:%-=%)
building := $(filter-out arm64 clean help lint deps,$(or $(MAKECMDGOALS),all))
ifneq ($(cross),)
  ifneq ($(building),)
    SYSROOT ?= $(shell tools/vm/fetch-root $(ARCH))
    ifeq ($(SYSROOT),)
      $(error no libraries for $(ARCH): SYSROOT=DIR can name a root file system that has them)
    endif
  endif
  CC	:= $(CLANG) --target=$(cross) --sysroot=$(SYSROOT)
  AR	:= $(CROSS_COMPILE)ar
  PKG_CONFIG := PKG_CONFIG_SYSROOT_DIR=$(SYSROOT) \
	   PKG_CONFIG_LIBDIR=$(SYSROOT)/usr/lib/$(cross)/pkgconfig:$(SYSROOT)/usr/share/pkgconfig pkg-config
endif

# bpftool lives in /usr/sbin on Debian, which is not in every user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin

# What a missing build dependency says; goals that build nothing do not ask.
PKGS := libbpf >= 1.1 libelf libdw zlib liblzma jansson
ifneq ($(building),)
  ifneq ($(shell $(PKG_CONFIG) --exists '$(PKGS)' 2>/dev/null && echo yes),yes)
    $(error holdup needs $(PKGS) (pkg-config finds not all of them): run tools/deps)
  endif
  PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags '$(PKGS)')
  PKG_LIBS := $(shell $(PKG_CONFIG) --libs '$(PKGS)')
  # Zydis decodes x86-64 (user/unwind/derive_x86_64.c); Debian's 4.0 has no pkg-config file.
  ifeq ($(ARCH),x86)
    ifneq ($(shell printf '\043include <Zydis/Zydis.h>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo yes),yes)
      $(error holdup needs Zydis (Zydis/Zydis.h is not found): run tools/deps)
    endif
    PKG_LIBS += -lZydis
  endif
endif

CFLAGS	?= -O2 -g
HARDEN	:= -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
WARN	:= -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
	   -Wno-unused-parameter -Wno-missing-field-initializers -Werror=implicit-function-declaration
ifdef WERROR
  WARN += -Werror
endif
ALL_CFLAGS := -std=gnu11 $(CFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer,$(HARDEN)) \
	   $(WARN) -D_GNU_SOURCE -DHOLDUP_VERSION='"$(VERSION)"' -I. -I$(O) $(PKG_CFLAGS)
ALL_LDFLAGS := $(LDFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE),-pie -Wl,-z,relro,-z,now)
ALL_LIBS := $(PKG_LIBS) -liberty -lpthread -lm

# --- the BPF side: every bpf/*.bpf.c links into one object, one skeleton, but those that have one of their own
UAPI	:= $(firstword $(wildcard $(if $(cross),$(SYSROOT))/usr/include/$(or $(cross),$(shell $(CC) -print-multiarch 2>/dev/null))) /usr/include)
BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -std=gnu11 -D__TARGET_ARCH_$(ARCH) -I. -isystem $(UAPI) \
	   -Wall -Wextra -Wno-unused-parameter -Wno-address-of-packed-member -Wno-missing-declarations \
	   -Wno-unknown-attributes -fno-stack-protector
# The object that defines the maps comes first: libbpf 1.1's linker gives externs that it meets before
# their definition the wrong offset in .maps. Then the one that names the functions of the kernel (bpf/calm.h).
BPF_OWN	:= bpf/probe.bpf.c bpf/golang.bpf.c
BPF_FIRST := bpf/maps.bpf.c bpf/hold.bpf.c
BPF_SRC	:= $(BPF_FIRST) $(filter-out $(BPF_FIRST) $(BPF_OWN),$(wildcard bpf/*.bpf.c))
BPF_OBJ	:= $(BPF_SRC:%.c=$(O)/%.o)
SKELS	:= $(O)/bpf/holdup.skel.h $(BPF_OWN:%.bpf.c=$(O)/%.skel.h)

# --- the host side
SRC	:= $(wildcard user/*.c user/*/*.c)
LIB_SRC	:= $(filter-out user/main.c user/cmd_%.c,$(SRC))
LIB_OBJ	:= $(LIB_SRC:%.c=$(O)/%.o)
CMD_OBJ	:= $(patsubst %.c,$(O)/%.o,$(filter user/main.c user/cmd_%.c,$(SRC)))
LIB	:= $(O)/libholdup.a

.PHONY: all arm64 clean help install lint demo test test-kernels bench asan deps FORCE
all: $(O)/holdup

$(O)/holdup: $(CMD_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

$(LIB): $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/user/%.o: user/%.c $(O)/flags
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Names of system calls, as the headers number them for the target of this build.
NAMES	:= $(O)/user/target/call_names.inc
$(NAMES): user/target/call_new.h $(O)/flags
	$(call say,GEN,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -E -dM -xc $< | sort | \
	sed -n '/__NR_syscalls\|__NR_arch_specific/d; s/^#define __NR_\([a-z0-9_]*\) .*/CALL(\1)/p' >$@
	$(Q)test -s $@
$(O)/user/target/call.o: | $(NAMES)

# Only the loaders see the skeletons; elsewhere BPF edits rebuild nothing.
$(patsubst %.c,$(O)/%.o,$(wildcard user/collect/*.c)): | $(SKELS)

$(O)/bpf/%.bpf.o: bpf/%.bpf.c $(O)/flags
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D) && $(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c -o $@ $<

$(O)/bpf/holdup.linked.o: $(BPF_OBJ) $(O)/flags
	$(call say,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $(BPF_OBJ)
$(BPF_OWN:%.bpf.c=$(O)/%.linked.o): %.linked.o: %.bpf.o
	$(call say,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^
$(O)/bpf/%.skel.h: $(O)/bpf/%.linked.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf >$@

# A part of that file.
$(O)/user/view/view.o: user/view/schema.json

# A change of compiler or flags rebuilds everything.
$(O)/flags: FORCE
	@mkdir -p $(O); printf '%s\n' '$(CC) $(ALL_CFLAGS) | $(ALL_LDFLAGS) | $(CLANG) $(BPF_CFLAGS) $(BPF_SRC)' >$@.new; \
	if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

-include $(CMD_OBJ:.o=.d) $(LIB_OBJ:.o=.d) $(BPF_OBJ:.o=.d) $(BPF_OWN:%.c=$(O)/%.d)

include tests/Makefile

install: all
	$(INSTALL) -D -m 0755 $(O)/holdup $(DESTDIR)$(sbindir)/holdup

deps:
	tools/deps

demo: all $(O)/tests/workload/shop
	tools/demo $(O)

lint:
	tools/lint

# A second build tree with the address and undefined-behaviour sanitizers, and the tests on it.
asan:
	$(MAKE) O=$(O)/asan SANITIZE=address,undefined CFLAGS='-O1 -g' all unit-tests
	$(MAKE) O=$(O)/asan SANITIZE=address,undefined CFLAGS='-O1 -g' test-unit

# What the arm64 guest runs.
arm64:
	$(MAKE) ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- O=$(O)/arm64 all workloads

bench: all workloads $(O)/bench/tables $(O)/bench/hold
	tools/bench/run $(O)

# Times the making of unwind rows, and locks with probes where holdup puts them (the benchmark's other programs need
# none of holdup, it builds them itself).
$(O)/bench/tables $(O)/bench/hold: $(O)/bench/%: tools/bench/%.c $(LIB)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

clean:
	rm -rf $(O)

# The VM tests on each kernel that must work; `make test` runs them on two.
test-kernels: all workloads
	$(PYTHON) tests/run --build $(O) -k vm- --vm-series 5.10,6.1,6.12,newest,arm64-6.12

help:
	@echo 'all (default)  $(O)/holdup'
	@echo 'deps           install what building, demo and tests need (tools/deps)'
	@echo 'demo           a service with a lock problem, and holdup naming it (as root)'
	@echo 'test           every test (as root); test-unit: those that need no root;'
	@echo '               tests/run --help: one of them, other kernels'
	@echo 'test-kernels   the VM tests on 5.10, 6.1, 6.12 and the newest of Debian, and on arm64'
	@echo 'test-go-versions  goroutines of programs built with every release of Go that Debian has'
	@echo 'arm64          cross-built holdup and workloads in $(O)/arm64; any of the other goals:'
	@echo '               ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- O=$(O)/arm64'
	@echo 'asan           the unit tests under the address and undefined-behaviour sanitizers'
	@echo 'fuzz-run       each fuzz target for FUZZ_SECONDS=20; fuzz builds them'
	@echo 'test-unwind-all  unwind rows of every file on this machine beside those of libdw'
	@echo 'test-leaks-healthy  servers and runtimes under load, HEALTHY_SECONDS=180 each: no leak is suspected'
	@echo 'bench          what holdup costs, beside its peers'
	@echo 'lint           formatting, SPDX lines, shell and Python syntax'
	@echo 'install        DESTDIR=, PREFIX=   clean'
	@echo 'V=1 shows commands; CC, CLANG, BPFTOOL, CFLAGS and O can be set'
