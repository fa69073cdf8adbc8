# The model of a Redis server, for the simulator, and what compares it with a real one.
#
# SIM_REDIS_OBJECTS, linked with SIM_REDIS_LIBS, are the model. They depend on no LUA.

SIM_REDIS_BUILD := $(if $(filter build/lint/%,$(BUILD)),$(BUILD)/sim,build/sim$(if \
    $(SANITIZE),-$(subst $(comma),-,$(SANITIZE))))/redis
SIM_REDIS_SOURCES := $(filter-out %_program.c %/redis_clock.c, \
    $(wildcard spec/sim/redis*.c))
SIM_REDIS_OBJECTS := $(patsubst spec/sim/%.c,$(SIM_REDIS_BUILD)/%.o,$(SIM_REDIS_SOURCES))
SIM_REDIS_LIBS = $(call package,--libs luajit) -lcrypto -lm
SIM_REDIS_COMPILE = $(CC) -std=c11 -D_GNU_SOURCE -pthread $(WARNINGS) $(SANITIZER) \
    -Ispec -I$(GENERATED) $(patsubst -I%,-isystem %,$(call package,--cflags luajit)) \
    $(OPENSSL_FLAGS) $(CPPFLAGS) $(CFLAGS)

$(SIM_REDIS_BUILD)/compile: FORCE
	$(call stamp,$(SIM_REDIS_COMPILE))

$(SIM_REDIS_BUILD)/%.o: spec/sim/%.c $(SIM_REDIS_BUILD)/compile
	@mkdir -p $(@D); echo '  CC  $@'
	$(Q)$(SIM_REDIS_COMPILE) -MMD -MP -c -o $@ $<

# Two programs over the model, and a clock for a real server.
SIM_REDIS_MODEL := $(SIM_REDIS_BUILD)/model
SIM_REDIS_PACE := $(SIM_REDIS_BUILD)/pace
SIM_REDIS_CLOCK := $(SIM_REDIS_BUILD)/clock.so

-include $(SIM_REDIS_OBJECTS:.o=.d) $(patsubst %,$(SIM_REDIS_BUILD)/redis_%_program.d,model pace)

$(SIM_REDIS_BUILD)/redis_pace_program.o: | $(SCRIPTS_TEXT)

$(SIM_REDIS_MODEL) $(SIM_REDIS_PACE): $(SIM_REDIS_BUILD)/%: $(SIM_REDIS_BUILD)/redis_%_program.o \
    $(SIM_REDIS_OBJECTS)
	@echo '  LD  $@'
	$(Q)$(CC) $(SANITIZER) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(SIM_REDIS_LIBS)

# Into a server that knows no sanitizer.
$(SIM_REDIS_CLOCK): spec/sim/redis_clock.c
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -fPIC -shared $(WARNINGS) $(CFLAGS) -o $@ $<

specs everything: $(SIM_REDIS_MODEL) $(SIM_REDIS_CLOCK)
everything: $(SIM_REDIS_PACE)

.PHONY: sim-redis-pace
sim-redis-pace: $(SIM_REDIS_PACE) ## processor time of the model of a Redis server
	$(Q)$(SIM_REDIS_PACE) $(ARGS)
