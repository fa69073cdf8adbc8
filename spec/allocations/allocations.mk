# The sweep: scenarios of spec/allocations/scenarios.lua run again and again, and each time another
# allocation fails.

ALLOCATIONS := $(BUILD)/allocations.so
LOADER = $(firstword $(wildcard /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.*))
# The switch stands before every other malloc(), in this process alone.
PRELOADED = $(ALLOCATIONS)$(if $(findstring address,$(SANITIZE)),:$(shell \
    $(CC) -print-file-name=libasan.so))
SWEEP = $(VARIABLES) ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0 \
    $(LOADER) --preload '$(PRELOADED)' --argv0 $(LUA_NAME) "$$(command -v $(LUA))" \
    spec/allocations/sweep.lua

$(ALLOCATIONS): $(BUILD)/obj/spec/allocations/allocations.o
	@echo '  LD  $@'
	$(Q)$(CC) $(LIBFLAG) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $< -ldl

# The switch itself is not checked by a sanitizer: it has to work before that does.
$(BUILD)/obj/spec/allocations/allocations.o: override SANITIZER :=

-include $(wildcard $(BUILD)/obj/spec/allocations/*.d)

specs everything: $(ALLOCATIONS)

.PHONY: allocations sweep

sweep: $(MODULE) $(MACHINE) $(ALLOCATIONS)
	@$(SWEEP) $(SCENARIO) $(PARTY) $(MANNER) $(FIRST) $(LAST) $(STRIDE)

allocations: $(MODULE) $(MACHINE) $(ALLOCATIONS) ## fails each allocation in turn; all with FULL=1
	@$(if $(SCENARIO),$(SWEEP) $(SCENARIO) $(or $(PARTY),library) $(or $(MANNER),one) \
	    $(FIRST) $(LAST) $(STRIDE),sh spec/allocations/all $(if $(FULL),full,short) "$(MAKE)" $(LUA) \
	    "$(SANITIZE)")
