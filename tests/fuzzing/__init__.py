"""Damaged files, read by a child process with limits: what every reader of emohop must survive.

    python -m tests.fuzzing --files 20000 --seed 0 [--format wav] [--only 17]

makes valid files, damages them by a seed, reads each as emohop does and prints a table. A file is
read well or refused by an `EmohopError` of one line; anything else is a finding and is kept under
`--keep`, named by format, seed and number, which also make it again (`--only`).
"""
