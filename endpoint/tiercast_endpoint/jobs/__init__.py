"""Jobs of this machine: the machine of one, its steps, its journal, and the turns of all."""
