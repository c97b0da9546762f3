"""NH2ST: encoder, hypergraph, the network, its losses, and the folder it is kept in."""
