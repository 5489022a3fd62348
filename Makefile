# SPDX-License-Identifier: MIT
#
#   make            the libraries and tractctl, into build/
#   make module     kmod/tract.ko for the running kernel, or KDIR=
#   make check      unit and api tests on this machine, sanitizers included
#   make lint       style of both sides, the UAPI header, shell scripts
#   make bench      benchmark programs under each allocator, and their report;
#                   BENCH_OPTIONS= of tests/bench/report, PEERS= more allocators
#   make bench-acceptance   what was asked of the allocator, figure by figure
#   make bench-publish   puts that report into docs/bench/ and README.md
#   make bench-vm   the decommit benchmark, on stock kernels in VMs
#   make bench-purge   what purge maps cost, and where memory is short, in VMs
#   make install    libraries, tractctl, header, man pages under PREFIX
#
# Nothing here needs root or touches the running kernel.

CC ?= gcc
CXX ?= g++
KDIR ?= /lib/modules/$(shell uname -r)/build
PREFIX ?= /usr/local
O ?= build

CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	    -Wpointer-arith -Wundef -Wvla
CPPFLAGS += -D_GNU_SOURCE -Iinclude -Iinclude/uapi
STD := -std=gnu11

# The library is found by LD_PRELOAD or at program start, never by dlopen(), so
# its thread-local storage may be initial-exec: one instruction to reach.
SHIM_CFLAGS := $(STD) $(WARNINGS) -fPIC -fvisibility=hidden \
	       -ftls-model=initial-exec -fno-builtin -fno-semantic-interposition \
	       -fno-plt -pthread
SHIM_LDFLAGS := -shared -Wl,-soname,libtract.so -Wl,-z,now -Wl,-z,relro \
		-Wl,-z,nodlopen -Wl,--version-script=libshim/libtract.map -pthread

SHIM_SRC := $(wildcard libshim/*.c)
SHIM_OBJ := $(SHIM_SRC:%.c=$(O)/obj/%.o)
# The second preload has the system calls and islands in common with the first.
VM_SRC := $(wildcard libvm/*.c)
VM_OBJ := $(VM_SRC:%.c=$(O)/obj/%.o) \
	  $(patsubst %,$(O)/obj/libshim/%.o,sys place maps island options report)
# Its tables, which know nothing of the system.
VM_TABLES := libvm/pages.c libvm/holes.c libvm/store.c
VM_LDFLAGS := -shared -Wl,-soname,libtract-vm.so -Wl,-z,now -Wl,-z,relro \
	      -Wl,-z,nodlopen -Wl,--version-script=libvm/libtract-vm.map -pthread
CTL_SRC := $(wildcard ctl/*.c)
CTL_OBJ := $(CTL_SRC:%.c=$(O)/obj/%.o)

# One program a file.
BENCH := $(patsubst %.c,$(O)/%,$(wildcard tests/bench/*.c))
API := $(patsubst %.c,$(O)/%,$(wildcard tests/api/*.c)) \
       $(patsubst %.cc,$(O)/%,$(wildcard tests/api/*.cc))
ABI := $(patsubst %.c,$(O)/%,$(wildcard tests/abi/*.c))
PRELOAD := $(patsubst %.c,$(O)/%,$(wildcard tests/preload/*.c))
STRESS := $(patsubst %.c,$(O)/%,$(wildcard tests/stress/*.c))
FAULT := $(patsubst %.c,$(O)/%,$(wildcard tests/fault/*.c))
EXAMPLES := $(patsubst %.c,$(O)/%,$(wildcard tests/examples/*.c))
MODEL := $(patsubst %.c,$(O)/%,$(wildcard tests/model/*.c))
UNIT := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test_*.c))

# The same logic under the sanitizers: it is linked directly, without
# override.c, whose malloc would displace the sanitizer's.
SANITIZED_SRC := $(filter-out libshim/override.c,$(SHIM_SRC)) $(VM_TABLES)
HEADERS := $(wildcard libshim/*.h libvm/*.h include/*.h include/uapi/linux/*.h \
		      tests/*.h tests/unit/*.h kmod/range.h)
ASAN := $(patsubst tests/unit/%.c,$(O)/asan/%,$(wildcard tests/unit/test_*.c))
TSAN := $(patsubst tests/unit/%.c,$(O)/tsan/%,$(wildcard tests/unit/test_remote*.c))
ASAN_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all \
	      -fno-omit-frame-pointer
# The one fence orders counts of which a stale one does no harm.
TSAN_FLAGS := -fsanitize=thread -Wno-tsan

.PHONY: all module check lint bench bench-build bench-publish bench-vm bench-purge
.PHONY: install clean
.PHONY: tests bench-larson bench-acceptance

all: $(O)/libtract.so $(O)/libtract-vm.so $(O)/tractctl

tests: $(API) $(ABI) $(PRELOAD) $(STRESS) $(FAULT) $(MODEL) \
       $(EXAMPLES) $(UNIT) $(BENCH) $(O)/tests/vm/smoke \
       $(O)/tests/vm/pressure

$(O)/libtract.so: $(SHIM_OBJ) libshim/libtract.map
	$(CC) $(CFLAGS) $(SHIM_LDFLAGS) $(LDFLAGS) -o $@ $(SHIM_OBJ)

$(O)/libtract-vm.so: $(VM_OBJ) libvm/libtract-vm.map
	$(CC) $(CFLAGS) $(VM_LDFLAGS) $(LDFLAGS) -o $@ $(VM_OBJ)

$(O)/tractctl: $(CTL_OBJ)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lsmartcols

$(O)/obj/libshim/%.o: libshim/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(SHIM_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/obj/libvm/%.o: libvm/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Ilibshim $(SHIM_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/obj/ctl/%.o: ctl/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(STD) $(WARNINGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/tests/unit/%: tests/unit/%.c $(filter-out %/override.o,$(SHIM_OBJ)) \
		   $(VM_TABLES:%.c=$(O)/obj/%.o) $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Ilibshim -Ilibvm -Ikmod -Itests $(STD) $(WARNINGS) $(CFLAGS) -o $@ \
		$(filter %.c %.o,$^) $$(pkg-config --cflags --libs check) -pthread

$(O)/asan/%: tests/unit/%.c $(SANITIZED_SRC) $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Ilibshim -Ilibvm -Ikmod -Itests $(STD) $(WARNINGS) $(CFLAGS) \
		$(ASAN_FLAGS) -ftls-model=initial-exec -fno-builtin -o $@ $(filter %.c,$^) \
		$$(pkg-config --cflags --libs check) -pthread

$(O)/tsan/%: tests/unit/%.c $(SANITIZED_SRC) $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Ilibshim -Ilibvm -Ikmod -Itests $(STD) $(WARNINGS) $(CFLAGS) \
		$(TSAN_FLAGS) -fno-builtin -o $@ $(filter %.c,$^) \
		$$(pkg-config --cflags --libs check) -pthread

# As a program of another is: linked with the library.
$(O)/tests/examples/%: tests/examples/%.c $(O)/libtract.so
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(STD) $(WARNINGS) $(CFLAGS) -MMD -MP -o $@ $< \
		-L$(O) -ltract -Wl,-rpath,'$$ORIGIN/../..'

# Every other test and benchmark is one file that needs nothing of ours but
# headers; those of tests/api that use the C API say so by their name.
$(O)/tests/%: tests/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests $(STD) $(WARNINGS) -fno-builtin $(CFLAGS) -MMD -MP -o $@ $< \
		-pthread -ldl -lm

# Programs that embed a library: built by the test that has found it.
$(O)/tests/programs/%: tests/programs/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests $(STD) $(WARNINGS) $(CFLAGS) -MMD -MP -o $@ $< \
		$(if $(PACKAGE_$*),$$(pkg-config --cflags $(PACKAGE_$*))) -pthread -ldl \
		$(if $(LINK_$*),$$(pkg-config --libs $(LINK_$*)))

PACKAGE_luajit := luajit
PACKAGE_jsc := javascriptcoregtk-4.1
LINK_jsc := javascriptcoregtk-4.1

$(O)/tests/%: tests/%.cc
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) -Itests -std=c++17 -Wall -Wextra -Wshadow -fno-builtin \
		$(CFLAGS) -MMD -MP -o $@ $< -pthread -ldl -lm

# Out of tree: several kernels can be built side by side, MO= names the place.
module:
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(MODULE_VARS) modules

check: all tests $(ASAN) $(TSAN)
	scripts/check

lint:
	scripts/lint

# What the allocated bit costs is measured against a library without it.
UNCHECKED := $(O)/bench/libtract-unchecked.so
UNCHECKED_OBJ := $(SHIM_SRC:%.c=$(O)/obj/unchecked/%.o)

$(UNCHECKED): $(UNCHECKED_OBJ) libshim/libtract.map
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(SHIM_LDFLAGS) $(LDFLAGS) -o $@ $(UNCHECKED_OBJ)

$(O)/obj/unchecked/libshim/%.o: libshim/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -DTRACT_UNCHECKED $(SHIM_CFLAGS) $(CFLAGS) -MMD -MP -c \
		-o $@ $<

bench-build: all $(BENCH) $(UNCHECKED)

bench: bench-build
	tests/bench/report $(BENCH_OPTIONS)

bench-larson: bench-build
	tests/bench/acceptance --only 6

# All that was asked of the allocator; the soak alone takes 20 minutes.
bench-acceptance: bench-build $(API) $(ASAN) $(TSAN)
	tests/bench/acceptance

# Into docs/bench/ and README.md goes what 'make bench' has written.
bench-publish:
	tests/bench/publish

bench-vm: $(O)/tests/bench/bmalloc
	tests/bench/bmalloc_report

bench-purge: all $(O)/tests/bench/offers $(O)/tests/vm/pressure
	tests/bench/offers_report
	tests/bench/pressure_report

install: all
	install -D -m 755 $(O)/libtract.so $(DESTDIR)$(PREFIX)/lib/libtract.so
	install -D -m 755 $(O)/libtract-vm.so \
		$(DESTDIR)$(PREFIX)/lib/libtract-vm.so
	install -D -m 755 $(O)/tractctl $(DESTDIR)$(PREFIX)/bin/tractctl
	install -D -m 644 include/tract.h $(DESTDIR)$(PREFIX)/include/tract.h
	install -D -m 644 include/uapi/linux/tract.h \
		$(DESTDIR)$(PREFIX)/include/linux/tract.h
	for page in man/*.[0-9]; do \
		install -D -m 644 $$page \
			$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; \
	done

clean:
	rm -rf $(O)

-include $(shell find $(O) -name '*.d' 2>/dev/null)
