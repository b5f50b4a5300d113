"""The product's own benchmarks. Each module here is one: `KEYS`, `add_arguments` and `run`.

`KEYS` says what each key of its result means. `run(options)` returns the result: figures with
their unit in the name, and beside each the floor that was measured in the same run.
"""
