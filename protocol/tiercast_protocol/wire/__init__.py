"""What goes over the wire: envelope, messages, codec, frames, topics, access.  Pure."""
