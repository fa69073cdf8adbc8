# What the command's specs need: a pseudo-terminal.

PTY := $(BUILD)/pty.so

$(PTY): $(BUILD)/obj/spec/command/pty.o $(BUILD)/link
	@echo '  LD  $@'
	$(Q)$(LINK_MODULE) -o $@ $(BUILD)/obj/spec/command/pty.o

-include $(BUILD)/obj/spec/command/pty.d

everything specs: $(PTY)
