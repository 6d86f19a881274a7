"""Ways in which a pod is attached to its node: a file each."""
