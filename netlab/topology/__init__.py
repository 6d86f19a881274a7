"""What a user writes (Cluster, Node, Pod, Container) and the address plan it implies. Pure."""
