# The simulator: the shipped core and its drivers, over simulated connections, clocks and servers.
#
# SIM_ROOT   the sources that are simulated: csrc, or a copy of it with something changed
# SIM_BUILD  where it is built
# SEED=n     one schedule, with its history; SEEDS=from-to others than the first 100 000
# PROFILE    sound, or broken: what the library assumes does not hold
# JOBS       how many run at a time; one for each processor, unless given

SIM_ROOT ?= csrc
SIM_BUILD ?= $(if $(filter build/lint/%,$(BUILD)),$(BUILD)/sim,build/sim)
SIM_CFLAGS ?= $(if $(filter build/lint/%,$(BUILD)),-O1,-O2 -g -flto=auto)
SIM := $(SIM_BUILD)/sim

# All of the core, and of io what does not itself speak to the operating system.
SIM_SHIPPED := $(patsubst $(SIM_ROOT)/%.c,$(SIM_BUILD)/%.o,$(wildcard $(SIM_ROOT)/core/*.c) \
    $(addprefix $(SIM_ROOT)/io/,client.c cohort.c engine.c holding.c loop.c operation.c outbox.c peer.c runner.c \
    scope.c settings.c watchdog.c))
SIM_OWN := $(patsubst spec/sim/%.c,$(SIM_BUILD)/own/%.o,$(filter-out %_program.c %/redis_clock.c, \
    $(wildcard spec/sim/*.c)))
SIM_SCRIPTS := $(SIM_BUILD)/generated/scripts_text.h
SIM_COMPILE = $(CC) -std=c11 -D_GNU_SOURCE -pthread $(WARNINGS) -I$(SIM_ROOT) \
    -I$(SIM_BUILD)/generated -Ispec $(HIREDIS_FLAGS) $(OPENSSL_FLAGS) \
    $(patsubst -I%,-isystem %,$(call package,--cflags luajit)) $(CPPFLAGS) $(SIM_CFLAGS)
SIM_LINK = $(CC) -pthread $(WARNINGS) $(SIM_CFLAGS) $(LDFLAGS)
SIM_LIBS = $(call package,--libs luajit) $(HIREDIS_LIBS) -lcrypto -lm

$(SIM_BUILD)/compile: FORCE
	$(call stamp,$(SIM_COMPILE))

$(SIM_BUILD)/link: FORCE
	$(call stamp,$(SIM_LINK) $(SIM_OWN) $(SIM_SHIPPED) $(SIM_LIBS))

$(SIM_SCRIPTS): $(SIM_ROOT)/core/scripts/embed.sh $(wildcard $(SIM_ROOT)/core/scripts/*.lua)
	@mkdir -p $(@D)
	$(Q)sh $< $(SIM_ROOT)/core/scripts >$@.$$$$ && mv $@.$$$$ $@

# What the shipped sources ask the operating system for, they ask the simulated process for.
$(SIM_SHIPPED): $(SIM_BUILD)/%.o: $(SIM_ROOT)/%.c $(SIM_BUILD)/compile spec/sim/replaced.h | $(SIM_SCRIPTS)
	@mkdir -p $(@D); echo '  CC  $@'
	$(Q)$(SIM_COMPILE) -include spec/sim/replaced.h -MMD -MP -c -o $@ $<

$(SIM_OWN): $(SIM_BUILD)/own/%.o: spec/sim/%.c $(SIM_BUILD)/compile | $(SIM_SCRIPTS)
	@mkdir -p $(@D); echo '  CC  $@'
	$(Q)$(SIM_COMPILE) -fno-builtin-malloc -MMD -MP -c -o $@ $<

$(SIM): $(SIM_OWN) $(SIM_SHIPPED) $(SIM_BUILD)/link
	@echo '  LD  $@'
	$(Q)$(SIM_LINK) -o $@ $(SIM_OWN) $(SIM_SHIPPED) $(SIM_LIBS)

-include $(SIM_SHIPPED:.o=.d) $(SIM_OWN:.o=.d)

specs everything: $(SIM)

.PHONY: sim sim-build
sim-build: $(SIM)

sim: $(SIM) ## random schedules of faults over the shipped core; SEED=n shows one
	@$(SIM) $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) \
	    $(if $(PROFILE),--profile $(PROFILE)) $(if $(JOBS),--jobs $(JOBS))
