# The checkers are checked: each fault of list.lua is planted in a copy of csrc, and must be found.
#
# MUTANT=name     one of them alone; SEED=n shows that schedule of the simulator's
# MUTANT_FILE     another list
# MUTANT_SEEDS    in so many schedules the simulator must find it, unless the list says more
# JOBS            how many run at a time; one for each processor, unless given

MUTANTS := build/mutants
MUTANT_FILE ?= spec/mutants/list.lua
MUTANT_SEEDS ?= 20000
MUTANT_SECONDS := 300# of a processor, at most: a checker that hangs has found nothing
# name/checker, for each.
MUTANT_LIST = $(shell $(LUA) spec/mutants/plant.lua $(MUTANT_FILE) $(if $(MUTANT),| grep '^$(MUTANT)/'))

# What is not changed is compiled once, and without inlining across files: that would take too long.
MUTANT_MAKE = $(MAKE) SIM_ROOT=csrc SIM_BUILD=$(MUTANTS)/unmutated SIM_CFLAGS=-O2 \
    EXHAUSTIVE_ROOT=csrc EXHAUSTIVE_BUILD=$(MUTANTS)/unmutated/exhaustive

.PHONY: sim-mutants mutants-outputs mutant-shown
sim-mutants: ## faults planted in the core, the loops, the scripts, and how each is found; MUTANT=name
ifdef SEED
	@$(MUTANT_MAKE) mutant-shown
else
	@$(MUTANT_MAKE) -k -j$(or $(JOBS),$(shell nproc)) mutants-outputs; built=$$?; \
	    $(LUA) spec/mutants/verdicts.lua $(MUTANT_FILE) $(MUTANTS) $(MUTANT_SEEDS) $(MUTANT) && exit $$built
endif

mutant-shown: $(MUTANTS)/$(MUTANT)/sim
	@$< --seed $(SEED)

.SECONDEXPANSION:
mutants-outputs: $(MUTANTS)/unmutated/sim.output $$(addprefix $$(MUTANTS)/,$$(MUTANT_LIST) \
    $$(addsuffix .output,$$(MUTANT_LIST)))

$(MUTANTS)/%/sim.output: $(MUTANTS)/%/sim FORCE
	@echo '  RUN $<'
	@ulimit -t $(MUTANT_SECONDS); seeds=$(if $(filter unmutated,$*),,$$($(LUA) spec/mutants/plant.lua $(MUTANT_FILE) $*)); \
	    $< --seeds 1-$${seeds:-$(MUTANT_SEEDS)} --findings 1 \
	    --jobs $(if $(filter unmutated,$*),4,1) >$@ 2>&1; echo "exit $$?" >>$@

$(MUTANTS)/%/exhaustive.output: $(MUTANTS)/%/exhaustive FORCE
	@echo '  RUN $<'
	@ulimit -t $(MUTANT_SECONDS); $< stop=1 >$@ 2>&1; echo "exit $$?" >>$@

MUTANT_BUILD = COMPILE='$(strip $(1))' LINK='$(strip $(2))' OBJECTS='$(strip $(3))' LIBS='$(strip $(4))' \
    PLANT='$(LUA) spec/mutants/plant.lua $(MUTANT_FILE)' sh spec/mutants/build.sh

$(MUTANTS)/%/sim: $$(SIM) $(MUTANT_FILE)
	$(Q)$(call MUTANT_BUILD,$(SIM_COMPILE) -include spec/sim/replaced.h,$(SIM_LINK), \
	    $(SIM_OWN) $(SIM_SHIPPED),$(SIM_LIBS)) $* $@ $(SIM_BUILD)

$(MUTANTS)/%/exhaustive: $$(EXHAUSTIVE) $(MUTANT_FILE)
	$(Q)$(call MUTANT_BUILD,$(EXHAUSTIVE_COMPILE),$(CC) $(CFLAGS) $(LDFLAGS), \
	    $(EXHAUSTIVE_OWN) $(EXHAUSTIVE_CORE) $(SIM_REDIS_OBJECTS),$(SIM_REDIS_LIBS) $(HIREDIS_LIBS)) \
	    $* $@ $(EXHAUSTIVE_BUILD)
