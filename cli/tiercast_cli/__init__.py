"""`tiercast`: a client of the control socket of any tier, and the packager."""
