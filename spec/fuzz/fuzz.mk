# The fuzzers: each spec/fuzz/TARGET.c is one, and says what it claims. Inputs that reached
# something are kept in corpus/TARGET, and so is, by a name, what once failed; the specs replay them
# all without a fuzzer.

FUZZ_TARGETS := $(filter-out replay,$(patsubst spec/fuzz/%.c,%,$(wildcard spec/fuzz/*.c)))
FUZZ_SECONDS ?= 20
FUZZ_CC ?= clang
FUZZ_BUILD := build/fuzz

FUZZERS := $(FUZZ_TARGETS:%=$(BUILD)/fuzz-%)
REPLAYS := $(FUZZ_TARGETS:%=$(BUILD)/replay-%)
LUA_LIBS := $(if $(LUA_LIBDIR),-L$(LUA_LIBDIR) -l$(LUA_NAME),$(call package,--libs $(LUA_NAME))) -lm
LINK_PROGRAM = $(CC) -pthread $(SANITIZER) $(CFLAGS) $(LDFLAGS)

$(BUILD)/fuzz-%: $(BUILD)/obj/spec/fuzz/%.o $(OBJECTS) $(BUILD)/link
	@echo '  LD  $@'
	$(Q)$(LINK_PROGRAM) -fsanitize=fuzzer -o $@ $< $(OBJECTS) $(LIBS) $(LUA_LIBS)

REPLAY := $(BUILD)/obj/spec/fuzz/replay.o

$(BUILD)/replay-%: $(BUILD)/obj/spec/fuzz/%.o $(REPLAY) $(OBJECTS) $(BUILD)/link
	@echo '  LD  $@'
	$(Q)$(LINK_PROGRAM) -o $@ $(REPLAY) $< $(OBJECTS) $(LIBS) $(LUA_LIBS)

.SECONDARY: $(FUZZ_TARGETS:%=$(BUILD)/obj/spec/fuzz/%.o) $(REPLAY)
-include $(wildcard $(BUILD)/obj/spec/fuzz/*.d)

specs everything: $(REPLAYS)

.PHONY: fuzz fuzzers fuzz-corpus

fuzzers: $(FUZZERS)

build_fuzzers = $(MAKE) -j2 fuzzers CC=$(FUZZ_CC) LUA=lua5.4 BUILD=$(FUZZ_BUILD) \
    SANITIZE=fuzzer-no-link,address,undefined CFLAGS='-O1 -g'

fuzz: ## each fuzzer for FUZZ_SECONDS (20), two at a time; one with TARGET=NAME
	@$(build_fuzzers)
	@sh spec/fuzz/run $(FUZZ_BUILD) $(FUZZ_SECONDS) $(or $(TARGET),$(FUZZ_TARGETS))

fuzz-corpus: ## adds to spec/fuzz/corpus what fuzzers have found, as few inputs as reach the same
	@$(build_fuzzers)
	@sh spec/fuzz/merge $(FUZZ_BUILD) $(or $(TARGET),$(FUZZ_TARGETS))
