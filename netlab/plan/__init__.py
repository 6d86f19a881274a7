"""The desired state of every namespace as plain values. Pure: nothing here touches Linux."""
