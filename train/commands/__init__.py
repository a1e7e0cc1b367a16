"""The command lines of this room, one file for each: `scratchgrad-<file>`."""
