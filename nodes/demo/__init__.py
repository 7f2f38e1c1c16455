"""The demonstration: eight partners and a relay as processes on this machine play scenarios drawn from public facts.

It uses what everybody uses: the ceremony's files, `concord relay serve`, `concord node serve` and the nodes' control
sockets. Nothing here is imported by the product.
"""
