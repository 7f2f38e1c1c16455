"""Other ways to hand reports on, measured beside Concord in the same run (`make bench-peers`, docs/benchmarks.md).

The peers are installed into an environment of their own, .venv-peers, from requirements.lock of this folder. What talks
to them runs there too: what lies in drivers/ imports nothing of Concord and is started by path.
"""
