"""The fault kit: a throw-away system, faults drawn by a seed, a history, and the checker that judges it.

`system`, `stores` and `proxy` are what can be broken; `faults` and its catalogues say how; `conductor` breaks it while
`load` keeps submitting; `checker` says what became of every task, and `campaign` runs it all.
"""
