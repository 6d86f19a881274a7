"""kube-proxy's modes by the names that topologies use: `kube_proxy.Nftables()`."""
