"""The network as LiteRT graphs, written operation by operation from its weights.

Start at `runtime`, for images of any size, and at `tiles`, for images too large for memory. `network` draws the whole
network, and `stages` draws parts of it, on a `graph`.
"""
