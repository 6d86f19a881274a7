"""The only room that touches Linux: sandbox, namespaces, netlink, rulesets, containers, observer."""
