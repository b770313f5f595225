"""The sandbox: what confines programs of others, and the programs of ours that run inside it."""
