"""Postgres and Valkey from Python wheels, started as child processes of ours: for a laptop, a demo, one box, the tests.

`home` keeps what must survive a restart, `postgres` and `valkey` run one server each, `servers` runs both.
"""
