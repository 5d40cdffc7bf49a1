"""The parts of `make bench-choose`: the workloads, the contenders, and what is made of their times.

`workload` says what a workload is; `fetching`, `interpreted`, `native`, `holding`, `sizes`, `uneven`,
`bounded` and `mixed` have them. `contenders` are the fixed configurations and `auto`; `arm` runs them,
`link` talks with an arm, `match` measures one workload; `regret` is the arithmetic and `table` shows it.
"""
