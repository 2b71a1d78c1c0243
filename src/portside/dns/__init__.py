"""The resolver of VPCs: the wire format, its sockets, and what it asks the host's resolvers."""
