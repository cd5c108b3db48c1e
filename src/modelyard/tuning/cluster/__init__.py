"""Trials on a Ray cluster. `remote` is the worker's end, `carrier` the process between that speaks to Ray, `node` what runs on a node.

The worker itself never speaks to Ray: what a cluster answers is unpickled, which is done in a process that holds no secret.
"""
