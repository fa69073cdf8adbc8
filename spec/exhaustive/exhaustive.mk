# Every course of events in small worlds: spec/exhaustive/README.md.
#
# EXHAUSTIVE_ROOT   the sources that are searched: csrc, or a copy of it with something changed
# EXHAUSTIVE_BUILD  where it is built
# ARGS              names of scenes, parameter=number

EXHAUSTIVE_ROOT ?= csrc
EXHAUSTIVE_BUILD ?= $(if $(filter build/lint/%,$(BUILD)),$(BUILD)/exhaustive,build/exhaustive$(if \
    $(SANITIZE),-$(subst $(comma),-,$(SANITIZE))))
EXHAUSTIVE := $(EXHAUSTIVE_BUILD)/exhaustive

EXHAUSTIVE_CORE := $(patsubst $(EXHAUSTIVE_ROOT)/%.c,$(EXHAUSTIVE_BUILD)/%.o, \
    $(wildcard $(EXHAUSTIVE_ROOT)/core/*.c))
EXHAUSTIVE_OWN := $(patsubst spec/exhaustive/%.c,$(EXHAUSTIVE_BUILD)/own/%.o, \
    $(wildcard spec/exhaustive/*.c))
EXHAUSTIVE_SCRIPTS := $(EXHAUSTIVE_BUILD)/generated/scripts_text.h
EXHAUSTIVE_COMPILE = $(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) $(SANITIZER) -I$(EXHAUSTIVE_ROOT) \
    -I$(EXHAUSTIVE_BUILD)/generated -Ispec $(HIREDIS_FLAGS) $(CPPFLAGS) $(CFLAGS)

$(EXHAUSTIVE_BUILD)/compile: FORCE
	$(call stamp,$(EXHAUSTIVE_COMPILE))

$(EXHAUSTIVE_SCRIPTS): $(EXHAUSTIVE_ROOT)/core/scripts/embed.sh \
    $(wildcard $(EXHAUSTIVE_ROOT)/core/scripts/*.lua)
	@mkdir -p $(@D)
	$(Q)sh $< $(EXHAUSTIVE_ROOT)/core/scripts >$@.$$$$ && mv $@.$$$$ $@

$(EXHAUSTIVE_CORE): $(EXHAUSTIVE_BUILD)/%.o: $(EXHAUSTIVE_ROOT)/%.c $(EXHAUSTIVE_BUILD)/compile | \
    $(EXHAUSTIVE_SCRIPTS)
	@mkdir -p $(@D); echo '  CC  $@'
	$(Q)$(EXHAUSTIVE_COMPILE) -MMD -MP -c -o $@ $<

$(EXHAUSTIVE_OWN): $(EXHAUSTIVE_BUILD)/own/%.o: spec/exhaustive/%.c $(EXHAUSTIVE_BUILD)/compile
	@mkdir -p $(@D); echo '  CC  $@'
	$(Q)$(EXHAUSTIVE_COMPILE) -MMD -MP -c -o $@ $<

# The simulated server's objects are known once spec/sim/redis.mk has been read.
.SECONDEXPANSION:
$(EXHAUSTIVE): $(EXHAUSTIVE_OWN) $(EXHAUSTIVE_CORE) $$(SIM_REDIS_OBJECTS)
	@echo '  LD  $@'
	$(Q)$(CC) $(SANITIZER) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(SIM_REDIS_LIBS) $(HIREDIS_LIBS)

-include $(EXHAUSTIVE_CORE:.o=.d) $(EXHAUSTIVE_OWN:.o=.d)

everything: $(EXHAUSTIVE)

.PHONY: exhaustive exhaustive-build
exhaustive-build: $(EXHAUSTIVE)

exhaustive: $(EXHAUSTIVE) ## every course of events in small worlds, over the shipped core and scripts
	@$(EXHAUSTIVE) $(ARGS)
