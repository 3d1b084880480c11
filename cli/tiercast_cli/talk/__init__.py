"""Talking to a daemon: its socket, here or on another machine, and how a run of the command line ends."""
