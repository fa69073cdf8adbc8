# Real servers and many clients under faults: `make torture`, and what its specs need.

TORTURE := $(BUILD)/torture/system.so
TORTURE_CLOCK := build/torture/clock.so

.PHONY: torture torture-programs torture-run

$(TORTURE): $(BUILD)/obj/spec/torture/system.o $(BUILD)/link
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(LINK_MODULE) -o $@ $(BUILD)/obj/spec/torture/system.o

# Preloaded into servers and clients: no sanitizer, whatever the rest is built for.
$(TORTURE_CLOCK): spec/torture/clock.c
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O2 -fPIC -shared -fvisibility=hidden $(WARNINGS) -o $@ $<

everything specs: $(TORTURE) $(TORTURE_CLOCK)

torture-programs: build $(TORTURE) $(TORTURE_CLOCK)

-include $(BUILD)/obj/spec/torture/system.d

# The harness runs under Lua 5.4, its clients under both.
torture: ## many clients on real servers under every kind of fault; ARGS="--minutes 30 --seed 7"
	@$(MAKE) -s torture-programs LUA=luajit
	@$(MAKE) -s torture-run LUA=lua5.4

torture-run: torture-programs
	@$(VARIABLES) nice -n 5 lua5.4 spec/torture/run.lua $(ARGS)
