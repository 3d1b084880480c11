"""The control socket: msgpack frames over a UNIX socket, whose peers the kernel names."""
