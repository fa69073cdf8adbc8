# The C core, its Lua binding, and everything that checks them. `make help` lists the targets.
#
# LUA       lua5.4 (default) or luajit; lua5.1, lua5.2 and lua5.3 build too
# SANITIZE  address, thread, undefined or several, with commas: builds beside the plain build
# WERROR=1  warnings are errors
# V=1       shows the commands

LUA ?= lua5.4
ifeq ($(strip $(LUA)),)
override LUA := lua5.4
endif
LUA_NAME := $(notdir $(LUA))

comma := ,
BUILD := build/$(LUA_NAME)$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
GENERATED := build/generated
Q := $(if $(V),,@)
MAKEFLAGS += --no-print-directory

# --- Flags. CFLAGS, LIBFLAG and the *_INCDIR and *_LIBDIR belong to the caller (LuaRocks sets them all).

CFLAGS ?= -O2 -g
LIBFLAG ?= -shared
# Threads of ours may outlive the Lua state that loaded the module: it stays mapped.
NODELETE = -Wl,-z,nodelete

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes $(if $(WERROR),-Werror)
SANITIZER := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)

package = $(shell pkg-config $(1) 2>/dev/null)
# A library where the dynamic linker would not look is remembered by its folder.
folder = $(addprefix -L,$(1)) $(addprefix -Wl$(comma)-rpath$(comma),$(filter-out /usr/lib% /lib%,$(1)))

LUA_FLAGS := $(if $(LUA_INCDIR),-isystem $(LUA_INCDIR),$(patsubst -I%,-isystem %,$(call package,--cflags $(LUA_NAME))))
HIREDIS_FLAGS := $(if $(HIREDIS_INCDIR),-I$(HIREDIS_INCDIR),$(call package,--cflags hiredis))
OPENSSL_FLAGS := $(if $(OPENSSL_INCDIR),-I$(OPENSSL_INCDIR),$(call package,--cflags openssl))
HIREDIS_LIBS := $(if $(HIREDIS_LIBDIR),$(call folder,$(HIREDIS_LIBDIR)),$(call package,--libs-only-L hiredis)) -lhiredis
OPENSSL_LIBS := $(if $(OPENSSL_LIBDIR),$(call folder,$(OPENSSL_LIBDIR)),$(call package,--libs-only-L openssl)) -lssl -lcrypto

COMPILE = $(CC) -std=c11 -D_GNU_SOURCE -fPIC -fvisibility=hidden -pthread $(WARNINGS) $(SANITIZER) \
    -Icsrc -I$(GENERATED) $(LUA_FLAGS) $(HIREDIS_FLAGS) $(OPENSSL_FLAGS) $(CPPFLAGS) $(CFLAGS)
LINK_MODULE = $(CC) $(LIBFLAG) $(NODELETE) -pthread $(SANITIZER) $(CFLAGS) $(LDFLAGS)
LIBS = $(HIREDIS_LIBS) $(OPENSSL_LIBS) $(LDLIBS)

# --- What there is, and what is made of it.

CORE_OBJECTS := $(patsubst csrc/%.c,$(BUILD)/obj/%.o,$(wildcard csrc/core/*.c))
OBJECTS := $(CORE_OBJECTS) $(patsubst csrc/%.c,$(BUILD)/obj/%.o,$(wildcard csrc/io/*.c csrc/lua/*.c))
MODULE := $(BUILD)/redlock/core.so
MACHINE := $(if $(wildcard spec/machine.c),$(BUILD)/machine.so)
FLOOR := build/bench/floor
SCRIPTS := csrc/core/scripts
SCRIPTS_TEXT := $(GENERATED)/scripts_text.h

C_FILES := $(wildcard csrc/*/*.[ch] spec/*.[ch] spec/*/*.[ch] bench/*.[ch])
LUA_FILES = $(shell find lua -name '*.lua')
LUA_FOLDERS := $(wildcard lua spec examples bench $(SCRIPTS))

.PHONY: build specs everything help test lint format bench bench-peers bench-docs bench-nginx demo asan tsan valgrind docs manual env \
    rock check-rock install clean FORCE
.DELETE_ON_ERROR:

build: $(MODULE) ## the module, build/$(LUA)/redlock/core.so

everything: $(MODULE) $(MACHINE) $(if $(wildcard bench/floor.c),$(FLOOR))

# A stamp is as old as the command it holds: what was built by another command is built again.
stamp = @mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || \
    printf '%s\n' '$(subst ','\'',$(1))' >$@

$(BUILD)/compile: FORCE
	$(call stamp,$(COMPILE))
	@test -n '$(LUA_FLAGS)' || echo 'make: no headers of $(LUA_NAME) known to pkg-config;' \
	    'install its -dev package, or set LUA_INCDIR' >&2

$(BUILD)/link: FORCE
	$(call stamp,$(LINK_MODULE) $(OBJECTS) $(LIBS))

$(SCRIPTS_TEXT): $(SCRIPTS)/embed.sh $(wildcard $(SCRIPTS)/*.lua)
	@mkdir -p $(@D)
	$(Q)sh $(SCRIPTS)/embed.sh $(SCRIPTS) >$@.$$$$ && mv $@.$$$$ $@

$(BUILD)/obj/%.o: csrc/%.c $(BUILD)/compile | $(SCRIPTS_TEXT)
	@mkdir -p $(@D); echo '  CC  $@'
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

$(BUILD)/obj/spec/%.o: spec/%.c $(BUILD)/compile | $(SCRIPTS_TEXT)
	@mkdir -p $(@D); echo '  CC  $@'
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

$(MODULE): $(OBJECTS) $(BUILD)/link
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(LINK_MODULE) -o $@ $(OBJECTS) $(LIBS)

# The core's state machine, bare, for the specs.
$(BUILD)/machine.so: $(BUILD)/obj/spec/machine.o $(CORE_OBJECTS) $(BUILD)/link
	@echo '  LD  $@'
	$(Q)$(LINK_MODULE) -o $@ $(BUILD)/obj/spec/machine.o $(CORE_OBJECTS) $(LIBS)

# What bare hiredis does with the same commands: the benchmark's yardstick.
$(FLOOR): bench/floor.c $(BUILD)/compile
	@mkdir -p $(@D); echo '  CC  $@'
	$(Q)$(COMPILE) $(LDFLAGS) -o $@ $< $(LIBS)

-include $(OBJECTS:.o=.d) $(BUILD)/obj/spec/machine.d

help: ## this list
	@awk -F ':|## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$NF }' $(filter-out %.d,$(MAKEFILE_LIST))
	@echo 'LUA=lua5.4 or luajit, SPEC=spec/NAME_spec.lua, V=1 shows the commands.'

# --- Programs of the specs' own rooms: the simulator, the fuzzers, the torture.

include $(wildcard spec/*/*.mk)

# --- Running what was built, in the checkout.

SPEC ?= spec
# nginx brings its own LuaJIT and loads build/luajit: its specs run once, beside that plain build.
NGINX_SPECS := spec/nginx
ALL_BUT_NGINX = $(filter-out $(NGINX_SPECS) $(NGINX_SPECS)/% spec/support,$(patsubst %/,%, \
    $(patsubst spec,$(wildcard spec/*_spec.lua spec/*/),$(SPEC:%/=%))))
CHOSEN = $(if $(filter luajit,$(BUILD:build/%=%)),$(if $(UNDER),$(ALL_BUT_NGINX),$(SPEC)),$(ALL_BUT_NGINX))
# Parts that may run at the same time. What builds something is in the third, one after the other.
PART ?= all
FLAT = $(patsubst spec,$(ALL_BUT_NGINX) $(NGINX_SPECS),$(CHOSEN))
every_other = $(if $(1),$(firstword $(1)) $(call every_other,$(wordlist 3,$(words $(1)),$(1))))
PART_all = $(CHOSEN)
PART_1 = $(call every_other,$(filter %_spec.lua,$(FLAT)))
PART_2 = $(filter-out $(PART_1),$(filter %_spec.lua,$(FLAT)))
PART_3 = $(filter-out %_spec.lua $(PART_4) $(PART_5),$(FLAT))
PART_4 = $(filter spec/command,$(FLAT))
PART_5 = $(filter $(NGINX_SPECS),$(FLAT))
BUSTED ?= /usr/bin/busted
BUSTED_FLAGS ?= -o gtest
# Unless one is named, both that are first-class.
LUAS := $(if $(filter command line,$(origin LUA)),$(LUA),lua5.4 luajit)

# LUA_PATH_5_4 would hide LUA_PATH from Lua 5.4.
VARIABLES = LUA_PATH='lua/?.lua;lua/?/init.lua;spec/?.lua;examples/?.lua;;' \
    LUA_CPATH='$(BUILD)/?.so;;' LUA='$(LUA)' REDLOCK_BUILD='$(BUILD)'
unexport LUA_PATH_5_2 LUA_PATH_5_3 LUA_PATH_5_4 LUA_CPATH_5_2 LUA_CPATH_5_3 LUA_CPATH_5_4

env: ## prints the shell's exports under which $(LUA) finds this build
	@printf 'export %s\n' $(foreach v,$(VARIABLES),"$(v)"); echo 'unset LUA_PATH_5_4 LUA_CPATH_5_4'

# A sanitizer's runtime has to be in the process before Lua loads the module. LD_PRELOAD would put it into
# every shell and server that a spec starts as well (some crash), so an interpreter of the same name that
# preloads it stands first in PATH. Reports go to files: one from a child process would be lost otherwise.
REPORT := $(BUILD)/report
RUNTIME := $(if $(findstring address,$(SANITIZE)),libasan.so,$(if $(findstring thread,$(SANITIZE)),libtsan.so))
WRAPPER := $(if $(RUNTIME),$(BUILD)/bin/$(LUA_NAME))
SANITIZER_VARIABLES = $(if $(SANITIZE),PATH='$(CURDIR)/$(BUILD)/bin':"$$PATH" \
    ASAN_OPTIONS=detect_leaks=0:log_path='$(CURDIR)/$(REPORT)' \
    UBSAN_OPTIONS=print_stacktrace=1:log_path='$(CURDIR)/$(REPORT)' \
    TSAN_OPTIONS=die_after_fork=0:log_path='$(CURDIR)/$(REPORT)')

# The thread sanitizer's shadow memory does not fit every address layout: setarch -R fixes it.
$(BUILD)/bin/$(LUA_NAME): FORCE
	@mkdir -p $(@D); { echo '#!/bin/sh'; echo exec $(if $(findstring thread,$(SANITIZE)),setarch -R) \
	    $(firstword $(wildcard /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.*)) \
	    --preload "$$($(CC) -print-file-name=$(RUNTIME))" --argv0 $(LUA_NAME) \
	    "$$(PATH=$${PATH#*/$(@D):} command -v $(LUA))" '"$$@"'; } >$@ && chmod +x $@

specs: $(MODULE) $(MACHINE) $(FLOOR) $(WRAPPER)
ifeq ($(PART_$(PART)),)
	@echo "--- nginx's specs run under luajit alone: none for $(LUA)"
else
	@echo "=== specs under $(LUA)$(if $(SANITIZE), ($(SANITIZE) sanitizer))"
	@rm -f $(REPORT).*
	@TMPDIR=$$(mktemp -d); export TMPDIR; chmod 755 "$$TMPDIR"; \
	    $(VARIABLES) $(SANITIZER_VARIABLES) $(UNDER) $(if $(WRAPPER),$(LUA_NAME),$(LUA)) $(BUSTED) $(BUSTED_FLAGS) $(PART_$(PART)); status=$$?; \
	    rm -rf "$$TMPDIR"; for report in $(REPORT).*; do test ! -e $$report || { cat $$report; status=1; }; done; exit $$status
endif

# They wait more than they compute, so all run at once: one is watched, what the others say comes after it.
RUNS := $(foreach lua,$(LUAS),$(foreach part,$(if $(filter command line,$(origin SPEC)),all,1 2 3 4 5),$(lua):$(part)))
WATCHED := $(firstword $(RUNS))
UNWATCHED := $(filter-out $(WATCHED),$(RUNS))
test: ## all specs under Lua 5.4 and under LuaJIT
	@for lua in $(LUAS); do $(MAKE) everything LUA=$$lua || exit 1; done
	@others=; status=0; trap 'kill $$others 2>/dev/null; exit 130' INT TERM; \
	    for run in $(UNWATCHED); do \
	        $(MAKE) specs LUA=$${run%:*} PART=$${run#*:} >build/specs.$$run.log 2>&1 & others="$$others $$!"; \
	    done; \
	    $(MAKE) specs LUA=$(firstword $(subst :, ,$(WATCHED))) PART=$(lastword $(subst :, ,$(WATCHED))) || status=1; \
	    for other in $$others; do wait $$other || status=1; done; \
	    for run in $(UNWATCHED); do cat build/specs.$$run.log; done; exit $$status

VALGRIND := valgrind -q --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
    --error-exitcode=99 --fair-sched=yes --keep-debuginfo=yes --num-callers=30

# A representative part for each: where memory changes hands, where threads meet; the engine is in all.
# All specs with ASAN_SPEC=spec and so on; a SPEC that is named goes before.
part = $(if $(filter command line,$(origin SPEC)),$(SPEC),$(wildcard $(1:%=spec/%_spec.lua)))
VALGRIND_SPEC ?= $(call part,client quorum)
ASAN_SPEC ?= $(call part,client watchdog waiting event_loops fuzz/fuzz core/node core/wire)
TSAN_SPEC ?= $(call part,client watchdog waiting event_loops)

asan: ## specs under the address and undefined-behaviour sanitizers; all with ASAN_SPEC=spec
	@$(MAKE) specs SANITIZE=address,undefined SPEC='$(ASAN_SPEC)'

tsan: ## specs under the thread sanitizer; all with TSAN_SPEC=spec
	@$(MAKE) specs SANITIZE=thread SPEC='$(TSAN_SPEC)'

valgrind: ## specs under valgrind; all with VALGRIND_SPEC=spec
	@$(MAKE) specs UNDER='$(VALGRIND)' SPEC='$(VALGRIND_SPEC)'

bench: $(FLOOR) ## pairs per second, latency, hand-over and more, in turns with bare hiredis
	@for lua in $(LUAS); do $(MAKE) -s build LUA=$$lua || exit 1; done
	@$(VARIABLES) $(LUA) bench/run.lua $(ARGS)

bench-peers: ## the same beside other lock libraries, from npm, PyPI, the Go module proxy and Maven
	@sh bench/peers/install.sh
	@$(MAKE) -s bench ARGS='--peers $(ARGS)'

bench-docs: ## puts the last results into docs/benchmarks.md
	@$(LUA) bench/paste.lua

bench-nginx: ## requests per second in nginx, under wrk, beside locks written by hand on cosockets
	@$(MAKE) -s build LUA=luajit
	@$(VARIABLES) $(LUA) bench/nginx.lua $(ARGS)

demo: $(MODULE) ## locks on five private Redis servers, with and without trouble
	@$(VARIABLES) $(LUA) examples/demo.lua $(ARGS)

# --- The sources.

lint: ## luacheck, clang-format, and builds by gcc and clang without a warning
	luacheck -q $(LUA_FOLDERS) $(wildcard bin/*)
	@command -v clang-format >/dev/null || { echo "no clang-format here: skipped"; exit 0; }; \
	    clang-format --dry-run --Werror $(C_FILES)
	@for cc in gcc clang; do command -v $$cc >/dev/null || { echo "no $$cc here: skipped"; continue; }; \
	    for lua in $(LUAS); do \
	        echo "=== $$cc, $$lua"; \
	        $(MAKE) everything CC=$$cc LUA=$$lua WERROR=1 \
	            BUILD=build/lint/$$cc-$$lua FLOOR=build/lint/$$cc-$$lua/floor || exit 1; \
	    done; \
	done

format: ## applies clang-format
	clang-format -i $(C_FILES)

manual: $(MODULE) ## the manual page, docs/redlock.1, from what the command says of itself
	@$(VARIABLES) $(LUA) -e 'io.write(require("redlock.command.manual")())' >docs/redlock.1

docs: ## the Lua API's reference, build/docs/index.html
	ldoc -q -c docs/config.ld -d build/docs lua

# --- Installing.

PREFIX ?= /usr/local
LUA_VERSION = $(shell $(LUA) -e 'io.write((_VERSION:gsub("Lua ", "")))')
LIBDIR ?= $(PREFIX)/lib/lua/$(LUA_VERSION)
LUADIR ?= $(PREFIX)/share/lua/$(LUA_VERSION)
INST_LIBDIR ?= $(LIBDIR)
INST_LUADIR ?= $(LUADIR)
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
BASH_COMPLETION ?= $(PREFIX)/share/bash-completion/completions
ZSH_COMPLETION ?= $(PREFIX)/share/zsh/site-functions
COMMAND = $(DESTDIR)$(BINDIR)/redlock

# The command says which Lua runs it, and where the library is. LuaRocks does that by a wrapper.
define settle_command
1s|.*|#!$(shell command -v $(LUA))|
/^local function find_library/,/^end/c local function find_library() return "$(INST_LUADIR)", "$(INST_LIBDIR)" end
endef
export settle_command

install: $(MODULE) ## into PREFIX, /usr/local unless given, for $(LUA); DESTDIR is honoured
	install -d '$(DESTDIR)$(INST_LIBDIR)/redlock'
	install -m 755 $(MODULE) '$(DESTDIR)$(INST_LIBDIR)/redlock/core.so'
	@for file in $(LUA_FILES:lua/%=%); do \
	    install -d "$(DESTDIR)$(INST_LUADIR)/$$(dirname $$file)" && \
	    install -m 644 lua/$$file "$(DESTDIR)$(INST_LUADIR)/$$file" && \
	    echo "install $(DESTDIR)$(INST_LUADIR)/$$file" || exit 1; \
	done
ifneq ($(BINDIR),)
	install -d $(foreach folder,$(BINDIR) $(MANDIR)/man1 $(BASH_COMPLETION) $(ZSH_COMPLETION),'$(DESTDIR)$(folder)')
	sed "$$settle_command" bin/redlock >'$(COMMAND)' && chmod 755 '$(COMMAND)'
	install -m 644 docs/redlock.1 '$(DESTDIR)$(MANDIR)/man1/redlock.1'
	@$(VARIABLES) $(LUA) bin/redlock completion bash >'$(DESTDIR)$(BASH_COMPLETION)/redlock'
	@$(VARIABLES) $(LUA) bin/redlock completion zsh >'$(DESTDIR)$(ZSH_COMPLETION)/_redlock'
endif

ROCKSPEC := redlock-scm-1.rockspec

rock: ## a source rock of what is committed, build/rock/redlock-scm-1.src.rock
	@rm -rf build/rock && mkdir -p build/rock
	@sed 's|"git+file://.*"|"git+file://$(CURDIR)"|' $(ROCKSPEC) >build/rock/$(ROCKSPEC)
	cd build/rock && luarocks pack $(ROCKSPEC)

check-rock: rock ## makes, packs and installs the rock, for Lua 5.4 and for LuaJIT
	@sh .ci/rock build/rock

clean: ## removes build/
	rm -rf build
