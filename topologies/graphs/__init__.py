"""A network as others draw it, before it is ours: nodes, edges, demands; names of sites; distances. Pure."""
