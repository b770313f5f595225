"""The demonstration: three companies on one machine, over real HTTP."""
